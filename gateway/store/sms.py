"""Texts to send, as rows: queued with a step, taken by whoever holds the link, answered in batches."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from gateway.config.routing import Routing
from gateway.consent.texts import Kind
from gateway.store.database import Connection
from gateway.store.rows import reader


class Priority(IntEnum):
    """Texts 2 and 3 and clarifications overtake requests and repeats, always."""

    URGENT = 0
    BULK = 1


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
    def priority(self) -> Priority:
        return Priority.BULK if self.kind in (Kind.REQUEST, Kind.REPEAT) else Priority.URGENT


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
    message_ids: Sequence[str | None]  # in the order of segments
    accepted_at: datetime | None


class ExpectedReceipt(NamedTuple):
    """A segment whose receipt will come."""

    key: str  # message_id as ids are compared: smpp/receipt.py
    message_id: str
    sms_id: int
    segment: int  # from 0


# Two texts under way to a number never share a concatenation reference: the handset would join their segments.
# `allotted` moves the number's counter on by as many texts as it gets, and holds the last one's reference; counted
# back by each text's place from the end, they follow one another in the order of `ordinal`.
_QUEUE = """
WITH new AS (
    SELECT * FROM unnest($1::text_row[]) WITH ORDINALITY
        AS n (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, ordinal)
), allotted AS (
    INSERT INTO subscribers AS s (msisdn, reference)
    SELECT msisdn, count(*) FROM new GROUP BY msisdn ORDER BY msisdn
    ON CONFLICT (msisdn) DO UPDATE SET reference = (s.reference + excluded.reference) % 65536
    RETURNING msisdn, reference
)
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, reference,
                 created_at)
SELECT case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments,
       (reference - row_number() OVER (PARTITION BY msisdn ORDER BY ordinal DESC) + 1 + 65536) % 65536, $2
FROM new JOIN allotted USING (msisdn) ORDER BY ordinal
RETURNING sms_id
"""

_QUEUE_SCREENS = """
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, reference,
                 tlvs, created_at, expires_at)
SELECT case_id, kind, 0, link, msisdn, 0, template, body, 'ussd', 1, 0, tlvs, $2,
       clock_timestamp() + make_interval(secs => $3)
FROM unnest($1::screen_row[]) WITH ORDINALITY
    AS n (case_id, kind, link, msisdn, template, body, tlvs, ordinal) ORDER BY ordinal
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
       message_ids = p.message_ids, accepted_at = p.accepted_at,
       node = CASE WHEN p.state = 'sending' THEN sms.node END
FROM unnest($1::text_progress_row[]) AS p
WHERE sms.sms_id = p.sms_id AND sms.node = $2 AND sms.state = 'sending'
RETURNING sms.sms_id
"""

_EXPECT = """
INSERT INTO receipts_expected (link, key, message_id, sms_id, segment, expires_at)
SELECT $1, key, message_id, sms_id, segment, clock_timestamp() + $3 FROM unnest($2::expected_receipt_row[])
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
UPDATE sms SET link = u.link FROM unnest($1::route_row[]) AS u
WHERE sms.sms_id = u.sms_id AND sms.state = 'queued'
"""

_WITHDRAW = """
UPDATE sms SET state = 'cancelled'
WHERE case_id = ANY($1::text[]) AND state = 'queued' AND kind IN ('request', 'repeat', 'clarify')
  AND accepted_segments = 0
"""


_text_columns: Callable[[NewSms], tuple[Any, ...]] = attrgetter(
    "case_id", "kind", "repeat", "link", "msisdn", "priority", "template", "body", "long_messages", "segments"
)
_screen_columns: Callable[[NewScreen], tuple[Any, ...]] = attrgetter(
    "case_id", "kind", "link", "msisdn", "template", "body", "tlvs"
)
_read_claimed = reader(ClaimedSms)


async def queue(connection: Connection, texts: Sequence[NewSms], now: datetime) -> list[int]:
    """Queues texts; their sms_ids, in order. Each gets the number's next concatenation reference."""
    rows = await connection.fetch(_QUEUE, [_text_columns(text) for text in texts], now)
    return [row["sms_id"] for row in rows]


async def queue_screens(
    connection: Connection, screens: Sequence[NewScreen], now: datetime, lifetime_seconds: float
) -> list[int]:
    """Queues screens, each to be sent within its lifetime (real) or never; their sms_ids, in order."""
    rows = await connection.fetch(
        _QUEUE_SCREENS, [_screen_columns(screen) for screen in screens], now, lifetime_seconds
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
    rows = await connection.fetch(
        _CLAIM, node, [link, *others], Priority.BULK if bulk else Priority.URGENT, limit, link
    )
    claimed = [_read_claimed(row) for row in rows]
    claimed.sort(key=lambda sms: (sms.priority, sms.sms_id))
    return claimed


async def record(connection: Connection, node: str, progress: Sequence[SmsProgress]) -> set[int]:
    """Writes what the SMSC has responded; sms_ids of the texts that were still this node's."""
    rows = await connection.fetch(_RECORD, [_progress_columns(p) for p in progress], node)
    return {row["sms_id"] for row in rows}


def _progress_columns(p: SmsProgress) -> tuple[Any, ...]:
    message_ids = orjson.dumps(p.message_ids).decode()
    return p.sms_id, p.state, p.accepted_segments, p.tracked_segments, message_ids, p.accepted_at


async def expect_receipts(
    connection: Connection, link: str, expected: Sequence[ExpectedReceipt], keep: timedelta
) -> None:
    """Notes segments whose receipts will come within `keep` (real time)."""
    await connection.execute(_EXPECT, link, expected, keep)


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
    await connection.execute(_REROUTE, found)
    return len(found)


async def withdraw(connection: Connection, case_ids: Collection[str]) -> None:
    """Cancels questions, and clarifications of them, that have not left."""
    await connection.execute(_WITHDRAW, list(case_ids))
