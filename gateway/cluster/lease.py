"""How sure a process may be that the links it holds are its own still.

A process that has written no heartbeat for the expiry time may be evicted by another one, so it releases its links
by itself: an SMSC must not talk to two processes at once, and it keeps the replies for the next bind.
"""

import asyncio
import time


class Lease:
    """One process's, renewed by each heartbeat. Instants are monotonic seconds."""

    def __init__(self, seconds: float) -> None:
        """`seconds` after the last heartbeat it lapses."""
        self._seconds = seconds
        self._renewed_at = time.monotonic()
        self._lock_held = True
        self._renewed = asyncio.Event()

    @property
    def lapsed(self) -> bool:
        """Whether another process may hold the links."""
        return self._left <= 0

    @property
    def is_exclusive(self) -> bool:
        """Whether no other process can hold the links: they see neither our lock gone nor our heartbeats missing."""
        return self._lock_held and not self.lapsed

    @property
    def _left(self) -> float:
        return self._renewed_at + self._seconds - time.monotonic()

    def renew(self, began_at: float) -> float:
        """A heartbeat is committed that was begun then; when the one before was begun."""
        before, self._renewed_at = self._renewed_at, began_at
        self._lock_held = True
        self._renewed.set()
        return before

    def lock_lost(self) -> None:
        """The connection is gone that holds our lock: others may evict this process before the lease lapses."""
        self._lock_held = False

    async def wait_lapsed(self) -> None:
        """Returns once it has lapsed."""
        while (left := self._left) > 0:  # noqa: ASYNC110 - no event says that time has passed
            await asyncio.sleep(left)

    async def wait_held(self) -> None:
        """Returns as soon as it is held."""
        while self.lapsed:
            self._renewed.clear()
            await self._renewed.wait()
