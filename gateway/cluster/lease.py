"""The lease of a process on the links that it holds.

A process without a heartbeat for the expiry time may be evicted by another process, which then binds its links. So
it releases them itself when its lease lapses: two processes must not be bound to one link at the same time. The
SMSC keeps the replies until the next bind.
"""

import asyncio
import time


class Lease:
    """The lease of one process, renewed by each heartbeat. Instants are monotonic seconds."""

    def __init__(self, duration_seconds: float) -> None:
        """It lapses `duration_seconds` after the last heartbeat."""
        self._duration_seconds = duration_seconds
        self._renewed_at = time.monotonic()
        self._lock_held = True
        self._renewed = asyncio.Event()

    @property
    def lapsed(self) -> bool:
        """Whether another process may hold the links."""
        return self._remaining_seconds <= 0

    @property
    def is_exclusive(self) -> bool:
        """Whether no other process can hold the links: our lock is held and our heartbeats are recent."""
        return self._lock_held and not self.lapsed

    @property
    def _remaining_seconds(self) -> float:
        return self._renewed_at + self._duration_seconds - time.monotonic()

    def renew(self, began_at: float) -> float:
        """The start of the previous heartbeat; the lease now counts from `began_at`, that of the latest one."""
        before, self._renewed_at = self._renewed_at, began_at
        self._lock_held = True
        self._renewed.set()
        return before

    def lock_lost(self) -> None:
        """Notes that our lock is lost: other processes may evict this one before the lease lapses."""
        self._lock_held = False

    async def wait_lapsed(self) -> None:
        """Returns when the lease has lapsed."""
        while (remaining := self._remaining_seconds) > 0:  # noqa: ASYNC110 - it may be renewed meanwhile
            await asyncio.sleep(remaining)

    async def wait_held(self) -> None:
        """Returns when the lease has not lapsed."""
        while self.lapsed:
            self._renewed.clear()
            await self._renewed.wait()
