"""The feed of statuses pushed to SDU, by one process of the cluster at a time."""

from typing import Any, NamedTuple

from gateway.consent.deadlines import Calendar
from gateway.store import feeds, journal, rewinds, statuses
from gateway.store.database import Database
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.rewinds import Head

FEED = "sdu"


class StatusBatch(NamedTuple):
    """Status events in SDU's format, in order, the seq of the last one, and the journal's last entry by then."""

    events: list[dict[str, Any]]
    cursor: int
    head: Head


class StatusFeed:
    """The use case of pushed statuses. The cursor moves after SDU's response, so a batch may be pushed twice."""

    def __init__(self, *, database: Database, node: str, calendar: Calendar) -> None:
        self._database = database
        self._node = node
        self._calendar = calendar

    async def claim(self, limit: int) -> StatusBatch | None:
        """The next batch; None when there is nothing to push, or another process pushes."""
        async with self._database.acquire() as connection:
            cursor = await feeds.claim(connection, FEED, self._node)
            if cursor is None:
                return None
            try:
                events = await statuses.after(connection, cursor, limit)
            except JournalIncompleteError as error:  # none is left out: the next one is pushed once it can be read
                journal.report(error.seq, str(error))
                return None
            head = await rewinds.head(connection)
        if not events:
            return None
        return StatusBatch([statuses.as_json(event, self._calendar) for event in events], events[-1].seq, head)

    async def acknowledge(self, batch: StatusBatch) -> None:
        """Moves the cursor past the batch: SDU has responded with 2xx."""
        async with self._database.acquire() as connection:
            await feeds.advance(connection, FEED, self._node, batch.cursor)
