"""For the console: the overview, once or as a stream, figures of campaigns, and alerts with begin and end."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from gateway.api.alerts import as_noted
from gateway.api.cached import Cached
from gateway.api.lists import LIST_ID
from gateway.api.overview import Overview
from gateway.api.problems import Problem, not_found
from gateway.api.requests import Route, json_response, whole_number
from gateway.api.sentences import said_in
from gateway.clock import Clock
from gateway.config.policy import HttpPolicy
from gateway.consent.deadlines import Calendar
from gateway.store import alert_history, figures, lists
from gateway.store.database import Database
from gateway.store.figures import Figure
from gateway.usecases.figures import KEPT

MAX_ALERTS = 500

_UNITS = {"day": "minute", "campaign": "hour"}  # of the segments
_HOUR = timedelta(hours=1)
_STEPS = {"minute": timedelta(minutes=1), "hour": _HOUR}
_EVENTS = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
_RETRY_LATER = {"Retry-After": "30"}


class BoardApi:
    """The handlers of the console's data, and the job that notes its alerts."""

    def __init__(
        self, *, overview: Overview, database: Database, clock: Clock, calendar: Calendar, policy: HttpPolicy
    ) -> None:
        self._overview = overview
        self._database = database
        self._clock = clock
        self._calendar = calendar
        self._policy = policy
        self._shared = Cached(self._event, policy.stream_seconds / 2)  # by all streams
        self._streams = 0
        self._stopping = asyncio.Event()

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v1/overview", ("ops",), self.get),
            Route("GET", "/v1/overview/stream", ("ops",), self.stream, long=True),
            Route("GET", "/v1/figures", ("ops",), self.figures),
            Route("GET", "/v1/alerts", ("ops",), self.alerts),
        )

    async def stop(self) -> None:
        """Ends the streams: the process stops."""
        self._stopping.set()
        self._shared.stop()

    async def get(self, _request: web.Request) -> web.StreamResponse:
        return json_response(await self._overview.make())

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The overview as server-sent events, until the client goes, the process stops or the stream is old."""
        if self._streams >= self._policy.max_streams:
            detail = f"{self._policy.max_streams} consoles are open already: poll /v1/overview."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=_RETRY_LATER)
        self._streams += 1
        try:
            event = await self._shared.get()  # before the head: a failure is a problem document
            response = web.StreamResponse(headers=_EVENTS)
            await response.prepare(request)
            until = time.monotonic() + self._policy.max_stream_seconds
            while not self._stopping.is_set() and time.monotonic() < until:
                await response.write(event)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._policy.stream_seconds):
                        await self._stopping.wait()
                event = await self._shared.get()
            await response.write_eof()
            return response
        finally:
            self._streams -= 1

    async def _event(self) -> bytes:
        return b"event: overview\ndata: " + orjson.dumps(await self._overview.make()) + b"\n\n"

    async def figures(self, request: web.Request) -> web.StreamResponse:
        """The funnel of a campaign, its replies by hour, and the segments by minute or hour."""
        list_id = request.query.get("list_id")
        span = request.query.get("span", "day")
        if span not in _UNITS:
            raise Problem(HTTPStatus.BAD_REQUEST, "span must be day or campaign.")
        now, unit = self._clock.now(), _UNITS[span]
        async with self._database.acquire() as connection:
            if list_id is not None and (
                not LIST_ID.fullmatch(list_id) or await lists.find(connection, list_id) is None
            ):
                raise not_found("list")
            if span == "day":
                since = now - timedelta(days=1)
            else:
                since = await figures.campaign_began(connection, list_id, now - KEPT)
            begin = min(since, now).replace(minute=0, second=0, microsecond=0)
            stages = await figures.stages(connection, list_id)
            replies = await figures.replies(connection, list_id, begin)
            segments = await figures.segments(connection, begin, unit)
        return json_response(
            {
                "list_id": list_id,
                "stages": stages,
                "replies": self._chart(replies, begin, now, _HOUR),
                "segments": self._chart(segments, begin, now, _STEPS[unit]),
            }
        )

    def _chart(self, found: Sequence[Figure], begin: datetime, now: datetime, step: timedelta) -> dict[str, Any]:
        """Series with a number for each step from `begin` to `now`."""
        steps = (now - begin) // step + 1
        series: dict[str, list[int]] = {}
        for name, at, number in found:
            place = (at - begin) // step
            if 0 <= place < steps:
                series.setdefault(name, [0] * steps)[place] = number
        return {
            "begin": self._calendar.iso_local(begin),
            "step_seconds": int(step.total_seconds()),
            "steps": steps,
            "series": [{"name": name, "numbers": numbers} for name, numbers in sorted(series.items())],
        }

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        """The latest alerts, those that last and those that have ended, the newest first."""
        limit = whole_number(request, "limit", 100, least=1, most=MAX_ALERTS)
        async with self._database.acquire() as connection:
            latest = await alert_history.latest(connection, limit)
        return json_response(
            {
                "alerts": [
                    {
                        **alert._asdict(),
                        **said_in(alert.text, alert.sentences, alert.fields)._asdict(),
                        "began_at": self._calendar.iso_local(alert.began_at),
                        "ended_at": self._calendar.iso_local(alert.ended_at) if alert.ended_at else None,
                    }
                    for alert in latest
                ]
            }
        )

    async def note_alerts(self) -> None:
        """Notes what this process sees to be wrong, and what has ended."""
        found = await self._overview.alerts()
        seen = {(one.code, one.about): as_noted(one) for one in found}
        async with self._database.acquire() as connection, connection.transaction():
            await alert_history.note(connection, seen.values())
