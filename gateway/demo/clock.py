"""Business time as it can be known outside the gateway: from the instants in its statuses."""

import time
from datetime import datetime, timedelta

DAY = timedelta(days=1)


class ObservedClock:
    """Business time at a rate of one day in `day_seconds` real seconds."""

    def __init__(self, day_seconds: float) -> None:
        self.day_seconds = day_seconds
        self._at_zero: datetime | None = None  # business time at monotonic 0, by the status with the least delay

    @property
    def rate(self) -> float:
        """`clock.rate` for the gateway."""
        return DAY.total_seconds() / self.day_seconds

    def observe(self, at: datetime) -> None:
        """A status with this instant has just arrived."""
        at_zero = at - timedelta(seconds=time.monotonic() * self.rate)
        self._at_zero = at_zero if self._at_zero is None else max(self._at_zero, at_zero)

    def now(self) -> datetime | None:
        """Business time in the time zone of the statuses; None before the first."""
        return self.at(time.monotonic())

    def at(self, monotonic: float) -> datetime | None:
        """The same of an instant in monotonic seconds."""
        if self._at_zero is None:
            return None
        return self._at_zero + timedelta(seconds=monotonic * self.rate)

    def seconds(self, days: float) -> float:
        """The real seconds of so many days."""
        return days * self.day_seconds
