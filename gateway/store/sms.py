"""Texts to send, as rows: queued with a step, taken by whoever holds the link, answered in batches."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import orjson

from gateway.config.routing import Routing
from gateway.consent.texts import Kind
from gateway.store.database import Connection

URGENT = 0
BULK = 1
"""Priorities: texts 2 and 3 and clarifications overtake requests and repeats, always."""


class SmsState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSms:
    case_id: str
    kind: Kind
    repeat: int
    link: str
    msisdn: str
    template: str
    body: str
    long_messages: str
    segments: int

    @property
    def priority(self) -> int:
        return BULK if self.kind in (Kind.REQUEST, Kind.REPEAT) else URGENT


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScreen:
    """A screen to show in a USSD dialogue; `case_id` None where nobody was asked anything."""

    case_id: str | None
    kind: Kind
    link: str
    msisdn: str
    template: str
    body: str
    tlvs: bytes  # encoded: its place in the dialogue


class ClaimedSms(NamedTuple):
    """A text, or a screen, that is this node's to send."""

    sms_id: int
    case_id: str | None
    kind: str
    repeat: int
    msisdn: str
    priority: int
    body: str
    long_messages: str
    reference: int
    segments: int
    attempts: int  # this one included
    accepted_segments: int  # bit n: segment n was accepted before and is not sent again
    tracked_segments: int
    message_ids: str | None  # JSON list, in the order of segments
    tlvs: bytes | None  # of a screen
    fresh_for: float | None  # seconds for which the screen may yet be sent


class SmsProgress(NamedTuple):
    """How far the SMSC has answered a text; bit n of the masks stands for segment n."""

    sms_id: int
    state: SmsState  # sending, accepted, refused; a screen that came too late: cancelled
    accepted_segments: int
    tracked_segments: int
    message_ids: Sequence[str | None]
    accepted_at: datetime | None


_QUEUE = """
WITH new AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::smallint[],
                         $7::text[], $8::text[], $9::text[], $10::smallint[])
    WITH ORDINALITY AS n (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments,
                          ordinal)
), allotted AS (
    INSERT INTO subscribers AS s (msisdn, reference)
    SELECT msisdn, count(*) FROM new GROUP BY msisdn ORDER BY msisdn
    ON CONFLICT (msisdn) DO UPDATE SET reference = (s.reference + excluded.reference) % 65536
    RETURNING msisdn, reference
)
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, reference,
                 created_at)
SELECT case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments,
       (reference - row_number() OVER (PARTITION BY msisdn ORDER BY ordinal DESC) + 1 + 65536) % 65536, $11
FROM new JOIN allotted USING (msisdn) ORDER BY ordinal
RETURNING sms_id
"""

_QUEUE_SCREENS = """
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, reference,
                 tlvs, created_at, expires_at)
SELECT case_id, kind, 0, link, msisdn, 0, template, body, 'ussd', 1, 0, tlvs, $8,
       clock_timestamp() + make_interval(secs => $9)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[])
    WITH ORDINALITY AS n (case_id, kind, link, msisdn, template, body, tlvs, ordinal) ORDER BY ordinal
RETURNING sms_id
"""

_CLAIM = """
WITH ready AS (
    SELECT queued.sms_id FROM unnest($2::text[]) AS source (link) CROSS JOIN LATERAL (
        SELECT sms_id, priority FROM sms
        WHERE sms.link = source.link AND state = 'queued' AND priority <= $3 AND next_at <= clock_timestamp()
          AND (expires_at IS NULL OR expires_at > clock_timestamp() AND sms.link = $5)
          AND EXISTS (SELECT FROM nodes WHERE node = $1)
        ORDER BY priority, sms_id LIMIT $4 FOR UPDATE SKIP LOCKED) AS queued
    ORDER BY queued.priority, queued.sms_id LIMIT $4
)
UPDATE sms SET state = 'sending', node = $1, link = $5, attempts = attempts + 1
FROM ready WHERE sms.sms_id = ready.sms_id
RETURNING sms.sms_id, case_id, kind, repeat, msisdn, priority, body, long_messages, reference, segments, attempts,
          accepted_segments, tracked_segments, message_ids, tlvs,
          extract(epoch FROM expires_at - clock_timestamp())::float8 AS fresh_for
"""

_RECORD = """
UPDATE sms SET state = p.state, accepted_segments = p.accepted_segments, tracked_segments = p.tracked_segments,
       message_ids = p.message_ids::json, accepted_at = p.accepted_at,
       node = CASE WHEN p.state = 'sending' THEN sms.node END
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::timestamptz[])
    AS p (sms_id, state, accepted_segments, tracked_segments, message_ids, accepted_at)
WHERE sms.sms_id = p.sms_id AND sms.node = $7 AND sms.state = 'sending'
RETURNING sms.sms_id
"""

_EXPECT = """
INSERT INTO receipts_expected (link, key, message_id, sms_id, segment, expires_at)
SELECT $1, key, message_id, sms_id, segment, clock_timestamp() + $6
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::smallint[]) AS e (key, message_id, sms_id, segment)
"""

_STILL_CLAIMED = "SELECT sms_id FROM sms WHERE sms_id = ANY($1::bigint[]) AND node = $2 AND state = 'sending'"

_GIVE_BACK = """
UPDATE sms SET state = 'queued', node = NULL, next_at = clock_timestamp() + $3,
       attempts = attempts - (sms_id = ANY($4::bigint[]))::integer
WHERE sms_id = ANY($1::bigint[]) AND node = $2 AND state = 'sending'
"""

_GIVE_BACK_OTHERS = """
UPDATE sms SET state = 'queued', node = NULL
WHERE node = $1 AND link = $2 AND state = 'sending' AND sms_id <> ALL($3::bigint[])
"""

_STRANDED = """
SELECT s.sms_id, s.msisdn, c.operator FROM sms s LEFT JOIN cases c USING (case_id)
WHERE s.state = 'queued' AND s.link <> ALL($1::text[])
  AND NOT EXISTS (SELECT FROM links l WHERE l.link = s.link AND l.node IS NOT NULL)
"""
_REROUTE = """
UPDATE sms SET link = u.link FROM unnest($1::bigint[], $2::text[]) AS u (sms_id, link)
WHERE sms.sms_id = u.sms_id AND sms.state = 'queued'
"""

_WITHDRAW = """
UPDATE sms SET state = 'cancelled'
WHERE case_id = ANY($1::text[]) AND state = 'queued' AND kind IN ('request', 'repeat', 'clarify')
  AND accepted_segments = 0
"""


async def queue(connection: Connection, texts: Sequence[NewSms], now: datetime) -> list[int]:
    """Queues texts; their sms_ids, in order. Each gets the number's next concatenation reference."""
    rows = await connection.fetch(
        _QUEUE,
        [t.case_id for t in texts],
        [t.kind for t in texts],
        [t.repeat for t in texts],
        [t.link for t in texts],
        [t.msisdn for t in texts],
        [t.priority for t in texts],
        [t.template for t in texts],
        [t.body for t in texts],
        [t.long_messages for t in texts],
        [t.segments for t in texts],
        now,
    )
    return [row["sms_id"] for row in rows]


async def queue_screens(
    connection: Connection, screens: Sequence[NewScreen], now: datetime, fresh_for: float
) -> list[int]:
    """Queues screens, each to be sent within so many seconds (real) or never; their sms_ids, in order."""
    rows = await connection.fetch(
        _QUEUE_SCREENS,
        [s.case_id for s in screens],
        [s.kind for s in screens],
        [s.link for s in screens],
        [s.msisdn for s in screens],
        [s.template for s in screens],
        [s.body for s in screens],
        [s.tlvs for s in screens],
        now,
        fresh_for,
    )
    return [row["sms_id"] for row in rows]


async def claim(
    connection: Connection,
    node: str,
    link: str,
    *,
    others: Sequence[str] = (),
    bulk: bool,
    limit: int,
) -> list[ClaimedSms]:
    """Up to `limit` queued texts, answers first, now this node's; `bulk` False takes answers only.

    They are the link's own, and those of `others` that are down and fall back on it: taken, they are its own.
    A screen goes by its own link alone: the dialogue is there.
    """
    rows = await connection.fetch(_CLAIM, node, [link, *others], BULK if bulk else URGENT, limit, link)
    taken = [ClaimedSms(*row.values()) for row in rows]
    taken.sort(key=lambda sms: (sms.priority, sms.sms_id))
    return taken


async def record(connection: Connection, node: str, progress: Sequence[SmsProgress]) -> set[int]:
    """Writes what the SMSC has answered; sms_ids of the texts that were still this node's."""
    rows = await connection.fetch(
        _RECORD,
        [p.sms_id for p in progress],
        [p.state for p in progress],
        [p.accepted_segments for p in progress],
        [p.tracked_segments for p in progress],
        [orjson.dumps(p.message_ids).decode() for p in progress],
        [p.accepted_at for p in progress],
        node,
    )
    return {row["sms_id"] for row in rows}


async def expect_receipts(
    connection: Connection, link: str, tracked: Sequence[tuple[str, str, int, int]], keep: timedelta
) -> None:
    """Notes (key, message_id, sms_id, segment) of segments whose receipts will come within `keep`."""
    await connection.execute(
        _EXPECT,
        link,
        [t[0] for t in tracked],
        [t[1] for t in tracked],
        [t[2] for t in tracked],
        [t[3] for t in tracked],
        keep,
    )


async def release_others(connection: Connection, node: str, link: str, held: Collection[int]) -> None:
    """Puts texts back that are this node's by a commit of which it never heard: all but those it holds."""
    await connection.execute(_GIVE_BACK_OTHERS, node, link, list(held))


async def still_claimed(connection: Connection, node: str, sms_ids: Collection[int]) -> set[int]:
    """Those of these texts that are this node's to send."""
    return {row["sms_id"] for row in await connection.fetch(_STILL_CLAIMED, list(sms_ids), node)}


async def release(
    connection: Connection, node: str, sms_ids: Collection[int], delay: timedelta, *, unsent: Collection[int] = ()
) -> None:
    """Puts texts that were taken back into the queue, not to be taken again before `delay` (real time).

    `unsent` are those of which nothing has left: it is as if they had not been taken.
    """
    await connection.execute(_GIVE_BACK, list(sms_ids), node, delay, list(unsent))


async def reroute(connection: Connection, links: Collection[str], routing: Routing) -> int:
    """Gives queued texts of links that nobody has any more to those that carry their numbers now; how many."""
    rows = await connection.fetch(_STRANDED, list(links))
    routes = [(row["sms_id"], routing.link_for(row["msisdn"], row["operator"])) for row in rows]
    found = [(sms_id, link) for sms_id, link in routes if link is not None]
    await connection.execute(_REROUTE, [sms_id for sms_id, _ in found], [link for _, link in found])
    return len(found)


async def withdraw(connection: Connection, case_ids: Collection[str]) -> None:
    """Cancels questions, and clarifications of them, that have not left."""
    await connection.execute(_WITHDRAW, list(case_ids))
