"""The pace of requests without a token: however many ask, they cost the process a bounded share of its time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.api.callers import CALLER
from gateway.config.policy import HttpPolicy

LIVENESS_ROUTE = "/healthz"


class Pace:
    """A rate limiter: so many calls a second; after a pause `at_once` of them, or as many as in a second."""

    def __init__(
        self,
        per_second: float,
        *,
        at_once: int | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._burst_seconds = 1.0 if at_once is None else at_once / per_second
        self._now = now
        self._sleep = sleep
        self._full_at = float("-inf")  # when a whole burst may go at once again
        self._first = asyncio.Lock()

    async def acquire(self) -> None:
        """Returns when the caller may go on; one that is cancelled while it waits uses no slot."""
        async with self._first:  # the others wait behind it, in their order
            now = self._now()
            step = 1 / self._per_second
            if (wait := max(self._full_at, now) + step - now - self._burst_seconds) > 0:
                await self._sleep(wait)
            self._full_at = max(self._full_at, now) + step


def paced(policy: HttpPolicy) -> Middleware:
    """The middleware that holds back responses to requests without a valid token.

    The next request of a connection is not handled before. Liveness has a pace of its own, so that a supervisor
    does not stop a process because others ask it for something else.
    """
    others, liveness = Pace(policy.anonymous_per_second), Pace(policy.liveness_per_second)

    @web.middleware
    async def pace(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if CALLER not in request:
            resource = request.match_info.route.resource
            is_liveness = resource is not None and resource.canonical == LIVENESS_ROUTE
            await (liveness if is_liveness else others).acquire()
        return response

    return pace
