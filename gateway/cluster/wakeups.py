"""Wake-ups between the tasks of one process: what was just committed is looked at now, not at the next poll.

A lost wake-up costs a second, never a row.
"""

import asyncio
from collections import defaultdict

from gateway.store.calls import CallKind

POLL_SECONDS = 1.0
"""After which a waiting task looks by itself for work of other processes."""


class WakeUp:
    """Set by a task that has made work, awaited by the one task that does it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout: float = POLL_SECONDS) -> None:  # noqa: ASYNC109 - a poll, not a deadline
        """Returns when set since the last wait, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class WakeUps:
    """One wake-up for each kind of work."""

    def __init__(self) -> None:
        self.texts: defaultdict[str, WakeUp] = defaultdict(WakeUp)  # by link
        self.calls: defaultdict[CallKind, WakeUp] = defaultdict(WakeUp)
        self.journal = WakeUp()
        self.statuses = WakeUp()
        self.sealed = asyncio.Condition()
