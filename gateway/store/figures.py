"""Figures of campaigns, counted from the journal: cases by stage, replies by hour, segments by minute.

`count` follows the journal by seq, as readers of statuses do: an entry is counted once, whichever process counts.
All instants are business time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from gateway.consent.events import EventType
from gateway.store import sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import SealedEntry
from gateway.store.rows import reader

STAGES = (
    EventType.NUMBER_FOUND,
    EventType.ASKED,
    EventType.DELIVERED,
    EventType.CONSENTED,
    EventType.REFUSED,
    EventType.NO_ANSWER,
    EventType.NO_NUMBER,
    EventType.UNDELIVERABLE,
    EventType.CANCELLED,
    EventType.VOUCHER_ISSUED,
    EventType.VOUCHER_REJECTED,
    EventType.VOUCHER_ACTIVATED,
    EventType.SERVICE_RECEIVED,
)
"""The events by which a case reaches a stage. How many were received is a column of the list."""

_REPEATED = (EventType.NUMBER_FOUND, EventType.ASKED, EventType.DELIVERED)
"""The stages that a case may reach again, with another recipient or question."""

_CURSOR = "SELECT seq FROM figures_cursor FOR UPDATE"
# The case had another number, or another of its questions was delivered: it may have reached the stage before.
_MAY_REPEAT = """
SELECT seq FROM unnest($1::figure_case_row[]) AS entry
WHERE 0 < (SELECT unreachable FROM cases WHERE cases.case_id = entry.case_id)
   OR (event = 'delivered' AND 1 < (SELECT count(*) FROM sms WHERE sms.case_id = entry.case_id
                                    AND kind IN ('request', 'repeat') AND state = 'delivered'))
"""
# The scalar subqueries are index look-ups, whatever the planner knows of the tables.
_ADD = """
WITH stages AS (
    INSERT INTO stage_figures AS f (list_id, stage, cases)
    SELECT coalesce((SELECT cases.list_id FROM cases WHERE cases.case_id = entry.case_id), ''), event, count(*)
    FROM unnest($1::figure_case_row[]) AS entry GROUP BY 1, 2
    ON CONFLICT (list_id, stage) DO UPDATE SET cases = f.cases + excluded.cases
), replies AS (
    INSERT INTO reply_figures AS f (hour, list_id, verdict, replies)
    SELECT date_trunc('hour', at, 'UTC'),
           coalesce((SELECT cases.list_id FROM cases WHERE cases.case_id = entry.case_id), ''), verdict, count(*)
    FROM unnest($2::figure_reply_row[]) AS entry GROUP BY 1, 2, 3
    ON CONFLICT (hour, list_id, verdict) DO UPDATE SET replies = f.replies + excluded.replies
)
INSERT INTO segment_figures AS f (minute, link, segments)
SELECT date_trunc('minute', minute, 'UTC'), link, sum(segments) FROM unnest($3::figure_segments_row[]) AS entry
GROUP BY 1, 2
ON CONFLICT (minute, link) DO UPDATE SET segments = f.segments + excluded.segments
"""
_COUNTED = "UPDATE figures_cursor SET seq = $1"
_EXPIRE = ("DELETE FROM segment_figures WHERE minute < $1", "DELETE FROM reply_figures WHERE hour < $1")

_STAGES_OF = "SELECT stage, sum(cases)::bigint AS cases FROM stage_figures WHERE {condition} GROUP BY stage"
_RECEIVED_OF = "SELECT coalesce(sum(accepted), 0)::bigint FROM lists WHERE {condition}"
_FIRST_LIST = "SELECT min(received_at) FROM lists WHERE {condition} AND received_at >= $2"
_OF_LIST, _OF_ALL = "list_id = $1", "$1::text IS NULL"

_REPLIES = """
SELECT verdict AS name, hour AS at, sum(replies)::bigint AS number FROM reply_figures
WHERE hour >= $2 AND {condition} GROUP BY verdict, hour ORDER BY hour
"""
_SEGMENTS = """
SELECT link AS name, date_trunc($2, minute, 'UTC') AS at, sum(segments)::bigint AS number FROM segment_figures
WHERE minute >= $1 GROUP BY 1, 2 ORDER BY 2
"""


class Figure(NamedTuple):
    """A number of one series in the hour or minute that begins at `at`."""

    name: str  # the verdict, or the link
    at: datetime
    number: int


_read_figure = reader(Figure)


async def count(connection: Connection, limit: int) -> int:
    """How many entries were counted, `limit` at most, in the caller's transaction; the others wait for it.

    A case counts once for a stage: with its first such entry. Raises JournalIncompleteError.
    """
    seq: int = await connection.fetchval(_CURSOR)
    entries = await sealed.after(connection, seq, limit)
    if not entries:
        return 0
    again = await _repeated(connection, [e for e in entries if e.event in _REPEATED])
    await add(connection, [entry for entry in entries if entry.seq not in again])
    await connection.execute(_COUNTED, entries[-1].seq)
    return len(entries)


async def add(connection: Connection, entries: Sequence[SealedEntry]) -> None:
    """Adds these entries to the figures; of an event that is a stage only the first of each case."""
    reached = [(e.seq, e.case_id, e.event) for e in entries if e.event in STAGES]
    read = [(e, orjson.loads(e.detail)) for e in entries if e.event == EventType.REPLY_READ]
    accepted = [(e, orjson.loads(e.detail)) for e in entries if e.event == EventType.TEXT_ACCEPTED]
    by_reply = [(e.at, e.case_id, detail["verdict"]) for e, detail in read]
    by_text = [(e.at, detail["link"], len(detail["message_ids"])) for e, detail in accepted]
    await connection.execute(_ADD, reached, by_reply, by_text)


async def _repeated(connection: Connection, entries: Sequence[SealedEntry]) -> set[int]:
    """The seq of those of the entries whose case has an earlier one with the same event."""
    rows = await connection.fetch(_MAY_REPEAT, [(e.seq, e.case_id, e.event) for e in entries])
    suspects = {row["seq"] for row in rows}
    checked = [e for e in entries if e.seq in suspects and e.case_id is not None]
    history = await sealed.of_cases(connection, {e.case_id for e in checked if e.case_id is not None})
    return {
        e.seq
        for e in checked
        if any(earlier.event == e.event and earlier.seq < e.seq for earlier in history.get(e.case_id or "", ()))
    }


async def expire(connection: Connection, before: datetime) -> None:
    """Deletes figures by hour and minute from before that instant."""
    for statement in _EXPIRE:
        await connection.execute(statement, before)


async def stages(connection: Connection, list_id: str | None) -> dict[str, int]:
    """How many cases of the list (None: of all) were received, and have reached each stage."""
    condition = _condition(list_id)
    received: int = await connection.fetchval(_RECEIVED_OF.format(condition=condition), list_id)
    rows = await connection.fetch(_STAGES_OF.format(condition=condition), list_id)
    reached: dict[str, int] = {row["stage"]: row["cases"] for row in rows}
    return {"received": received} | {stage.value: reached.get(stage, 0) for stage in STAGES}


async def campaign_began(connection: Connection, list_id: str | None, earliest: datetime) -> datetime:
    """When the list (None: the first of all) was accepted, or `earliest` where that is later."""
    query = _FIRST_LIST.format(condition=_condition(list_id))
    began: datetime | None = await connection.fetchval(query, list_id, earliest)
    return began or earliest


async def replies(connection: Connection, list_id: str | None, since: datetime) -> Sequence[Figure]:
    """By verdict and hour, the replies to cases of the list; None: all replies."""
    rows = await connection.fetch(_REPLIES.format(condition=_condition(list_id)), list_id, since)
    return [_read_figure(row) for row in rows]


async def segments(connection: Connection, since: datetime, unit: str) -> Sequence[Figure]:
    """By link, the segments accepted in each `unit`: minute or hour."""
    return [_read_figure(row) for row in await connection.fetch(_SEGMENTS, since, unit)]


def _condition(list_id: str | None) -> str:
    return _OF_ALL if list_id is None else _OF_LIST
