"""docs/architecture/README.md: the walks name functions that exist, in the rooms that they stand in."""

import ast
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from diagrams import FOLDER

ROOT = Path(__file__).parent.parent.parent
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
WALKS = re.findall(r"^### (.+)\n\n((?:.+\n|\n(?!#))+)", PAGE, re.MULTILINE)
each_walk = pytest.mark.parametrize("walk", [walk for _, walk in WALKS], ids=[title for title, _ in WALKS])


class Step(NamedTuple):
    room: str
    functions: list[tuple[str, str]]

    @property
    def passes_it_on(self) -> bool:
        return not self.room.startswith("(")


def steps(walk: str) -> list[Step]:
    rows = re.findall(r"^\| \d+ \| (\S+) \| (.+?) \| .+\|$", walk, re.MULTILINE)
    return [Step(room, re.findall(r"\[`([\w/]+\.py):([\w.]+)`\]", functions)) for room, functions in rows]


def functions_of(path: Path) -> set[str]:
    """Functions and methods of a module, as `function` and `Class.method`."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, kinds):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{method.name}" for method in node.body if isinstance(method, kinds)}
    return found


def test_the_architecture_page_has_three_walks() -> None:
    assert [len(steps(walk)) > 10 for _, walk in WALKS] == [True, True, True]


@each_walk
def test_every_function_of_a_walk_exists_and_stands_in_the_room_of_its_step(walk: str) -> None:
    for step in steps(walk):
        room = step.room.strip("()")
        assert step.functions, step
        for path, function in step.functions:
            assert path.split("/")[0].removesuffix(".py") == room
            assert function in functions_of(ROOT / "gateway" / path), f"{path}:{function}"


@each_walk
def test_a_walk_passes_as_many_rooms_as_its_page_states_and_five_at_most(walk: str) -> None:
    (stated,) = re.findall(r"passes (\d+) rooms: (.+)\.", walk)
    passed = {step.room for step in steps(walk) if step.passes_it_on}
    assert passed == set(re.findall(r"`(\w+)`", stated[1]))
    assert len(passed) == int(stated[0]) <= 5


def test_the_table_of_rooms_has_every_room_of_the_contract_once() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|", PAGE, re.MULTILINE)
    listed = [room for row in rows for room in re.findall(r"`(\w+)`", row)]
    assert listed == [room.strip() for layer in layers for room in layer.split("|")]
