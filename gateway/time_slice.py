"""Time slices of the event loop: long work yields to other tasks, so that no peer starves another."""

import asyncio
import time
from typing import Final

MAX_SLICE_SECONDS: Final = 0.0015
"""The longest that a task works before it yields to the others."""


class TimeSlice:
    """The time slice of one task, which began when this was made."""

    def __init__(self, max_seconds: float = MAX_SLICE_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._began = time.perf_counter()

    async def yield_if_spent(self) -> None:
        """Lets other tasks run, if this slice has lasted long enough; another one begins then.

        Where a single piece of work was longer than a slice, they get as much time as it took.
        """
        lasted = time.perf_counter() - self._began
        if lasted >= self._max_seconds:
            await asyncio.sleep(lasted if lasted > 2 * self._max_seconds else 0)
            self._began = time.perf_counter()
