"""How sure this process may be that what it holds is its own still.

It beats in the database; when no beat has got through for too long, the others take it for dead, and their word
counts. So it submits nothing more, and lets its links go by itself: an SMSC must not talk to two of us. Alone in
its database it has nobody to make way for, and keeps them while the database is away.
"""

import asyncio
import time

from gateway.store import nodes


class Lease:
    """One process's. Real time."""

    def __init__(self) -> None:
        self._renewed_at = time.monotonic()
        self._alone = True
        self._renewed = asyncio.Event()

    @property
    def lapsed(self) -> bool:
        """Whether somebody else may have taken over."""
        return self._left <= 0

    @property
    def stale(self) -> bool:
        """Whether no beat has got through for too long: though we were alone, somebody may have come since."""
        return time.monotonic() - self._renewed_at >= nodes.DEAD_AFTER

    @property
    def _left(self) -> float:
        since = time.monotonic() - self._renewed_at
        return nodes.DEAD_AFTER if self._alone else nodes.DEAD_AFTER - since

    def renew(self, *, alone: bool) -> float:
        """A beat has got through; the seconds since the last one. `alone`: no other process is there."""
        now = time.monotonic()
        since, self._renewed_at = now - self._renewed_at, now
        self._alone = alone
        self._renewed.set()
        return since

    async def lapse(self) -> None:
        """Returns once it has lapsed."""
        while (left := self._left) > 0:  # noqa: ASYNC110 - no event says that time has passed
            await asyncio.sleep(left)

    async def held(self) -> None:
        """Returns as soon as it is held."""
        while self.lapsed:
            self._renewed.clear()
            await self._renewed.wait()
