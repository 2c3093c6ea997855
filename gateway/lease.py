"""How sure this process may be that what it holds is its own still.

It beats in the database. When no beat has got through for DEAD_AFTER, whoever else is there takes it for dead, and
their word counts. So it lets its links go by itself: an SMSC must not talk to two of us, and keeps the replies for
whoever binds next. Whether anybody else is there it cannot know by then.
"""

import asyncio
import time

from gateway.store import nodes


class Lease:
    """One process's. Real time, monotonic seconds."""

    def __init__(self) -> None:
        self._renewed_at = time.monotonic()
        self._held_in_sight = True
        self._renewed = asyncio.Event()

    @property
    def lapsed(self) -> bool:
        """Whether somebody else may have taken over."""
        return self._left <= 0

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken over: the others see neither our lock gone nor our beats."""
        return self._held_in_sight and not self.lapsed

    @property
    def _left(self) -> float:
        return self._renewed_at + nodes.DEAD_AFTER - time.monotonic()

    def renew(self, began_at: float) -> float:
        """A beat has got through that was begun then; when the one before was."""
        before, self._renewed_at = self._renewed_at, began_at
        self._held_in_sight = True
        self._renewed.set()
        return before

    def lose_sight(self) -> None:
        """The connection is gone that shows the others our life: they may bury us before the lease lapses."""
        self._held_in_sight = False

    async def lapse(self) -> None:
        """Returns once it has lapsed."""
        while (left := self._left) > 0:  # noqa: ASYNC110 - no event says that time has passed
            await asyncio.sleep(left)

    async def held(self) -> None:
        """Returns as soon as it is held."""
        while self.lapsed:
            self._renewed.clear()
            await self._renewed.wait()
