"""The unit of work: one transaction of this process, in which inputs become decisions and decisions become rows.

A transaction may carry the inputs of many cases. It locks their rows, lets ``consent.journey`` decide, and writes
states, journal, texts and calls back in a handful of statements, whatever the number of cases. Nothing is sent from
here: the shells find the rows and report what became of them as new inputs.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import asyncpg

from gateway.clock import Clock
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.wakeups import WakeUps
from gateway.consent.events import STATUSES, Event, EventType, Reason
from gateway.consent.inputs import Decision, Input
from gateway.evidence.digests import Digester
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import cases, journal, sms
from gateway.store.calls import CallKind
from gateway.store.cases import StoredCase
from gateway.store.database import Connection, Database
from gateway.usecases.case_batch import CaseBatch, DecisionContext, text_queued

T = TypeVar("T")

log = get_logger()

MAX_ATTEMPTS = 5
"""Of a transaction that the database aborts because of a deadlock."""

_LOGGED = STATUSES | {EventType.PARKED}


class UnitOfWork:
    """One transaction under way. Its parts run in the order in which they are called; `now` stands still."""

    def __init__(self, connection: Connection, now: datetime, context: DecisionContext) -> None:
        self.connection = connection
        self.now = now
        self._context = context
        self._logged: list[tuple[StoredCase, Event]] = []
        self._links: set[str] = set()
        self._calls: set[CallKind] = set()
        self._entries: list[journal.Entry] = []

    @property
    def digests(self) -> Digester:
        """Makes the digests that stand in the journal in place of personal data."""
        return self._context.digests

    async def apply(self, inputs: Sequence[tuple[str, Input]]) -> list[Decision]:
        """Decides on (case_id, input) in order and writes what follows.

        The decisions, in order, without those on cases that do not exist.
        """
        if not inputs:
            return []
        stored = await cases.lock(self.connection, {case_id for case_id, _ in inputs})
        batch = CaseBatch(self.connection, self.now, self._context, stored)
        decisions = [batch.decide(case_id, given) for case_id, given in inputs if case_id in batch.stored]
        await batch.settle_numbers()
        outcome = await batch.write()
        self.journal([(stored.case_id, event) for stored, event in outcome.events])
        self._logged.extend((s, event) for s, event in outcome.events if event.name in _LOGGED)
        self._links |= outcome.links
        self._calls |= outcome.calls
        return decisions

    def journal(self, events: Sequence[tuple[str | None, Event]]) -> None:
        """Appends (case_id, event) to the journal, when the transaction ends; None is no case's."""
        self._entries += [journal.entry(self.now, case_id, event) for case_id, event in events]

    async def queue_screens(self, screens: Sequence[sms.NewScreen], lifetime_seconds: float) -> None:
        """Queues screens of USSD dialogues; each is sent within its lifetime or never."""
        if not screens:
            return
        sms_ids = await sms.queue_screens(self.connection, screens, self.now, lifetime_seconds)
        self.journal(
            [
                (screen.case_id, text_queued(self.digests, sms_id, screen, segments=1))
                for sms_id, screen in zip(sms_ids, screens, strict=True)
            ]
        )
        self._links.update(screen.link for screen in screens)

    async def write_journal(self) -> None:
        """Writes the entries of the whole transaction."""
        if self._entries:
            await journal.append(self.connection, self._entries)

    def announce(self, wakeups: WakeUps) -> None:
        """After the commit: logs the statuses and wakes the tasks that have work by it."""
        for stored, event in self._logged:
            ids = {"case_id": stored.case_id, "list_id": stored.list_id}
            if isinstance(event.detail, Reason) and event.name is EventType.PARKED:
                log.warning(LogEvent.CASE_PARKED, reason=event.detail.reason, **ids)
            else:
                log.info(LogEvent.CASE_STATUS, status=event.name.value, **ids)
        for link in self._links:
            wakeups.texts[link].set()
        for kind in self._calls:
            wakeups.calls[kind].set()
        if self._entries:
            wakeups.journal.set()


class Transactions:
    """Runs units of work of this process; one object for all use cases."""

    def __init__(
        self, *, database: Database, node: str, clock: Clock, context: DecisionContext, wakeups: WakeUps
    ) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._context = context
        self._wakeups = wakeups

    async def run(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Runs `work` in one transaction and, once that is committed, wakes the tasks that have work by it.

        `work` runs again from the start when the database has aborted the transaction because of a deadlock. Raises
        FencedError when this process was evicted.
        """
        for attempt in range(MAX_ATTEMPTS):
            try:
                async with fenced_transaction(self._database, self._node) as connection:
                    uow = UnitOfWork(connection, self._clock.now(), self._context)
                    result = await work(uow)
                    await uow.write_journal()
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == MAX_ATTEMPTS - 1:
                    raise
                continue
            uow.announce(self._wakeups)
            return result
        raise AssertionError("unreachable")

    async def apply(self, inputs: Sequence[tuple[str, Input]]) -> list[Decision]:
        """One transaction that carries nothing but these inputs; see UnitOfWork.apply."""

        async def work(uow: UnitOfWork) -> list[Decision]:
            return await uow.apply(inputs)

        return await self.run(work)
