"""One SMPP 3.4 session of an ESME, sans I/O: octets, calls and `now` in; octets, events and a deadline out.

`gateway.smpp.session_life` has its states and deadlines.

A session serves one connection. Once CLOSED it reports Closed. The shell then writes `data_to_send`, closes the
transport and calls `disconnected`.

enquire_link gets its response in every state. A request that an ESME does not serve gets a generic_nack, and a PDU
that does not fit the state is reported as UnexpectedPdu. Neither ends the session.
"""

import math
from functools import partial
from typing import Final

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
from gateway.smpp.pdu import (
    HEADER,
    MAX_COMMAND_LENGTH,
    RESPONSE_BIT,
    CommandId,
    decode_bind_resp,
    encode_pdu,
)
from gateway.smpp.session_life import SessionLife
from gateway.smpp.transitions import Input
from gateway.smpp.window import FULL_WINDOW_STATUSES

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

MAX_PDUS_PER_CALL: Final = 128
"""The number of PDUs, responses to segments apart, that one call of `receive` handles: other links run in between.
"""

_SUBMIT_SM: Final = CommandId.SUBMIT_SM.value
_SUBMIT_SM_RESP: Final = CommandId.SUBMIT_SM_RESP.value
_HEADER_SIZE: Final = HEADER.size

_BEFORE_BOUND: Final = (SessionState.OPEN, SessionState.BINDING)

_submit_response: Final = partial(tuple.__new__, SubmitResponse)
"""A SubmitResponse from a tuple of its fields, at half the cost of its own constructor."""


class Session(SessionLife[Tag]):
    """The protocol of one connection. Instants and `now` are monotonic seconds, time-outs are seconds."""

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

    def data_to_send(self) -> bytes:
        """The octets queued since the last call, for one write."""
        data = b"".join(self._out)
        self._out.clear()
        return data

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
        position, end, pending_length, handled = 0, len(data), _HEADER_SIZE, 0
        text = str(data, "latin-1")  # character by octet
        refused = full = alone = 0
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
                stop = text.find("\0", body, body + MAX_MESSAGE_ID_OCTETS)
                if not body <= stop <= after:
                    stop = min(after, body + MAX_MESSAGE_ID_OCTETS)
                events.append(_submit_response((sent[0], command_status, text[body:stop])))
                if sent[1] < adapts_before:
                    self._adapt(sent[1], now)
                if command_status:
                    refused += 1
                    if command_status in FULL_WINDOW_STATUSES:
                        full, alone = (full + 1, alone) if window else (full, alone + 1)
                    if command_status == consts.SMPP_ESME_RINVBNDSTS:
                        self._lapse(Input.NOT_BOUND, now)
            elif handled == MAX_PDUS_PER_CALL:
                self.has_backlog = True
                break
            else:
                handled, known, open_segments = handled + 1, len(events), len(window)
                self._handle(command_id, command_status, sequence_number, data[body:after], now, events)
                refused += open_segments - len(window)  # a generic_nack
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
                accepted = under_way - len(window) - refused
                self.accepted += accepted
                if full or alone or adaptive.may_be_full:
                    adaptive.count(accepted, full, alone, now)
                    self._resize()
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
                self._note_status(command_status, Input.NOT_BOUND_LATE, now)
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
        if not any(map(self._is_unexpected, handled)):
            self._unexpected = 0
            return
        self._unexpected += 1
        if self._unexpected >= self._max_unexpected and not self.closing:
            self._close(Input.TOO_MANY_UNEXPECTED, events)

    def _is_unexpected(self, event: Event[Tag]) -> bool:
        """Whether the event counts towards `max_unexpected`; an unbind that the SMSC repeats does."""
        if isinstance(event, SmscUnbound):
            again, self._smsc_unbound = self._smsc_unbound, True
            return again
        return isinstance(event, UnexpectedPdu | UnmatchedNack)

    def _handle_nack(
        self, sequence_number: int, command_status: int, now: float, events: list[Event[Tag]]
    ) -> None:
        # A generic_nack never means success, whatever its status.
        command_status = command_status or consts.SMPP_ESME_RSYSERR
        if sent := self._window.pop(sequence_number, None):
            events.append(SubmitResponse(sent[0], command_status, ""))
            self._note_status(command_status, Input.GENERIC_NACK_SEGMENT_NOT_BOUND, now)
        elif (late := self._pop_late(sequence_number, now)) is not None:
            events.append(LateResponse(late[0], command_status, "", now - late[1]))
            self._note_status(command_status, Input.NOT_BOUND_LATE, now)
        elif self._is_response(SessionState.BINDING, sequence_number):
            events.append(BindRefused(command_status))
            self._close(Input.GENERIC_NACK, events)
        elif self._is_response(SessionState.UNBINDING, sequence_number):
            self._close(Input.GENERIC_NACK, events)
        else:
            self._enquire_link_at = None  # perhaps to enquire_link: that also shows that the SMSC is there
            events.append(UnmatchedNack(sequence_number, command_status))
            self._note_status(command_status, Input.GENERIC_NACK_NOT_BOUND, now)

    def _note_status(self, command_status: int, given: Input, now: float) -> None:
        """Ends the session of an SMSC that says that we are not bound, in whatever response."""
        if command_status == consts.SMPP_ESME_RINVBNDSTS:
            self._lapse(given, now)
