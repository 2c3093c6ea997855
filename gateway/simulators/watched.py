"""Waiting for something to become true, without sleeping."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Watched:
    """Something that reports its own changes, so that others can await a condition on it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[object]]] = []

    def changed(self) -> None:
        """Looks again at every awaited condition; cheap when nobody waits."""
        for condition, future in self._waiting:
            if future.done():
                continue
            try:
                if value := condition():
                    future.set_result(value)
            except Exception as error:
                future.set_exception(error)

    async def wait_for(self, condition: Callable[[], T | None], *, within: float = 5.0) -> T:
        """The first true value of `condition()`; it is tried now and after every change.

        TimeoutError, with what had been seen by then, after `within` seconds.
        """
        if value := condition():
            return value
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        waiting = (condition, future)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(within):
                return await future  # type: ignore[return-value]
        except TimeoutError:
            raise TimeoutError(f"not within {within} s; {self.seen()}") from None
        finally:
            self._waiting.remove(waiting)

    def seen(self) -> str:
        """What has happened so far, for the message of a wait in vain."""
        return "nothing is known"
