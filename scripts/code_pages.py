"""Pages of docs/reference that are drawn from enumerations and types of the code, by `scripts/diagrams`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from journal_events import comments, json_type

from gateway.api import problems
from gateway.api.wallet import REJECTIONS
from gateway.consent import events
from gateway.consent.events import DETAILS, STATUSES, EventType
from gateway.intake import fields as record_fields
from gateway.logs import fields

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"

_OF_EVERY_LINE = {
    "at": "RFC 3339, real time, UTC",
    "level": "`debug`, `info`, `warning`, `error` or `critical`",
    "event": "name of the event",
    "node": "`gateway.node`: this process among the others",
    "version": "of the gateway",
}


def pages() -> Mapping[str, str]:
    """The pages by their names."""
    drawn = {"log-fields.md": _log_fields, "statuses.md": _statuses, "error-codes.md": _error_codes}
    return {name: "\n".join([*draw(), ""]) for name, draw in drawn.items()}


def _log_fields() -> Iterator[str]:
    yield from _head("Fields of log lines", "gateway/logs/fields.py")
    yield "A field has one type and one meaning, whatever the event: queries of the log can rely on it."
    yield "[log-events.md](log-events.md) says which event has which. Every line has the first five."
    yield from _table("field", "type", "meaning")
    yield from (f"| `{name}` | string | {meaning} |" for name, meaning in _OF_EVERY_LINE.items())
    for name, type_, meaning in _members(fields.__file__, "Fields"):
        yield f"| `{name}` | {json_type(type_)} | {meaning} |"
    yield "| `exception` | object | an error and its stack, as [log-events.md](log-events.md) says |"


def _statuses() -> Iterator[str]:
    yield from _head("Statuses", "gateway/consent/events.py")
    yield "What SDU is told of a case: `status` of the events that `GET /v1/statuses` returns and that are pushed."
    yield "The fields of `detail` are those of the journal: [journal-events.md](journal-events.md#details)."
    yield from _table("status", "when", "detail")
    meanings = {name: meaning for name, _, meaning in _members(events.__file__, "EventType")}
    for event in EventType:
        if event in STATUSES:
            shown = (name.replace("words", "reason") for kind in DETAILS[event] for name in kind._fields)
            details = dict.fromkeys(f"`{name}`" for name in shown)  # HTTP shows the words themselves
            yield f"| `{event}` | {meanings[event.name]} | {', '.join(details) or 'none'} |"


def _error_codes() -> Iterator[str]:
    yield from _head("Error codes", "gateway/intake/fields.py, gateway/api/ and gateway/api/openapi.json")
    yield "An HTTP error is a problem document (RFC 9457): `status`, `title`, `detail`, and `errors` with"
    yield "`pointer`, `code` and `detail` where a field, or the body as a whole, is to blame."
    yield "`detail` is for people and may change; `code` does not."
    yield from ("", "## Of a record, a field or a body")
    yield from _table("code", "what is wrong, and what to do")
    yield from (f"| `{code}` | {record_fields.DETAILS[code]} |" for code in record_fields.Code)
    yield from ("", "## Of a request as a whole")
    yield from _table("code", "what is wrong")
    for code, (_, _, meaning) in zip(
        problems.ProblemCode, _members(problems.__file__, "ProblemCode"), strict=True
    ):
        yield f"| `{code}` | {meaning} |"
    yield from ("", "## Of an event of the wallet")
    yield from _table("code", "what is wrong")
    yield from (f"| `{code}` | {meaning} |" for code, meaning in REJECTIONS.items())
    yield from ("", "## HTTP statuses")
    yield from _table("status", "meaning")
    yield from (f"| `{status}` | {meaning} |" for status, meaning in _http_errors())


def _http_errors() -> Iterator[tuple[str, str]]:
    """Status and meaning of the error responses that operations share."""
    api = json.loads((ROOT / "gateway" / "api" / "openapi.json").read_text(encoding="utf-8"))
    shared = {
        f"#/components/responses/{name}": response for name, response in api["components"]["responses"].items()
    }
    found = {
        (status, shared[response["$ref"]]["description"])
        for path in api["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for status, response in operation.get("responses", {}).items()
        if "$ref" in response
    }
    return iter(sorted(found))


def _members(file: str, owner: str) -> Iterator[tuple[str, str, str]]:
    """Name, annotation and comment of each member of a class of the file."""
    found = comments(Path(file).read_text(encoding="utf-8"))
    return ((name, field.type, field.meaning) for (of, name), field in found.items() if of == owner)


def _head(title: str, source: str) -> Iterator[str]:
    yield from (f"# {title}", "", f"Drawn by `scripts/diagrams` from `{source}`; not to be edited.", "")


def _table(*columns: str) -> Iterator[str]:
    yield from ("", f"| {' | '.join(columns)} |", "|" + "---|" * len(columns))
