"""The check for functions, classes and constants that no other code uses."""

from pathlib import Path

import pytest
from checks.unused import unused_definitions


def unused(folder: Path, **modules: str) -> list[str]:
    """What the check finds in a package `house` of these modules."""
    (folder / "house").mkdir()
    for name, text in modules.items():
        (folder / "house" / f"{name}.py").write_text(text)
    return [f"{module}.{name}:{line}" for (module, name), line in unused_definitions({"house": folder})]


@pytest.mark.parametrize(
    "user",
    [
        "from house.a import thing\n",
        "from house import a\n\n\na.thing()\n",
        "import house.a\n\n\nhouse.a.thing()\n",
        "import house.a as other\n\n\nother.thing()\n",
    ],
)
def test_function_that_another_module_uses_is_no_fault(user: str, tmp_path: Path) -> None:
    assert unused(tmp_path, a="def thing(): ...\n", b=user) == []


@pytest.mark.parametrize("user", ["x: 'Thing' = None\n\n\nprint(x)\n", "def f() -> Thing: ...\n\n\nf()\n"])
def test_class_that_its_own_module_names_is_no_fault(user: str, tmp_path: Path) -> None:
    assert unused(tmp_path, a=f"class Thing: ...\n\n\n{user}") == []


def test_function_that_calls_only_itself_is_unused(tmp_path: Path) -> None:
    assert unused(tmp_path, a="X = 1\n\n\ndef thing():\n    return thing()\n\n\nprint(X)\n") == ["house.a.thing:4"]


def test_function_whose_name_another_module_uses_for_its_own_is_unused(tmp_path: Path) -> None:
    other = "def thing(): ...\n\n\nthing()\nother.thing()\n"
    assert unused(tmp_path, a="def thing(): ...\n", b=other) == ["house.a.thing:1"]


def test_constants_that_nothing_reads_are_unused(tmp_path: Path) -> None:
    assert unused(tmp_path, a="A, B = 1, 2\nC: int = 3\nprint(B)\n") == ["house.a.A:1", "house.a.C:2"]
