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
_KEEP = """
INSERT INTO wallet_events (event_id, case_id, type, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) ORDER BY 1
ON CONFLICT DO NOTHING
"""


async def known(connection: Connection, event_ids: Collection[str]) -> set[str]:
    """Those of the events that have been kept already."""
    return {row["event_id"] for row in await connection.fetch(_KNOWN, list(event_ids))}


async def keep(connection: Connection, events: Sequence[VoucherEvent]) -> None:
    """Notes events as taken, with the transaction that takes them."""
    await connection.execute(
        _KEEP,
        [event.event_id for event in events],
        [event.case_id for event in events],
        [event.type for event in events],
        [event.at for event in events],
    )
