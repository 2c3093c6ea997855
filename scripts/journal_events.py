"""The page of the journal's events: what each means, and the fields of its details.

`scripts/diagrams` writes it into docs/reference/journal-events.md, from the types and comments of
gateway/consent/events.py and details.py.
"""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from inspect import getdoc
from pathlib import Path
from typing import NamedTuple

from gateway.consent import details, events
from gateway.consent.details import Detail
from gateway.consent.events import DETAILS, STATUSES, EventType

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "journal-events.md"

_HEAD = """# Events of the journal

Drawn by `scripts/diagrams` from `gateway/consent/events.py` and `details.py`; not to be edited.

The journal is append-only: an entry is never changed or removed. Names and fields keep their meaning in every
version. `GET /v1/cases/{case_id}` and `gateway evidence` show the entries of a case. Events marked *status* are
sent to SDU too, as `status` with the same `detail`. Digests are HMAC-SHA-256, as in [evidence.md](../evidence.md).
"""


class Field(NamedTuple):
    """A field of a detail."""

    name: str
    type: str
    meaning: str


def comments(source: str) -> Mapping[tuple[str, str], Field]:
    """By class and name: each annotated field or assigned member, and the comment that ends its line."""
    lines = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(name), annotation=annotation):
                    type_ = ast.unparse(annotation)
                case ast.Assign(targets=[ast.Name(name)]):
                    type_ = ""
                case _:
                    continue
            found[node.name, name] = Field(name, type_, lines.get(statement.lineno, ""))
    return found


def meanings() -> Mapping[tuple[str, str], Field]:
    """All events, and all fields of details."""
    sources = (Path(file).read_text(encoding="utf-8") for file in (events.__file__, details.__file__))
    return {place: field for source in sources for place, field in comments(source).items()}


def draw() -> str:
    """The page."""
    fields = meanings()
    return "\n".join([_HEAD, *_events(fields), *_details(fields)])


def _events(fields: Mapping[tuple[str, str], Field]) -> Iterator[str]:
    yield "| event | when | detail |"
    yield "|---|---|---|"
    for event in EventType:
        status = " *(status)*" if event in STATUSES else ""
        links = " or ".join(_link(kind) for kind in DETAILS[event])
        yield f"| `{event}`{status} | {fields['EventType', event.name].meaning} | {links} |"
    yield ""


def _link(kind: type[Detail]) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})" if kind._fields else "none"


def _details(fields: Mapping[tuple[str, str], Field]) -> Iterator[str]:
    yield "# Details"
    for kind in dict.fromkeys(kind for kinds in DETAILS.values() for kind in kinds if kind._fields):
        yield from ("", f"## {kind.__name__}", "", getdoc(kind) or "", "")
        yield from ("| field | type | meaning |", "|---|---|---|")
        for name in kind._fields:
            field = fields[kind.__name__, name]
            yield f"| `{name}` | {json_type(field.type)} | {field.meaning} |"
    yield ""


def json_type(annotation: str) -> str:
    """The JSON type of an annotation."""
    names = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
    if annotation.startswith("Sequence["):
        items, _, others = annotation.removeprefix("Sequence[").partition("]")
        return " or ".join([f"array ({json_type(items)})", *(names[part] for part in others.split(" | ")[1:])])
    return " or ".join(names[part] for part in annotation.split(" | "))
