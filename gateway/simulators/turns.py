"""What a session sends, in the order in which its requests came, each after its service time."""

import asyncio
from collections import deque
from collections.abc import Callable

Call = Callable[[], object]


class Turns:
    """A FIFO of calls. A call that takes no time and waits for no other is made at once."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Call]] = deque()

    def add(self, seconds: float, call: Call) -> None:
        """Makes the call `seconds` after the one before it."""
        if not seconds and not self._waiting:
            call()
            return
        self._waiting.append((seconds, call))
        if len(self._waiting) == 1:
            self._begin(seconds)

    def clear(self) -> None:
        """Forgets what has not been called."""
        self._waiting.clear()

    def _begin(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._next)

    def _next(self) -> None:
        while self._waiting:
            _, call = self._waiting[0]
            call()
            if self._waiting:
                self._waiting.popleft()
            if self._waiting and self._waiting[0][0]:
                self._begin(self._waiting[0][0])
                return
