"""Functions of more than 60 lines and files of more than 400; a function's docstring does not count.

A function that has to be longer is named in pyproject.toml under `tool.checks.lengths`, with the reason beside it.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400


class TooLong(NamedTuple):
    name: str  # gateway/smpp/session.py:Session.receive, or the file
    line: int
    lines: int


def too_long(file: Path, name: str) -> Iterator[TooLong]:
    """The file itself and its functions, each if it is too long; `name` is that of the file."""
    source = file.read_bytes()
    if (lines := len(source.splitlines())) > MAX_FILE_LINES:
        yield TooLong(name, 1, lines)
    yield from _functions(ast.parse(source), f"{name}:")


def _functions(parent: ast.AST, prefix: str) -> Iterator[TooLong]:
    for node in ast.iter_child_nodes(parent):
        inner = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{prefix}{node.name}."
            if not isinstance(node, ast.ClassDef) and (lines := _lines(node)) > MAX_FUNCTION_LINES:
                yield TooLong(prefix + node.name, node.lineno, lines)
        yield from _functions(node, inner)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last statement, the docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def main() -> int:
    """Prints what is too long in the current folder's gateway and scripts; the exit status."""
    files = sorted(file for room in ("gateway", "scripts") for file in Path(room).rglob("*.py"))
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    exempt = set(settings["tool"]["checks"]["lengths"]["exempt"])
    found = {long.name: long for file in files for long in too_long(file, file.as_posix())}
    for name in sorted(exempt - found.keys()):
        print(f"pyproject.toml: tool.checks.lengths.exempt: {name} is short enough, or gone: take it off the list")
    for name in sorted(found.keys() - exempt):
        print(f"{name}: line {found[name].line}: {found[name].lines} lines")
    return 0 if found.keys() == exempt else 1


if __name__ == "__main__":
    sys.exit(main())
