"""What handlers need of a request and an answer: JSON, numbers in queries, bodies that may stall."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from gateway.api.problems import FieldError, Problem, within
from gateway.config.model import Role

SMALL = 65_536
"""Octets of a JSON body, unless its path takes more."""
STALLED_AFTER = 60.0
"""Seconds without a single octet of a body that is not complete."""
_LARGEST = (1 << 63) - 1


class Route(NamedTuple):
    method: str
    path: str
    roles: tuple[Role, ...] | None  # None: anybody
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_response(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status.value, body=orjson.dumps(body), content_type="application/json")


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes, still encoded; raises a Problem when it stalls (408) or is cut off (400)."""
    while True:
        try:
            chunk = await within(STALLED_AFTER, request.content.readany())
        except web.RequestPayloadError:
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is cut off or malformed.") from None
        if not chunk:
            return
        yield chunk


async def read_json(request: web.Request, limit: int = SMALL) -> Any:
    """The JSON body; raises a Problem when there is none, or one that is longer than `limit` octets."""
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json, not encoded.")
    body = bytearray()
    async for chunk in body_chunks(request):
        body += chunk
        if len(body) > limit:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body may be {limit} octets long.")
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
