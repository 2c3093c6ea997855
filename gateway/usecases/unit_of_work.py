"""The unit of work: one transaction of this process, in which inputs become decisions and decisions become rows.

A transaction may apply inputs to many cases. It locks their rows, decides with ``consent.journey``, and writes
states, journal, texts and calls in a fixed number of statements. Nothing is sent here: the shells read the rows,
or are handed texts after the commit, and report the results as new inputs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import asyncpg

from gateway.clock import Clock
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.wakeups import WakeUps
from gateway.consent.details import Reason
from gateway.consent.events import STATUSES, Event, EventType
from gateway.consent.inputs import Decision, Input
from gateway.evidence.digests import Digester
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import cases, journal, outbox
from gateway.store.calls import CallKind
from gateway.store.cases import StoredCase
from gateway.store.database import Connection, Database
from gateway.store.rewinds import Committed, JournalMemory
from gateway.store.writes import Write, execute
from gateway.time_slice import TimeSlice
from gateway.tracing.traces import Traces
from gateway.usecases.case_batch import CaseBatch, DecisionContext, text_queued
from gateway.usecases.immediate_texts import ImmediateTexts, LinkSender

T = TypeVar("T")

log = get_logger()

MAX_ATTEMPTS = 5
"""The number of attempts of a transaction that PostgreSQL aborts because of a deadlock."""

_LOGGED = STATUSES | {EventType.PARKED}


class UnitOfWork:
    """One open transaction; `now` is the business time at which it began, `steady` real time without steps.

    `waits_end_at` is that of Clock.
    """

    def __init__(
        self, connection: Connection, clock: Clock, context: DecisionContext, immediate: ImmediateTexts
    ) -> None:
        self.connection = connection
        self.now = clock.now()
        self.steady = clock.timestamp()
        self.waits_end_at = clock.waits_end_at()
        self._context = context
        self._immediate = immediate
        self._logged: list[tuple[StoredCase, Event]] = []
        self._links: set[str] = set()
        self._calls: set[CallKind] = set()
        self._entries: list[journal.Entry] = []

    @property
    def digests(self) -> Digester:
        """The digests that replace personal data in the journal."""
        return self._context.digests

    async def apply(
        self,
        inputs: Sequence[tuple[str, Input]],
        others: Callable[[Sequence[Decision]], Sequence[Write]] = lambda _: (),
    ) -> list[Decision]:
        """The decisions on (case_id, input), in order; their effects are written.

        Inputs for cases that do not exist have no decision. `others` are changes that go with the decisions: they
        are made by the same statement as their effects.
        """
        if not inputs:
            await execute(self.connection, others([]))
            return []
        stored = await cases.lock(self.connection, {case_id for case_id, _ in inputs})
        batch = CaseBatch(self.connection, self.now, self._context, stored, self._immediate)
        decisions, time_slice = [], TimeSlice()
        for case_id, given in inputs:
            if case_id in batch.stored:
                decisions.append(batch.decide(case_id, given))
                await time_slice.yield_if_spent()
        await batch.settle_numbers(time_slice)
        outcome = await batch.write(others(decisions))
        self.journal([(stored.case_id, event) for stored, event in outcome.events])
        self._logged.extend((s, event) for s, event in outcome.events if event.name in _LOGGED)
        self._links |= outcome.links
        self._calls |= outcome.calls
        return decisions

    def journal(self, events: Sequence[tuple[str | None, Event]]) -> None:
        """Appends (case_id, event) to the journal at the end of the transaction; case_id None: of no case."""
        self._entries += [journal.entry(self.now, case_id, event) for case_id, event in events]

    async def queue_screens(self, screens: Sequence[outbox.NewScreen], lifetime_seconds: float) -> None:
        """Queues screens of USSD dialogues; one that is not sent within its lifetime expires."""
        if not screens:
            return
        sms_ids = await outbox.queue_screens(self.connection, screens, self.now, lifetime_seconds)
        self.journal(
            [
                (screen.case_id, text_queued(self.digests, sms_id, screen, segments=1))
                for sms_id, screen in zip(sms_ids, screens, strict=True)
            ]
        )
        self._links.update(screen.link for screen in screens)

    async def write_journal(self) -> None:
        """Writes all journal entries of the transaction, those of a case together: they then share a block."""
        if self._entries:
            self._entries.sort(key=lambda entry: entry.case_id or "")
            await journal.append(self.connection, self._entries)

    def committed(self, memory: JournalMemory) -> None:
        """Remembers the last entry of a case; to be called after the commit."""
        for last in reversed(self._entries):
            if last.case_id is not None:
                memory.committed(Committed(last.case_id, last.at, last.event))
                return

    def announce(self, wakeups: WakeUps, traces: Traces) -> None:
        """Logs and traces the statuses, and wakes the tasks with new work; to be called after the commit."""
        for stored, event in self._logged:
            case_id, list_id = stored.case_id, stored.list_id
            if isinstance(event.detail, Reason) and event.name is EventType.PARKED:
                log.warning(LogEvent.CASE_PARKED, reason=event.detail.reason, case_id=case_id, list_id=list_id)
            else:
                log.info(LogEvent.CASE_STATUS, status=event.name.value, case_id=case_id, list_id=list_id)
            ends = stored.case.state.value == event.name.value  # else it came before the end, or after it
            traces.case_status(
                case_id,
                event.name.value,
                list_id=list_id,
                service=stored.service,
                opened_at=stored.opened_at,
                ended_at=stored.case.ended_at if ends else None,
            )
        wakeups.committed(links=self._links, calls=self._calls, journal=bool(self._entries))


class Transactions:
    """Runs the units of work of one process, for all use cases."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        context: DecisionContext,
        wakeups: WakeUps,
        memory: JournalMemory,
        traces: Traces,
        senders: Mapping[str, LinkSender],
    ) -> None:
        """`senders` are those of the links that this process holds, by link."""
        self._database = database
        self._senders = senders
        self._clock = clock
        self._context = context
        self._wakeups = wakeups
        self._memory = memory
        self._traces = traces

    async def run(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """The result of `work`, run in one transaction; after the commit, tasks with new work are woken.

        `work` is run again when PostgreSQL has aborted the transaction because of a deadlock, up to MAX_ATTEMPTS
        times. Raises FencedError when this process was evicted.
        """
        for attempt in range(MAX_ATTEMPTS):
            immediate = ImmediateTexts(self._senders)
            try:
                async with fenced_transaction(self._database, self._context.node) as connection:
                    uow = UnitOfWork(connection, self._clock, self._context, immediate)
                    result = await work(uow)
                    await uow.write_journal()
                immediate.committed()
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == MAX_ATTEMPTS - 1:
                    raise
                continue
            finally:
                immediate.abandon()
            uow.committed(self._memory)
            uow.announce(self._wakeups, self._traces)
            return result
        raise AssertionError("unreachable")

    async def apply(self, inputs: Sequence[tuple[str, Input]]) -> list[Decision]:
        """The decisions on these inputs, in a transaction of their own; see UnitOfWork.apply."""

        async def work(uow: UnitOfWork) -> list[Decision]:
            return await uow.apply(inputs)

        return await self.run(work)
