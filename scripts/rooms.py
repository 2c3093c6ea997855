"""The rooms of the gateway as a page and a picture: the layers of the import-linter contract, and all imports.

`scripts/diagrams` writes both into docs/architecture; `scripts/diagrams --lines` prints the size of each room.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "gateway"
NAME = "rooms"
"""The name of the page and the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the contract permits and what the modules do."""

    layers: Sequence[Sequence[str]]
    """The layers, highest first; rooms of one layer do not import each other."""
    imports: Mapping[str, Sequence[str]]
    """The rooms that each room imports directly, in the order of the layers; () for a room that imports none."""


def rooms() -> Rooms:
    """The contract in pyproject.toml, and the imports of every module in gateway/."""
    layers = _layers()
    order = [room for layer in layers for room in layer]
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in order}
    for module in graph.modules:
        if module == PACKAGE:
            continue
        for imported in graph.find_modules_directly_imported_by(module):
            if imported != PACKAGE and _room(imported) != _room(module):
                found[_room(module)].add(_room(imported))
    return Rooms(
        layers=layers, imports={room: [other for other in order if other in found[room]] for room in order}
    )


def _layers() -> list[list[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def _room(module: str) -> str:
    return module.split(".")[1]


def dot(found: Rooms) -> str:
    """The picture as DOT text: a row for each layer. An import that a longer path implies has no arrow."""
    lines = [
        f"digraph {NAME} {{",
        '    graph [fontname="Helvetica", nodesep=0.5, ranksep=0.35];',
        '    node [fontname="Helvetica", shape=box];',
        '    edge [color="#555555"];',
    ]
    for layer in found.layers:
        nodes = " ".join(f'"{room}";' for room in layer)
        lines.append(f"    {{ rank=same; {nodes} }}")
    column = " -> ".join(f'"{layer[0]}"' for layer in found.layers)
    lines.append(f"    {column} [style=invis, weight=10];")
    lines += [f'    "{room}" -> "{other}";' for room, other in arrows(found)]
    return "\n".join([*lines, "}", ""])


def arrows(found: Rooms) -> Iterator[tuple[str, str]]:
    """The imports that no longer path of imports implies."""
    for room, imported in found.imports.items():
        implied = {further for other in imported for further in _reached(found, other)}
        yield from ((room, other) for other in imported if other not in implied)


def _reached(found: Rooms, room: str) -> set[str]:
    """The rooms that a room imports directly or by way of others."""
    return {further for other in found.imports[room] for further in (other, *_reached(found, other))}


def markdown(found: Rooms) -> str:
    """The page: each layer, its rooms, and what each of them imports."""
    lines = [
        "# Layers and imports",
        "",
        "Drawn by `scripts/diagrams` from the layers in `pyproject.toml` and the imports in `gateway/`; not to be",
        "edited. The highest layer comes first. A room may import rooms of lower layers only. The picture leaves",
        "out an import where a longer path leads to the same room; the table has all of them.",
        "",
        f"![Rooms of the gateway]({NAME}.svg)",
        "",
        "| layer | room | imports |",
        "|---|---|---|",
    ]
    for number, layer in enumerate(found.layers, 1):
        lines += [f"| {number} | {room} | {', '.join(found.imports[room]) or 'no other room'} |" for room in layer]
    return "\n".join([*lines, ""])


def files(found: Rooms) -> Mapping[str, str]:
    """The files that need no graphviz, by their names."""
    return {f"{NAME}.md": markdown(found), f"{NAME}.dot": dot(found)}


def sizes() -> Iterator[tuple[str, int, int]]:
    """Room, number of modules, lines of Python; the rooms of the contract in its order."""
    for layer in _layers():
        for room in layer:
            folder = ROOT / PACKAGE / room
            modules = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
            yield room, len(modules), sum(len(module.read_text().splitlines()) for module in modules)
