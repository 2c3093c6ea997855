"""Scheduled jobs: run by each process, or by one process of the cluster at a time.

Timers only trigger a job; the database decides what is due. The table `jobs` has the process that runs a job of
the cluster. A job fences its own transactions. Intervals are monotonic time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass

from gateway import metrics
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.retry import is_transient
from gateway.logs.log import Event, get_logger
from gateway.store import jobs
from gateway.store.database import Database
from gateway.store.nodes import FencedError

log = get_logger()

POLL_SECONDS = 60.0
"""Longest wait between checks whether a job of the cluster is due: a restart begins a new wait."""
RETRY_SECONDS = 60.0
"""After which a job of the cluster is due again when it has failed or its process was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and its interval."""

    name: str
    run: Callable[[], Awaitable[object]]
    every_seconds: float  # monotonic time
    once_per_cluster: bool = False


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
        self._timers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the timers; each job runs for the first time after one interval."""
        self._timers = [asyncio.create_task(self._repeat(job)) for job in self._jobs]

    def stop(self) -> None:
        """Starts no more jobs, and cancels those that run."""
        for timer in self._timers:
            timer.cancel()

    async def _repeat(self, job: Job) -> None:
        """Runs the job once an interval until cancelled. Intervals that pass during a run are left out."""
        clock, run, interval = asyncio.get_running_loop().time, self._runner(job), self._timer_seconds(job)
        began = clock()
        while True:
            await asyncio.sleep(interval - (clock() - began) % interval)
            await run()

    def _timer_seconds(self, job: Job) -> float:
        return min(job.every_seconds, self._poll_seconds) if job.once_per_cluster else job.every_seconds

    async def run(self, name: str) -> None:
        """Runs one job now, as its timer would."""
        await self._runner(next(job for job in self._jobs if job.name == name))()

    def _runner(self, job: Job) -> Callable[[], Coroutine[None, None, None]]:
        """A run of the job. Errors are logged and counted; the next run repeats the work."""

        async def run() -> None:
            try:
                if not job.once_per_cluster:
                    await job.run()
                elif await self._claim(job):
                    await job.run()
                    await self._finish(job)
            except FencedError:
                return  # the next heartbeat raises it too, and ends the process
            except Exception as error:
                name, unexpected = type(error).__name__, not is_transient(error)
                log.error(Event.TASK_FAILED, task=job.name, error=name, exc_info=unexpected)
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
