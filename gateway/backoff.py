"""Exponential backoff with jitter."""

import random
from dataclasses import dataclass
from datetime import timedelta

MAX_DOUBLINGS = 64
"""Doublings after which the wait no longer grows: 2.0 ** 1024 would overflow."""
MIN_JITTER, MAX_JITTER = 0.5, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double with each failure in a row, from `first_seconds` up to `max_seconds`, before jitter.

    Jitter spreads the retries of those that failed together: a wait is 50 to 100 % of its ceiling.
    """

    first_seconds: float
    max_seconds: float

    def ceiling(self, failures: int) -> float:
        """Longest wait, in seconds, after so many failures in a row.

        The first failure has the number 1. 0 counts as 1: a connection that worked and was then lost.
        """
        doublings = min(max(failures, 1) - 1, MAX_DOUBLINGS)
        return min(self.max_seconds, self.first_seconds * 2.0**doublings)

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row: between 50 and 100 % of `ceiling(failures)`."""
        return self.ceiling(failures) * random.uniform(MIN_JITTER, MAX_JITTER)  # noqa: S311 - jitter, no secret

    def wait(self, failures: int) -> timedelta:
        """The same as a length of time."""
        return timedelta(seconds=self.delay(failures))

    def capped(self, max_seconds: float) -> "Backoff":
        """The same with shorter longest waits."""
        return Backoff(first_seconds=self.first_seconds, max_seconds=min(self.max_seconds, max_seconds))
