"""The clock: business time, and real time where that is meant.

Business time = origin + (real time - origin) * rate. At rate 1 it is real time; at 86400 a day lasts a
second, so that a demonstration can run the six days of the journey. The origin is stored in the database
(store/database.py): restarts and other processes share it. No other module reads the wall clock.

The real time of business is that of the database, so that all processes have the same. It runs on the monotonic
clock and follows the database's clock: small differences at once, a step only when it has lasted. It never runs
backwards.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall_now() -> datetime:
    """Real time, UTC: for log lines, webhook timestamps and the like."""
    return datetime.now(UTC)


MAX_DRIFT_SECONDS = 2.0
"""The largest difference of two clocks; beyond it, one of them has stepped."""
STEP_LASTS_SECONDS = 600.0
"""The time for which a step of the database's clock must last before business time follows it."""


class SteadyTime:
    """Real time that no step of a clock moves back, nor forward at once. Call it for the instant."""

    __slots__ = ("_anchor", "_latest", "_monotonic", "_observed", "_stepped_at", "_sync", "step_seconds")

    def __init__(
        self, database_now: datetime, latest: datetime | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`latest` is the latest instant that a process of this database has had; None: none has."""
        self._monotonic = monotonic
        self._anchor, self._sync = database_now, monotonic()
        self._observed = database_now, self._sync
        self._latest = latest or database_now
        self._stepped_at: float | None = None
        self.step_seconds = 0.0
        """By how much the database's clock was set ahead (below 0: back), and is not followed yet."""

    def __call__(self) -> datetime:
        """The instant; it stands while it is ahead of the database's clock."""
        self._latest = max(self._latest, self._expected(self._monotonic()))
        return self._latest

    def followed(self) -> datetime:
        """The database's clock as far as it is followed; it may go back."""
        return self._expected(self._monotonic())

    @property
    def ahead_seconds(self) -> float:
        """For how long the instant stands now."""
        return max((self._latest - self._expected(self._monotonic())).total_seconds(), 0.0)

    def follow(self, database_now: datetime) -> None:
        """Takes over the database's clock, unless it has stepped within STEP_LASTS_SECONDS."""
        now = self._monotonic()
        drift = (database_now - self._expected(now)).total_seconds()
        if abs(drift) > MAX_DRIFT_SECONDS:
            self._stepped_at = now if self._stepped_at is None else self._stepped_at
            if now - self._stepped_at < STEP_LASTS_SECONDS:
                self.step_seconds = drift
                return
        self.step_seconds = 0.0
        self._anchor, self._sync, self._stepped_at = database_now, now, None

    def observed(self, database_now: datetime) -> None:
        """Notes the database's clock, after what waits for an instant has moved along with its steps."""
        self._observed = database_now, self._monotonic()

    def database_now(self) -> datetime:
        """The database's clock, without a step since it was observed."""
        at, monotonic = self._observed
        return at + timedelta(seconds=self._monotonic() - monotonic)

    def _expected(self, now: float) -> datetime:
        return self._anchor + timedelta(seconds=now - self._sync)


class Clock:
    """Business time, UTC. `wall` is its source of real time; tests give their own."""

    __slots__ = ("_wall", "origin", "rate")

    def __init__(self, origin: datetime, rate: float = 1.0, wall: Callable[[], datetime] = wall_now) -> None:
        self.origin = origin
        self.rate = rate
        self._wall = wall

    def now(self) -> datetime:
        """The business instant."""
        wall = self._wall()
        return wall if self.rate == 1 else self.origin + (wall - self.origin) * self.rate

    def wall(self) -> datetime:
        """The real instant."""
        return self._wall()

    def timestamp(self) -> datetime:
        """The real instant for others, who compare it with their clocks: it never stands, and no step moves it."""
        return self._wall.followed() if isinstance(self._wall, SteadyTime) else self._wall()

    def follow(self, database_now: datetime) -> float:
        """Seconds for which business time is stopped, after the database's clock was read."""
        if not isinstance(self._wall, SteadyTime):
            return 0.0
        self._wall.follow(database_now)
        return self._wall.ahead_seconds

    @property
    def step_seconds(self) -> float:
        """By how much the database's clock was set ahead (below 0: back); business time does not follow yet."""
        return self._wall.step_seconds if isinstance(self._wall, SteadyTime) else 0.0

    def observed(self, database_now: datetime) -> None:
        """Notes the database's clock, after what waits for an instant has moved along with its steps."""
        if isinstance(self._wall, SteadyTime):
            self._wall.observed(database_now)

    def waits_end_at(self) -> datetime | None:
        """The instant of the database's clock up to which waits are over: a step not observed yet ends none.

        None: as its clock says.
        """
        if not isinstance(self._wall, SteadyTime):
            return None
        return self._wall.database_now() + timedelta(seconds=MAX_DRIFT_SECONDS)

    def real(self, business: datetime) -> datetime:
        """The real instant of a business instant."""
        return business if self.rate == 1 else self.origin + (business - self.origin) / self.rate

    def until(self, business: datetime) -> float:
        """Real seconds until a business instant; 0 when it has passed."""
        return max(0.0, (self.real(business) - self._wall()) / timedelta(seconds=1))
