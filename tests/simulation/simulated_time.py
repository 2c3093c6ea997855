"""Virtual time: events in the order of their instants, and of their creation for equal instants."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

BEGINNING = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
"""Monday, 09:00 in Almaty."""
DAY = 86_400.0


class Timeline:
    """`now` is seconds since BEGINNING: the business time, and the monotonic time of the protocol."""

    __slots__ = ("_created", "_pending", "now", "steps")

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._pending: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._created = 0

    @property
    def at(self) -> datetime:
        """The instant as the journey has it."""
        return BEGINNING + timedelta(seconds=self.now)

    def after(self, delay: float, what: Callable[..., None], *arguments: Any) -> None:
        self._created += 1
        heapq.heappush(self._pending, (self.now + delay, self._created, what, arguments))

    def when(self, at: datetime, what: Callable[..., None], *arguments: Any) -> None:
        """At a business instant, or at once when it has passed."""
        self.after(max((at - self.at).total_seconds(), 0.0), what, *arguments)

    def step(self) -> bool:
        """Runs the next event; False when there is none."""
        if not self._pending:
            return False
        self.now, _, what, arguments = heapq.heappop(self._pending)
        self.steps += 1
        what(*arguments)
        return True
