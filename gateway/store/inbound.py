"""Replies as rows: the evidence, the segments of multipart replies, and the recognition of redelivered ones."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.consent.redelivery import MAX_COMPARED
from gateway.store.database import Connection
from gateway.store.rows import reader
from gateway.store.unacknowledged import REDELIVERY_WITHIN_SECONDS
from gateway.store.writes import Write

SAME_REPLY_WITHIN_SECONDS = 2.0
"""The real time within which the same octets with the same link and addresses are one reply, delivered twice."""


FLUSH_SECONDS = 30.0
"""The interval of `flush_stale`."""
HANDSET_SENDS_WITHIN_SECONDS = 60.0
"""The real time in which a handset sends all segments of a reply."""


class StoredReply(NamedTuple):
    """A reply to store: its raw octets and its verdict."""

    case_id: str | None
    link: str
    source_addr: str  # canonical MSISDN; as received when it is not one
    destination_addr: str
    octets: bytes
    data_coding: int
    smsc_time: str
    verdict: str
    normalised: bool
    rule_version: str
    held: bool = False  # it came by a link that may not carry the number: ops may count it
    received_addr: str | None = None  # source_addr as received, with its TON and NPI
    source_ton: int | None = None
    source_npi: int | None = None
    session: str | None = None  # its_session_info of its USSD dialogue in hex


class ReplySegment(NamedTuple):
    """One segment of a multipart reply; the first five fields are the key of the reply."""

    link: str
    source_addr: str
    destination_addr: str
    reference: int
    total: int
    number: int
    octets: bytes  # without the UDH
    udh_octets: int  # length of the UDH, its length octet included
    data_coding: int
    smsc_time: str
    received_addr: str | None = None  # as in StoredReply
    source_ton: int | None = None
    source_npi: int | None = None


class SimilarReply(NamedTuple):
    """An earlier reply with the sender and octets of a new one."""

    link: str
    source_addr: str
    destination_addr: str
    octets: bytes
    case_id: str | None
    is_recent: bool  # within SAME_REPLY_WITHIN_SECONDS: with the same link and destination it is the same reply
    unacknowledged: bool  # the SMSC may not have received our deliver_sm_resp


SegmentKey = tuple[str, str, str, int, int]
"""link, source_addr, destination_addr, reference, total."""

_SIMILAR = """
SELECT r.link, r.source_addr, r.destination_addr, r.octets, r.case_id,
       r.arrived_at BETWEEN clock_timestamp() - make_interval(secs => $2) AND clock_timestamp() AS is_recent,
       EXISTS (SELECT FROM unacknowledged_periods AS p
               WHERE p.link = r.link AND least(r.arrived_at, clock_timestamp()) BETWEEN p.began_at AND p.ended_at
              ) AS unacknowledged
FROM unnest($1::sent_octets_row[]) AS new CROSS JOIN LATERAL (
    SELECT * FROM replies old
    WHERE old.source_addr = new.source_addr AND md5(old.octets) = md5(new.octets) AND old.octets = new.octets
      AND old.session IS NULL
      AND old.arrived_at > least(clock_timestamp(), $5) - make_interval(secs => $3)
    ORDER BY old.arrived_at DESC LIMIT $4) AS r
"""

_KEEP = """kept AS (
    INSERT INTO replies (case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict,
                         normalised, rule_version, held, received_addr, source_ton, source_npi, session,
                         received_at)
    SELECT case_id, link, source_addr, destination_addr, octets, data_coding, smsc_time, verdict, normalised,
           rule_version, held, received_addr, source_ton, source_npi, session, $2
    FROM unnest($1::reply_row[])
)"""

_COUNT_REDELIVERED = """
UPDATE replies SET redelivered = least(replies.redelivered + known.times, 32767)
FROM (SELECT newest.reply_id, again.times FROM unnest($1::redelivered_row[]) AS again CROSS JOIN LATERAL (
    SELECT reply_id FROM replies old
    WHERE old.source_addr = again.source_addr AND md5(old.octets) = md5(again.octets)
      AND old.octets = again.octets AND old.link = again.link AND old.destination_addr = again.destination_addr
      AND old.session IS NULL
    ORDER BY old.arrived_at DESC LIMIT 1) AS newest) AS known
WHERE replies.reply_id = known.reply_id
"""

_KEEP_SEGMENTS = """
INSERT INTO reply_segments (link, source_addr, destination_addr, reference, total, number, octets, udh_octets,
                            data_coding, smsc_time, received_addr, source_ton, source_npi, received_at)
SELECT link, source_addr, destination_addr, reference, total, number, octets, udh_octets, data_coding, smsc_time,
       received_addr, source_ton, source_npi, $2
FROM unnest($1::reply_segment_row[]) ON CONFLICT (link, source_addr, destination_addr, reference, total, number)
DO NOTHING RETURNING link
"""

# Handsets reuse references, some within minutes: a segment number with other octets belongs to another reply. So
# does a first segment that comes when the others have waited for longer than a handset takes to send all of them.
# The clock may have stepped: it counts only once they have waited for half of that.
_DISPLACE = """
DELETE FROM reply_segments r
USING (SELECT link, source_addr, destination_addr, reference, total,
              bool_or(new.number = had.number AND new.octets <> had.octets) AS reused,
              bool_or(new.number = 1) AND NOT bool_or(had.number = 1) AS begins
       FROM reply_segments AS had JOIN unnest($1::reply_segment_row[]) AS new
       USING (link, source_addr, destination_addr, reference, total) GROUP BY 1, 2, 3, 4, 5) AS other
WHERE (r.link, r.source_addr, r.destination_addr, r.reference, r.total)
    = (other.link, other.source_addr, other.destination_addr, other.reference, other.total)
  AND (other.reused OR (other.begins AND (r.waited >= $3
       OR (r.waited > 1 AND r.arrived_at < clock_timestamp() - make_interval(secs => $2)))))
RETURNING r.link, r.source_addr, r.destination_addr, r.reference, r.total, r.number, r.octets, r.udh_octets,
          r.data_coding, r.smsc_time, r.received_addr, r.source_ton, r.source_npi, r.joined
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
          r.data_coding, r.smsc_time, r.received_addr, r.source_ton, r.source_npi
"""

_WAIT = "UPDATE reply_segments SET waited = least(waited + 1, 32767) WHERE NOT joined"

# A step of the clock may delete joined segments early: then redelivered ones are not recognised.
_STALE = """
DELETE FROM reply_segments
WHERE CASE WHEN joined THEN arrived_at < clock_timestamp() - make_interval(secs => $2) ELSE waited >= $1 END
RETURNING link, source_addr, destination_addr, reference, total, number, octets, udh_octets, data_coding,
          smsc_time, received_addr, source_ton, source_npi, joined
"""


_read_similar = reader(SimilarReply)
_read_segment = reader(ReplySegment)


async def similar(
    connection: Connection, replies: Collection[tuple[str, bytes]], steady: datetime
) -> list[SimilarReply]:
    """The earlier replies by SMS with the (sender, octets) of one of these: the newest MAX_COMPARED of each.

    `steady` is real time without steps (`Clock.timestamp`).
    """
    rows = await connection.fetch(
        _SIMILAR, list(replies), SAME_REPLY_WITHIN_SECONDS, REDELIVERY_WITHIN_SECONDS, MAX_COMPARED, steady
    )
    return [_read_similar(row) for row in rows]


def keeping(replies: Sequence[StoredReply], now: datetime) -> Write:
    """Stores the replies; `now` is business time."""
    return Write(_KEEP, (replies, now))


async def count_redelivered(connection: Connection, times: Mapping[tuple[str, str, str, bytes], int]) -> None:
    """Notes how often stored replies were delivered again, by (link, source_addr, destination_addr, octets)."""
    await connection.execute(_COUNT_REDELIVERED, [(*identity, n) for identity, n in times.items()])


async def displace(
    connection: Connection, segments: Sequence[ReplySegment]
) -> dict[SegmentKey, list[ReplySegment]]:
    """Incomplete replies whose segments were deleted because these segments reuse their reference."""
    waited = HANDSET_SENDS_WITHIN_SECONDS
    return _unjoined(await connection.fetch(_DISPLACE, segments, waited, _runs(waited)))


async def keep_segments(connection: Connection, segments: Sequence[ReplySegment], now: datetime) -> Counter[str]:
    """Stores segments of multipart replies; by link, how many were stored already: those were redelivered."""
    kept = await connection.fetch(_KEEP_SEGMENTS, segments, now)
    return Counter(segment.link for segment in segments) - Counter(row["link"] for row in kept)


async def complete(connection: Connection, keys: Collection[SegmentKey]) -> dict[SegmentKey, list[ReplySegment]]:
    """The multipart replies among `keys` that have just become complete, their segments in order.

    Each reply is returned once. Its segments stay stored until they are stale, so that a redelivered one is
    recognised.
    """
    return _by_key(await connection.fetch(_COMPLETE, list(keys)))


async def flush_stale(connection: Connection, older_than_seconds: float) -> dict[SegmentKey, list[ReplySegment]]:
    """Incomplete replies among the segments deleted because they have waited for longer than this.

    To be called every FLUSH_SECONDS, by one process: each call counts as so long.
    """
    await connection.execute(_WAIT)
    return _unjoined(await connection.fetch(_STALE, _runs(older_than_seconds), older_than_seconds))


def _runs(seconds: float) -> int:
    """The calls of `flush_stale` after which a segment has waited for so long."""
    return math.ceil(seconds / FLUSH_SECONDS) + 1


def _unjoined(rows: Sequence[asyncpg.Record]) -> dict[SegmentKey, list[ReplySegment]]:
    return _by_key([row for row in rows if not row["joined"]])


def _by_key(rows: Sequence[asyncpg.Record]) -> dict[SegmentKey, list[ReplySegment]]:
    grouped: dict[SegmentKey, list[ReplySegment]] = {}
    for segment in sorted(_read_segment(row) for row in rows):
        grouped.setdefault(segment[:5], []).append(segment)
    return grouped
