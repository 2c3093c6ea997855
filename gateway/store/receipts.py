"""Delivery receipts matched with the texts they belong to, in any order of arrival."""

from collections.abc import Sequence
from typing import NamedTuple

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


class UnmatchedReceipt(NamedTuple):
    """A final receipt that came before the submit_sm_resp with its message_id."""

    link: str
    message_id: str
    state: str
    error: str


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
SELECT DISTINCT ON (r.ordinal) r.ordinal, s.sms_id, e.segment, s.state
FROM unnest($1::receipt_key_row[]) AS r
JOIN receipts_expected e ON e.link = r.link AND e.key = r.key
JOIN sms s ON s.sms_id = e.sms_id
ORDER BY r.ordinal, r.rank, (e.message_id = r.message_id) DESC, e.sms_id DESC
"""

_LOCK = """
SELECT sms_id, case_id, kind, repeat, msisdn, state, delivered_segments, tracked_segments FROM sms
WHERE sms_id = ANY($1::bigint[]) ORDER BY sms_id FOR UPDATE
"""

_SETTLE = """
UPDATE sms SET state = u.state, delivered_segments = u.delivered_segments
FROM unnest($1::settled_text_row[]) AS u
WHERE sms.sms_id = u.sms_id
"""

_KEEP_UNMATCHED = """
INSERT INTO receipts_unmatched (link, key, message_id, state, error, expires_at)
SELECT link, key, message_id, state, error, clock_timestamp() + interval '1 day'
FROM unnest($1::unmatched_receipt_row[])
"""

_CLAIM_MATCHING = """
DELETE FROM receipts_unmatched WHERE ctid = ANY(ARRAY(
    SELECT p.ctid FROM receipts_unmatched p
    JOIN receipts_expected e ON e.link = p.link AND e.key = p.key
    JOIN sms s ON s.sms_id = e.sms_id AND s.state NOT IN ('queued', 'sending')
    LIMIT $1 FOR UPDATE OF p SKIP LOCKED))
RETURNING link, key, message_id, state, error
"""

_REMOVE_UNMATCHED = """
DELETE FROM receipts_unmatched AS r USING unnest($1::unmatched_receipt_row[]) AS u
WHERE r.link = u.link AND r.key = u.key AND r.message_id = u.message_id
"""

_EXPIRE = """
WITH expected AS (DELETE FROM receipts_expected WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM receipts_expected WHERE expires_at < clock_timestamp() LIMIT $1)) RETURNING 1),
     unmatched AS (DELETE FROM receipts_unmatched WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM receipts_unmatched WHERE expires_at < clock_timestamp() LIMIT $1)) RETURNING 1)
SELECT (SELECT count(*) FROM expected) + (SELECT count(*) FROM unmatched)
"""


async def settle(connection: Connection, receipts: Sequence[StoredReceipt]) -> list[Settled]:
    """The texts settled by these final receipts, each applied once.

    A receipt whose text is unknown, or not accepted yet, is stored as unmatched. A text is delivered when all its
    tracked segments are; one failed segment makes it undeliverable. A text in a final state does not change.
    """
    flat = [
        (ordinal, rank, receipt.link, key, receipt.message_id)
        for ordinal, receipt in enumerate(receipts)
        for rank, key in enumerate(receipt.keys)
    ]
    matches = await connection.fetch(_MATCH, flat)
    found = {row["ordinal"]: row for row in matches}
    early = [
        receipt
        for i, receipt in enumerate(receipts)
        if i not in found or found[i]["state"] in ("queued", "sending")
    ]
    if early:
        await _keep_unmatched(connection, early)
    rows = await connection.fetch(_LOCK, [row["sms_id"] for row in matches])
    texts = {row["sms_id"]: row for row in rows if row["state"] == "accepted"}
    arrived = {sms_id: row["delivered_segments"] for sms_id, row in texts.items()}
    settled: dict[int, Settled] = {}
    for i, row in sorted(found.items()):
        text = texts.get(row["sms_id"])
        if text is None or row["sms_id"] in settled:
            continue
        if receipts[i].delivered:
            arrived[row["sms_id"]] |= 1 << row["segment"]
        if (
            not receipts[i].delivered
            or arrived[row["sms_id"]] & text["tracked_segments"] == text["tracked_segments"]
        ):
            settled[row["sms_id"]] = Settled(
                sms_id=text["sms_id"],
                case_id=text["case_id"],
                kind=text["kind"],
                repeat=text["repeat"],
                msisdn=text["msisdn"],
                delivered=receipts[i].delivered,
                state=receipts[i].state,
                error=receipts[i].error,
            )
    states = {s.sms_id: "delivered" if s.delivered else "undeliverable" for s in settled.values()}
    await connection.execute(
        _SETTLE, [(sms_id, states.get(sms_id, "accepted"), arrived[sms_id]) for sms_id in texts]
    )
    return list(settled.values())


async def claim_matching(connection: Connection, limit: int) -> list[UnmatchedReceipt]:
    """Up to `limit` unmatched receipts whose text was accepted meanwhile; their rows are deleted."""
    return [_read_unmatched(row) for row in await connection.fetch(_CLAIM_MATCHING, limit)]


async def remove_unmatched(connection: Connection, receipts: Sequence[StoredReceipt]) -> None:
    """Deletes matched receipts under all their keys: a later text may have one of these as its message_id."""
    await connection.execute(_REMOVE_UNMATCHED, _by_each_key(receipts))


async def expire(connection: Connection, limit: int) -> int:
    """The number of expired expected and unmatched receipts deleted, up to `limit` of each: SMSCs reuse ids."""
    expired: int = await connection.fetchval(_EXPIRE, limit)
    return expired


async def _keep_unmatched(connection: Connection, receipts: Sequence[StoredReceipt]) -> None:
    await connection.execute(_KEEP_UNMATCHED, _by_each_key(receipts))


def _by_each_key(receipts: Sequence[StoredReceipt]) -> list[tuple[str, str, str, str, str]]:
    return [(r.link, key, r.message_id, r.state, r.error) for r in receipts for key in r.keys]
