"""The one clock of the program: business time, and the wall's where real time is meant.

Business time = origin + (real time - origin) * rate. At rate 1 it is real time; at 86400 a day lasts a
second, so that a rehearsal can run the journey's six days through. The origin lies in the database
(store/database.py): restarts and other processes share it. No other module reads the wall clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall_now() -> datetime:
    """Real time, UTC: for what is not the journey's, such as log lines and webhook timestamps."""
    return datetime.now(UTC)


class Clock:
    """Business time, UTC. `wall` is where it reads real time; tests put their own there."""

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
        """The real instant at which it will be, or was, `business`."""
        return business if self.rate == 1 else self.origin + (business - self.origin) / self.rate

    def until(self, business: datetime) -> float:
        """Real seconds until it is `business`; 0 when that has passed."""
        return max(0.0, (self.real(business) - self._wall()) / timedelta(seconds=1))
