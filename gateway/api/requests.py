"""What handlers need of a request and an answer: JSON, numbers in queries, bodies that may stall."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from gateway.api.problems import FieldError, Problem
from gateway.config.model import Role

SMALL = 65_536
"""Octets of a JSON body, unless its path takes more."""
SMALL_WITHIN = 30.0
"""Seconds for the whole of a JSON body."""
STALLED_AFTER = 60.0
"""Seconds without a single octet of a body that is not complete."""
SLOWEST = 5_000
"""Octets a second that a longer body must come at on average, once STALLED_AFTER has passed."""
_LARGEST = (1 << 63) - 1


class Route(NamedTuple):
    method: str
    path: str
    roles: tuple[Role, ...] | None  # None: anybody
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    long: bool = False  # it may take as long as it takes


def json_response(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status.value, body=orjson.dumps(body), content_type="application/json")


async def body_chunks(request: web.Request, most: int) -> AsyncIterator[bytes]:
    """The body as it comes, still encoded; raises a Problem when it stalls or trickles (408), is cut off (400) or
    longer than `most` octets (413).

    Only the time counts in which we wait for the client, never that in which the client waits for us.
    """
    octets, waited = 0, 0.0
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(STALLED_AFTER + min(0.0, octets / SLOWEST - waited)):
                chunk = await request.content.readany()
        except TimeoutError:
            raise _too_slow() from None
        except web.RequestPayloadError:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is cut off or malformed.") from None
        if not chunk:
            return
        waited += time.monotonic() - began
        octets += len(chunk)
        if octets > most:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may be {most} octets long.")
        yield chunk


async def read_json(request: web.Request, limit: int = SMALL) -> Any:
    """The JSON body; raises a Problem when there is none, one of more than `limit` octets, or not in time."""
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json, not encoded.")
    body = bytearray()
    try:
        async with asyncio.timeout(SMALL_WITHIN):
            async for chunk in body_chunks(request, limit):
                body += chunk
    except TimeoutError:
        raise _too_slow() from None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is not JSON in UTF-8.") from None


async def read_object(request: web.Request, limit: int = SMALL) -> dict[str, Any]:
    """The JSON object in the body; raises a Problem."""
    body = await read_json(request, limit)
    if not isinstance(body, dict):
        raise unprocessable([FieldError("", "type", "must be an object")])
    return body


def _too_slow() -> Problem:
    return Problem(HTTPStatus.REQUEST_TIMEOUT, "The body comes too slowly.", close=True)


def unprocessable(errors: Collection[FieldError]) -> Problem:
    """The body is JSON, but its fields are not what they must be."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Fields of the body are at fault; see errors.", errors=list(errors)
    )


def whole_number(request: web.Request, name: str, default: int, *, most: int = _LARGEST, least: int = 0) -> int:
    """A number of the query; raises a Problem (400) when it is none or out of range."""
    text = request.query.get(name)
    if text is None:
        return default
    if len(text) <= 19 and text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise Problem(HTTPStatus.BAD_REQUEST, f"{name} must be a whole number from {least} to {most}.")
