"""What SDU is told: the journal's status events in their order, for the feed and for the push."""

from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.consent.deadlines import Calendar
from gateway.store.database import Connection
from gateway.store.rows import reader

# The limit comes before the join: a page costs what it holds, however long the journal is.
_READ = """
SELECT e.seq, e.at, e.event, e.event_id, e.detail, e.case_id, c.list_id, c.record_id, c.service, c.pupil_iin
FROM (SELECT seq, at, event, event_id, detail, case_id FROM journal
      WHERE event_id IS NOT NULL AND seq > $1 ORDER BY seq LIMIT $2) AS e
JOIN cases AS c USING (case_id) ORDER BY e.seq
"""


class StatusEvent(NamedTuple):
    """A status as the journal and its case have it; `detail` is JSON."""

    seq: int
    at: datetime
    event: str
    event_id: str
    detail: str
    case_id: str
    list_id: str
    record_id: str
    service: str
    pupil_iin: str


_read_event = reader(StatusEvent)


async def after(connection: Connection, seq: int, limit: int) -> list[StatusEvent]:
    """The first `limit` status events whose own seq is above `seq`, in order."""
    return [_read_event(row) for row in await connection.fetch(_READ, seq, limit)]


def as_json(event: StatusEvent, calendar: Calendar) -> dict[str, Any]:
    """The event as SDU gets it, pushed or pulled."""
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
        "detail": orjson.loads(event.detail),
    }
