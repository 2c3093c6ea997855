"""Replies as they came in: the evidence, the segments of long ones, and what was redelivered."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.consent.redelivery import MAX_COMPARED
from gateway.store.database import Connection
from gateway.store.unacknowledged import REDELIVERY_WITHIN_SECONDS

SAME_REPLY_WITHIN_SECONDS = 2.0
"""Seconds (real) within which the same octets from the same sender are one reply, delivered twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReply:
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
       r.arrived_at > clock_timestamp() - make_interval(secs => $3) AS just_now,
       EXISTS (SELECT FROM unacknowledged_periods AS p
               WHERE p.link = r.link AND r.arrived_at BETWEEN p.began_at AND p.ended_at) AS unacknowledged
FROM unnest($1::text[], $2::bytea[]) AS new (source_addr, octets) CROSS JOIN LATERAL (
    SELECT * FROM replies old
    WHERE old.source_addr = new.source_addr AND md5(old.octets) = md5(new.octets) AND old.octets = new.octets
      AND old.arrived_at > clock_timestamp() - make_interval(secs => $4)
    ORDER BY old.arrived_at DESC LIMIT $5) AS r
"""

_KEEP = """
INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                     normalised, rule_version, received_at)
SELECT *, $11 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::text[],
                          $8::text[], $9::boolean[], $10::text[])
RETURNING reply_id
"""

_KEEP_SEGMENTS = """
INSERT INTO reply_segments (link, source_addr, destination_addr, reference, total, number, octets, udh_octets,
                            data_coding, smsc_time, received_at)
SELECT *, $11 FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::smallint[], $6::smallint[],
                          $7::bytea[], $8::smallint[], $9::smallint[], $10::text[])
ON CONFLICT (link, source_addr, destination_addr, reference, total, number) DO NOTHING
"""

# Handsets use references again, some within minutes: other octets in a segment's place are another reply's.
_DISPLACE = """
DELETE FROM reply_segments r
USING (SELECT DISTINCT link, source_addr, destination_addr, reference, total FROM reply_segments AS had
       JOIN unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::smallint[], $6::smallint[], $7::bytea[])
         AS new (link, source_addr, destination_addr, reference, total, number, octets)
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
      JOIN unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::smallint[])
        AS k (link, source_addr, destination_addr, reference, total)
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


async def alike(connection: Connection, replies: Collection[tuple[str, bytes]]) -> list[Alike]:
    """The replies that came before with sender and octets of one of these: the newest MAX_COMPARED of each."""
    senders, octets = [sender for sender, _ in replies], [octets for _, octets in replies]
    rows = await connection.fetch(
        _ALIKE, senders, octets, SAME_REPLY_WITHIN_SECONDS, REDELIVERY_WITHIN_SECONDS, MAX_COMPARED
    )
    return [Alike(*row.values()) for row in rows]


async def keep(connection: Connection, replies: Sequence[StoredReply], now: datetime) -> list[int]:
    """Stores replies as evidence; their reply_ids, in order."""
    rows = await connection.fetch(
        _KEEP,
        [r.case_id for r in replies],
        [r.link for r in replies],
        [r.source_addr for r in replies],
        [r.destination_addr for r in replies],
        [r.octets for r in replies],
        [r.data_coding for r in replies],
        [r.smsc_time for r in replies],
        [r.verdict for r in replies],
        [r.normalised for r in replies],
        [r.rule_version for r in replies],
        now,
    )
    return [row["reply_id"] for row in rows]


async def displace(
    connection: Connection, segments: Sequence[ReplySegment]
) -> dict[SegmentKey, list[ReplySegment]]:
    """Makes room for segments whose reference was used before; the replies that never became whole by it."""
    placed = [segment[:7] for segment in segments]
    return _unjoined(await connection.fetch(_DISPLACE, *(list(column) for column in zip(*placed, strict=True))))


async def keep_segments(connection: Connection, segments: Sequence[ReplySegment], now: datetime) -> None:
    """Stores segments of long replies; one that is there already was redelivered and is dropped."""
    await connection.execute(_KEEP_SEGMENTS, *(list(column) for column in zip(*segments, strict=True)), now)


async def complete(connection: Connection, keys: Collection[SegmentKey]) -> dict[SegmentKey, list[ReplySegment]]:
    """The long replies among `keys` whose segments are all there now, each once, segments in order.

    The segments stay until they are stale, so that a redelivered one is recognised.
    """
    rows = await connection.fetch(_COMPLETE, *(list(column) for column in zip(*keys, strict=True)))
    return _by_key([ReplySegment(*row.values()) for row in rows])


async def flush_stale(connection: Connection, older_than: float) -> dict[SegmentKey, list[ReplySegment]]:
    """Removes segments older than that many seconds; those of replies that never became whole."""
    return _unjoined(await connection.fetch(_STALE, older_than))


def _unjoined(rows: Sequence[asyncpg.Record]) -> dict[SegmentKey, list[ReplySegment]]:
    return _by_key([ReplySegment(*list(row.values())[:-1]) for row in rows if not row["joined"]])


def _by_key(segments: Sequence[ReplySegment]) -> dict[SegmentKey, list[ReplySegment]]:
    grouped: dict[SegmentKey, list[ReplySegment]] = {}
    for segment in sorted(segments):
        grouped.setdefault(segment[:5], []).append(segment)
    return grouped
