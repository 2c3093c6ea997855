"""scripts/diagrams: draws into docs/architecture what the code says of itself.

For each state table: NAME.md, a page with all its rows; NAME.dot, the diagram of its changes of state; NAME.svg,
the diagram drawn by graphviz. For the rooms of the gateway (rooms.py) likewise. The tables of the database
(schema.py) are one page. An SVG names the SHA-256 of the DOT text it was drawn from: a test checks it without
graphviz.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import code_pages
import journal_events
import rooms
import schema

from gateway.consent.transitions import TRANSITIONS
from gateway.logs import log
from gateway.smpp import transitions
from gateway.store import lifecycles

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "architecture"

Row = tuple[str, str, str, str, str]
"""State, input, next state, effect, source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A state table to be drawn. `name` is the name of its files."""

    name: str
    title: str
    code: str
    """The file with the table."""
    rows: tuple[Row, ...]


def _journey_rows() -> Iterator[Row]:
    """The journey's table, a row for each state that an input may lead to. Notes may name the paragraph."""
    for row in TRANSITIONS:
        paragraph = re.search(r" \((§[^)]*)\)", row.note)
        note = row.note.replace(paragraph[0], "") if paragraph else row.note
        for to in row.to:
            source = f"order, annex 1 {paragraph[1]}" if paragraph else ""
            yield row.state.value if row.state else "no case", row.given.__name__, to.value, note, source


TABLES = (
    Table(
        name="session",
        title="SMPP session",
        code="gateway/smpp/transitions.py",
        rows=tuple(transitions.rows()),
    ),
    Table(
        name="journey",
        title="Journey of a case",
        code="gateway/consent/transitions.py",
        rows=tuple(_journey_rows()),
    ),
    Table(
        name="text",
        title="States of a text",
        code="gateway/store/lifecycles.py",
        rows=tuple(lifecycles.text_rows()),
    ),
    Table(
        name="call",
        title="States of a call",
        code="gateway/store/lifecycles.py",
        rows=tuple(lifecycles.call_rows()),
    ),
)
"""Every table that is drawn: one line each."""


ANY_STATE = "any other state"
"""The node for inputs that lead from every state that can be left to one and the same state."""


class Edge(NamedTuple):
    """A change of state and the inputs that cause it."""

    state: str
    next_state: str
    inputs: tuple[str, ...]


def edges(rows: Iterable[Row]) -> list[Edge]:
    """The changes of state in the order of the table. Rows that leave the state unchanged are no edges."""
    changes = [(state, given, next_state) for state, given, next_state, *_ in rows if state != next_state]
    left = {state for state, _, _ in changes}
    origins: dict[tuple[str, str], set[str]] = {}
    for state, given, next_state in changes:
        origins.setdefault((given, next_state), set()).add(state)
    inputs: dict[tuple[str, str], dict[str, None]] = {}
    for state, given, next_state in changes:
        everywhere = len(left) > 2 and origins[given, next_state] == left - {next_state}
        inputs.setdefault((ANY_STATE if everywhere else state, next_state), {})[given] = None
    return [Edge(state, next_state, tuple(found)) for (state, next_state), found in inputs.items()]


def dot(table: Table) -> str:
    """The diagram as DOT text; the same rows give the same text. Final states have a double border."""
    drawn = edges(table.rows)
    final = {row[2] for row in table.rows} - {row[0] for row in table.rows if row[0] != row[2]}
    states = dict.fromkeys(state for row in table.rows for state in (row[0], row[2]))
    lines = [
        f"digraph {_quoted(table.name)} {{",
        f"    label={_quoted(table.title)};",
        '    graph [fontname="Helvetica", labelloc=t, nodesep=0.4, ranksep=0.6];',
        '    node [fontname="Helvetica", shape=box, style=rounded];',
        '    edge [fontname="Helvetica", fontsize=9];',
    ]
    lines += [f"    {_quoted(state)}{' [peripheries=2]' if state in final else ''};" for state in states]
    if any(edge.state == ANY_STATE for edge in drawn):
        lines.append(f"    {_quoted(ANY_STATE)} [style=dashed];")
    lines += [
        f"    {_quoted(edge.state)} -> {_quoted(edge.next_state)} [label={_quoted(*edge.inputs)}];"
        for edge in drawn
    ]
    return "\n".join([*lines, "}", ""])


def _quoted(*lines: str) -> str:
    """A DOT string; `\\l` ends a left-justified line."""
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return f'"{escaped[0]}"' if len(escaped) == 1 else '"' + "".join(f"{line}\\l" for line in escaped) + '"'


def markdown(table: Table) -> str:
    """The page with the diagram and all rows; states and inputs with the same effect share a row."""
    lines = [
        f"# {table.title}",
        "",
        f"Drawn by `scripts/diagrams` from `{table.code}`; not to be edited.",
        "",
        f"![{table.title}]({table.name}.svg)",
        "",
        "| state | input | next state | effect | source |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in _merged(table.rows)]
    return "\n".join([*lines, ""])


def _merged(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows that differ in their states alone, then in their inputs, then in their next states, as one."""
    states: dict[tuple[str, str, str, str], list[str]] = {}
    for state, given, next_state, effect, source in rows:
        target = "unchanged" if next_state == state else next_state
        states.setdefault((given, target, effect or "none", source), []).append(state)
    inputs: dict[tuple[str, str, str, str], list[str]] = {}
    for (given, target, effect, source), found in states.items():
        inputs.setdefault((", ".join(found), target, effect, source), []).append(given)
    targets: dict[tuple[str, str, str, str], list[str]] = {}
    for (of_states, target, effect, source), given_inputs in inputs.items():
        targets.setdefault((of_states, "; ".join(given_inputs), effect, source), []).append(target)
    for (of_states, of_inputs, effect, source), next_states in targets.items():
        yield of_states, of_inputs, ", ".join(next_states), effect, source


def files(table: Table) -> Mapping[str, str]:
    """The files of a table that need no graphviz, by their names."""
    return {f"{table.name}.md": markdown(table), f"{table.name}.dot": dot(table)}


def digest_comment(dot_text: str) -> str:
    """The comment of an SVG that names the DOT text it was drawn from."""
    return f"<!-- SHA-256 of the DOT text: {sha256(dot_text.encode()).hexdigest()} -->"


def svg(dot_text: str, program: str) -> str:
    """The drawing by graphviz, with `digest_comment` in place of its own comments."""
    drawn = subprocess.run(
        [program, "-Tsvg"], input=dot_text, capture_output=True, encoding="utf-8", check=True
    ).stdout
    head, tag, rest = re.sub(r"<!--.*?-->\n?", "", drawn, flags=re.DOTALL).partition("<svg")
    return f"{head}{digest_comment(dot_text)}\n{tag}{rest}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/diagrams", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", action="store_true", help="only print modules and lines of each room")
    if parser.parse_args().lines:
        for room, modules, lines in rooms.sizes():
            print(f"{room:12}{modules:4} modules{lines:7} lines")
        return 0
    program = shutil.which("dot")
    if program is None:
        print("scripts/diagrams: graphviz is not installed (apt-get install graphviz)", file=sys.stderr)
        return 2
    log.configure("warning")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in _everything(program):
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER.relative_to(ROOT) / name)
    reference = {journal_events.PAGE.name: journal_events.draw(), **code_pages.pages()}
    for name, text in reference.items():
        (code_pages.FOLDER / name).write_text(text, encoding="utf-8")
        print(code_pages.FOLDER.relative_to(ROOT) / name)
    return 0


def _everything(program: str) -> Iterator[tuple[str, str]]:
    """Every file by its name; `program` is graphviz's `dot`."""
    for table in TABLES:
        yield from files(table).items()
        yield f"{table.name}.svg", svg(dot(table), program)
    found = rooms.rooms()
    yield from rooms.files(found).items()
    yield f"{rooms.NAME}.svg", svg(rooms.dot(found), program)
    yield schema.NAME, schema.draw()


if __name__ == "__main__":
    sys.exit(main())
