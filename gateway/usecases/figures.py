"""Counting of the figures that the console shows, from the journal."""

from datetime import timedelta

from gateway.clock import Clock
from gateway.cluster.fencing import fenced_transaction
from gateway.store import figures
from gateway.store.database import Database

BATCH = 2000
"""Entries counted per transaction."""
MAX_BATCHES_PER_RUN = 50
"""The number of batches of one run: an old journal, after an upgrade, is counted in many short runs."""
KEPT = timedelta(days=31)
"""The business time for which figures by hour and minute are kept; how many cases have reached a stage is kept for
ever.
"""


class Figures:
    """The use case of the figures, run by the scheduler. It raises FencedError after an eviction."""

    def __init__(self, *, database: Database, node: str, clock: Clock) -> None:
        self._database = database
        self._node = node
        self._clock = clock

    async def count(self) -> None:
        """Counts the entries that were sealed since the last run, and deletes figures that are too old."""
        for _ in range(MAX_BATCHES_PER_RUN):
            async with fenced_transaction(self._database, self._node) as connection:
                counted = await figures.count(connection, BATCH)
            if counted < BATCH:
                break
        async with fenced_transaction(self._database, self._node) as connection:
            await figures.expire(connection, self._clock.now() - KEPT)
