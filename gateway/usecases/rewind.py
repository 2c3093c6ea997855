"""A rewind of the database: what it lacks and who may know it, and its acceptance by ops."""

from datetime import datetime
from typing import NamedTuple

from gateway import metrics
from gateway.clock import Clock
from gateway.consent.details import RewindAcceptedBy
from gateway.consent.events import Event, EventType
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import journal, rewinds
from gateway.store.database import Connection, Database
from gateway.store.rewinds import Rewind

log = get_logger()


class RewindReport(NamedTuple):
    """A rewind, and what others may know that the database does not."""

    rewind: Rewind
    ended_at: (
        datetime | None
    )  # of the last entry that is left, business time; None: there is none, or it is not known
    vouchers: int  # consents for which the wallet is asked, perhaps again
    texts: int  # that are sent, perhaps again


class RewindAcceptance:
    """The use case of ops. Its transaction is not fenced: while the database is rewound, fences refuse."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def report(self) -> RewindReport | None:
        """The rewind that stops the processes; None when none does."""
        async with self._database.acquire() as connection:
            rewind = await rewinds.unaccepted(connection)
            return await _report(connection, rewind) if rewind is not None else None

    async def accept(self, by: str) -> RewindReport | None:
        """The rewind that is accepted and journaled now, with `by`, who does it: the processes go on.

        None when there was none.
        """
        async with self._database.acquire() as connection, connection.transaction():
            rewind = await rewinds.accept(connection)
            if rewind is None:
                return None
            report = await _report(connection, rewind)
            detail = RewindAcceptedBy(rewind.seq, rewind.hash.hex(), rewind.known_seq, rewind.found_by, by)
            entry = journal.entry(self._clock.now(), None, Event(EventType.REWIND_ACCEPTED, detail))
            await journal.append(connection, [entry])
        metrics.REWOUND.set(0)
        log.warning(LogEvent.REWIND_ACCEPTED, seq=rewind.seq, known_seq=rewind.known_seq)
        return report


async def _report(connection: Connection, rewind: Rewind) -> RewindReport:
    ended_at = None if rewind.diverged else await rewinds.entry_at(connection, rewind.seq)
    vouchers, texts = await rewinds.repeatable(connection)
    return RewindReport(rewind, ended_at, vouchers, texts)
