"""One SMPP 3.4 session of an ESME, sans I/O: octets, calls and `now` in; octets, events and a deadline out.

`gateway.smpp.transitions` has the table of its states, and docs/architecture/session.md draws it.

A session serves one connection. Once CLOSED it reports Closed. The shell then writes `data_to_send`, closes the
transport and calls `disconnected`.

enquire_link gets its response in every state. A request that an ESME does not serve gets a generic_nack, and a PDU
that does not fit the state is reported as UnexpectedPdu. Neither ends the session.

A segment without a response within response_timeout is reported as NoResponse: its outcome is unknown. It keeps
its place in the window for the same time again, because the SMSC may still be serving it. A later response is
reported as LateResponse. `gateway.smpp.window` adapts the window to how fast the SMSC responds.

A session that only looks bound is ended: when the SMSC says that it is not bound, or has responded to no segment
of a full window within twice response_timeout.
"""

import math
from functools import partial
from typing import Final, Generic

from smpplib import consts

from gateway.limits import MAX_MESSAGE_ID_OCTETS
from gateway.smpp.events import (
    BindRefused,
    Bound,
    Closed,
    CloseReason,
    Event,
    LateResponse,
    NoResponse,
    Received,
    Role,
    SessionState,
    SmscUnbound,
    SubmitResponse,
    Tag,
    Unbound,
    UnexpectedPdu,
    UnmatchedNack,
)
from gateway.smpp.in_flight import InFlight
from gateway.smpp.pdu import (
    HEADER,
    INTERFACE_VERSION,
    MAX_COMMAND_LENGTH,
    NO_ADDRESS,
    RESPONSE_BIT,
    Address,
    CommandId,
    decode_bind_resp,
    encode_bind,
    encode_pdu,
)
from gateway.smpp.transitions import Input, Transition, transition
from gateway.smpp.window import AdaptiveWindow

__all__ = [
    "BindRefused",
    "Bound",
    "CloseReason",
    "Closed",
    "Event",
    "LateResponse",
    "NoResponse",
    "Received",
    "Role",
    "Session",
    "SessionState",
    "SmscUnbound",
    "SubmitResponse",
    "Tag",
    "Unbound",
    "UnexpectedPdu",
    "UnmatchedNack",
]

UNBIND_RESP_DELAY_SECONDS: Final = 1.0
"""For which unbind_resp waits for the deliver_sm_resp that are owed: some SMSCs close the connection on it."""

MAX_PDUS_PER_CALL: Final = 128
"""PDUs, responses to segments apart, that one call of `receive` handles: other links have their turn as well."""

MAX_UNEXPECTED_PDUS: Final = 10_000
"""In a row, before the session is closed: the SMSC is broken or hostile. A slow one has as many late responses."""

_SUBMIT_SM: Final = CommandId.SUBMIT_SM.value
_SUBMIT_SM_RESP: Final = CommandId.SUBMIT_SM_RESP.value
_HEADER_SIZE: Final = HEADER.size

_BIND: Final = {
    Role.TRANSCEIVER: CommandId.BIND_TRANSCEIVER,
    Role.TRANSMITTER: CommandId.BIND_TRANSMITTER,
    Role.RECEIVER: CommandId.BIND_RECEIVER,
}
_BEFORE_BOUND: Final = (SessionState.OPEN, SessionState.BINDING)

_submit_response: Final = partial(tuple.__new__, SubmitResponse)
"""A SubmitResponse from a tuple of its fields, at half the cost of its own constructor."""


class Session(Generic[Tag]):
    """The protocol of one connection. Instants and `now` are monotonic seconds, time-outs are seconds."""

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

    def submit(self, body: bytes, tag: Tag, now: float) -> int:
        """The sequence_number of the submit_sm queued with this body; the event of its outcome has `tag`.

        Raises RuntimeError when the window has no `free` place.
        """
        in_flight = self._in_flight
        if len(self._window) + len(in_flight.overdue) >= self._slots:
            raise RuntimeError(f"no slot of the window is free ({self.state})")
        sequence_number = in_flight.next_sequence_number()
        self._window[sequence_number] = (tag, now)
        self._out.append(HEADER.pack(_HEADER_SIZE + len(body), _SUBMIT_SM, 0, sequence_number) + body)
        return sequence_number

    def respond(self, command_id: int, sequence_number: int, command_status: int = 0) -> None:
        """Queues the response to a Received PDU, message_id a single NUL (SMPP 3.4 §4.6.2); not once closed."""
        if self.closing:
            return
        self._out.append(encode_pdu(command_id | RESPONSE_BIT, command_status, sequence_number, b"\0"))
        self.unacknowledged_deliveries = max(self.unacknowledged_deliveries - 1, 0)
        if self._unbinds and not self.unacknowledged_deliveries:
            self._respond_to_unbinds()
        if self._is_drained():
            self._deadline = 0.0

    def unbind(self, now: float) -> None:
        """Queues unbind; while BINDING the next `tick` closes. Wait for an empty window to lose no response."""
        self._slots = 0
        was_bound = self.state is SessionState.BOUND
        if self._enter(Input.UNBIND).to is not None:
            self._deadline = now + self._response_timeout if was_bound else 0.0
            if was_bound:
                self._awaited = self._request(CommandId.UNBIND)

    def data_to_send(self) -> bytes:
        """The octets queued since the last call, for one write."""
        data = b"".join(self._out)
        self._out.clear()
        return data

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

    def receive(self, data: bytes, now: float) -> list[Event[Tag]]:
        """The events of the octets of one read. PDUs may be split over reads in any way; no octets raise.

        After MAX_PDUS_PER_CALL the rest waits for the next call: `has_backlog`.
        """
        events: list[Event[Tag]] = []
        if self.closing:
            return events
        if self._pending:
            self._pending += data
            if len(self._pending) < self._pending_length:
                return events
            data = bytes(self._pending)
            self._pending.clear()
        window, unpack_header = self._window, HEADER.unpack_from
        under_way, adaptive = len(window), self.window
        # At its ceiling the window adapts to responses to segments sent before this, else to all.
        adapts_before = now - adaptive.late_seconds if adaptive.limit == adaptive.ceiling else math.inf
        position, end, pending_length, refused, handled = 0, len(data), _HEADER_SIZE, 0, 0
        self.has_backlog = False
        while end - position >= _HEADER_SIZE:
            length, command_id, command_status, sequence_number = unpack_header(data, position)
            body = position + _HEADER_SIZE
            after = position + length
            if not _HEADER_SIZE <= length <= MAX_COMMAND_LENGTH:
                self._nack(consts.SMPP_ESME_RINVCMDLEN, sequence_number)
                self._close(Input.INVALID_LENGTH, events)
                return events
            if after > end:
                pending_length = length
                break
            if command_id == _SUBMIT_SM_RESP and (sent := window.pop(sequence_number, None)):
                # TLVs of later versions may follow message_id. Without a NUL it fills the body.
                stop = data.find(b"\0", body, body + MAX_MESSAGE_ID_OCTETS)
                if not body <= stop <= after:
                    stop = min(after, body + MAX_MESSAGE_ID_OCTETS)
                events.append(_submit_response((sent[0], command_status, str(data[body:stop], "latin-1"))))
                if sent[1] < adapts_before:
                    self._adapt(sent[1], now)
                if command_status:
                    refused += 1
                    if command_status == consts.SMPP_ESME_RINVBNDSTS:
                        self._lapse(Input.NOT_BOUND, now)
            elif handled == MAX_PDUS_PER_CALL:
                self.has_backlog = True
                break
            else:
                handled, known = handled + 1, len(events)
                self._handle(command_id, command_status, sequence_number, data[body:after], now, events)
                self._count_unexpected(events[known:], events)
                if self.closing:
                    return events
            if not window and self._is_drained():
                self._close(Input.DRAINED, events)
                return events
            position = after
        if position:
            self._received_at = now
            if len(window) < under_way:
                self._unexpected = 0
                self._in_flight.responded_at = now
                self.accepted += under_way - len(window) - refused
        if position < end:
            self._pending += data[position:]
            self._pending_length = pending_length
        return events

    def _handle(
        self,
        command_id: int,
        command_status: int,
        sequence_number: int,
        body: bytes,
        now: float,
        events: list[Event[Tag]],
    ) -> None:
        """Handles any PDU but a submit_sm_resp to a segment under way."""
        match command_id:
            case CommandId.DELIVER_SM | CommandId.DATA_SM if self.state in _BEFORE_BOUND:
                status = consts.SMPP_ESME_RINVBNDSTS
                self._out.append(encode_pdu(command_id | RESPONSE_BIT, status, sequence_number, b"\0"))
                events.append(UnexpectedPdu(command_id, "received before bind_resp"))
            case CommandId.DELIVER_SM | CommandId.DATA_SM:
                self.unacknowledged_deliveries += 1
                events.append(Received(command_id, sequence_number, body))
            case CommandId.ENQUIRE_LINK:
                self._out.append(encode_pdu(CommandId.ENQUIRE_LINK_RESP, 0, sequence_number))
            case CommandId.ENQUIRE_LINK_RESP:
                self._enquire_link_at = None
                if command_status:
                    self._lapse(Input.ENQUIRE_LINK_RESP_ERROR, now)
            case CommandId.UNBIND:
                events.append(SmscUnbound())
                owes = self.unacknowledged_deliveries > 0
                if self._enter(Input.SMSC_UNBIND_OWED if owes else Input.SMSC_UNBIND).to is not None:
                    self._slots, self._deadline = 0, now + self._response_timeout
                self._delay_unbind_resp(sequence_number, now)
            case CommandId.UNBIND_RESP if self._is_response(SessionState.UNBINDING, sequence_number):
                self._respond_to_unbinds()
                events.append(Unbound())
                self._close(Input.UNBIND_RESP, events)
            case (
                CommandId.BIND_TRANSCEIVER_RESP | CommandId.BIND_TRANSMITTER_RESP | CommandId.BIND_RECEIVER_RESP
            ) if self.state is SessionState.BINDING:  # some SMSCs number it themselves
                if command_status:
                    events.append(BindRefused(command_status))
                    self._close(Input.BIND_RESP_ERROR, events)
                else:
                    self._enter(Input.BIND_RESP)
                    self._received_at = now
                    self._resize()
                    events.append(Bound(*decode_bind_resp(body)))
            case CommandId.SUBMIT_SM_RESP if (late := self._pop_late(sequence_number, now)) is not None:
                message_id = body.partition(b"\0")[0][:MAX_MESSAGE_ID_OCTETS].decode("latin-1")
                events.append(LateResponse(late[0], command_status, message_id, now - late[1]))
            case CommandId.GENERIC_NACK:
                self._handle_nack(sequence_number, command_status, now, events)
            case CommandId.ALERT_NOTIFICATION | CommandId.OUTBIND:
                events.append(UnexpectedPdu(command_id, "not valid for this bind"))  # neither has a response
            case _ if command_id & RESPONSE_BIT:
                events.append(UnexpectedPdu(command_id, "response to no request under way"))
            case _:
                self._nack(consts.SMPP_ESME_RINVCMDID, sequence_number)
                events.append(UnexpectedPdu(command_id, "request that an ESME does not serve"))

    def _count_unexpected(self, handled: list[Event[Tag]], events: list[Event[Tag]]) -> None:
        """Closes the session after `max_unexpected` unexpected PDUs in a row; `handled`: the events of one PDU."""
        if not any(isinstance(event, UnexpectedPdu | UnmatchedNack) for event in handled):
            self._unexpected = 0
            return
        self._unexpected += 1
        if self._unexpected >= self._max_unexpected and not self.closing:
            self._close(Input.TOO_MANY_UNEXPECTED, events)

    def _handle_nack(
        self, sequence_number: int, command_status: int, now: float, events: list[Event[Tag]]
    ) -> None:
        # A generic_nack never means success, whatever its status.
        command_status = command_status or consts.SMPP_ESME_RSYSERR
        if sent := self._window.pop(sequence_number, None):
            events.append(SubmitResponse(sent[0], command_status, ""))
        elif (late := self._pop_late(sequence_number, now)) is not None:
            events.append(LateResponse(late[0], command_status, "", now - late[1]))
        elif self._is_response(SessionState.BINDING, sequence_number):
            events.append(BindRefused(command_status))
            self._close(Input.GENERIC_NACK, events)
        elif self._is_response(SessionState.UNBINDING, sequence_number):
            self._close(Input.GENERIC_NACK, events)
        else:
            self._enquire_link_at = None  # perhaps to enquire_link: that also shows that the SMSC is there
            events.append(UnmatchedNack(sequence_number, command_status))

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
