"""Replies as they came in: the evidence, the segments of long ones, and what was redelivered."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.consent.redelivery import MAX_COMPARED
from gateway.store.database import Connection
from gateway.store.rows import reader
from gateway.store.unacknowledged import REDELIVERY_WITHIN_SECONDS

SAME_REPLY_WITHIN_SECONDS = 2.0
"""Seconds (real) within which the same octets from the same sender are one reply, delivered twice."""


class StoredReply(NamedTuple):
    """A reply with its raw octets and how it was read."""

    case_id: str | None
    link: str
    source_addr: str  # canonical MSISDN, or as it came when it is none
    destination_addr: str
    octets: bytes
    data_coding: int
    smsc_time: str
    verdict: str
    normalised: bool
    rule_version: str


class ReplySegment(NamedTuple):
    """One segment of a long reply; the first five fields are the key that its siblings share."""

    link: str
    source_addr: str
    destination_addr: str
    reference: int
    total: int
    number: int
    octets: bytes  # without the UDH
    udh_octets: int  # how long that was
    data_coding: int
    smsc_time: str


class Alike(NamedTuple):
    """An earlier reply with the octets of a new one."""

    link: str
    source_addr: str
    destination_addr: str
    octets: bytes
    case_id: str | None
    just_now: bool  # so that the new one is this one, if all else is the same
    unacknowledged: bool  # the SMSC may not know that we have it


SegmentKey = tuple[str, str, str, int, int]

_ALIKE = """
SELECT r.link, r.source_addr, r.destination_addr, r.octets, r.case_id,
       r.arrived_at > clock_timestamp() - make_interval(secs => $2) AS just_now,
       EXISTS (SELECT FROM unacknowledged_periods AS p
               WHERE p.link = r.link AND r.arrived_at BETWEEN p.began_at AND p.ended_at) AS unacknowledged
FROM unnest($1::sent_octets_row[]) AS new CROSS JOIN LATERAL (
    SELECT * FROM replies old
    WHERE old.source_addr = new.source_addr AND md5(old.octets) = md5(new.octets) AND old.octets = new.octets
      AND old.arrived_at > clock_timestamp() - make_interval(secs => $3)
    ORDER BY old.arrived_at DESC LIMIT $4) AS r
"""

_KEEP = """
INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                     normalised, rule_version, received_at)
SELECT case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict, normalised,
       rule_version, $2
FROM unnest($1::reply_row[])
RETURNING reply_id
"""

_KEEP_SEGMENTS = """
INSERT INTO reply_segments (link, source_addr, destination_addr, reference, total, number, octets, udh_octets,
                            data_coding, smsc_time, received_at)
SELECT link, source_addr, destination_addr, reference, total, number, octets, udh_octets, data_coding, smsc_time, $2
FROM unnest($1::reply_segment_row[])
ON CONFLICT (link, source_addr, destination_addr, reference, total, number) DO NOTHING
"""

# Handsets use references again, some within minutes: other octets in a segment's place are another reply's.
_DISPLACE = """
DELETE FROM reply_segments r
USING (SELECT DISTINCT link, source_addr, destination_addr, reference, total FROM reply_segments AS had
       JOIN unnest($1::reply_segment_row[]) AS new
       USING (link, source_addr, destination_addr, reference, total, number)
       WHERE had.octets <> new.octets) AS other
WHERE (r.link, r.source_addr, r.destination_addr, r.reference, r.total)
    = (other.link, other.source_addr, other.destination_addr, other.reference, other.total)
RETURNING r.link, r.source_addr, r.destination_addr, r.reference, r.total, r.number, r.octets, r.udh_octets,
          r.data_coding, r.smsc_time, r.joined
"""

_COMPLETE = """
UPDATE reply_segments r SET joined = true
FROM (SELECT link, source_addr, destination_addr, reference, total FROM reply_segments
      JOIN unnest($1::segment_key_row[]) AS k
      USING (link, source_addr, destination_addr, reference, total)
      WHERE NOT joined GROUP BY 1, 2, 3, 4, 5 HAVING count(*) = total) AS whole
WHERE (r.link, r.source_addr, r.destination_addr, r.reference, r.total)
    = (whole.link, whole.source_addr, whole.destination_addr, whole.reference, whole.total)
RETURNING r.link, r.source_addr, r.destination_addr, r.reference, r.total, r.number, r.octets, r.udh_octets,
          r.data_coding, r.smsc_time
"""

_STALE = """
DELETE FROM reply_segments WHERE arrived_at < clock_timestamp() - make_interval(secs => $1)
RETURNING link, source_addr, destination_addr, reference, total, number, octets, udh_octets, data_coding,
          smsc_time, joined
"""


_read_alike = reader(Alike)
_read_segment = reader(ReplySegment)


async def alike(connection: Connection, replies: Collection[tuple[str, bytes]]) -> list[Alike]:
    """The earlier replies with sender and octets of one of these: the newest MAX_COMPARED of each."""
    rows = await connection.fetch(
        _ALIKE, list(replies), SAME_REPLY_WITHIN_SECONDS, REDELIVERY_WITHIN_SECONDS, MAX_COMPARED
    )
    return [_read_alike(row) for row in rows]


async def keep(connection: Connection, replies: Sequence[StoredReply], now: datetime) -> list[int]:
    """Stores replies as evidence; their reply_ids, in order."""
    return [row["reply_id"] for row in await connection.fetch(_KEEP, replies, now)]


async def displace(
    connection: Connection, segments: Sequence[ReplySegment]
) -> dict[SegmentKey, list[ReplySegment]]:
    """Makes room for segments whose reference was used before; the replies that never became whole by it."""
    return _unjoined(await connection.fetch(_DISPLACE, segments))


async def keep_segments(connection: Connection, segments: Sequence[ReplySegment], now: datetime) -> None:
    """Stores segments of long replies; one that is there already was redelivered and is dropped."""
    await connection.execute(_KEEP_SEGMENTS, segments, now)


async def complete(connection: Connection, keys: Collection[SegmentKey]) -> dict[SegmentKey, list[ReplySegment]]:
    """The long replies among `keys` whose segments are all there now, each once, segments in order.

    The segments stay until they are stale, so that a redelivered one is recognised.
    """
    return _by_key(await connection.fetch(_COMPLETE, list(keys)))


async def flush_stale(connection: Connection, older_than: float) -> dict[SegmentKey, list[ReplySegment]]:
    """Removes segments older than that many seconds; those of replies that never became whole."""
    return _unjoined(await connection.fetch(_STALE, older_than))


def _unjoined(rows: Sequence[asyncpg.Record]) -> dict[SegmentKey, list[ReplySegment]]:
    return _by_key([row for row in rows if not row["joined"]])


def _by_key(rows: Sequence[asyncpg.Record]) -> dict[SegmentKey, list[ReplySegment]]:
    grouped: dict[SegmentKey, list[ReplySegment]] = {}
    for segment in sorted(_read_segment(row) for row in rows):
        grouped.setdefault(segment[:5], []).append(segment)
    return grouped
