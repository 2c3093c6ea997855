"""What the wallet has told of vouchers: each of its events counts once."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection


class VoucherEvent(NamedTuple):
    event_id: str
    case_id: str
    type: str  # activated, used
    at: datetime


_KNOWN = "SELECT event_id FROM wallet_events WHERE event_id = ANY($1::text[])"
# Whoever brings the same event at the same time waits here until the other's transaction has ended.
_KEEP = """
INSERT INTO wallet_events (event_id, case_id, type, at)
SELECT event_id, case_id, type, at FROM unnest($1::wallet_event_row[]) ORDER BY event_id
ON CONFLICT DO NOTHING RETURNING event_id
"""
_FORGET = "DELETE FROM wallet_events WHERE event_id = ANY($1::text[])"


async def known(connection: Connection, event_ids: Collection[str]) -> set[str]:
    """Those of the events that have been kept already."""
    return {row["event_id"] for row in await connection.fetch(_KNOWN, list(event_ids))}


async def keep(connection: Connection, events: Sequence[VoucherEvent]) -> set[str]:
    """Notes events as taken, with the transaction that takes them; the event_ids of those that are new."""
    rows = await connection.fetch(_KEEP, events)
    return {row["event_id"] for row in rows}


async def forget(connection: Connection, event_ids: Collection[str]) -> None:
    """Events that this transaction has noted and not taken after all: they may come again."""
    await connection.execute(_FORGET, list(event_ids))
