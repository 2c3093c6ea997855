"""One connection to an SMSC: a socket around the sans-I/O session.

It feeds the session, writes once a turn of the event loop, keeps the session's one timer, and passes its events on.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, cast

from gateway.smpp.session import Event, Session, SessionState, Tag

MAX_UNREAD_BYTES = 1 << 20
"""Octets that an SMSC has not read; beyond, the connection is aborted."""

Handler = Callable[["SmppConnection[Tag]", list[Event[Tag]]], None]


class SmppConnection(asyncio.Protocol, Generic[Tag]):
    """The asyncio side of one session. `handle` is called with the events of each read, in order."""

    def __init__(self, session: Session[Tag], handle: Handler[Tag]) -> None:
        self.session = session
        self.lost = asyncio.Event()
        self.was_bound = False
        self.refused: int | None = None  # the command_status of a refused bind
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._flushing = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def free(self) -> int:
        """Segments that may be submitted now."""
        return self.session.free if self._writable else 0

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_bound(self) -> bool:
        """The SMSC reads what is sent now, unless the connection breaks: neither side has sent an unbind."""
        return self.open and self.session.state is SessionState.BOUND

    def submit(self, body: bytes, tag: Tag) -> None:
        """Puts a submit_sm under way; it leaves with the other bytes of this turn."""
        self.session.submit(body, tag, self._loop.time())
        self.flush_soon()

    def respond(self, command_id: int, sequence_number: int, command_status: int = 0) -> None:
        """Responds to a deliver_sm or data_sm, if the session it came by is still open."""
        if self.open:
            self.session.respond(command_id, sequence_number, command_status)
            self.flush_soon()

    def unbind(self) -> None:
        """Asks the SMSC to end the session."""
        if self.open and self.session.state is SessionState.BOUND:
            self.session.unbind(self._loop.time())
            self.flush_soon()

    def close(self) -> None:
        """Closes the socket once what is written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Reads no more: the kernel's buffers fill, and the SMSC has to wait."""
        if self.open:
            cast("asyncio.Transport", self._transport).pause_reading()

    def resume_reading(self) -> None:
        if self.open:
            cast("asyncio.Transport", self._transport).resume_reading()

    def flush_soon(self) -> None:
        """One write for all that this turn of the event loop brings about."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("sslcontext") is None:  # TLS with no buffer at all pauses for good
            # uvloop would write at the end of its turn; what has been paced leaves when it is its turn.
            self._transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session.connected(self._loop.time())
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        self._pass_on(self.session.receive(data, self._loop.time()))

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pass_on([])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._handle(self, self.session.disconnected(self._loop.time()))
        self.lost.set()

    def flush(self) -> None:
        """Writes what is to be sent."""
        self._flushing = False
        if self._transport is None:
            return
        if data := self.session.data_to_send():
            self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._transport.abort()
        elif self.session.closing:
            self._transport.close()
        else:
            self._arm()

    def _arm(self) -> None:
        """Sets the timer for the next deadline; one that is set for an earlier instant stays."""
        deadline = self.session.next_deadline()
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._pass_on(self.session.tick(self._loop.time()))

    def _pass_on(self, events: list[Event[Tag]]) -> None:
        self._handle(self, events)
        self.flush_soon()
