"""``GET /v1/statuses``: SDU reads the status events by its own cursor, with long polling."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from gateway.api.problems import FieldError, Problem, ProblemCode
from gateway.api.requests import Route, json_response, whole_number
from gateway.cluster.wakeups import POLL_SECONDS
from gateway.consent.deadlines import Calendar
from gateway.store import rewinds, statuses
from gateway.store.database import Database
from gateway.store.nodes import RewoundError
from gateway.store.rewinds import HEAD_HEADER, Head, StaleCursorError
from gateway.store.statuses import StatusEvent

MAX_WAIT_SECONDS = 60
MAX_EVENTS = 5000
_RETRY_LATER = {"Retry-After": "30"}


class StatusesApi:
    """The handler of ``/v1/statuses``."""

    def __init__(
        self, *, database: Database, calendar: Calendar, sealed: asyncio.Condition, max_readers: int
    ) -> None:
        """`sealed` is notified whenever entries were sealed here; at most `max_readers` requests query at once."""
        self._database = database
        self._calendar = calendar
        self._sealed = sealed
        self._stopping = False
        self._readers = asyncio.Semaphore(max_readers)

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/v1/statuses", ("sdu",), self.get, long=True),)

    async def stop(self) -> None:
        """Ends the long polls: the process stops."""
        self._stopping = True
        async with self._sealed:
            self._sealed.notify_all()

    async def get(self, request: web.Request) -> web.StreamResponse:
        after = whole_number(request, "after", 0)
        limit = whole_number(request, "limit", 500, least=1, most=MAX_EVENTS)
        until = time.monotonic() + whole_number(request, "wait", 0, most=MAX_WAIT_SECONDS)
        events, head = await self._read(after, limit)
        while not events and (remaining := until - time.monotonic()) > 0 and not self._stopping:
            await self._wait(min(remaining, POLL_SECONDS))
            events, head = await self._read(after, limit)
        response = json_response(
            {
                "events": [statuses.as_json(event, self._calendar) for event in events],
                "next": events[-1].seq if events else after,
            }
        )
        response.headers[HEAD_HEADER] = str(head)
        return response

    async def _read(self, after: int, limit: int) -> tuple[list[StatusEvent], Head]:
        """The events, and the last entry of the journal; a Problem for a cursor of another journal."""
        async with self._readers, self._database.acquire() as connection:
            try:
                head = await rewinds.check_cursor(connection, after)
            except RewoundError:
                detail = "The database lacks statuses that were reported. Ops have to settle that; try later."
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=_RETRY_LATER) from None
            except StaleCursorError as error:
                seq = error.read_from
                detail = f"The statuses after {seq} were lost, and there are other ones: read from after={seq}."
                rewound = FieldError("", ProblemCode.REWOUND, f"after={seq}")
                raise Problem(HTTPStatus.CONFLICT, detail, errors=[rewound]) from None
            return await statuses.after(connection, after, limit), head

    async def _wait(self, seconds: float) -> None:
        """Returns once this process has sealed entries, or after so many seconds: another may have sealed some."""
        try:
            async with asyncio.timeout(seconds), self._sealed:
                await self._sealed.wait()
        except TimeoutError:
            return
