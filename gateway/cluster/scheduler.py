"""Scheduled jobs: run by each process, or by one process of the cluster at a time.

Timers only trigger a job; the database decides what is due. The table `jobs` has the process that runs a job of
the cluster. A job fences its own transactions. Intervals are real time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from gateway import metrics
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.logs.log import Event, get_logger
from gateway.store import jobs
from gateway.store.database import Database
from gateway.store.nodes import FencedError

log = get_logger()

POLL_SECONDS = 60.0
"""The longest wait between checks whether a job of the cluster is due: a restart begins a new wait."""
RETRY_SECONDS = 60.0
"""The time after which a job of the cluster that failed, or whose process was killed, is due again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and its interval."""

    name: str
    run: Callable[[], Awaitable[object]]
    every_seconds: float  # real time
    once_per_cluster: bool = False


class FromNowOn(BaseTrigger):  # type: ignore[misc]  # the library has no types
    """An interval that is always counted from now on.

    APScheduler's own counts from the last run, and enumerates all runs that the wall clock has passed since: after
    a step ahead by 30 days, some million for each job, which holds up the event loop for minutes.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The end of an interval that begins now."""
        return now + self._interval


class Scheduler:
    """Runs the jobs of one process, each at most once at a time, from `start` until `stop`."""

    def __init__(
        self,
        jobs: Iterable[Job],
        *,
        database: Database,
        node: str,
        poll_seconds: float = POLL_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._jobs = tuple(jobs)
        self._database = database
        self._node = node
        self._poll_seconds = poll_seconds
        self._retry_seconds = retry_seconds
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def start(self) -> None:
        """Starts the timers; each job runs for the first time after one interval."""
        # APScheduler warns about every run that is skipped because the previous one has not finished.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
        for job in self._jobs:
            self._scheduler.add_job(
                self._runner(job), self._timer(job), id=job.name, max_instances=1, misfire_grace_time=None
            )
        self._scheduler.start()

    def restart_timers(self) -> None:
        """Restarts all intervals: APScheduler waits for instants of the wall clock, which has stepped."""
        for job in self._jobs:
            self._scheduler.reschedule_job(job.name, trigger=self._timer(job))

    def stop(self) -> None:
        """Starts no more jobs; running ones are cancelled with the event loop's tasks."""
        self._scheduler.shutdown(wait=False)

    def _timer(self, job: Job) -> "FromNowOn":
        polled = min(job.every_seconds, self._poll_seconds)
        return FromNowOn(polled if job.once_per_cluster else job.every_seconds)

    async def run(self, name: str) -> None:
        """Runs one job now, as its timer would."""
        await self._runner(next(job for job in self._jobs if job.name == name))()

    def _runner(self, job: Job) -> Callable[[], Coroutine[None, None, None]]:
        """A run of the job. Transient errors are logged and counted; the next run repeats the work."""

        async def run() -> None:
            try:
                if not job.once_per_cluster:
                    await job.run()
                elif await self._claim(job):
                    await job.run()
                    await self._finish(job)
            except asyncio.CancelledError:
                return  # the process stops; APScheduler would log it as an error
            except FencedError:
                return  # the next heartbeat raises it too, and ends the process
            except TRANSIENT_ERRORS as error:
                log.error(Event.TASK_FAILED, task=job.name, error=type(error).__name__)
                metrics.JOB_FAILURES.labels(job.name).inc()

        return run

    async def _claim(self, job: Job) -> bool:
        """Whether the job is due and now claimed by this process."""
        async with fenced_transaction(self._database, self._node) as connection:
            return await jobs.claim(
                connection,
                job.name,
                self._node,
                interval_seconds=job.every_seconds,
                retry_seconds=self._retry_seconds,
            )

    async def _finish(self, job: Job) -> None:
        async with fenced_transaction(self._database, self._node) as connection:
            await jobs.finish(connection, job.name, self._node, interval_seconds=job.every_seconds)
