"""Rows whose time is over are removed, and the counts of lists are summed up."""

from gateway.cluster.fencing import fenced_transaction
from gateway.store import cases, dialogues, receipts, unacknowledged
from gateway.store.database import Database

EXPIRE_BATCH = 500


class Housekeeping:
    """The use cases that keep tables small; the scheduler runs them."""

    def __init__(self, *, database: Database, node: str) -> None:
        self._database = database
        self._node = node

    async def fold_progress(self) -> None:
        """Sums up the lists' counts by state."""
        async with fenced_transaction(self._database, self._node) as connection:
            await cases.fold_progress(connection)

    async def expire_receipts(self) -> None:
        """Removes expected receipts that will not come, and unmatched ones that no text claims."""
        expired = EXPIRE_BATCH
        while expired >= EXPIRE_BATCH:
            async with fenced_transaction(self._database, self._node) as connection:
                expired = await receipts.expire(connection, EXPIRE_BATCH)

    async def expire_dialogues(self) -> None:
        """Removes USSD dialogues that are over, and cancels screens that were not sent in time."""
        async with fenced_transaction(self._database, self._node) as connection:
            await dialogues.expire(connection)

    async def expire_unacknowledged(self) -> None:
        """Removes periods from which no reply can be redelivered any more."""
        async with fenced_transaction(self._database, self._node) as connection:
            await unacknowledged.expire(connection)
