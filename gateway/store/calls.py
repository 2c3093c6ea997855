"""HTTP calls to the MCB and the wallet, as rows: claimed in batches, finished together with their outcome."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader
from gateway.store.writes import Write


class CallKind(StrEnum):
    """Which partner is called: the MCB (lookup) or the wallet (voucher)."""

    LOOKUP = "lookup"
    VOUCHER = "voucher"


class Call(NamedTuple):
    """A call that this node has claimed."""

    case_id: str
    serial: int  # unique: the next call of the same case has another one
    attempts: int  # earlier ones; all of them failed


_read_call = reader(Call)

_ADD = """added AS (
    INSERT INTO calls (case_id, kind) SELECT case_id, kind FROM unnest($1::call_row[])
    ON CONFLICT (case_id, kind) DO UPDATE SET
        attempts = 0, next_at = '-infinity', node = NULL, serial = excluded.serial
)"""

# The rows are found once, as an array. A subquery in FROM may be executed again for each row of the table, where
# statistics say that it is small, and each time it locks the next rows: for minutes, and beyond the limit.
_CLAIM = """
UPDATE calls SET node = $1
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM calls
    WHERE kind = $2 AND node IS NULL AND next_at <= clock_timestamp()
      AND EXISTS (SELECT FROM nodes WHERE nodes.node = $1)
    ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED))
RETURNING case_id, serial, attempts
"""

_FINISH = """
DELETE FROM calls USING unnest($1::finished_call_row[]) AS finished
WHERE calls.case_id = finished.case_id AND calls.kind = $2 AND calls.serial = finished.serial AND calls.node = $3
RETURNING calls.serial
"""
_DROP = "dropped AS (DELETE FROM calls WHERE case_id = ANY($1::text[]))"

_POSTPONE = """
UPDATE calls SET node = NULL, attempts = attempts + 1, next_at = clock_timestamp() + postponed.delay
FROM unnest($1::retried_call_row[]) AS postponed
WHERE calls.case_id = postponed.case_id AND calls.kind = $2 AND calls.serial = postponed.serial AND calls.node = $3
"""


_RELEASE_OTHERS = "UPDATE calls SET node = NULL WHERE node = $1 AND kind = $2 AND serial <> ALL($3::bigint[])"


def adding(calls: Sequence[tuple[str, CallKind]]) -> Write:
    """Adds calls, (case_id, kind), that are due at once. One of the same case and kind starts from zero."""
    return Write(_ADD, (calls,))


async def claim(connection: Connection, node: str, kind: CallKind, limit: int) -> list[Call]:
    """Up to `limit` calls that are due, claimed by this node; none for a node that was evicted."""
    rows = await connection.fetch(_CLAIM, node, kind, limit)
    return [_read_call(row) for row in rows]


async def finish(connection: Connection, node: str, kind: CallKind, finished: Collection[Call]) -> set[int]:
    """The serials of the finished calls that this node still had claimed; only their outcomes may be used."""
    rows = await connection.fetch(_FINISH, [(call.case_id, call.serial) for call in finished], kind, node)
    return {row["serial"] for row in rows}


async def postpone(
    connection: Connection, node: str, kind: CallKind, delays: Sequence[tuple[Call, timedelta]]
) -> None:
    """Releases failed calls; each is due again after its delay (real time)."""
    await connection.execute(_POSTPONE, [(call.case_id, call.serial, delay) for call, delay in delays], kind, node)


async def release_others(connection: Connection, node: str, kind: CallKind, held: Collection[int]) -> None:
    """Releases the calls that this node has claimed, except those in memory (`held`, by serial).

    A claim is not in memory when the connection broke before its COMMIT was confirmed.
    """
    await connection.execute(_RELEASE_OTHERS, node, kind, list(held))


def dropping(case_ids: Collection[str]) -> Write:
    """Removes all calls of cases that have ended."""
    return Write(_DROP, (list(case_ids),))
