"""Functions, classes and constants of modules that no other code uses; tests do not count.

vulture knows names only: a function counts as used when any other thing has its name. This check follows imports.
It does not see methods and attributes; vulture does.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

DUNDER_NAMES = frozenset({"__all__", "__version__"})


class Definition(NamedTuple):
    module: str  # gateway.smpp.pdu
    name: str


def unused_definitions(roots: Mapping[str, Path]) -> Iterator[tuple[Definition, int]]:
    """What stands at the top of a module, is used by none and not exported; with its line.

    `roots` maps the name of a package or module to the folder in which it lies.
    """
    modules = {name: ast.parse(path.read_bytes()) for name, path in _modules(roots)}
    used = {use for name, tree in modules.items() for use in _uses(name, tree, modules)}
    for name, tree in modules.items():
        for statement in tree.body:
            for defined in _defined_by(statement):
                if Definition(name, defined) not in used and defined not in DUNDER_NAMES:
                    yield Definition(name, defined), statement.lineno


def _modules(roots: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for name, folder in roots.items():
        files = (
            [folder / f"{name}.py"] if (folder / f"{name}.py").exists() else sorted((folder / name).rglob("*.py"))
        )
        for file in files:
            yield ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"), file


def _defined_by(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _uses(module: str, tree: ast.Module, modules: Mapping[str, ast.Module]) -> Iterator[Definition]:
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                aliases[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (full := f"{node.module}.{alias.name}") in modules:
                    aliases[alias.asname or alias.name] = full
                else:
                    yield Definition(node.module, alias.name)
    for statement in tree.body:
        own = _defined_by(statement)  # a function that calls itself is no use of it
        for node in ast.walk(statement):
            for name in _names(node) - own:
                yield Definition(module, name)
            if isinstance(node, ast.Attribute) and (path := _path(node, aliases)):
                yield Definition(*path)


def _names(node: ast.AST) -> set[str]:
    """The names that the node itself reads: in a string that is an annotation, too."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        return {node.id}
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            inner = ast.parse(node.value.strip(), mode="eval")
        except (SyntaxError, ValueError):
            return set()
        return {name.id for name in ast.walk(inner) if isinstance(name, ast.Name)}
    return set()


def _path(node: ast.Attribute, aliases: Mapping[str, str]) -> tuple[str, str] | None:
    """`pdu.encode` with `from gateway.smpp import pdu`: gateway.smpp.pdu and encode."""
    parts: list[str] = []
    value: ast.expr = node.value
    while isinstance(value, ast.Attribute):
        parts.insert(0, value.attr)
        value = value.value
    if isinstance(value, ast.Name) and value.id in aliases:
        return ".".join([aliases[value.id], *parts]), node.attr
    return None


def main() -> int:
    """Prints what nothing uses in the current folder's gateway and scripts; the exit status."""
    scripts = Path("scripts")
    folders = sorted(path.parent.name for path in scripts.glob("*/__init__.py"))
    files = sorted(path.stem for path in scripts.glob("*.py"))
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    ignored = set(settings["tool"]["checks"]["unused"]["ignore"])
    found = unused_definitions({"gateway": Path(), **dict.fromkeys([*folders, *files], scripts)})
    faults = {
        f"{module}.{name}": f"{module}:{line}: nothing but tests uses {name}" for (module, name), line in found
    }
    for name in sorted(ignored - faults.keys()):
        print(f"pyproject.toml: tool.checks.unused.ignore: {name} is in use, or gone: take it off the list")
    for name in sorted(faults.keys() - ignored):
        print(faults[name])
    return 0 if faults.keys() == ignored else 1


if __name__ == "__main__":
    sys.exit(main())
