"""The wallet's events about vouchers, stored so that each one counts once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection


class VoucherEvent(NamedTuple):
    """One event of the wallet."""

    event_id: str
    case_id: str
    type: str  # activated, used
    at: datetime


_KNOWN = "SELECT event_id FROM wallet_events WHERE event_id = ANY($1::text[])"
# A concurrent INSERT of the same event_id waits here until this transaction ends.
_KEEP = """
INSERT INTO wallet_events (event_id, case_id, type, at)
SELECT event_id, case_id, type, at FROM unnest($1::wallet_event_row[]) ORDER BY event_id
ON CONFLICT DO NOTHING RETURNING event_id
"""
_DELETE = "DELETE FROM wallet_events WHERE event_id = ANY($1::text[])"


async def known(connection: Connection, event_ids: Collection[str]) -> set[str]:
    """Those of the event_ids that are stored already."""
    return {row["event_id"] for row in await connection.fetch(_KNOWN, list(event_ids))}


async def keep(connection: Connection, events: Sequence[VoucherEvent]) -> set[str]:
    """The event_ids of the events that are new and now stored."""
    rows = await connection.fetch(_KEEP, events)
    return {row["event_id"] for row in rows}


async def delete(connection: Connection, event_ids: Collection[str]) -> None:
    """Deletes events that this transaction has stored and then rejected: the wallet may send them again."""
    await connection.execute(_DELETE, list(event_ids))
