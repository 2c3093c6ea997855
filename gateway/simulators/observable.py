"""Waiting for a condition on an object, without sleeping."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_SECONDS = 30.0
"""The longest wait for something that should happen at once, also on a machine with much else to do."""


class Observable:
    """An object that announces its changes, so that others can await a condition on it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[object]]] = []

    def changed(self) -> None:
        """Evaluates every awaited condition again; cheap when nobody waits."""
        for condition, future in self._waiting:
            if future.done():
                continue
            try:
                if value := condition():
                    future.set_result(value)
            except Exception as error:
                future.set_exception(error)

    async def wait_for(self, condition: Callable[[], T | None], *, within: float = WITHIN_SECONDS) -> T:
        """The first true value of `condition()`; it is evaluated now and after every change.

        TimeoutError, with the object's summary, after `within` seconds.
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
            raise TimeoutError(f"not within {within} s; {self.summary()}") from None
        finally:
            self._waiting.remove(waiting)

    def summary(self) -> str:
        """What has happened so far, for the message of a TimeoutError."""
        return "nothing recorded"
