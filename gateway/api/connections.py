"""Connections: how many are open at once, which one is closed when there is no room, how slow a client may be.

A connection whose request with a token is under way is never closed to make room, and fewer such requests are
allowed than connections. So a probe always gets in, and a flood of unauthenticated connections only closes others
of its kind.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Literal, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from gateway.api.problems import RETRY_SOON, SERVER, Problem
from gateway.config.policy import HttpPolicy
from gateway.logs.log import Event, get_logger
from gateway.metrics import HTTP_CLOSED, HTTP_CONNECTIONS

log = get_logger()


class HttpProtocol(web.RequestHandler):
    """aiohttp's protocol, with problem documents for malformed HTTP and a time-out for unread responses.

    `authenticated`: a token was accepted on this connection. `busy`: its request is under way.
    """

    __slots__ = ("_on_lost", "_unread_timeout_seconds", "_unread_timer", "authenticated", "busy")

    def __init__(
        self, server: web.Server, on_lost: Callable[[], None], *, policy: HttpPolicy, **settings: Any
    ) -> None:
        super().__init__(server, **settings)
        self.authenticated = False
        self.busy = False
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
        log.warning(Event.HTTP_MALFORMED, status=status, reason=type(exc).__name__)
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


class ConnectionLimiter:
    """Counts connections and requests with a token, and holds both to their limits."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._policy = policy
        self._open: dict[asyncio.Transport, HttpProtocol | None] = {}  # oldest first; None: in its TLS handshake
        self._requests = 0
        self._closed = 0  # since the last log line
        self._next_log_at = 0.0

    def enter(self, transport: asyncio.Transport) -> bool:
        """Counts the connection, for which another may be closed; False when there is no room for it."""
        if len(self._open) >= self._policy.max_connections and not self._make_room():
            self._count_closed("refused")
            return False
        self._open[transport] = None
        HTTP_CONNECTIONS.inc()
        return True

    def serve(self, transport: asyncio.Transport, protocol: HttpProtocol) -> None:
        """Notes the protocol of a counted connection: from now on it has requests."""
        self._open[transport] = protocol

    def leave(self, transport: asyncio.Transport) -> None:
        """Uncounts a connection that has ended; one that is not counted any more is ignored."""
        if transport in self._open:
            del self._open[transport]
            HTTP_CONNECTIONS.dec()

    @contextmanager
    def request(self, request: web.Request) -> Iterator[None]:
        """Counts a request with a token; inside the block its connection is not closed to make room.

        Raises a Problem (503) when too many are under way.
        """
        if self._requests >= self._policy.max_requests:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are under way; try again.", headers=RETRY_SOON
            )
        protocol = request.protocol
        assert isinstance(protocol, HttpProtocol)
        self._requests += 1
        protocol.authenticated = protocol.busy = True
        try:
            yield
        finally:
            self._requests -= 1
            protocol.busy = False

    def _make_room(self) -> bool:
        """Closes the oldest unauthenticated connection, else the oldest idle one; False when all are busy."""
        idle: asyncio.Transport | None = None
        for transport, protocol in self._open.items():
            if protocol is None or not protocol.authenticated:
                break
            if idle is None and not protocol.busy:
                idle = transport
        else:
            if idle is None:
                return False
            transport = idle
        self._count_closed("made_room")
        self.leave(transport)
        transport.abort()
        return True

    def _count_closed(self, why: Literal["refused", "made_room"]) -> None:
        HTTP_CLOSED.labels(why).inc()
        self._closed += 1
        now = time.monotonic()
        if now >= self._next_log_at:
            log.warning(Event.HTTP_CONNECTIONS_LIMITED, connections=len(self._open), closed=self._closed)
            self._next_log_at = now + self._policy.limited_log_seconds
            self._closed = 0


class PendingConnection(asyncio.Protocol):
    """A connection until its first request can come.

    The TLS handshake begins here, not in the listener, so that connections are counted from their start.
    """

    def __init__(
        self,
        limiter: ConnectionLimiter,
        handler: Callable[[Callable[[], None]], HttpProtocol],
        tls: ssl.SSLContext | None,
        handshake_timeout_seconds: float,
    ):
        """`handler` makes the protocol that follows; its argument is called when the connection ends."""
        self._limiter = limiter
        self._handler = handler
        self._tls = tls
        self._handshake_timeout_seconds = handshake_timeout_seconds
        self._early = b""  # a request that came together with the last octets of the handshake
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, base: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", base)  # uvloop's are no subclass
        if not self._limiter.enter(transport):
            transport.abort()
        elif self._tls is None:
            self._start_http(transport, transport)
        else:
            transport.pause_reading()  # what has come belongs to the handshake
            self._handshake = asyncio.create_task(self._start_tls(transport, self._tls))

    def data_received(self, data: bytes) -> None:
        self._early += data

    async def _start_tls(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        secure = None
        try:
            secure = await loop.start_tls(
                transport,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._handshake_timeout_seconds,
            )
        except OSError:  # no handshake, an invalid one, or a time-out
            transport.abort()
        if secure is None or secure.is_closing():
            self._limiter.leave(transport)
        else:
            self._start_http(transport, secure)

    def _start_http(self, transport: asyncio.Transport, secure: asyncio.Transport) -> None:
        protocol = self._handler(lambda: self._limiter.leave(transport))
        self._limiter.serve(transport, protocol)
        secure.set_protocol(protocol)
        protocol.connection_made(secure)
        if self._early:
            protocol.data_received(self._early)
