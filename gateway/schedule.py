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
from gateway.store import cases, dialogues, journal, receipts

log = get_logger()

BATCH = 500
SEAL = 5000


class Jobs:
    """The jobs and their intervals (real time)."""

    def __init__(self, journeys: Journeys, receiver: Receiver, keep: timedelta) -> None:
        self._journeys = journeys
        self._receiver = receiver
        self._keep = keep

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

    async def erase(self) -> None:
        """Erases personal data whose time is over, and says of how many cases."""
        total = 0
        while erased := await self._journeys.erase_personal_data(self._keep, BATCH):
            total += erased
        if total:
            log.info(Event.PERSONAL_DATA_ERASED, cases=total)

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
