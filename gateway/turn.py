"""Turns of the event loop: long work on foreign data gives way to other tasks, so that no peer starves another."""

import asyncio
import time
from typing import Final

MAX_TURN_SECONDS: Final = 0.0015
"""Of work between two turns of other tasks."""


class Turn:
    """The turn of one task, which began when this was made."""

    def __init__(self, max_seconds: float = MAX_TURN_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._began = time.perf_counter()

    async def give_way(self) -> None:
        """Lets other tasks run, if this turn has lasted long enough; another one begins then.

        Where a single piece of work was longer than a turn, they get as much time as it took.
        """
        lasted = time.perf_counter() - self._began
        if lasted >= self._max_seconds:
            await asyncio.sleep(lasted if lasted > 2 * self._max_seconds else 0)
            self._began = time.perf_counter()
