"""docs/reference/journal-events.md is generated from gateway/consent/events.py and details.py."""

import journal_events

from gateway.consent.events import DETAILS, EventType


def test_the_page_of_journal_events_is_generated_from_the_current_code() -> None:
    assert journal_events.PAGE.read_text(encoding="utf-8") == journal_events.draw(), "run scripts/diagrams"


def test_every_journal_event_and_field_of_a_detail_has_its_meaning() -> None:
    found = journal_events.meanings()
    needed = [("EventType", event.name) for event in EventType]
    needed += [(kind.__name__, name) for kinds in DETAILS.values() for kind in kinds for name in kind._fields]
    assert [place for place in needed if not found[place].meaning] == []


def test_a_comment_of_a_detail_belongs_to_the_field_on_its_line() -> None:
    source = "class A:\n    one: int  # first\n    two: str\n    THREE = 3  # third\n"
    found = journal_events.comments(source)
    assert found["A", "one"] == ("one", "int", "first")
    assert found["A", "two"].meaning == ""
    assert found["A", "THREE"].meaning == "third"
