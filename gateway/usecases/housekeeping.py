"""Deletion of expired rows, sums of the lists' progress, depths of the queues, and the index of people."""

from gateway.clock import Clock
from gateway.cluster.fencing import fenced_transaction
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import cases, dialogues, entries, people, queues, receipts, unacknowledged
from gateway.store.database import Database

log = get_logger()

EXPIRE_BATCH = 500
INDEX_BATCH = 1000


class Housekeeping:
    """The use cases that keep tables small, run by the scheduler. Each raises FencedError after an eviction."""

    def __init__(self, *, database: Database, node: str, clock: Clock) -> None:
        self._database = database
        self._node = node
        self._clock = clock

    async def fold_progress(self) -> None:
        """Sums up the deltas of the lists' counts by state."""
        async with fenced_transaction(self._database, self._node) as connection:
            await cases.fold_progress(connection)

    async def count_queues(self) -> None:
        """Keeps how long the queues are, for metrics that must cost little."""
        async with fenced_transaction(self._database, self._node) as connection:
            await queues.count_all(connection)

    async def index_people(self) -> None:
        """Takes the recipients of new lists into the index, so that they are found in no time."""
        async with self._database.acquire() as connection:
            due = await people.is_due(connection)
        while due:
            async with fenced_transaction(self._database, self._node) as connection:
                due = await people.index(connection, INDEX_BATCH)

    async def repair_entries(self) -> None:
        """Writes missing entries by which cases and texts are found: an earlier version wrote none."""
        repaired = 0
        for part in range(entries.PARTS):
            async with fenced_transaction(self._database, self._node) as connection:
                repaired += await entries.repair(connection, part)
        if repaired:
            log.warning(LogEvent.ENTRIES_REPAIRED, rows=repaired)

    async def expire_receipts(self) -> None:
        """Deletes expired expected receipts and expired unmatched ones."""
        expired = EXPIRE_BATCH
        while expired >= EXPIRE_BATCH:
            async with fenced_transaction(self._database, self._node) as connection:
                expired = await receipts.expire(connection, EXPIRE_BATCH, self._clock.timestamp())

    async def expire_dialogues(self) -> None:
        """Deletes expired USSD dialogues, and cancels expired screens."""
        async with fenced_transaction(self._database, self._node) as connection:
            await dialogues.expire(connection, self._clock.timestamp())

    async def expire_unacknowledged(self) -> None:
        """Deletes unacknowledged periods from which no reply can be redelivered any more."""
        async with fenced_transaction(self._database, self._node) as connection:
            await unacknowledged.expire(connection, self._clock.timestamp())
