"""HTTP calls to make, as rows: taken in batches, finished with the step that their answer brings."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from gateway.store.database import Connection


class CallKind(StrEnum):
    LOOKUP = "lookup"
    VOUCHER = "voucher"


class Call(NamedTuple):
    case_id: str
    serial: int  # its own: the case's next call has another
    attempts: int  # earlier ones, that failed


_ADD = """
INSERT INTO calls (case_id, kind) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (case_id, kind) DO UPDATE SET
    attempts = 0, next_at = '-infinity', node = NULL, serial = excluded.serial
"""

_CLAIM = """
UPDATE calls SET node = $1
FROM (SELECT case_id, kind FROM calls
      WHERE kind = $2 AND node IS NULL AND next_at <= clock_timestamp()
        AND EXISTS (SELECT FROM nodes WHERE nodes.node = $1)
      ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED) AS ready
WHERE calls.case_id = ready.case_id AND calls.kind = ready.kind
RETURNING calls.case_id, calls.serial, calls.attempts
"""

_FINISH = """
DELETE FROM calls USING unnest($1::text[], $2::bigint[]) AS finished (case_id, serial)
WHERE calls.case_id = finished.case_id AND calls.kind = $3 AND calls.serial = finished.serial AND calls.node = $4
RETURNING calls.serial
"""
_DROP = "DELETE FROM calls WHERE case_id = ANY($1::text[])"

_PUT_OFF = """
UPDATE calls SET node = NULL, attempts = attempts + 1, next_at = clock_timestamp() + put_off.delay
FROM unnest($1::text[], $2::bigint[], $3::interval[]) AS put_off (case_id, serial, delay)
WHERE calls.case_id = put_off.case_id AND calls.kind = $4 AND calls.serial = put_off.serial AND calls.node = $5
"""


_GIVE_BACK_OTHERS = "UPDATE calls SET node = NULL WHERE node = $1 AND kind = $2 AND serial <> ALL($3::bigint[])"


async def add(connection: Connection, calls: Sequence[tuple[str, CallKind]]) -> None:
    """Notes (case_id, kind) to be called as soon as may be."""
    await connection.execute(_ADD, [case_id for case_id, _ in calls], [kind for _, kind in calls])


async def claim(connection: Connection, node: str, kind: CallKind, limit: int) -> list[Call]:
    """Up to `limit` calls that are ready, now this node's; none for a node that has been declared dead."""
    rows = await connection.fetch(_CLAIM, node, kind, limit)
    return [Call(*row.values()) for row in rows]


async def finish(connection: Connection, node: str, kind: CallKind, answered: Collection[Call]) -> set[int]:
    """Removes answered calls; serials of those that were still this node's, whose answers may be used."""
    rows = await connection.fetch(_FINISH, [c.case_id for c in answered], [c.serial for c in answered], kind, node)
    return {row["serial"] for row in rows}


async def put_off(
    connection: Connection, node: str, kind: CallKind, delays: Sequence[tuple[Call, timedelta]]
) -> None:
    """Gives failed calls back, each to be tried again after its delay."""
    await connection.execute(
        _PUT_OFF, [c.case_id for c, _ in delays], [c.serial for c, _ in delays], [d for _, d in delays], kind, node
    )


async def release_others(connection: Connection, node: str, kind: CallKind, held: Collection[int]) -> None:
    """Puts calls back that are this node's by a commit of which it never heard: all but these, by serial."""
    await connection.execute(_GIVE_BACK_OTHERS, node, kind, list(held))


async def drop(connection: Connection, case_ids: Collection[str]) -> None:
    """Removes all calls of cases that have ended."""
    await connection.execute(_DROP, list(case_ids))
