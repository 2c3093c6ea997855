"""What handlers need of a request and a response: JSON, numbers in queries, bodies that may stall."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from aiohttp import hdrs, web

from gateway.api.parsing import CONTINUE_AWAITED
from gateway.api.problems import FieldError, Problem, not_found
from gateway.config.model import Role
from gateway.config.policy import HttpPolicy

HTTP_POLICY = web.AppKey("http_policy", HttpPolicy)
"""The application's time-outs and limits."""
MAX_JSON_BYTES = 65_536
"""The longest JSON body, unless its path accepts a longer one."""
MAX_JSON_VALUES = 65_536
"""Values of a longer body: of a megabyte of them nothing else would run for an eighth of a second."""
_PIECE_BYTES = 16_384  # of a response: what waits in memory for a client that does not read
_MAX_BIGINT = (1 << 63) - 1

CASE_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class Route(NamedTuple):
    method: str
    path: str
    roles: tuple[Role, ...] | None  # None: anybody
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    long: bool = False  # `request_timeout_seconds` does not hold for it


def case_id_of(request: web.Request) -> str:
    """The case_id of the path; raises a Problem (404) for one that no case can have."""
    case_id = request.match_info["case_id"]
    if not CASE_ID.fullmatch(case_id):
        raise not_found("case")
    return case_id


def json_response(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status.value, body=orjson.dumps(body), content_type="application/json")


async def respond_in_pieces(request: web.Request, body: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """The response to a request that needs no token, sent as the client reads it: all of them share the body."""
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    whole = memoryview(body)
    for begin in range(0, len(body), _PIECE_BYTES):
        await response.write(whole[begin : begin + _PIECE_BYTES])
        await request.writer.drain()
    await response.write_eof()
    return response


async def body_chunks(request: web.Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes, still encoded; raises a Problem when it stalls or comes too slowly (408), is cut off
    (400) or longer than `max_bytes` (413).

    A client that asked for it is told only now to send the body. Only the time counts in which the server waits
    for the client, never that in which the client waits for it.
    """
    policy = request.app[HTTP_POLICY]
    if CONTINUE_AWAITED in request.headers:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the response nothing is sent yet
    received_bytes, waited_seconds = 0, 0.0
    while True:
        began = time.monotonic()
        try:
            behind = min(0.0, received_bytes / policy.min_body_bytes_per_second - waited_seconds)
            async with asyncio.timeout(policy.stall_timeout_seconds + behind):
                chunk = await request.content.readany()
        except TimeoutError:
            raise _too_slow() from None
        except web.RequestPayloadError:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is cut off or malformed.") from None
        if not chunk:
            return
        waited_seconds += time.monotonic() - began
        received_bytes += len(chunk)
        if received_bytes > max_bytes:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may be {max_bytes} octets long.")
        yield chunk


async def read_json(request: web.Request, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The JSON body; raises a Problem when there is none, one longer than `max_bytes`, or one too slow."""
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json, not encoded.")
    body = bytearray()
    try:
        async with asyncio.timeout(request.app[HTTP_POLICY].json_body_timeout_seconds):
            async for chunk in body_chunks(request, max_bytes):
                body += chunk
    except TimeoutError:
        raise _too_slow() from None
    if len(body) > MAX_JSON_BYTES and sum(map(body.count, b"[{,")) > MAX_JSON_VALUES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may have {MAX_JSON_VALUES} values.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is not JSON in UTF-8.") from None


async def read_object(request: web.Request, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in the body; raises a Problem."""
    body = await read_json(request, max_bytes)
    if not isinstance(body, dict):
        raise unprocessable([FieldError("", "type", "must be an object")])
    return body


def _too_slow() -> Problem:
    return Problem(HTTPStatus.REQUEST_TIMEOUT, "The body arrives too slowly.", close=True)


def unprocessable(errors: Collection[FieldError]) -> Problem:
    """A Problem (422): the body is JSON with invalid fields."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Fields of the body are invalid; see errors.", errors=list(errors)
    )


def whole_number(request: web.Request, name: str, default: int, *, most: int = _MAX_BIGINT, least: int = 0) -> int:
    """An integer of the query, or the default; raises a Problem (400) for an invalid one."""
    text = request.query.get(name)
    if text is None:
        return default
    if len(text) <= 19 and text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise Problem(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number from {least} to {most}.")
