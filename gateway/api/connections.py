"""Connections: how many there may be at once, who goes when there is no room, how long one may keep us waiting.

Whoever has shown a token and waits for an answer is never cut off to make room, and there are fewer of those than
of connections: a probe gets in whatever callers do, and a flood of strangers costs strangers their connections.
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

from gateway.api.problems import SERVER, Problem
from gateway.logs.log import Event, get_logger
from gateway.metrics import HTTP_CLOSED, HTTP_CONNECTIONS

log = get_logger()

MAX_CONNECTIONS = 500
"""At once, in this process: half of the 1,024 descriptors that a process usually may have."""
MAX_REQUESTS = 400
"""Under way at once behind a token; those beyond are to come again."""
HANDSHAKE_WITHIN = 10.0
"""Seconds for a TLS handshake."""
ANSWER_TAKEN_WITHIN = 120.0
"""Seconds in which a client must have taken what was written to it: some megabytes, at most."""
TELL_EVERY = 60.0
"""Seconds between two lines of the log that say there is no room."""

_RETRY_SOON = {"Retry-After": "5"}


class HttpProtocol(web.RequestHandler):
    """aiohttp's, counted by a door, with problem documents for what is no HTTP, and without endless patience."""

    __slots__ = ("_left", "_overdue", "kept", "known")

    def __init__(self, server: web.Server, left: Callable[[], None], **settings: Any) -> None:
        super().__init__(server, **settings)
        self.known = False  # a token was shown here
        self.kept = False  # and its request is under way
        self._left = left
        self._overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # pause_writing: something is left; resume_writing: nothing is. uvloop's are no asyncio.Transport.
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._taken()
        self._left()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None and self._overdue is None:
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(ANSWER_TAKEN_WITHIN, self._cut, self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """`message` quotes the request and is kept out of the answer and the log."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer is out")
        log.warning(Event.HTTP_MALFORMED, status=status, reason=type(exc).__name__)
        if isinstance(exc, LineTooLong):
            problem = Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "A line or a header is too long.")
        elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = Problem(HTTPStatus(status), "The request is not valid HTTP.")
        else:
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway has failed at this.")
        response = problem.response()
        response.headers["Server"] = SERVER
        response.force_close()
        return response

    def _taken(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _cut(self, transport: asyncio.Transport) -> None:
        HTTP_CLOSED.labels("answer_not_taken").inc()
        transport.abort()


class ConnectionLimiter:
    """Counts connections, and requests behind a token, and holds both to their limits."""

    def __init__(self) -> None:
        self._inside: dict[asyncio.Transport, HttpProtocol | None] = {}  # oldest first; None: shaking hands
        self._requests = 0
        self._cut = 0  # since it was told last
        self._tell_at = 0.0

    def enter(self, transport: asyncio.Transport) -> bool:
        """Whether there is room for the connection, which then is inside; for others one may have to go."""
        if len(self._inside) >= MAX_CONNECTIONS and not self._make_room():
            self._count("refused")
            return False
        self._inside[transport] = None
        HTTP_CONNECTIONS.inc()
        return True

    def serve(self, transport: asyncio.Transport, protocol: HttpProtocol) -> None:
        """From now on the connection has requests."""
        self._inside[transport] = protocol

    def leave(self, transport: asyncio.Transport) -> None:
        """The connection is gone; it may have been before."""
        if transport in self._inside:
            del self._inside[transport]
            HTTP_CONNECTIONS.dec()

    @contextmanager
    def keeping(self, request: web.Request) -> Iterator[None]:
        """Inside the block the request's connection stays; raises a Problem (503) when too many do."""
        if self._requests >= MAX_REQUESTS:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are under way; try again.", headers=_RETRY_SOON
            )
        protocol = request.protocol
        assert isinstance(protocol, HttpProtocol)
        self._requests += 1
        protocol.known = protocol.kept = True
        try:
            yield
        finally:
            self._requests -= 1
            protocol.kept = False

    def _make_room(self) -> bool:
        """Ends the oldest connection that has never shown a token, or else one that waits for no answer."""
        known: asyncio.Transport | None = None
        for transport, protocol in self._inside.items():
            if protocol is None or not protocol.known:
                break
            if known is None and not protocol.kept:
                known = transport
        else:
            if known is None:
                return False
            transport = known
        self._count("made_room")
        self.leave(transport)
        transport.abort()
        return True

    def _count(self, why: Literal["refused", "made_room"]) -> None:
        HTTP_CLOSED.labels(why).inc()
        self._cut += 1
        now = time.monotonic()
        if now >= self._tell_at:
            log.warning(Event.HTTP_CONNECTIONS_LIMITED, connections=len(self._inside), cut=self._cut)
            self._tell_at = now + TELL_EVERY
            self._cut = 0


class PendingConnection(asyncio.Protocol):
    """A connection until its first request can come.

    TLS begins here, not in the listener: a handshake that takes long must take a place.
    """

    def __init__(
        self,
        door: ConnectionLimiter,
        handler: Callable[[Callable[[], None]], HttpProtocol],
        tls: ssl.SSLContext | None,
    ):
        """`handler` makes the protocol that takes over; it gets what to call at the connection's end."""
        self._door = door
        self._handler = handler
        self._tls = tls
        self._early = b""  # a request that came in one piece with the handshake's end
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, base: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", base)  # uvloop's are no subclass
        if not self._door.enter(transport):
            transport.abort()
        elif self._tls is None:
            self._hand_over(transport, transport)
        else:
            transport.pause_reading()  # what has come belongs to the handshake
            self._handshake = asyncio.create_task(self._shake_hands(transport, self._tls))

    def data_received(self, data: bytes) -> None:
        self._early += data

    async def _shake_hands(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        secure = None
        try:
            secure = await loop.start_tls(
                transport, self, tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_WITHIN
            )
        except OSError:  # no handshake, a wrong one, or one that came too late
            transport.abort()
        if secure is None or secure.is_closing():
            self._door.leave(transport)
        else:
            self._hand_over(transport, secure)

    def _hand_over(self, transport: asyncio.Transport, secure: asyncio.Transport) -> None:
        protocol = self._handler(lambda: self._door.leave(transport))
        self._door.serve(transport, protocol)
        secure.set_protocol(protocol)
        protocol.connection_made(secure)
        if self._early:
            protocol.data_received(self._early)
