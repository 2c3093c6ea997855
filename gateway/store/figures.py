"""Figures of campaigns, counted from the journal: cases by stage, replies by hour, segments by minute.

`count` follows the journal by seq, as readers of statuses do: an entry is counted once, whichever process counts.
All instants are business time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.consent.events import EventType
from gateway.store.database import Connection
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

_REPEATED = (
    EventType.NUMBER_FOUND,
    EventType.ASKED,
    EventType.DELIVERED,
    EventType.VOUCHER_ACTIVATED,
    EventType.SERVICE_RECEIVED,
)
"""The stages that a case may reach again: with another recipient, or from the wallet."""

_CURSOR = "SELECT seq FROM figures_cursor FOR UPDATE"
# A case counts once for a stage: with its first such entry. The scalar subqueries are index look-ups, whatever the
# planner knows of the tables.
_COUNT = """
WITH entries AS MATERIALIZED (
    SELECT seq, at, case_id, event, detail FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2
), listed AS MATERIALIZED (
    SELECT seq, at, event, detail, case_id, coalesce(
        (SELECT cases.list_id FROM cases WHERE cases.case_id = entries.case_id), '') AS list_id
    FROM entries WHERE event = ANY($3::text[]) OR event = 'reply_read'
), stages AS (
    INSERT INTO stage_figures AS f (list_id, stage, cases)
    SELECT list_id, event, count(*) FROM listed
    WHERE event = ANY($3::text[]) AND (event <> ALL($4::text[]) OR 0 = (
        SELECT count(*) FROM journal AS earlier
        WHERE earlier.case_id = listed.case_id AND earlier.event = listed.event AND earlier.seq < listed.seq))
    GROUP BY list_id, event
    ON CONFLICT (list_id, stage) DO UPDATE SET cases = f.cases + excluded.cases
), replies AS (
    INSERT INTO reply_figures AS f (hour, list_id, verdict, replies)
    SELECT date_trunc('hour', at, 'UTC'), list_id, detail ->> 'verdict', count(*) FROM listed
    WHERE event = 'reply_read' GROUP BY 1, 2, 3
    ON CONFLICT (hour, list_id, verdict) DO UPDATE SET replies = f.replies + excluded.replies
), segments AS (
    INSERT INTO segment_figures AS f (minute, link, segments)
    SELECT date_trunc('minute', at, 'UTC'), detail ->> 'link', sum(json_array_length(detail -> 'message_ids'))
    FROM entries WHERE event = 'text_accepted' GROUP BY 1, 2
    ON CONFLICT (minute, link) DO UPDATE SET segments = f.segments + excluded.segments
)
UPDATE figures_cursor SET seq = latest.seq FROM (SELECT max(seq) AS seq FROM entries) AS latest
WHERE latest.seq IS NOT NULL RETURNING latest.seq - $1 AS counted
"""
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
    """How many entries were counted, `limit` at most, in the caller's transaction; the others wait for it."""
    seq: int = await connection.fetchval(_CURSOR)
    counted: int | None = await connection.fetchval(_COUNT, seq, limit, list(STAGES), list(_REPEATED))
    return counted or 0


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
