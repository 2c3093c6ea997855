"""Connections: how many are open at once, which one is closed when there is no room, how slow a client may be.

A connection whose request with a token is under way is never closed to make room, and fewer such requests are
allowed than connections. So a probe always gets in, and a flood of unauthenticated connections only closes others
of its kind.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Literal, cast

from aiohttp import web

from gateway.api.pacing import Pace
from gateway.api.problems import RETRY_SOON, Problem
from gateway.api.protocol import BoundedReads, HttpProtocol, Tally
from gateway.config.policy import HttpPolicy
from gateway.logs.log import Event, get_logger
from gateway.metrics import HTTP_CLOSED, HTTP_CONNECTIONS

log = get_logger()


class ConnectionLimiter:
    """Counts connections and requests with a token, and holds both to their limits."""

    def __init__(self, policy: HttpPolicy) -> None:
        self._policy = policy
        self._open: dict[asyncio.Transport, HttpProtocol | None] = {}  # oldest first; None: in its TLS handshake
        self._requests = 0
        self._closed = Tally(policy.limited_log_seconds)

    def enter(self, transport: asyncio.Transport) -> bool:
        """Counts the connection, for which another may be closed; False when there is no room for it."""
        if len(self._open) >= self._policy.max_connections and not self._make_room():
            self._count_closed("refused")
            return False
        self._open[transport] = None
        HTTP_CONNECTIONS.inc()
        return True

    def reject(self, transport: asyncio.Transport) -> None:
        """Closes a counted connection that cannot be served now."""
        self._count_closed("refused")
        self.leave(transport)
        transport.abort()

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
        if closed := self._closed.add():
            log.warning(Event.HTTP_CONNECTIONS_LIMITED, connections=len(self._open), closed=closed)


class PendingConnection(asyncio.Protocol):
    """A connection until its first request can come.

    The TLS handshake begins here, not in the listener, so that connections are counted from their start.
    """

    def __init__(
        self,
        limiter: ConnectionLimiter,
        handler: Callable[[Callable[[], None]], HttpProtocol],
        buffer: memoryview,
        tls: ssl.SSLContext | None,
        handshakes: Pace,
        policy: HttpPolicy,
    ):
        """`handler` makes the protocol that follows; its argument is called when the connection ends. `buffer` is
        for what is then received: see BoundedReads. In `handshakes` all
        connections wait for their slot."""
        self._limiter = limiter
        self._handler = handler
        self._buffer = buffer
        self._tls = tls
        self._handshakes = handshakes
        self._waits = False  # for its slot
        self._policy = policy
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

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waits and self._handshake is not None:  # closed to make room: it uses no slot of another's
            self._handshake.cancel()

    async def _start_tls(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        secure = None
        if not await self._has_slot(transport):
            return
        try:
            secure = await loop.start_tls(
                transport,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._policy.handshake_timeout_seconds,
            )
        except OSError:  # no handshake, an invalid one, or a time-out
            transport.abort()
        if secure is None or secure.is_closing():
            self._limiter.leave(transport)
        else:
            self._start_http(transport, secure)

    async def _has_slot(self, transport: asyncio.Transport) -> bool:
        """Waits until this handshake may begin; False when the connection is closed instead."""
        self._waits = True
        try:
            async with asyncio.timeout(self._policy.handshake_wait_seconds):
                await self._handshakes.acquire()
        except TimeoutError:
            self._limiter.reject(transport)
        finally:
            self._waits = False
        return not transport.is_closing()

    def _start_http(self, transport: asyncio.Transport, secure: asyncio.Transport) -> None:
        protocol = self._handler(lambda: self._limiter.leave(transport))
        self._limiter.serve(transport, protocol)
        if self._tls is not None:  # what TLS keeps beyond what it has passed on
            cast("Any", secure).set_read_buffer_limits(high=len(self._buffer))
        secure.set_protocol(BoundedReads(protocol, self._buffer))
        protocol.connection_made(secure)
        if self._early:
            protocol.data_received(self._early)
