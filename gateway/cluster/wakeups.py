"""Wake-ups between the tasks of one process, so that committed work is processed before the next poll.

A lost wake-up delays work until the next poll and loses nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from gateway.store.calls import CallKind

POLL_SECONDS = 1.0
"""The time after which a waiting task polls for work that another process has committed."""


class WakeUp:
    """An event set by tasks that create work, and awaited by the one task that processes it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout: float = POLL_SECONDS) -> None:  # noqa: ASYNC109 - a poll, not a deadline
        """Returns when it was set since the last wait, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return
        finally:
            self._event.clear()


class WakeUps:
    """The wake-ups of one process, one per kind of work."""

    def __init__(self) -> None:
        self.texts: defaultdict[str, WakeUp] = defaultdict(WakeUp)  # by link
        self.calls: defaultdict[CallKind, WakeUp] = defaultdict(WakeUp)
        self.journal = WakeUp()
        self.statuses = WakeUp()
        self.sealed = asyncio.Condition()

    def committed(self, *, links: Iterable[str] = (), calls: Iterable[CallKind] = (), journal: bool) -> None:
        """Wakes the tasks for what a transaction has committed: texts of these links, calls, journal entries."""
        for link in links:
            self.texts[link].set()
        for kind in calls:
            self.calls[kind].set()
        if journal:
            self.journal.set()
