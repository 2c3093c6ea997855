"""The life of a session: its states, its deadlines, and how it ends.

`gateway.smpp.transitions` has the table of the states, and docs/architecture/session.md draws it.

A segment without a response within response_timeout is reported as NoResponse: its outcome is unknown. It keeps
its place in the window for the same time again, because the SMSC may still be serving it. A later response is
reported as LateResponse. `gateway.smpp.window` adapts the window to how fast the SMSC responds.

A session that only looks bound is ended: when the SMSC says that it is not bound, or has responded to no segment
of a full window within twice response_timeout.
"""

from typing import Final, Generic

from gateway.smpp.events import (
    Closed,
    Event,
    NoResponse,
    Role,
    SessionState,
    Tag,
)
from gateway.smpp.in_flight import InFlight
from gateway.smpp.pdu import INTERFACE_VERSION, NO_ADDRESS, Address, CommandId, encode_bind, encode_pdu
from gateway.smpp.transitions import Input, Transition, transition
from gateway.smpp.window import AdaptiveWindow

UNBIND_RESP_DELAY_SECONDS: Final = 1.0
"""The time for which unbind_resp waits for the deliver_sm_resp that are owed: some SMSCs close the connection on
it.
"""

MAX_UNEXPECTED_PDUS: Final = 10_000
"""The number of unexpected PDUs in a row that closes the session: the SMSC is broken or hostile. A slow one has as
many late responses.
"""

_BIND: Final = {
    Role.TRANSCEIVER: CommandId.BIND_TRANSCEIVER,
    Role.TRANSMITTER: CommandId.BIND_TRANSMITTER,
    Role.RECEIVER: CommandId.BIND_RECEIVER,
}


class SessionLife(Generic[Tag]):
    """All of a session but the octets of its peer, which `Session` adds."""

    def __init__(
        self,
        *,
        role: Role,
        system_id: str,
        password: str,
        system_type: str = "",
        interface_version: int = INTERFACE_VERSION,
        address_range: Address = NO_ADDRESS,
        window: int,
        enquire_link: float,
        response_timeout: float,
        window_size: float | None = None,
        max_unexpected: int = MAX_UNEXPECTED_PDUS,
    ) -> None:
        """`window` is the most segments under way; `window_size` is the `window.size` of the session before."""
        self.state = SessionState.OPEN
        self.accepted = 0
        """Segments that the SMSC has accepted in time; those of the last read before its end are missing."""
        self.unacknowledged_deliveries = 0
        """Received PDUs without a response so far. The shell bounds them: it pauses reading."""
        self.has_backlog = False
        """Whether octets received wait for the next call of `receive`, which may have none."""
        self._role = role
        self._max_unexpected = max_unexpected
        self._unexpected = 0  # unexpected PDUs since the last that was not
        self._smsc_unbound = False  # the SMSC has sent an unbind
        self.window = AdaptiveWindow(window, response_timeout, window_size)
        self._may_submit = role is not Role.RECEIVER
        self._bind_body = encode_bind(system_id, password, system_type, interface_version, address_range)
        self._slots = 0
        self._enquire_link = enquire_link
        self._response_timeout = response_timeout
        self._out: list[bytes] = []
        self._pending = bytearray()  # the octets of an incomplete PDU
        self._pending_length = 0  # octets until which it stays incomplete
        self._in_flight = InFlight[Tag](response_timeout)
        self._window = self._in_flight.window
        self._awaited: int | None = None  # the sequence_number of our bind or unbind under way
        self._deadline = 0.0  # of BINDING, UNBINDING and DRAINING
        self._unbinds: list[int] = []  # sequence_numbers of the SMSC's unbinds whose response waits
        self._unbind_resp_at = 0.0  # until when it does
        self._received_at = 0.0
        self._enquire_link_at: float | None = None

    @property
    def closing(self) -> bool:
        """Whether the transport is to be closed once `data_to_send` is written."""
        return self.state is SessionState.CLOSED

    @property
    def window_in_use(self) -> bool:
        """Whether the session may submit."""
        return self._slots > 0

    @property
    def free(self) -> int:
        """Segments that the window has room for; 0 unless bound as transmitter or transceiver."""
        return max(self._slots - self._in_flight.places, 0)

    def connected(self, now: float) -> None:
        """Queues the bind, the first PDU of the connection. Raises RuntimeError unless the session is OPEN."""
        self._enter(Input.CONNECTED)
        self._awaited = self._request(_BIND[self._role], self._bind_body)
        self._deadline = now + self._response_timeout

    def unbind(self, now: float) -> None:
        """Queues unbind; while BINDING the next `tick` closes. Wait for an empty window to lose no response."""
        self._slots = 0
        was_bound = self.state is SessionState.BOUND
        if self._enter(Input.UNBIND).to is not None:
            self._deadline = now + self._response_timeout if was_bound else 0.0
            if was_bound:
                self._awaited = self._request(CommandId.UNBIND)

    def next_deadline(self) -> float | None:
        """The instant by which `tick` is to be called; in the past when it has work now; None: never."""
        match self.state:
            case SessionState.OPEN | SessionState.CLOSED:
                return None
            case SessionState.BINDING | SessionState.UNBINDING | SessionState.DRAINING | SessionState.LAPSED:
                deadline = self._deadline
            case SessionState.BOUND:
                enquire_link_at = self._enquire_link_at
                deadline = (
                    self._received_at + self._enquire_link
                    if enquire_link_at is None
                    else enquire_link_at + self._response_timeout
                )
        if self._unbinds:
            deadline = min(deadline, self._unbind_resp_at)
        return self._in_flight.next_deadline(deadline)

    def tick(self, now: float) -> list[Event[Tag]]:
        """The events that the passing of time causes: segments without response, a session that timed out."""
        events: list[Event[Tag]] = []
        if self.closing:
            return events
        self._expire(now, events)
        self._expire_overdue(now, events)
        if self._unbinds and now >= self._unbind_resp_at:
            self._respond_to_unbinds()
        match self.state:
            case SessionState.BOUND if self._enquire_link_at is not None:
                if now >= self._enquire_link_at + self._response_timeout:
                    self._close(Input.ENQUIRE_LINK_TIMEOUT, events)
            case SessionState.BOUND if now >= self._received_at + self._enquire_link:
                self._request(CommandId.ENQUIRE_LINK)
                self._enquire_link_at = now
            case SessionState.DRAINING | SessionState.LAPSED if self._is_drained():
                self._close(Input.DRAINED, events)
            case SessionState.BINDING | SessionState.UNBINDING | SessionState.DRAINING | SessionState.LAPSED:
                if now >= self._deadline:
                    self._close(Input.RESPONSE_TIMEOUT, events)
        return events

    def disconnected(self, now: float) -> list[Event[Tag]]:
        """The transport is closed: the outcome of every segment under way is unknown."""
        events: list[Event[Tag]] = [NoResponse(tag) for tag, _ in self._window.values()]
        self._window.clear()
        if self.state is not SessionState.CLOSED:
            self._close(Input.DISCONNECTED, events)
        return events

    def _delay_unbind_resp(self, sequence_number: int, now: float) -> None:
        """Queues unbind_resp; while deliver_sm_resp are owed, those go first, for at most a second."""
        if not self._unbinds:
            self._unbind_resp_at = now + min(UNBIND_RESP_DELAY_SECONDS, self._response_timeout)
        self._unbinds.append(sequence_number)
        if not self.unacknowledged_deliveries:
            self._respond_to_unbinds()

    def _respond_to_unbinds(self) -> None:
        for sequence_number in self._unbinds:
            self._out.append(encode_pdu(CommandId.UNBIND_RESP, 0, sequence_number))
        self._unbinds.clear()

    def _is_response(self, state: SessionState, sequence_number: int) -> bool:
        """Whether `state` is the state, and awaits a response with this sequence_number."""
        return self.state is state and self._awaited == sequence_number

    def _is_drained(self) -> bool:
        """Whether the SMSC has ended the session and neither side owes a response any more."""
        ended = self.state is SessionState.DRAINING or self.state is SessionState.LAPSED
        return ended and not self._window and not self.unacknowledged_deliveries

    def _lapse(self, given: Input, now: float) -> None:
        """Submits nothing more to an SMSC that says we are not bound; awaits the responses under way."""
        if self._enter(given).to is not None:
            self._slots, self._deadline = 0, now + self._response_timeout

    def _adapt(self, sent_at: float, now: float) -> None:
        self.window.responded(sent_at, now)
        self._resize()

    def _resize(self) -> None:
        if self.state is SessionState.BOUND and self._may_submit:
            self._slots = self.window.limit

    def _pop_late(self, sequence_number: int, now: float) -> tuple[Tag, float] | None:
        """(tag, sent at) of a segment whose response_timeout is over; None when there is no such segment."""
        late = self._in_flight.pop_late(sequence_number, now)
        if late is not None:
            self.window.responded_late(late[1], now)
        return late

    def _expire(self, now: float, events: list[Event[Tag]]) -> None:
        """Reports the segments whose response_timeout is over."""
        while (timed_out := self._in_flight.pop_timed_out(now)) is not None:
            tag, sent_at = timed_out
            self.window.timed_out(sent_at, now)
            events.append(NoResponse(tag))
        self._resize()

    def _expire_overdue(self, now: float, events: list[Event[Tag]]) -> None:
        """Frees the places of segments without a response for twice response_timeout, or ends a silent session."""
        in_flight = self._in_flight
        while (sent_at := in_flight.oldest_expired(now)) is not None:
            if self.state is SessionState.BOUND and not self.free and in_flight.responded_at <= sent_at:
                self._close(Input.UNRESPONSIVE, events)
                return
            in_flight.free_oldest()

    def _enter(self, given: Input) -> Transition:
        """Changes the state as the table has it; the only place that does."""
        row = transition(self.state, given)
        if row.to is not None:
            self.state = row.to
        return row

    def _close(self, given: Input, events: list[Event[Tag]]) -> None:
        """Enters CLOSED; the table has the reason."""
        row = self._enter(given)
        self._slots = 0
        self._pending.clear()
        self.has_backlog = False
        if row.reason is not None:
            events.append(Closed(row.reason))

    def _request(self, command_id: CommandId, body: bytes = b"") -> int:
        sequence_number = self._in_flight.next_sequence_number()
        self._out.append(encode_pdu(command_id, 0, sequence_number, body))
        return sequence_number

    def _nack(self, command_status: int, sequence_number: int) -> None:
        self._out.append(encode_pdu(CommandId.GENERIC_NACK, command_status, sequence_number))
