"""The scheduled jobs, each one line that calls a use case. What is due is a question to the database, not a timer.

Cases, receipts and the journal's entries are taken by every process, and each row by one: it is locked, or
skipped. What tidies up and watches is run once per cluster, by the process that sees first that it is due. All
that a job writes is fenced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import TypeVar

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from gateway import metrics
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.logs.log import Event, get_logger
from gateway.operators.receiver import Receiver
from gateway.store import cases, dialogues, jobs, journal, journal_tree, receipts, unacknowledged
from gateway.store.database import Connection
from gateway.store.journal_tree import JournalTornError
from gateway.store.nodes import FencedError
from gateway.usecases.unit_of_work import Journeys

log = get_logger()

T = TypeVar("T")
Job = Callable[[], Coroutine[None, None, None]]

BATCH = 500
SEAL_BATCH = 5000
CHECK_BATCH = 500
"""Entries of the chain checked in one go: others wait for some milliseconds."""
CHECK_ROUND = 5000
GROW_ROUND = 400
"""Times that the tree grows in one go: by 400,000 entries and a second of work at most."""
POLL_SECONDS = 60
"""Most seconds between two looks whether a job of the cluster is due: else restarts would put it off for ever."""
RETRY_SECONDS = 60
"""Seconds after which a job of the cluster is run again that has failed, or died with its process."""


class Jobs:
    """The jobs and their intervals (real time)."""

    def __init__(self, journeys: Journeys, receiver: Receiver, keep: timedelta) -> None:
        self._journeys = journeys
        self._receiver = receiver
        self._keep = keep
        self._checked: journal.Place | None = None  # the head, when it was last checked
        self._round = journal.BEGINNING

    def start(self) -> AsyncIOScheduler:
        """A running scheduler; shut it down to stop."""
        # A run that finds the one before it still at work is skipped, as it should be: that is no news.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        scheduler = AsyncIOScheduler(timezone="UTC")
        for job, seconds in (
            (self.seal, 0.2),
            (self.meet_deadlines, 1.0),
            (self.match_receipts, 1.0),
            (self.flush_replies, 30.0),
            (self._once(self.fold_progress, every=30), 30.0),
            (self._once(self.check_journal, every=30), 30.0),
            (self._once(self.grow_tree, every=30), 30.0),
            (self._once(self.expire_receipts, every=60), POLL_SECONDS),
            (self._once(self.expire_dialogues, every=60), POLL_SECONDS),
            (self._once(self.expire_doubts, every=3600), POLL_SECONDS),
            (self._once(self.anchor_journal, every=3600), POLL_SECONDS),
            (self._once(self.erase, every=3600), POLL_SECONDS),
        ):
            scheduler.add_job(
                self._guarded(job), "interval", seconds=seconds, id=job.__name__, max_instances=1, coalesce=True,
                misfire_grace_time=None,
            )  # fmt: skip
        scheduler.start()
        return scheduler

    async def seal(self) -> None:
        """Moves pending journal entries into the chain; the feeds of statuses follow it."""
        signals = self._journeys.signals
        while await self._write(lambda connection: journal.seal(connection, SEAL_BATCH)):
            signals.statuses.set()
            async with signals.sealed:
                signals.sealed.notify_all()

    async def meet_deadlines(self) -> None:
        """Lets cases whose repeat or end is due go on (order A1 §10)."""
        while await self._journeys.meet_deadlines(BATCH) == BATCH:
            pass

    async def match_receipts(self) -> None:
        """Applies receipts that came before the response they belong to."""
        while await self._receiver.match_unmatched(BATCH) == BATCH:
            pass

    async def flush_replies(self) -> None:
        """Reads long replies that never became whole."""
        await self._receiver.flush_incomplete()

    async def fold_progress(self) -> None:
        """Sums up the lists' counts by state."""
        await self._write(cases.fold_progress)

    async def expire_receipts(self) -> None:
        """Forgets receipts that will not come."""
        while await self._write(lambda connection: receipts.expire(connection, BATCH)) >= BATCH:
            pass

    async def expire_dialogues(self) -> None:
        """Forgets USSD dialogues that are over, and screens that were not sent in time."""
        await self._write(dialogues.expire)

    async def expire_doubts(self) -> None:
        """Forgets times from which no copy of a reply can come any more."""
        await self._write(unacknowledged.expire)

    async def erase(self) -> None:
        """Erases personal data whose time is over, and says of how many cases."""
        total = 0
        while erased := await self._journeys.erase_personal_data(self._keep, BATCH):
            total += erased
        if total:
            log.info(Event.PERSONAL_DATA_ERASED, cases=total)

    async def grow_tree(self) -> None:
        """Lets the tree over the journal follow it; after an upgrade it has years to catch up with."""
        for _ in range(GROW_ROUND):
            if not await self._write(journal_tree.grow):
                break

    async def check_journal(self) -> None:
        """Checks the chain a piece further: what is new, and, round after round, what is old.

        Each process knows only its own round, so that a restart begins a new one.
        """
        async with self._journeys.database.acquire() as connection:
            if self._checked is None:
                seq, head, _ = await journal.head(connection)
                self._checked = journal.Place(seq, bytes.fromhex(head))
            self._checked = await self._walk(connection, self._checked)
            before, self._round = self._round, await self._walk(connection, self._round)
            if self._round == before:
                self._round = journal.BEGINNING

    async def anchor_journal(self) -> None:
        """Says where the chain has come to: who keeps the line can show that nothing before it was changed."""
        async with self._journeys.database.acquire() as connection:
            seq = await journal_tree.reach(connection)
            root = await journal_tree.root(connection, seq)
        log.info(Event.JOURNAL_ANCHOR, anchor=f"{seq}:{root.hex()}")

    async def _walk(self, connection: Connection, place: journal.Place) -> journal.Place:
        for _ in range(CHECK_ROUND // CHECK_BATCH):
            before = place
            place, fault = await journal.walk(connection, before, CHECK_BATCH)
            metrics.JOURNAL_CHECKED.inc(place.seq - before.seq)
            if fault is not None:
                _say_broken(fault.seq, fault.reason)
            if fault is not None or place == before:
                break
        return place

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """One transaction, unless this process was taken for dead."""
        return await self._journeys.transact(lambda step: work(step.connection))

    def _once(self, job: Job, *, every: float) -> Job:
        """The job, run only when it is due and no other process of the cluster has taken it."""
        name, node = job.__name__, self._journeys.node

        @wraps(job)
        async def run() -> None:
            if await self._write(
                lambda connection: jobs.claim(connection, name, node, every=every, again=RETRY_SECONDS)
            ):
                await job()
                await self._write(lambda connection: jobs.finish(connection, name, node, every=every))

        return run

    def _guarded(self, job: Job) -> Job:
        """What the database does to one run is logged; the next run makes it good."""

        @wraps(job)
        async def run() -> None:
            try:
                await job()
            except asyncio.CancelledError:
                return  # we stop; APScheduler would take it for a failure
            except JournalTornError as error:
                _say_broken(error.seq, str(error))
            except FencedError:
                return  # as the next beat will find, which ends the process
            except TRANSIENT_ERRORS as error:
                log.error(Event.TASK_FAILED, task=job.__name__, error=type(error).__name__)
                metrics.JOB_FAILURES.labels(job.__name__).inc()

        return run


def _say_broken(seq: int, reason: str) -> None:
    log.critical(Event.JOURNAL_BROKEN, seq=seq, reason=reason)
    metrics.JOURNAL_FAULTS.inc()
