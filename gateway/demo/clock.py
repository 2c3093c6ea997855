"""Business time as it can be known outside the gateway: from the instants that its statuses carry."""

import time
from datetime import datetime, timedelta

DAY = timedelta(days=1)


class ObservedClock:
    """Simulated time; a day lasts `day` real seconds."""

    def __init__(self, day: float) -> None:
        self.day = day
        self._at_zero: datetime | None = None  # business time at monotonic 0, by the promptest status so far

    @property
    def rate(self) -> float:
        """`clock.rate` for the gateway."""
        return DAY.total_seconds() / self.day

    def observe(self, at: datetime) -> None:
        """A status with this instant has just come."""
        at_zero = at - timedelta(seconds=time.monotonic() * self.rate)
        self._at_zero = at_zero if self._at_zero is None else max(self._at_zero, at_zero)

    def now(self) -> datetime | None:
        """Business time in the zone of the statuses; None before the first."""
        if self._at_zero is None:
            return None
        return self._at_zero + timedelta(seconds=time.monotonic() * self.rate)

    def seconds(self, days: float) -> float:
        """The real seconds that so many days last."""
        return days * self.day
