"""The upkeep of the journal: sealing pending entries, checking the chain, growing its tree, logging anchors."""

from math import ceil

from gateway import metrics
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.wakeups import WakeUps
from gateway.config.policy import JournalPolicy
from gateway.logs.log import Event, get_logger
from gateway.store import journal, journal_check, journal_tree, rewinds
from gateway.store.database import Connection, Database
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.rewinds import JournalMemory

log = get_logger()

SEAL_BATCH = 5000
"""Entries sealed per transaction."""
MAX_GROWTHS_PER_RUN = 400
"""Calls of `journal_tree.grow` in one run: at most 400,000 entries and one second of work."""
MAX_FOLDED_PER_RUN = 600
"""Blocks made of rows in one run: 150,000 entries and two seconds of work."""


class JournalUpkeep:
    """The use cases of the journal, run by the scheduler."""

    def __init__(
        self,
        *,
        database: Database,
        node: str,
        wakeups: WakeUps,
        memory: JournalMemory,
        policy: JournalPolicy | None = None,
    ) -> None:
        self._database = database
        self._node = node
        self._wakeups = wakeups
        self._memory = memory
        self._policy = policy or JournalPolicy()
        self._checked: journal_check.ChainPosition | None = None  # of the last entry checked as a new one
        self._folded = 0  # seq of the last row that is, or cannot be, in a block

    async def seal(self) -> None:
        """Moves the entries that are pending now into the chain, and wakes the readers of statuses.

        While another process does so there is nothing to do.

        What is appended meanwhile waits for the next run: many entries at once cost less than a few at a time.
        Where none is pending this costs one statement: it is run five times a second.
        """
        async with self._database.acquire() as connection:
            if not await journal.is_pending(connection):
                return
        sealed = SEAL_BATCH
        while sealed >= SEAL_BATCH:
            sealed = await self._seal()
            if sealed:
                self._wakeups.statuses.set()
                async with self._wakeups.sealed:
                    self._wakeups.sealed.notify_all()

    async def _seal(self) -> int:
        async with fenced_transaction(self._database, self._node) as connection:
            sealed = await journal.seal_if_free(connection, SEAL_BATCH)
            head = await rewinds.head(connection)
        self._memory.note(head)  # after the commit
        return sealed

    async def fold(self) -> None:
        """Makes blocks of rows that earlier versions have sealed; after an upgrade this takes many runs."""
        for _ in range(MAX_FOLDED_PER_RUN):
            async with fenced_transaction(self._database, self._node) as connection:
                folded = await journal.fold(connection, self._folded)
            if folded is None:
                return
            self._folded = folded

    async def grow_tree(self) -> None:
        """Extends the Merkle tree towards the end of the journal; after an upgrade this takes several runs."""
        for _ in range(MAX_GROWTHS_PER_RUN):
            async with fenced_transaction(self._database, self._node) as connection:
                try:
                    more = await journal_tree.grow(connection)
                except JournalIncompleteError as error:
                    journal.report(error.seq, str(error))
                    return
            if not more:
                return

    async def check(self) -> None:
        """Checks the entries added since the last run, and the next ones of a cyclic walk over the whole chain.

        New entries are checked as fast as they are sealed, and the walk goes round in `round_seconds`.
        """
        policy = self._policy
        async with self._database.acquire() as connection:
            if self._checked is None:
                seq, head, _ = await journal.head(connection)
                self._checked = journal_check.ChainPosition(seq, bytes.fromhex(head))
            self._checked = await self._walk(connection, self._checked)
            share = ceil(self._checked.seq * policy.check_seconds / policy.round_seconds)
            before = await journal_check.walked(connection)
            walked = await self._walk(connection, before, max(share, policy.min_checked_per_run))
            if walked == before:
                seconds = await journal_check.begin_round(connection)
                log.info(Event.JOURNAL_CHECKED, entries=walked.seq, hours=round(seconds / 3600, 1))
            else:
                await journal_check.keep_walked(connection, walked)

    async def log_anchor(self) -> None:
        """Logs the size and root of the journal; kept elsewhere, the line proves older entries unchanged."""
        async with self._database.acquire() as connection:
            try:
                seq = await journal_tree.reach(connection)
                root = await journal_tree.root(connection, seq)
            except JournalIncompleteError as error:
                journal.report(error.seq, str(error))
                return
        log.info(Event.JOURNAL_ANCHOR, anchor=f"{seq}:{root.hex()}")

    async def _walk(
        self, connection: Connection, position: journal_check.ChainPosition, most: int | None = None
    ) -> journal_check.ChainPosition:
        """The last position that holds after at least `most` more entries; None: all there are."""
        first = position.seq
        while most is None or position.seq - first < most:
            before = position
            position, fault = await journal_check.walk(connection, before, self._policy.check_batch)
            metrics.JOURNAL_CHECKED.inc(position.seq - before.seq)
            if fault is not None:
                journal.report(fault.seq, fault.reason)
            if fault is not None or position == before:
                break
        return position
