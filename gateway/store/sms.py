"""Texts and USSD screens that are being sent: claimed by the process that holds the link, until the SMSC has them.

The row of a text is kept. While its state is queued it has an entry in `outbox`, while it is sending one in
`sending`: there it is found. A statement locks the entry before the text.
`clock_timestamp()` is real time; a text's `created_at` and `accepted_at` are business time.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import asyncpg
import orjson

from gateway.store.database import Connection
from gateway.store.outbox import Priority
from gateway.store.rows import reader
from gateway.store.templates import TemplateBodies


class SmsState(StrEnum):
    """Where a text is; the last four states are final."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class ClaimedSms(NamedTuple):
    """A text, or a screen, that this node has claimed for sending."""

    sms_id: int
    case_id: str | None
    kind: str
    repeat: int
    msisdn: str
    priority: int
    body: str
    long_messages: str
    reference: int  # of the concatenation, 0 to 65535
    segments: int
    attempts: int  # claims, this one included
    accepted_segments: int  # bit n: the SMSC has accepted segment n, which is not sent again
    tracked_segments: int  # bit n: a receipt was requested for segment n
    message_ids: str | None  # JSON list, in the order of segments
    tlvs: bytes | None  # of a screen; None: a text
    expires_in_seconds: float | None  # of a screen; after that it is not sent
    busy_since: datetime | None  # business time since which the SMSC has been too busy for it


class SmsProgress(NamedTuple):
    """What the SMSC has responded to a text so far; bit n of a mask stands for segment n."""

    sms_id: int
    state: SmsState  # sending, accepted, refused; cancelled: a screen that has expired
    accepted_segments: int
    tracked_segments: int
    message_ids: Sequence[str | None]  # in the order of segments
    accepted_at: datetime | None


class Released(NamedTuple):
    """A claimed text that goes back into the queue."""

    sms_id: int
    delay: timedelta  # real time before which it cannot be claimed again
    unsent: bool  # no segment has left, or none was taken: this claim does not count as an attempt
    busy_since: datetime | None


class Freed(NamedTuple):
    """A claimed text whose process was evicted."""

    link: str
    unknown_segments: int  # that no response has accepted


class ExpectedReceipt(NamedTuple):
    """A segment for which a receipt was requested."""

    key: str  # the message_id, normalised for comparison (smpp/receipt.py)
    message_id: str
    sms_id: int
    segment: int  # from 0


_CLAIM = """
WITH ready AS (
    SELECT queued.* FROM unnest($2::text[]) AS source (link) CROSS JOIN LATERAL (
        SELECT link, priority, sms_id FROM outbox
        WHERE outbox.link = source.link AND priority <= $3 AND next_at <= least(clock_timestamp(), $6::timestamptz)
          AND (expires_at IS NULL OR expires_at > clock_timestamp() AND outbox.link = $5)
          AND EXISTS (SELECT FROM nodes WHERE node = $1)
        ORDER BY priority, sms_id LIMIT $4 FOR UPDATE SKIP LOCKED) AS queued
    ORDER BY queued.priority, queued.sms_id LIMIT $4
), gone AS (
    DELETE FROM outbox o USING ready r
    WHERE o.link = r.link AND o.priority = r.priority AND o.sms_id = r.sms_id
), claimed AS (
    UPDATE sms SET state = 'sending', node = $1, link = $5, attempts = attempts + 1
    FROM ready WHERE sms.sms_id = ready.sms_id AND sms.state = 'queued'
    RETURNING sms.sms_id, case_id, kind, repeat, msisdn, sms.priority,
              body, template, fields, long_messages, reference, segments, attempts, accepted_segments,
              tracked_segments, message_ids, tlvs,
              extract(epoch FROM expires_at - clock_timestamp())::float8 AS expires_in_seconds, busy_since
), found AS (
    INSERT INTO sending (node, sms_id) SELECT $1, sms_id FROM claimed
)
SELECT * FROM claimed
"""

_RECORD = """
WITH progress AS (
    SELECT * FROM unnest($1::text_progress_row[])
), gone AS (
    DELETE FROM sending s USING progress p WHERE s.node = $2 AND s.sms_id = p.sms_id AND p.state <> 'sending'
)
UPDATE sms SET state = p.state, accepted_segments = p.accepted_segments, tracked_segments = p.tracked_segments,
       message_ids = p.message_ids, accepted_at = p.accepted_at,
       node = CASE WHEN p.state = 'sending' THEN sms.node END
FROM progress p
WHERE sms.sms_id = p.sms_id AND sms.node = $2 AND sms.state = 'sending'
RETURNING sms.sms_id
"""

_EXPECT = """
INSERT INTO receipts_expected (link, key, message_id, sms_id, segment, expires_at)
SELECT $1, key, message_id, sms_id, segment, clock_timestamp() + $3 FROM unnest($2::expected_receipt_row[])
"""

_STILL_CLAIMED = "SELECT sms_id FROM sending WHERE node = $2 AND sms_id = ANY($1::bigint[])"

# `freed` are the entries that end; each text gets one in the outbox again.
_REQUEUE = """
WITH freed AS ({freed}), back AS (
    UPDATE sms SET state = 'queued', node = NULL{changes}
    FROM freed WHERE sms.sms_id = freed.sms_id AND sms.state = 'sending'
    RETURNING sms.link, sms.priority, sms.sms_id, sms.next_at, sms.expires_at,
              segments - bit_count(accepted_segments::bit(64)) AS unknown_segments
), found AS (
    INSERT INTO outbox (link, priority, sms_id, next_at, expires_at)
    SELECT link, priority, sms_id, next_at, expires_at FROM back
)
SELECT link, unknown_segments FROM back
"""
_RELEASE = _REQUEUE.format(
    freed="""DELETE FROM sending s USING unnest($1::released_text_row[]) AS r
             WHERE s.node = $2 AND s.sms_id = r.sms_id RETURNING r.*""",
    changes=""", next_at = clock_timestamp() + freed.delay, attempts = attempts - freed.unsent::integer,
             busy_since = freed.busy_since""",
)
_RELEASE_OTHERS = _REQUEUE.format(
    freed="""DELETE FROM sending s USING sms t
             WHERE s.node = $1 AND s.sms_id <> ALL($3::bigint[]) AND t.sms_id = s.sms_id AND t.link = $2
             RETURNING s.sms_id""",
    changes=", attempts = attempts - 1",  # by this claim nothing has left
)
# Nobody knows whether they were sent. A text in one submit_sm may have been sent twice: the pause of Resending.
_RELEASE_OF_NOBODY = _REQUEUE.format(
    freed="""DELETE FROM sending s WHERE NOT EXISTS (SELECT FROM nodes n WHERE n.node = s.node)
             RETURNING s.sms_id""",
    changes=""", next_at = CASE WHEN (segments = 1 OR long_messages = 'payload') AND attempts % 2 = 0
                                THEN clock_timestamp() + $1::interval ELSE next_at END""",
)

_read_claimed = reader(ClaimedSms)
_read_freed = reader(Freed)


async def claim(
    connection: Connection,
    node: str,
    link: str,
    *,
    others: Sequence[str] = (),
    bulk: bool,
    limit: int,
    waits_end_at: datetime | None = None,
    templates: TemplateBodies | None = None,
) -> list[ClaimedSms]:
    """Up to `limit` queued texts, claimed by this node, urgent ones first; `bulk` False claims urgent ones only.

    `others` are links that are down and fall back on `link`: their texts are moved to it. A screen is sent by its
    own link only, which carries the dialogue. `waits_end_at` is that of Clock. `templates` keeps those read for
    the next claim. Empty when the node was evicted.
    """
    rows = await connection.fetch(
        _CLAIM, node, [link, *others], Priority.BULK if bulk else Priority.URGENT, limit, link, waits_end_at
    )
    templates = templates or TemplateBodies()
    await templates.load(connection, {row["template"] for row in rows if row["body"] is None})
    claimed = [_claimed(row, templates) for row in rows]
    claimed.sort(key=lambda sms: (sms.priority, sms.sms_id))
    return claimed


def _claimed(row: asyncpg.Record, templates: TemplateBodies) -> ClaimedSms:
    claimed = _read_claimed(row)
    return (
        claimed
        if claimed.body is not None
        else claimed._replace(body=templates.text(row["template"], row["fields"]))
    )


async def record(connection: Connection, node: str, progress: Sequence[SmsProgress]) -> set[int]:
    """The sms_ids of the texts whose progress was written: those that this node still had claimed."""
    rows = await connection.fetch(_RECORD, [_progress_columns(p) for p in progress], node)
    return {row["sms_id"] for row in rows}


def _progress_columns(p: SmsProgress) -> tuple[Any, ...]:
    message_ids = orjson.dumps(p.message_ids).decode()
    return p.sms_id, p.state, p.accepted_segments, p.tracked_segments, message_ids, p.accepted_at


async def expect_receipts(
    connection: Connection, link: str, expected: Sequence[ExpectedReceipt], keep: timedelta
) -> None:
    """Stores the segments whose receipts are expected within `keep` (real time)."""
    await connection.execute(_EXPECT, link, expected, keep)


async def release_others(connection: Connection, node: str, link: str, held: Collection[int]) -> None:
    """Releases the link's texts that this node has claimed, except those in memory (`held`, by sms_id).

    A claim is not in memory when the connection broke before its COMMIT was confirmed.
    """
    await connection.execute(_RELEASE_OTHERS, node, link, list(held))


async def release_of_nobody(connection: Connection, pause_after_copy: timedelta) -> list[Freed]:
    """The texts put back into the queue because the process that had claimed them is no longer in the cluster.

    A text in one submit_sm waits for `pause_after_copy` after each second claim: a copy of it may have been sent.
    """
    return [_read_freed(row) for row in await connection.fetch(_RELEASE_OF_NOBODY, pause_after_copy)]


async def still_claimed(connection: Connection, node: str, sms_ids: Collection[int]) -> set[int]:
    """Those of the texts that this node still has claimed."""
    return {row["sms_id"] for row in await connection.fetch(_STILL_CLAIMED, list(sms_ids), node)}


async def release(connection: Connection, node: str, texts: Sequence[Released]) -> None:
    """Puts claimed texts back into the queue."""
    await connection.execute(_RELEASE, texts, node)
