"""Steps of clocks, measured by the monotonic clock: logged and counted; what waits for an instant moves along."""

import time
from collections.abc import Callable
from datetime import datetime

from gateway import metrics
from gateway.clock import MAX_DRIFT_SECONDS, Clock, wall_now
from gateway.logs.log import Event, get_logger
from gateway.store import clock_steps
from gateway.store.clock_steps import LongestWaits
from gateway.store.database import Connection

log = get_logger()

MAX_READING_SECONDS = 1.0
"""The longest reading of the database's clock that counts; a longer one says too little of its instant."""


class ClockWatch:
    """Compares this host's wall clock and the database's clock with the monotonic one, at each heartbeat."""

    def __init__(
        self,
        clock: Clock,
        wall_stepped: Callable[[], None],
        *,
        longest: LongestWaits,
        wall: Callable[[], datetime] = wall_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wall_stepped` is called after a step of this host's clock: timers that rely on it restart."""
        self._clock = clock
        self._wall_stepped = wall_stepped
        self._longest = longest
        self._wall = wall
        self._monotonic = monotonic
        self._seen: dict[str, tuple[datetime, float]] = {}
        self._difference = 0.0  # of host and database, in seconds, as last logged

    def instant(self) -> datetime:
        """The real instant of business, to be kept in the database."""
        return self._clock.wall()

    async def observe(self, connection: Connection, database_now: datetime, asked_at: float | None = None) -> None:
        """Notices steps since the last observation; rows move along with the database's clock.

        `asked_at`: when its clock was asked for (monotonic seconds); None: now.
        """
        wall = self._wall()
        standing = self._clock.follow(database_now)
        metrics.CLOCK_DRIFT.labels("business").set(standing)
        metrics.CLOCK_DRIFT.labels("step").set(self._clock.step_seconds)
        if self._step("wall", wall):
            self._wall_stepped()
        if asked_at is not None and self._monotonic() - asked_at > MAX_READING_SECONDS:
            return
        self._compare((wall - database_now).total_seconds())
        before = self._seen.get("database")
        if step := self._step("database", database_now):
            try:
                await clock_steps.move(connection, step, self._longest)
            except BaseException:  # the next observation sees the step again
                if before is not None:
                    self._seen["database"] = before
                raise
        self._clock.observed(database_now)

    def _compare(self, host_ahead: float) -> None:
        """Says by how much the host's clock is ahead of the database's: once, and again when that changes."""
        metrics.CLOCK_DRIFT.labels("database").set(host_ahead)
        if abs(host_ahead) <= MAX_DRIFT_SECONDS:
            self._difference = 0.0
        elif abs(host_ahead - self._difference) > MAX_DRIFT_SECONDS:
            self._difference = host_ahead
            log.warning(Event.CLOCKS_DIFFER, seconds=round(host_ahead, 1))
            metrics.CLOCK_DIFFERENCES.inc()

    def _step(self, clock: str, now: datetime) -> float:
        """Seconds by which the clock has stepped since the last observation; 0 when it has not."""
        monotonic = self._monotonic()
        seen_at, seen = self._seen.get(clock, (now, monotonic))
        self._seen[clock] = now, monotonic
        step = (now - seen_at).total_seconds() - (monotonic - seen)
        if abs(step) <= MAX_DRIFT_SECONDS:
            return 0.0
        log.error(Event.CLOCK_STEPPED, clock=clock, seconds=round(step, 1))
        metrics.CLOCK_STEPS.labels(clock).inc()
        return step
