"""The check for functions and files that are too long."""

from pathlib import Path

import pytest
from checks.lengths import MAX_FILE_LINES, MAX_FUNCTION_LINES, too_long


def found(folder: Path, text: str) -> list[tuple[str, int, int]]:
    """What the check finds in a module of that text: name, line, lines."""
    file = folder / "module.py"
    file.write_text(text)
    return [(name, line, lines) for name, line, lines in too_long(file, "module.py")]


def body(lines: int, indent: str = "    ") -> str:
    return f"{indent}pass\n" * lines


def test_function_at_the_limit_is_no_fault(tmp_path: Path) -> None:
    assert found(tmp_path, "def f():\n" + body(MAX_FUNCTION_LINES - 1)) == []


def test_function_above_the_limit_is_a_fault(tmp_path: Path) -> None:
    assert found(tmp_path, "\ndef f():\n" + body(MAX_FUNCTION_LINES)) == [("module.py:f", 2, 61)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("async def f():\n{0}", "f"),
        ("class A:\n    def f(self):\n{1}", "A.f"),
        ("def f():\n    def g():\n{1}    return g\n", "f.g"),
        ("if True:\n    def f():\n{1}", "f"),
    ],
)
def test_function_is_found_wherever_it_stands(text: str, name: str, tmp_path: Path) -> None:
    lines = (body(MAX_FUNCTION_LINES), body(MAX_FUNCTION_LINES, "        "))
    assert f"module.py:{name}" in [fault for fault, _, _ in found(tmp_path, text.format(*lines))]


def test_arguments_count_and_decorators_and_the_docstring_do_not(tmp_path: Path) -> None:
    docstring = '    """What comes.\n' + "\n" * 50 + '    """\n'
    assert found(tmp_path, "@one\n@two\ndef f():\n" + docstring + body(MAX_FUNCTION_LINES - 1)) == []
    arguments = "".join(f"    a{n},\n" for n in range(MAX_FUNCTION_LINES))
    assert found(tmp_path, f"def f(\n{arguments}): ...\n") == [("module.py:f", 1, 62)]


def test_file_above_the_limit_is_a_fault(tmp_path: Path) -> None:
    assert found(tmp_path, "x = 1\n" * MAX_FILE_LINES) == []
    assert found(tmp_path, "x = 1\n" * (MAX_FILE_LINES + 1)) == [("module.py", 1, 401)]
