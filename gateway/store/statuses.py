"""The journal's status events in order, for SDU: pulled or pushed."""

from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from gateway.consent.deadlines import Calendar
from gateway.consent.details import By
from gateway.store import reasons
from gateway.store.database import Connection

# The LIMIT is applied before the join, so that the cost of a page does not depend on the journal's length.
_READ = """
SELECT e.seq, e.at, e.event, e.event_id, e.detail, e.case_id, c.list_id, c.record_id, c.service, c.pupil_iin
FROM (SELECT seq, at, event, event_id, detail, case_id FROM journal
      WHERE event_id IS NOT NULL AND seq > $1 ORDER BY seq LIMIT $2) AS e
JOIN cases AS c USING (case_id) ORDER BY e.seq
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


_columns = itemgetter(*(field for field in StatusEvent._fields if field != "detail"))


async def after(connection: Connection, seq: int, limit: int) -> list[StatusEvent]:
    """The first `limit` status events after `seq`, in order."""
    rows = await connection.fetch(_READ, seq, limit)
    details = await reasons.shown(connection, [(row["case_id"], row["detail"]) for row in rows])
    for detail in details:
        detail.pop(_ACTOR, None)
    return [StatusEvent._make((*_columns(row), detail)) for row, detail in zip(rows, details, strict=True)]


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
