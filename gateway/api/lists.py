"""``/v1/lists``: SDU pushes recipient lists; SDU and ops read what became of their records."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
from aiohttp import web

from gateway.api.problems import FieldError, Problem, ProblemCode, not_found
from gateway.api.requests import Route, body_chunks, json_response, whole_number
from gateway.clock import wall_now
from gateway.config.policy import HttpPolicy
from gateway.consent.case import State
from gateway.consent.deadlines import Calendar
from gateway.intake.body import (
    Body,
    BodyEmptyError,
    BodyEncodingError,
    BodyMalformedError,
    BodyTooLargeError,
    BodyWithoutLinesError,
    Decoder,
    Gunzip,
    Plain,
    TooManyRecordsError,
)
from gateway.intake.reading import ListReader
from gateway.store import lists
from gateway.store.database import Database
from gateway.store.disk import DiskSpaceError
from gateway.store.lists import ListError, StoredList
from gateway.tracing.traces import Traces

MAX_ERRORS_SHOWN = 1000

LIST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CONTENT_TYPE = "application/x-ndjson"
_RETRY_LATER = {"Retry-After": "30"}
_MAX_LISTS = 1000


class ListsApi:
    """The handlers of ``/v1/lists``."""

    def __init__(
        self,
        *,
        database: Database,
        calendar: Calendar,
        reader: ListReader,
        services: Sequence[str],
        max_list_bytes: int,
        max_list_records: int,
        policy: HttpPolicy,
        traces: Traces,
    ) -> None:
        self._services = tuple(services)
        self._max_list_bytes = max_list_bytes
        self._max_list_records = max_list_records
        self._database = database
        self._calendar = calendar
        self._reader = reader
        self._policy = policy
        self._traces = traces
        self._turns = asyncio.Semaphore(policy.max_lists)

    def routes(self) -> Sequence[Route]:
        return (
            Route("PUT", "/v1/lists/{list_id}", ("sdu",), self.put, long=True),
            Route("GET", "/v1/lists", ("sdu", "ops"), self.latest),
            Route("GET", "/v1/lists/{list_id}", ("sdu", "ops"), self.get),
            Route("GET", "/v1/lists/{list_id}/errors", ("sdu", "ops"), self.errors, long=True),
        )

    async def put(self, request: web.Request) -> web.StreamResponse:
        list_id, began_at = request.match_info["list_id"], wall_now()
        if not LIST_ID.fullmatch(list_id):
            raise Problem(HTTPStatus.BAD_REQUEST, "A list_id is 1 to 64 of A-Z a-z 0-9 . _ -")
        if request.content_type != _CONTENT_TYPE:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body must be {_CONTENT_TYPE}.")
        decoder = _decoder(request)
        service = self._service(request)
        if isinstance(decoder, Plain) and (request.content_length or 0) > self._max_list_bytes:
            raise self._too_large()
        async with self._turn():
            try:
                body = Body(decoder, self._max_list_bytes)
                accepted = await self._reader.read(
                    list_id,
                    service,
                    body_chunks(request, self._max_list_bytes),
                    body,
                    min(request.content_length or 0, self._max_list_bytes),  # of gzip: more will come
                )
            except BodyMalformedError as error:
                raise Problem(HTTPStatus.BAD_REQUEST, f"The body is malformed: {error}.") from None
            except BodyTooLargeError:
                raise self._too_large() from None
            except TooManyRecordsError:
                raise Problem(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A list may have {self._max_list_records} records."
                ) from None
            except (DiskSpaceError, asyncpg.DiskFullError):
                raise _no_space() from None
            except BodyEmptyError:
                raise _unusable(ProblemCode.EMPTY, "must have at least one record") from None
            except BodyWithoutLinesError:
                raise _unusable(
                    ProblemCode.LINES, "must have one record a line, each line ended by a line feed"
                ) from None
            except BodyEncodingError:
                raise _unusable(ProblemCode.ENCODING, "must be UTF-8 throughout") from None
        if accepted is None:
            raise Problem(HTTPStatus.CONFLICT, "Another list was accepted under this list_id.")
        stored, created = accepted
        self._traces.list_accepted(
            list_id, headers=request.headers, began_at=began_at, created=created, records=stored.records
        )
        return json_response(await self._result(stored), HTTPStatus.CREATED if created else HTTPStatus.OK)

    async def get(self, request: web.Request) -> web.StreamResponse:
        stored = await self._stored(request)
        async with self._database.acquire() as connection:
            progress = await lists.progress(connection, stored.list_id)
        return json_response({**await self._result(stored), "progress": shown_progress(progress)})

    async def latest(self, request: web.Request) -> web.StreamResponse:
        limit = whole_number(request, "limit", 100, least=1, most=_MAX_LISTS)
        async with self._database.acquire() as connection:
            stored = await lists.latest(connection, limit)
        return json_response(
            {
                "lists": [
                    {**_counts(one), "received_at": self._calendar.iso_local(one.received_at)} for one in stored
                ]
            }
        )

    async def errors(self, request: web.Request) -> web.StreamResponse:
        stored = await self._stored(request)
        response = web.StreamResponse(headers={"Content-Type": _CONTENT_TYPE})
        page = await self._errors(stored.list_id)
        await response.prepare(request)
        while page:  # a connection for each page: a slow client holds none
            await response.write(b"".join(orjson.dumps(error._asdict()) + b"\n" for error in page))
            page = await self._errors(stored.list_id, page[-1])
        await response.write_eof()
        return response

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Waits until fewer than `max_lists` are being accepted; raises a Problem (429) after too long."""
        try:
            async with asyncio.timeout(self._policy.list_wait_timeout_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._policy.max_lists} lists are being accepted already; try again.",
                headers=_RETRY_LATER,
            ) from None
        try:
            yield
        finally:
            self._turns.release()

    def _service(self, request: web.Request) -> str:
        service = request.query.get("service")
        if service is None:
            if len(self._services) > 1:
                raise Problem(HTTPStatus.BAD_REQUEST, "service must name one of the configured services.")
            return self._services[0]
        if service not in self._services:
            raise not_found("service")
        return service

    def _too_large(self) -> Problem:
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A list may be {self._max_list_bytes} octets long, decompressed."
        )

    async def _stored(self, request: web.Request) -> StoredList:
        list_id = request.match_info["list_id"]
        if LIST_ID.fullmatch(list_id):
            async with self._database.acquire() as connection:
                if stored := await lists.find(connection, list_id):
                    return stored
        raise not_found("list")

    async def _errors(self, list_id: str, after: ListError | None = None) -> list[ListError]:
        async with self._database.acquire() as connection:
            return await lists.errors(connection, list_id, after)

    async def _result(self, stored: StoredList) -> dict[str, Any]:
        errors: list[ListError] = []
        if stored.rejected:
            async with self._database.acquire() as connection:
                errors = await lists.faults(connection, stored.list_id, MAX_ERRORS_SHOWN)
        return {**_counts(stored), "errors": [error._asdict() for error in errors]}


def _counts(stored: StoredList) -> dict[str, Any]:
    return {
        "list_id": stored.list_id,
        "service": stored.service,
        "records": stored.records,
        "accepted": stored.accepted,
        "duplicates": stored.duplicates,
        "rejected": stored.rejected,
    }


def shown_progress(progress: dict[str, int]) -> dict[str, int]:
    """The number of cases in each state; a case that waits for a sibling counts as queued."""
    shown = {state.value: 0 for state in State if state is not State.WAITING}
    for state, cases in progress.items():
        shown[shown_state(state)] += cases
    return shown


def shown_state(state: str) -> str:
    """The state by its public name."""
    return State.QUEUED.value if state == State.WAITING else state


def _no_space() -> Problem:
    detail = "There is too little free disk space for the list; nothing was stored."
    return Problem(
        HTTPStatus.INSUFFICIENT_STORAGE,
        f"{detail} Push it again once there is more.",
        errors=[FieldError("", ProblemCode.DISK_SPACE, detail)],
        headers=_RETRY_LATER,
        close=True,
    )


def _unusable(code: ProblemCode, detail: str) -> Problem:
    """Of a body that is no list; the list_id is still free."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"The body {detail}; nothing was stored, and the list_id can be used again.",
        errors=[FieldError("", code, detail)],
    )


def _decoder(request: web.Request) -> Decoder:
    match request.headers.get("Content-Encoding", "identity").strip().lower():
        case "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Gunzip()
        case _:
            raise Problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding may be gzip.",
                headers={"Accept-Encoding": "gzip"},
            )
