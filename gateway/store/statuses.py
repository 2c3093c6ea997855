"""The journal's status events in order, for SDU: pulled or pushed."""

from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from gateway.consent.deadlines import Calendar
from gateway.consent.details import By
from gateway.store import reasons, sealed
from gateway.store.database import Connection

_CASES = """
SELECT case_id, list_id, record_id, service, pupil_iin FROM cases WHERE case_id = ANY($1::text[])
"""

_ACTOR = By._fields[0]
"""The field of a detail that names who of ops acted; SDU does not get it."""


class StatusEvent(NamedTuple):
    """A status event of the journal, with fields of its case."""

    seq: int
    at: datetime  # business time
    event: str
    event_id: str
    case_id: str
    list_id: str
    record_id: str
    service: str
    pupil_iin: str
    detail: dict[str, Any]


_of_case = itemgetter("list_id", "record_id", "service", "pupil_iin")


async def after(connection: Connection, seq: int, limit: int) -> list[StatusEvent]:
    """The first `limit` status events after `seq`, in order. Raises JournalIncompleteError."""
    found = await sealed.statuses_after(connection, seq, limit)
    case_ids = {entry.case_id for entry in found}
    cases = {row["case_id"]: _of_case(row) for row in await connection.fetch(_CASES, list(case_ids))}
    entries = [(entry, entry.case_id) for entry in found if entry.case_id is not None and entry.case_id in cases]
    details = await reasons.shown(connection, [(case_id, entry.detail) for entry, case_id in entries])
    for detail in details:
        detail.pop(_ACTOR, None)
    return [
        StatusEvent._make((e.seq, e.at, e.event, e.event_id, case_id, *cases[case_id], detail))
        for (e, case_id), detail in zip(entries, details, strict=True)
    ]


def as_json(event: StatusEvent, calendar: Calendar) -> dict[str, Any]:
    """The event as a JSON object in SDU's format, with local times."""
    return {
        "event_id": event.event_id,
        "seq": event.seq,
        "at": calendar.iso_local(event.at),
        "status": event.event,
        "list_id": event.list_id,
        "record_id": event.record_id,
        "case_id": event.case_id,
        "service": event.service,
        "pupil_iin": event.pupil_iin,
        "detail": event.detail,
    }
