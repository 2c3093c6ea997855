"""The clock: business time, and real time where that is meant.

Business time = origin + (real time - origin) * rate. At rate 1 it is real time; at 86400 a day lasts a
second, so that a demonstration can run the six days of the journey. The origin is stored in the database
(store/database.py): restarts and other processes share it. No other module reads the wall clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall_now() -> datetime:
    """Real time, UTC: for log lines, webhook timestamps and the like."""
    return datetime.now(UTC)


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

    def real(self, business: datetime) -> datetime:
        """The real instant of a business instant."""
        return business if self.rate == 1 else self.origin + (business - self.origin) / self.rate

    def until(self, business: datetime) -> float:
        """Real seconds until a business instant; 0 when it has passed."""
        return max(0.0, (self.real(business) - self._wall()) / timedelta(seconds=1))
