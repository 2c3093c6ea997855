"""One connection: aiohttp's protocol with limits, so that whoever sends much or reads little costs little."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway.api.parsing import RequestParser
from gateway.api.problems import SERVER, Problem
from gateway.config.policy import HttpPolicy
from gateway.logs.fields import peer
from gateway.logs.log import Event, get_logger
from gateway.metrics import HTTP_CLOSED

log = get_logger()

_MAX_LINE_BYTES = 8190  # of the request line and of each header
_MAX_HEADERS = 64


class Tally:
    """Counts what may happen too often for a log line each."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._counted = 0
        self._next_at = 0.0

    def add(self) -> int:
        """Counts one more. When a log line is due, the number since the last one; else 0."""
        self._counted += 1
        now = time.monotonic()
        if now < self._next_at:
            return 0
        counted, self._counted, self._next_at = self._counted, 0, now + self._pause_seconds
        return counted


class HttpProtocol(web.RequestHandler):
    """aiohttp's protocol, with limits of what it keeps of a connection, problem documents for malformed HTTP and a
    time-out for unread responses.

    `authenticated`: a token was accepted on this connection. `busy`: its request is under way.
    """

    __slots__ = ("_malformed", "_on_lost", "_unread_timeout_seconds", "_unread_timer", "authenticated", "busy")

    def __init__(
        self,
        server: web.Server,
        malformed: Tally,
        on_lost: Callable[[], None],
        *,
        policy: HttpPolicy,
        loop: asyncio.AbstractEventLoop,
        **settings: Any,
    ) -> None:
        body_bytes = policy.max_unread_body_bytes // 2  # aiohttp stops at twice as many
        super().__init__(server, loop=loop, read_bufsize=body_bytes, **settings)
        # aiohttp's queue holds 32 requests of each connection, and no setting changes that.
        self._max_msg_queue_size = policy.max_queued_requests
        self._msg_queue_resume_size = policy.max_queued_requests // 2
        self._parser = RequestParser(
            self,
            loop,
            limit=body_bytes,
            max_head_bytes=policy.max_head_bytes,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
            max_msg_queue_size=policy.max_queued_requests,
            auto_decompress=False,  # the intake decompresses bodies itself, with a limit
        )
        self.authenticated = False
        self.busy = False
        self._malformed = malformed
        self._on_lost = on_lost
        self._unread_timeout_seconds = policy.unread_response_timeout_seconds
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # With a limit of 0, pause_writing means that octets are unsent, and resume_writing that all are sent.
        # uvloop's transports are no asyncio.Transport.
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel_timer()
        self._on_lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None and self._unread_timer is None:
            loop = asyncio.get_running_loop()
            self._unread_timer = loop.call_later(self._unread_timeout_seconds, self._abort, self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_timer()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """`message` quotes the request and is kept out of the response and the log."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the response has been sent")
        if requests := self._malformed.add():
            log.warning(
                Event.HTTP_MALFORMED,
                peer=peer(self.transport.get_extra_info("peername")) if self.transport else "",
                http_status=status,
                reason=type(exc).__name__,
                requests=requests,
            )
        if isinstance(exc, LineTooLong):
            problem = Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "A line or a header is too long.")
        elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = Problem(HTTPStatus(status), "The request is not valid HTTP.")
        else:
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed.")
        response = problem.response()
        response.headers["Server"] = SERVER
        response.force_close()
        return response

    def _cancel_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _abort(self, transport: asyncio.Transport) -> None:
        HTTP_CLOSED.labels("response_not_read").inc()
        transport.abort()


class BoundedReads(asyncio.BufferedProtocol):
    """Passes what is received to a protocol, no more at a time than the buffer holds.

    Without it the event loop reads 256 KB at once, which a connection keeps while its requests wait. All
    connections share the buffer: it is copied in the iteration of the event loop that fills it.
    """

    def __init__(self, protocol: HttpProtocol, buffer: memoryview) -> None:
        self._protocol = protocol
        self._buffer = buffer

    def get_buffer(self, _size: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, received: int) -> None:
        self._protocol.data_received(bytes(self._buffer[:received]))

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._protocol.connection_lost(exc)
