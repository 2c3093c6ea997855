"""How sure this process may be that what it holds is its own still.

A process that has written no heartbeat for EXPIRED_AFTER_SECONDS may be evicted by another one, so it releases its
links by itself: an SMSC must not talk to two processes at once, and it keeps the replies for the next bind.
"""

import asyncio
import time

from gateway.store import nodes


class Lease:
    """One process's. Real time, monotonic seconds."""

    def __init__(self) -> None:
        self._renewed_at = time.monotonic()
        self._lock_held = True
        self._renewed = asyncio.Event()

    @property
    def lapsed(self) -> bool:
        """Whether somebody else may have taken over."""
        return self._left <= 0

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody can have taken over: the others see neither our lock gone nor our beats."""
        return self._lock_held and not self.lapsed

    @property
    def _left(self) -> float:
        return self._renewed_at + nodes.EXPIRED_AFTER_SECONDS - time.monotonic()

    def renew(self, began_at: float) -> float:
        """A beat has got through that was begun then; when the one before was."""
        before, self._renewed_at = self._renewed_at, began_at
        self._lock_held = True
        self._renewed.set()
        return before

    def lock_lost(self) -> None:
        """The connection is gone that shows the others our life: they may bury us before the lease lapses."""
        self._lock_held = False

    async def lapse(self) -> None:
        """Returns once it has lapsed."""
        while (left := self._left) > 0:  # noqa: ASYNC110 - no event says that time has passed
            await asyncio.sleep(left)

    async def held(self) -> None:
        """Returns as soon as it is held."""
        while self.lapsed:
            self._renewed.clear()
            await self._renewed.wait()
