"""Error responses: problem documents (RFC 9457), whatever went wrong.

Details say what to do and quote nothing of the request: clients show, log and forward them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.callers import CALLER
from gateway.cluster.retry import is_transient
from gateway.logs.log import Event, get_logger
from gateway.metrics import HTTP_REQUESTS, HTTP_SECONDS
from gateway.store import journal
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.nodes import FencedError, RewoundError

log = get_logger()

CONTENT_TYPE = "application/problem+json"
SERVER = "gateway"
"""The Server header of every response; aiohttp's own names its version and Python's."""
RETRY_SOON = {"Retry-After": "5"}
_METHODS = frozenset(("GET", "HEAD", "PUT", "POST"))
_UNKNOWN = "unknown"

JOURNAL_INCOMPLETE = "Entries of the journal are missing; ops have to run `gateway verify-journal`."
_REWOUND = "The database lacks what was there. Ops have to settle that; try again later."

_DETAILS = {
    HTTPStatus.NOT_FOUND: "There is no such path; see /openapi.json.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not have this method; Allow names those it has.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is longer than this path allows.",
}


class ProblemCode(StrEnum):
    """What is wrong with a request as a whole, where programs may have to tell it. Of fields: intake/fields.py."""

    EMPTY = "empty"  # the list has no record; the list_id is still free
    LINES = "lines"  # the body has no line feed: one record a line; the list_id is still free
    ENCODING = "encoding"  # the body is not UTF-8 throughout; the list_id is still free
    DISK_SPACE = "disk_space"  # too little disk space for the list; it is to be pushed again later
    REWOUND = "rewound"  # statuses after this cursor were lost; `detail` names the one to read from


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field: its JSON pointer (RFC 6901), a code, and what it must be."""

    pointer: str
    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


class Problem(Exception):
    """Ends a request with a problem document, and its connection where `close` is set."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.close = close

    def response(self) -> web.Response:
        body: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [error.as_json() for error in self.errors]
        response = web.Response(
            status=self.status.value,
            body=orjson.dumps(body),
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )
        if self.close:
            response.force_close()
        return response


def not_found(what: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"There is no such {what}.")


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts and logs requests by route: never by path, which may name a person's record."""
    began = time.monotonic()
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else _UNKNOWN
    status = 499  # the client left before the response
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        seconds = time.monotonic() - began
        method = request.method if request.method in _METHODS else _UNKNOWN
        HTTP_REQUESTS.labels(method, route, str(status)).inc()
        HTTP_SECONDS.labels(route).observe(seconds)
        # Whoever has no token cannot fill the log either.
        caller = request.get(CALLER)
        write = log.info if caller is not None and method not in ("GET", "HEAD") else log.debug
        write(
            Event.HTTP_REQUEST,
            method=method,
            route=route,
            http_status=status,
            seconds=round(seconds, 3),
            actor=caller.actor if caller is not None else "",
        )


@web.middleware
async def respond_with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes a problem document of whatever a handler raises; of unexpected exceptions it shows nothing."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as response:
        return _of_aiohttp(response)
    except Exception as error:
        if request.writer.output_size > 0 or request.transport is None or request.transport.is_closing():
            raise  # a part of the response is sent, or the client has left: the connection ends
        if isinstance(error, FencedError) or is_transient(error):
            log.warning(Event.HTTP_FAILED, reason=type(error).__name__)
            detail = _REWOUND if isinstance(error, RewoundError) else "The database is not available; try again."
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_SOON).response()
        if isinstance(error, JournalIncompleteError):
            journal.report(error.seq, str(error))
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, JOURNAL_INCOMPLETE).response()
        log.exception(Event.HTTP_FAILED)
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed; its log has the error.").response()


def _of_aiohttp(error: web.HTTPException) -> web.StreamResponse:
    status = HTTPStatus(error.status)
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Problem(status, _DETAILS.get(status, f"{status.phrase}."), headers=headers).response()
