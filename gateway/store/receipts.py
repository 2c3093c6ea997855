"""Delivery receipts matched with the texts they belong to, in any order of arrival."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from asyncpg import Record

from gateway.smpp.receipt import MessageState
from gateway.store.database import Connection
from gateway.store.rows import reader


class StoredReceipt(NamedTuple):
    """A final receipt to apply."""

    link: str
    message_id: str  # as received
    keys: Sequence[str]  # normalised message_ids that its submit_sm_resp may have had, the likeliest first
    delivered: bool
    state: str  # message_state (SMPP 3.4 §5.2.28) by name
    error: str  # `err` as the operator writes it
    msisdn: str = ""  # the number that it is about; "" when it has none
    by_text: bool = False  # only a text to that number matches


class UnmatchedReceipt(NamedTuple):
    """A final receipt that came before the submit_sm_resp with its message_id."""

    link: str
    key: str  # by which it is claimed
    message_id: str
    state: str
    error: str
    msisdn: str
    by_text: bool


class ReadReceipt(NamedTuple):
    """An unmatched receipt whose text is found by the number as well."""

    receipt: UnmatchedReceipt
    sms_id: int
    is_evidence: bool  # of how receipts write message_ids: one reading fits, and the text was not settled before


class Outcome(NamedTuple):
    """What receipts have determined, and the places of those that fit no text to their number."""

    settled: Sequence["Settled"]
    unconfirmed: Collection[int]


class Settled(NamedTuple):
    """A text whose final state the receipts have determined: delivered, or undeliverable."""

    sms_id: int
    case_id: str
    kind: str
    repeat: int
    msisdn: str
    delivered: bool
    state: str
    error: str


_read_unmatched = reader(UnmatchedReceipt)

_MATCH = """
SELECT DISTINCT ON (r.ordinal) r.ordinal, s.sms_id, e.segment, s.state, s.msisdn
FROM unnest($1::receipt_key_row[]) AS r
JOIN receipts_expected e ON e.link = r.link AND e.key = r.key
JOIN sms s ON s.sms_id = e.sms_id AND (NOT r.by_text OR s.msisdn = r.msisdn)
ORDER BY r.ordinal, r.rank, (e.message_id = r.message_id) DESC, e.sms_id DESC
"""

_TO_THEIR_NUMBER = """
SELECT DISTINCT r.ordinal
FROM unnest($1::receipt_key_row[]) AS r
JOIN receipts_expected e ON e.link = r.link AND e.key = r.key
JOIN sms s ON s.sms_id = e.sms_id AND s.msisdn = r.msisdn AND s.state = 'accepted'
"""

_LOCK = """
SELECT sms_id, case_id, kind, repeat, msisdn, state, delivered_segments, tracked_segments, delivery_unknown
FROM sms
WHERE sms_id = ANY($1::bigint[]) ORDER BY sms_id FOR UPDATE
"""

_SETTLE = """
UPDATE sms SET state = u.state, delivered_segments = u.delivered_segments, delivery_unknown = u.delivery_unknown
FROM unnest($1::settled_text_row[]) AS u
WHERE sms.sms_id = u.sms_id
"""

UNMATCHED_KEPT_FOR = timedelta(days=1)
_RECENT_SECONDS = 600.0

_KEEP_UNMATCHED = """
INSERT INTO receipts_unmatched (link, key, message_id, state, error, msisdn, by_text, expires_at)
SELECT link, key, message_id, state, error, msisdn, by_text, clock_timestamp() + $2
FROM unnest($1::unmatched_receipt_row[])
"""

_CLAIM_MATCHING = """
DELETE FROM receipts_unmatched WHERE ctid = ANY(ARRAY(
    SELECT p.ctid FROM receipts_unmatched p
    JOIN receipts_expected e ON e.link = p.link AND e.key = p.key
    JOIN sms s ON s.sms_id = e.sms_id AND s.state NOT IN ('queued', 'sending')
        AND (NOT p.by_text OR s.msisdn = p.msisdn)
    WHERE p.link = ANY($1::text[])
    LIMIT $2 FOR UPDATE OF p SKIP LOCKED))
RETURNING link, key, message_id, state, error, msisdn, by_text, expires_at
"""

# While a text of the case is under way, an id may still come that the receipt is about instead.
_CLAIM_UNAMBIGUOUS = """
WITH found AS (
    SELECT p.link, p.message_id, p.msisdn, min(p.key) AS key, max(s.sms_id) AS sms_id,
        p.msisdn <> '' AND bool_or(s.state = 'accepted') AS is_evidence
    FROM receipts_unmatched p
    JOIN receipts_expected e ON e.link = p.link AND e.key = p.key
    JOIN sms s ON s.sms_id = e.sms_id AND (s.msisdn = p.msisdn
        OR p.msisdn = '' AND NOT p.by_text AND ltrim(lower(trim(p.message_id)), '0 ') = ltrim(p.key, '0'))
    WHERE p.link = ANY($1::text[])
    GROUP BY p.link, p.message_id, p.msisdn HAVING count(DISTINCT p.key) = 1
        AND bool_and(s.state NOT IN ('queued', 'sending')
            AND NOT EXISTS (SELECT FROM sms o WHERE o.case_id = s.case_id AND o.state = 'sending'))
    LIMIT $2
)
DELETE FROM receipts_unmatched u USING found f
WHERE u.link = f.link AND u.key = f.key AND u.message_id = f.message_id AND u.msisdn = f.msisdn
RETURNING u.link, u.key, u.message_id, u.state, u.error, u.msisdn, u.by_text, u.expires_at, f.sms_id, f.is_evidence
"""

# The texts of the latest two cases that asked the number. Receipts that wait longer are not of texts of ours.
_CLAIM_OF_ANY_SEGMENT = """
WITH found AS (
    SELECT p.link, p.message_id, p.msisdn, array_agg(DISTINCT p.key) AS keys, max(s.sms_id) AS sms_id,
        count(DISTINCT p.key) = 1 AND bool_or(s.state = 'accepted') AS is_evidence
    FROM receipts_unmatched p
    JOIN questions q ON q.msisdn = p.msisdn
    JOIN sms s ON s.case_id IN (q.case_id, q.previous_case_id) AND s.link = p.link AND s.msisdn = p.msisdn
        AND s.state NOT IN ('queued', 'sending')
    WHERE p.link = ANY($1::text[])
      AND p.expires_at BETWEEN clock_timestamp() + $3 - make_interval(secs => $4) AND clock_timestamp() + $3
      AND EXISTS (SELECT FROM json_array_elements_text(s.message_ids) AS m (id)
                  WHERE ltrim(lower(trim(m.id)), '0') = ltrim(p.key, '0'))
      AND NOT EXISTS (SELECT FROM sms o WHERE o.case_id = s.case_id AND o.state = 'sending')
    GROUP BY p.link, p.message_id, p.msisdn HAVING count(DISTINCT s.sms_id) = 1
    LIMIT $2
)
DELETE FROM receipts_unmatched u USING found f
WHERE u.link = f.link AND u.key = ANY(f.keys) AND u.message_id = f.message_id AND u.msisdn = f.msisdn
RETURNING u.link, u.key, u.message_id, u.state, u.error, u.msisdn, u.by_text, u.expires_at, f.sms_id, f.is_evidence
"""

_REMOVE_UNMATCHED = """
DELETE FROM receipts_unmatched AS r USING unnest($1::unmatched_receipt_row[]) AS u
WHERE r.link = u.link AND r.key = u.key AND r.message_id = u.message_id AND r.msisdn = u.msisdn
"""

_EXPIRE = """
WITH expected AS (DELETE FROM receipts_expected WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM receipts_expected WHERE expires_at < least(clock_timestamp(), $2) LIMIT $1)) RETURNING 1),
     unmatched AS (DELETE FROM receipts_unmatched WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM receipts_unmatched WHERE expires_at < least(clock_timestamp(), $2) LIMIT $1)) RETURNING 1)
SELECT (SELECT count(*) FROM expected) + (SELECT count(*) FROM unmatched)
"""


async def settle(
    connection: Connection, receipts: Sequence[StoredReceipt], whole: Sequence[tuple[StoredReceipt, int]] = ()
) -> Outcome:
    """The texts settled by these final receipts, each applied once.

    A receipt whose text is unknown, or not accepted yet, is stored as unmatched. A text is delivered when all its
    tracked segments are; one failed segment makes it undeliverable. A text in a final state does not change, but
    one that is undeliverable by a receipt UNKNOWN does.
    `whole` are receipts that stand for all segments of a text, with its sms_id.
    """
    rows = await connection.fetch(_MATCH, _by_rank(receipts)) if receipts else ()
    found = {row["ordinal"]: row for row in rows}
    early = [
        receipt
        for i, receipt in enumerate(receipts)
        if i not in found or found[i]["state"] in ("queued", "sending")
    ]
    if early:
        await keep_unmatched(connection, early)
    reports = [_Report(receipts[i], row["sms_id"], 1 << row["segment"]) for i, row in sorted(found.items())]
    reports += [_Report(receipt, sms_id, _ALL_SEGMENTS) for receipt, sms_id in whole]
    unconfirmed = {i for i, one in enumerate(receipts) if i not in found or found[i]["msisdn"] != one.msisdn}
    return Outcome(await _apply(connection, reports) if reports else [], unconfirmed)


async def to_their_number(connection: Connection, receipts: Sequence[StoredReceipt]) -> set[int]:
    """The places of the receipts of which a key is that of an accepted text to their number."""
    return {row["ordinal"] for row in await connection.fetch(_TO_THEIR_NUMBER, _by_rank(receipts))}


class _Report(NamedTuple):
    """What a receipt says about a text; bit n of `segments` stands for segment n."""

    receipt: StoredReceipt
    sms_id: int
    segments: int


_ALL_SEGMENTS = -1
_UNKNOWN = MessageState.UNKNOWN.value


async def _apply(connection: Connection, reports: Sequence[_Report]) -> list[Settled]:
    rows = await connection.fetch(_LOCK, [report.sms_id for report in reports])
    texts = {row["sms_id"]: row for row in rows if _is_open(row)}
    arrived = {sms_id: row["delivered_segments"] for sms_id, row in texts.items()}
    settled: dict[int, Settled] = {}
    for receipt, sms_id, segments in reports:
        text = texts.get(sms_id)
        if text is None:
            continue
        before = settled[sms_id].state if sms_id in settled else _UNKNOWN if text["delivery_unknown"] else None
        if before is not None and (before != _UNKNOWN or receipt.state == _UNKNOWN):
            continue
        tracked = text["tracked_segments"]
        if receipt.delivered:
            arrived[sms_id] |= segments & tracked
        if not receipt.delivered or arrived[sms_id] & tracked == tracked:
            settled[sms_id] = Settled(
                sms_id=sms_id,
                case_id=text["case_id"],
                kind=text["kind"],
                repeat=text["repeat"],
                msisdn=text["msisdn"],
                delivered=receipt.delivered,
                state=receipt.state,
                error=receipt.error,
            )
    await connection.execute(
        _SETTLE, [_settled_columns(row, arrived[sms_id], settled.get(sms_id)) for sms_id, row in texts.items()]
    )
    return list(settled.values())


def _is_open(text: Record) -> bool:
    """Whether a receipt may still change the text."""
    state, delivery_unknown = text["state"], text["delivery_unknown"]
    return state == "accepted" or (state == "undeliverable" and delivery_unknown is True)


def _settled_columns(text: Record, arrived: int, settled: Settled | None) -> tuple[int, str, int, bool]:
    if settled is None:
        return text["sms_id"], text["state"], arrived, text["delivery_unknown"]
    state = "delivered" if settled.delivered else "undeliverable"
    return text["sms_id"], state, arrived, settled.state == _UNKNOWN


async def keep_unmatched(connection: Connection, receipts: Sequence[StoredReceipt]) -> None:
    """Stores receipts for `UNMATCHED_KEPT_FOR`, under all their keys."""
    await connection.execute(_KEEP_UNMATCHED, _by_each_key(receipts), UNMATCHED_KEPT_FOR)


async def claim_matching(connection: Connection, links: Collection[str], limit: int) -> list[UnmatchedReceipt]:
    """Up to `limit` unmatched receipts of the links whose text was accepted meanwhile, in order of arrival.

    Their rows are deleted; so it is with the other claims.
    """
    return [
        _read_unmatched(row) for row in _by_arrival(await connection.fetch(_CLAIM_MATCHING, list(links), limit))
    ]


async def claim_unambiguous(connection: Connection, links: Collection[str], limit: int) -> list[ReadReceipt]:
    """Up to `limit` unmatched receipts of which one key alone is that of an accepted text to their number.

    Without a number, the key must be the receipt's own id.
    """
    return [_read(row) for row in _by_arrival(await connection.fetch(_CLAIM_UNAMBIGUOUS, list(links), limit))]


async def claim_of_any_segment(connection: Connection, links: Collection[str], limit: int) -> list[ReadReceipt]:
    """Up to `limit` unmatched receipts with the id of any segment of an accepted text to their number."""
    rows = await connection.fetch(_CLAIM_OF_ANY_SEGMENT, list(links), limit, UNMATCHED_KEPT_FOR, _RECENT_SECONDS)
    return [_read(row) for row in _by_arrival(rows)]


def _by_arrival(rows: Sequence[Record]) -> list[Record]:
    return sorted(rows, key=lambda row: row["expires_at"])


def _read(row: Record) -> ReadReceipt:
    return ReadReceipt(_read_unmatched(row), row["sms_id"], row["is_evidence"])


async def remove_unmatched(connection: Connection, receipts: Sequence[StoredReceipt]) -> None:
    """Deletes matched receipts under all their keys: a later text may have one of these as its message_id."""
    await connection.execute(_REMOVE_UNMATCHED, _by_each_key(receipts))


async def expire(connection: Connection, limit: int, steady: datetime) -> int:
    """The number of expired expected and unmatched receipts deleted, up to `limit` of each: SMSCs reuse ids.

    `steady` is real time without steps (`Clock.timestamp`).
    """
    expired: int = await connection.fetchval(_EXPIRE, limit, steady)
    return expired


def _by_rank(receipts: Sequence[StoredReceipt]) -> list[tuple[int, int, str, str, str, str, bool]]:
    return [
        (ordinal, rank, receipt.link, key, receipt.message_id, receipt.msisdn, receipt.by_text)
        for ordinal, receipt in enumerate(receipts)
        for rank, key in enumerate(receipt.keys)
    ]


def _by_each_key(receipts: Sequence[StoredReceipt]) -> list[tuple[str, str, str, str, str, str, bool]]:
    return [(r.link, key, r.message_id, r.state, r.error, r.msisdn, r.by_text) for r in receipts for key in r.keys]
