"""Responses that cost something and are asked for without a token: made once for everybody who asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Response = TypeVar("Response")


class Cached(Generic[Response]):
    """A response that is kept for some seconds, and is made by one task at a time, however many wait for it."""

    def __init__(self, make: Callable[[], Awaitable[Response]], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._made_until = 0.0
        self._making: asyncio.Task[Response] | None = None

    async def get(self) -> Response:
        """The response, made again if it is too old. A caller who leaves does not stop it: others wait."""
        if self._making is None or (self._making.done() and time.monotonic() >= self._made_until):
            self._making = asyncio.create_task(self._renew())
        return await asyncio.shield(self._making)

    def stop(self) -> None:
        """Ends the making of a response that nobody will wait for."""
        if self._making is not None:
            self._making.cancel()

    async def _renew(self) -> Response:
        try:
            return await self._make()
        finally:
            self._made_until = time.monotonic() + self._seconds
