"""The journal's upkeep: entries are sealed, the chain is checked, the tree over it grows, anchors are logged."""

from gateway import metrics
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.wakeups import WakeUps
from gateway.config.policy import JournalPolicy
from gateway.logs.log import Event, get_logger
from gateway.store import journal, journal_tree
from gateway.store.database import Connection, Database
from gateway.store.journal_tree import JournalTornError

log = get_logger()

SEAL_BATCH = 5000
GROW_ROUND = 400
"""Times that the tree grows in one run: by 400,000 entries and a second of work at most."""


class JournalUpkeep:
    """The use cases that nobody asks for; the scheduler runs them."""

    def __init__(
        self, *, database: Database, node: str, wakeups: WakeUps, policy: JournalPolicy | None = None
    ) -> None:
        self._database = database
        self._node = node
        self._wakeups = wakeups
        self._policy = policy or JournalPolicy()
        self._checked: journal.Place | None = None  # the head, when it was last checked
        self._round = journal.BEGINNING

    async def seal(self) -> None:
        """Moves pending entries into the chain; the readers of statuses wait for that."""
        while await self._seal():
            self._wakeups.statuses.set()
            async with self._wakeups.sealed:
                self._wakeups.sealed.notify_all()

    async def _seal(self) -> int:
        async with fenced_transaction(self._database, self._node) as connection:
            return await journal.seal(connection, SEAL_BATCH)

    async def grow_tree(self) -> None:
        """Lets the tree over the journal follow it; after an upgrade it has years to catch up with."""
        for _ in range(GROW_ROUND):
            async with fenced_transaction(self._database, self._node) as connection:
                try:
                    more = await journal_tree.grow(connection)
                except JournalTornError as error:
                    _report(error.seq, str(error))
                    return
            if not more:
                return

    async def check(self) -> None:
        """Checks the chain a piece further: what is new and, round after round, what is old.

        Each process knows its own round only: a restart begins a new one.
        """
        async with self._database.acquire() as connection:
            if self._checked is None:
                seq, head, _ = await journal.head(connection)
                self._checked = journal.Place(seq, bytes.fromhex(head))
            self._checked = await self._walk(connection, self._checked)
            before, self._round = self._round, await self._walk(connection, self._round)
            if self._round == before:
                self._round = journal.BEGINNING

    async def log_anchor(self) -> None:
        """Logs how far the chain has come: whoever keeps the line can show that nothing before it was changed."""
        async with self._database.acquire() as connection:
            try:
                seq = await journal_tree.reach(connection)
                root = await journal_tree.root(connection, seq)
            except JournalTornError as error:
                _report(error.seq, str(error))
                return
        log.info(Event.JOURNAL_ANCHOR, anchor=f"{seq}:{root.hex()}")

    async def _walk(self, connection: Connection, place: journal.Place) -> journal.Place:
        for _ in range(self._policy.check_round // self._policy.check_batch):
            before = place
            place, fault = await journal.walk(connection, before, self._policy.check_batch)
            metrics.JOURNAL_CHECKED.inc(place.seq - before.seq)
            if fault is not None:
                _report(fault.seq, fault.reason)
            if fault is not None or place == before:
                break
        return place


def _report(seq: int, reason: str) -> None:
    log.critical(Event.JOURNAL_BROKEN, seq=seq, reason=reason)
    metrics.JOURNAL_FAULTS.inc()
