"""The scheduled jobs, each one line that calls a use case. What is due is a question to the database, not a timer.

Every process runs them; rows are locked or skipped, so that a job's work is done once per cluster.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from gateway import metrics
from gateway.journeys import Journeys
from gateway.log import Event, get_logger
from gateway.operators.receiving import Receiver
from gateway.steady import PASSING
from gateway.store import cases, dialogues, doubts, journal, receipts
from gateway.store.database import Connection

log = get_logger()

BATCH = 500
SEAL = 5000
CHECK = 500
"""Entries of the chain checked in one go: others wait for some milliseconds."""
CHECKED_AT_ONCE = 5000


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
            (self.meet_deadlines, 1),
            (self.match_receipts, 1),
            (self.flush_replies, 30),
            (self.fold_progress, 30),
            (self.expire_receipts, 60),
            (self.expire_dialogues, 60),
            (self.expire_doubts, 3600),
            (self.check_journal, 30),
            (self.anchor_journal, 3600),
            (self.erase, 3600),
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
        while await self._sealed():
            signals.statuses.set()
            async with signals.sealed:
                signals.sealed.notify_all()

    async def meet_deadlines(self) -> None:
        """Lets cases whose repeat or end is due go on (order A1 §10)."""
        while await self._journeys.meet_deadlines(BATCH) == BATCH:
            pass

    async def match_receipts(self) -> None:
        """Applies receipts that came before the response they belong to."""
        while await self._receiver.match_parked(BATCH) == BATCH:
            pass

    async def flush_replies(self) -> None:
        """Reads long replies that never became whole."""
        await self._receiver.flush_incomplete()

    async def fold_progress(self) -> None:
        """Sums up the lists' counts by state."""
        async with self._journeys.database.acquire() as connection, connection.transaction():
            await cases.fold_progress(connection)

    async def expire_receipts(self) -> None:
        """Forgets receipts that will not come."""
        async with self._journeys.database.acquire() as connection:
            while await receipts.expire(connection, BATCH) >= BATCH:
                pass

    async def expire_dialogues(self) -> None:
        """Forgets USSD dialogues that are over, and screens that were not sent in time."""
        async with self._journeys.database.acquire() as connection:
            await dialogues.expire(connection)

    async def expire_doubts(self) -> None:
        """Forgets times from which no copy of a reply can come any more."""
        async with self._journeys.database.acquire() as connection:
            await doubts.expire(connection)

    async def erase(self) -> None:
        """Erases personal data whose time is over, and says of how many cases."""
        total = 0
        while erased := await self._journeys.erase_personal_data(self._keep, BATCH):
            total += erased
        if total:
            log.info(Event.PERSONAL_DATA_ERASED, cases=total)

    async def check_journal(self) -> None:
        """Checks the chain a piece further: what is new, and, round after round, what is old.

        One process at a time; each knows only its own round, so that a restart begins a new one.
        """
        async with self._journeys.database.acquire() as connection:
            if not await journal.begin_check(connection):
                return
            try:
                if self._checked is None:
                    seq, head, _ = await journal.head(connection)
                    self._checked = journal.Place(seq, bytes.fromhex(head))
                self._checked = await self._walk(connection, self._checked)
                before, self._round = self._round, await self._walk(connection, self._round)
                if self._round == before:
                    self._round = journal.BEGINNING
            finally:
                await journal.end_check(connection)

    async def anchor_journal(self) -> None:
        """Says where the chain has come to: who keeps the line can show that nothing before it was changed."""
        async with self._journeys.database.acquire() as connection:
            seq, head, at = await journal.head(connection)
        log.info(Event.JOURNAL_ANCHOR, seq=seq, hash=head, at_business=at.isoformat())

    async def _walk(self, connection: Connection, place: journal.Place) -> journal.Place:
        for _ in range(CHECKED_AT_ONCE // CHECK):
            before = place
            place, fault = await journal.walk(connection, before, CHECK)
            metrics.JOURNAL_CHECKED.inc(place.seq - before.seq)
            if fault is not None:
                log.critical(Event.JOURNAL_BROKEN, seq=fault.seq, reason=fault.reason)
                metrics.JOURNAL_FAULTS.inc()
            if fault is not None or place == before:
                break
        return place

    async def _sealed(self) -> int:
        async with self._journeys.database.acquire() as connection:
            return await journal.seal(connection, SEAL)

    def _guarded(self, job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """What the database does to one run is logged; the next run makes it good."""

        async def run() -> None:
            try:
                await job()
            except asyncio.CancelledError:
                return  # we stop; APScheduler would take it for a failure
            except PASSING as error:
                log.error(Event.TASK_FAILED, task=job.__name__, error=type(error).__name__)
                metrics.JOB_FAILURES.labels(job.__name__).inc()

        return run
