"""The pages of docs/reference list what the code has: no log event, metric or key is missing, none is invented."""

import re
from collections.abc import Sequence

from gateway.logs.log import Event
from gateway.logs.redaction import is_private
from tests.docs.code_facts import ROOT, Key, configuration_keys, logged_events, metrics_shown

FOLDER = ROOT / "docs" / "reference"


def rows(page: str) -> dict[str, Sequence[str]]:
    """The rows of a page's tables by their first cell, which is code; each only once."""
    found: dict[str, Sequence[str]] = {}
    for line in (FOLDER / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            name = cells[0].strip("`")
            assert name not in found, f"{page} has {name} twice"
            found[name] = cells[1:]
    return found


def codes(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_log_event_has_its_row_and_is_logged_somewhere() -> None:
    events = {event.value for event in Event}
    assert rows("log-events.md").keys() == events
    assert logged_events().keys() == events


def test_levels_and_fields_of_log_events_are_those_of_the_calls() -> None:
    for event, logged in logged_events().items():
        level, fields, when, what_to_do = rows("log-events.md")[event]
        assert when
        assert what_to_do
        shown_levels = set(level.split(", "))
        if logged.dynamic:  # the call does not name all of them
            assert logged.levels <= shown_levels, event
            assert logged.fields <= codes(fields), event
        else:
            assert (logged.levels, logged.fields) == (shown_levels, codes(fields)), event


def test_every_field_of_a_log_event_is_a_field_with_one_type_and_none_is_masked() -> None:
    shown = rows("log-fields.md")
    assert {type_ for type_, _ in shown.values()} == {"string", "integer", "number", "boolean", "object"}
    assert all(meaning for _, meaning in shown.values())
    of_events: set[str] = set().union(*(codes(fields) for _, fields, _, _ in rows("log-events.md").values()))
    assert of_events == shown.keys() - {"at", "level", "event", "node", "version"}
    assert [name for name in of_events if is_private(name)] == []


def test_every_metric_has_its_row_with_type_and_labels() -> None:
    of_code = {
        metric.name + ("_total" if metric.type == "counter" else ""): (metric.type, set(metric.labels))
        for metric in metrics_shown()
    }
    of_page = {name: (type_, codes(labels)) for name, (type_, labels, _) in rows("metrics.md").items()}
    assert of_page == of_code
    assert all(meaning for _, _, meaning in rows("metrics.md").values())


def test_names_of_metrics_tell_whose_they_are_and_their_unit() -> None:
    units = ("_seconds", "_bytes")
    for name, (type_, _, _) in rows("metrics.md").items():
        assert name.startswith(("gateway_", "process_")) or name == "segments_unknown_total", name
        assert (type_ == "counter") == name.endswith("_total"), name
        assert (type_ == "histogram") <= name.endswith(units), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)", name), name


def test_every_metric_that_a_page_names_exists() -> None:
    pages = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "DECISIONS.md")]
    for page in [*pages, *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"`((?:gateway|process)_[a-z_]+|\w*segments_\w+_total)\b", text))
        assert named - rows("metrics.md").keys() == set(), page


def test_every_configuration_key_has_its_row_with_type_default_and_range() -> None:
    shown = rows("configuration.md")
    keys = configuration_keys()
    assert shown.keys() == {key.name for key in keys}
    for key in keys:
        type_, default, limits, meaning = shown[key.name]
        assert type_ == key.type, key
        assert _is_default(default, key), key
        assert [limit for limit in key.limits if limit not in limits] == [], key
        assert meaning, key


def _is_default(cell: str, key: Key) -> bool:
    """Whether the cell says what the code takes for a key that is left out."""
    if cell == "required":
        return key.default in (None, "")
    match key.default:
        case None:
            return cell in ("none", "`[]`", "`{}`") or key.type == "secret"
        case bool(flag):
            return codes(cell) == {str(flag).lower()}
        case str(text) if text.startswith("/"):  # a folder of this installation
            return "package" in cell
        case str(text):
            return codes(cell) == {text or '""'}
        case number:
            return codes(cell) == {str(number)}
