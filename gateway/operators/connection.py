"""One connection to an SMSC: an asyncio protocol around the sans-I/O session.

It passes received octets to the session, writes once per iteration of the event loop, keeps the session's single
timer, and passes the session's events to a handler.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, cast

from gateway.smpp.session import CloseReason, Event, Session, SessionState, Tag

MAX_UNREAD_BYTES = 1 << 20
"""The fullest write buffer: with more that the SMSC has not read, the connection is aborted."""

Handler = Callable[["SmppConnection[Tag]", list[Event[Tag]]], None]


class SmppConnection(asyncio.Protocol, Generic[Tag]):
    """The connection of one session. `handle` is called with the events of each read, in order."""

    def __init__(self, session: Session[Tag], handle: Handler[Tag]) -> None:
        self.session = session
        self.lost = asyncio.Event()
        self.bound_at: float | None = None  # monotonic seconds
        self.bind_refusal: int | None = None  # the command_status with which the SMSC refused the bind
        self.lost_at: float | None = None
        self.close_reason: CloseReason | None = None
        self.unbound_by_smsc = False
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._flushing = False
        self._reading_paused = False
        self._catching_up = False  # octets already received are handled in the next iterations of the event loop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # uvloop's handle of a timer that is due at once does not know

    @property
    def free(self) -> int:
        """The number of segments that may be submitted now."""
        return self.session.free if self._writable else 0

    @property
    def bound_seconds(self) -> float:
        """For which the session has been bound, or had been when it was lost; 0 when it never was."""
        if self.bound_at is None:
            return 0.0
        return (self._loop.time() if self.lost_at is None else self.lost_at) - self.bound_at

    @property
    def open(self) -> bool:
        """Whether the socket is connected and not closing."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_bound(self) -> bool:
        """Whether the session is bound and neither side has sent an unbind."""
        return self.open and self.session.state is SessionState.BOUND

    def submit(self, body: bytes, tag: Tag) -> None:
        """Submits a segment; it is written with the other octets of this iteration of the event loop."""
        self.session.submit(body, tag, self._loop.time())
        self.flush_soon()

    def respond(self, command_id: int, sequence_number: int, command_status: int = 0) -> None:
        """Responds to a deliver_sm or data_sm; does nothing when the connection is closed."""
        if self.open:
            self.session.respond(command_id, sequence_number, command_status)
            self.flush_soon()

    def unbind(self) -> None:
        """Sends an unbind, if bound."""
        if self.open and self.session.state is SessionState.BOUND:
            self.session.unbind(self._loop.time())
            self.flush_soon()

    def close(self) -> None:
        """Closes the socket after the write buffer is flushed."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes the socket at once; buffered octets are lost."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        """Stops reading: the receive buffer fills up and TCP flow control stops the SMSC."""
        self._reading_paused = True
        if self.open:
            cast("asyncio.Transport", self._transport).pause_reading()

    def resume_reading(self) -> None:
        """Reads again after `pause_reading`."""
        self._reading_paused = False
        if self.session.has_backlog:
            self._catch_up_soon()
        elif self.open:
            cast("asyncio.Transport", self._transport).resume_reading()

    def flush_soon(self) -> None:
        """Schedules one write for everything that this iteration of the event loop sends."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if (
            transport.get_extra_info("sslcontext") is None
        ):  # a TLS transport without a buffer never resumes writing
            # Without a buffer uvloop writes at once and not at the end of the iteration: paced segments leave in
            # time.
            self._transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session.connected(self._loop.time())
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        self._pass_on(self.session.receive(data, self._loop.time()))
        if self.session.has_backlog and self.open:
            cast("asyncio.Transport", self._transport).pause_reading()
            self._catch_up_soon()

    def _catch_up_soon(self) -> None:
        if not self._catching_up:
            self._catching_up = True
            self._loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        """Handles more of the octets received; then the connection is read again."""
        self._catching_up = False
        if self._reading_paused or not self.open:
            return
        self.data_received(b"")
        if not self._catching_up and not self._reading_paused:
            self.resume_reading()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._pass_on([])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self.lost_at = self._loop.time()
        while self.session.has_backlog:  # it may have responses to segments
            self._handle(self, self.session.receive(b"", self.lost_at))
        self._handle(self, self.session.disconnected(self.lost_at))
        self.lost.set()

    def flush(self) -> None:
        """Writes the session's output."""
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
            self._set_timer()

    def _set_timer(self) -> None:
        """Sets the timer to the session's next deadline; an earlier timer stays."""
        deadline = self.session.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)
        self._timer_at = deadline

    def _tick(self) -> None:
        self._timer = None
        self._pass_on(self.session.tick(self._loop.time()))

    def _pass_on(self, events: list[Event[Tag]]) -> None:
        self._handle(self, events)
        self.flush_soon()
