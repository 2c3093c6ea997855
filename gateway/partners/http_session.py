"""The HTTP session that the clients of all partners share."""

from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

MAX_INTERIM_RESPONSES = 16
"""The interim responses (1xx) before a response: a few, of proxies that are slow."""
_PIECE_BYTES = 4_096  # parsed at once: some hundred interim responses


def partner_session(traces: Sequence[aiohttp.TraceConfig] = ()) -> aiohttp.ClientSession:
    """A session to be closed by the caller (`async with`); `traces` are told of its requests.

    The number of connections is not limited: each client limits its requests. Cookies are not kept: aiohttp sends
    them to every port of a host, so to other partners, and a growing jar ends in requests that are too large.
    """
    return aiohttp.ClientSession(
        connector=_Connector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trace_configs=list(traces)
    )


class _Connector(aiohttp.TCPConnector):
    """Makes connections that interim responses without end do not keep busy; aiohttp has no setting for that."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(limit=limit)
        make: Callable[..., ResponseHandler] = _Connection
        self._factory = partial(make, loop=self._loop)


class _Connection(ResponseHandler):
    """A connection that ends with an error after MAX_INTERIM_RESPONSES.

    aiohttp reads all that have come, however many, before anything else runs.
    """

    _interim = 0
    _responded = False  # the response has begun: the rest is its body

    def set_response_params(self, **given: Any) -> None:
        self._interim, self._responded = 0, False
        super().set_response_params(**given)

    def data_received(self, data: bytes) -> None:
        begin = 0
        while begin < len(data) and not self._responded:
            if self._interim > MAX_INTERIM_RESPONSES:
                return
            super().data_received(data[begin : begin + _PIECE_BYTES])
            begin += _PIECE_BYTES
        if begin < len(data) or not data:
            super().data_received(data[begin:])

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        self._responded = self._responded or data[0].code >= HTTPStatus.OK
        self._interim += not self._responded
        if self._interim <= MAX_INTERIM_RESPONSES:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.transport.abort()
            self.set_exception(
                HttpProcessingError(code=HTTPStatus.BAD_REQUEST, message="too many interim responses")
            )
