"""One SMPP 3.4 session, seen from the ESME: octets, inputs and `now` in; octets, events and a deadline out.

=========  =========================================  ==================================================
in state   on                                         goes to
=========  =========================================  ==================================================
OPEN       connected()                                BINDING: bind_* is sent
BINDING    bind_*_resp, status 0                      BOUND: Bound
           bind_*_resp or generic_nack, other status  CLOSED: BindRefused
           no answer within response_timeout          CLOSED
BOUND      unbind()                                   UNBINDING: unbind is sent
           unbind from the SMSC                       UNBINDING: unbind_resp is sent, SmscUnbound
           enquire_link without answer                CLOSED
UNBINDING  unbind_resp to our unbind                  CLOSED: Unbound
           after the SMSC's unbind, everything both   CLOSED
           sides still owed has been answered
           response_timeout passed                    CLOSED
any        command_length outside 16…65,536           CLOSED: generic_nack ESME_RINVCMDLEN is sent
           disconnected()                             CLOSED: NoResponse for every segment under way
=========  =========================================  ==================================================

An enquire_link is answered in every state. A request that is none of an ESME's business gets a generic_nack,
and what makes no sense is reported as UnexpectedPdu; neither ends the session. A session serves one connection.
Once CLOSED it says so, as Closed; the shell then writes `data_to_send` out, closes the transport and calls
`disconnected`.

A segment without answer after response_timeout gives its slot back, as NoResponse: whether the SMSC took it
is not known. Its answer may still come, as LateResponse.
"""

from collections import OrderedDict
from functools import partial
from typing import Final, Generic

from smpplib import consts

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
    MAX_MESSAGE_ID_BYTES,
    MAX_SEQUENCE_NUMBER,
    RESPONSE_BIT,
    CommandId,
    decode_bind_resp,
    encode_bind,
    encode_pdu,
)

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

MAX_LATE_RESPONSES: Final = 10_000
"""Timed-out segments whose answer is still recognised; the oldest are forgotten first."""

_SUBMIT_SM: Final = CommandId.SUBMIT_SM.value
_SUBMIT_SM_RESP: Final = CommandId.SUBMIT_SM_RESP.value
_HEADER_SIZE: Final = HEADER.size

_BIND: Final = {
    Role.TRANSCEIVER: CommandId.BIND_TRANSCEIVER,
    Role.TRANSMITTER: CommandId.BIND_TRANSMITTER,
    Role.RECEIVER: CommandId.BIND_RECEIVER,
}
_NOT_YET_BOUND: Final = (SessionState.OPEN, SessionState.BINDING)

_answered: Final = partial(tuple.__new__, SubmitResponse)
"""SubmitResponse from a tuple of its fields, at half of what its own constructor costs."""


class Session(Generic[Tag]):
    """The protocol of one connection. Instants are monotonic seconds, as the caller's `now` has them."""

    def __init__(
        self,
        *,
        role: Role,
        system_id: str,
        password: str,
        system_type: str = "",
        window: int,
        enquire_link: float,
        response_timeout: float,
    ) -> None:
        self.state = SessionState.OPEN
        self.unacknowledged_deliveries = 0
        """Received PDUs not yet responded to; a shell that lets them grow without bound stops reading."""
        self._role = role
        self._bind_body = encode_bind(system_id, password, system_type)
        self._slots_when_bound = 0 if role is Role.RECEIVER else window
        self._slots = 0
        self._enquire_link = enquire_link
        self._response_timeout = response_timeout
        self._out: list[bytes] = []
        self._pending = bytearray()  # the beginning of a PDU, until all of it is there
        self._wanted = 0
        self._sequence = 0
        self._window: dict[int, tuple[Tag, float]] = {}  # sequence_number → tag, sent at; oldest first
        self._late: OrderedDict[int, Tag] = OrderedDict()
        self._asked: int | None = None  # the sequence_number of our bind or unbind under way
        self._deadline = 0.0  # of BINDING and UNBINDING
        self._heard_at = 0.0
        self._enquired_at: float | None = None

    @property
    def closing(self) -> bool:
        """Whether the transport is to be closed once `data_to_send` is out."""
        return self.state is SessionState.CLOSED

    @property
    def free(self) -> int:
        """How many more segments may be submitted now; 0 unless bound to send."""
        return max(self._slots - len(self._window), 0)

    def connected(self, now: float) -> None:
        """Begin: the bind is the first PDU of the connection."""
        self._asked = self._request(_BIND[self._role], self._bind_body)
        self.state, self._deadline = SessionState.BINDING, now + self._response_timeout

    def submit(self, body: bytes, tag: Tag, now: float) -> int:
        """The sequence_number of the submit_sm queued with this body; `tag` comes back with its outcome.

        Raises RuntimeError when no slot is `free`.
        """
        window = self._window
        if len(window) >= self._slots:
            raise RuntimeError(f"no slot of the window is free ({self.state})")
        sequence_number = self._next_sequence_number()
        window[sequence_number] = (tag, now)
        self._out.append(HEADER.pack(_HEADER_SIZE + len(body), _SUBMIT_SM, 0, sequence_number) + body)
        return sequence_number

    def respond(self, command_id: int, sequence_number: int, command_status: int = 0) -> None:
        """ParentReply a Received PDU, message_id a single NUL (SMPP 3.4 §4.6.2); too late once closed."""
        if self.closing:
            return
        self._out.append(encode_pdu(command_id | RESPONSE_BIT, command_status, sequence_number, b"\0"))
        self.unacknowledged_deliveries = max(self.unacknowledged_deliveries - 1, 0)
        if self._is_drained():
            self._deadline = 0.0

    def unbind(self, now: float) -> None:
        """Say good-bye. To lose no answer, wait until the window is empty first."""
        self._slots = 0
        if self.state is SessionState.BOUND:
            self._asked = self._request(CommandId.UNBIND)
            self.state, self._deadline = SessionState.UNBINDING, now + self._response_timeout
        elif self.state is SessionState.BINDING:
            self.state, self._deadline = SessionState.UNBINDING, 0.0

    def data_to_send(self) -> bytes:
        """Everything queued since the last call, for one write."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def next_deadline(self) -> float | None:
        """When `tick` is to be called at the latest; a past instant when it has work already."""
        match self.state:
            case SessionState.OPEN | SessionState.CLOSED:
                return None
            case SessionState.BINDING | SessionState.UNBINDING:
                deadline = self._deadline
            case SessionState.BOUND:
                enquired_at = self._enquired_at
                deadline = (
                    self._heard_at + self._enquire_link
                    if enquired_at is None
                    else enquired_at + self._response_timeout
                )
        for _, sent_at in self._window.values():
            return min(deadline, sent_at + self._response_timeout)
        return deadline

    def tick(self, now: float) -> list[Event[Tag]]:
        """What time alone brings: segments without answer, an enquire_link, the end of a dead session."""
        events: list[Event[Tag]] = []
        if self.closing:
            return events
        self._expire(now, events)
        match self.state:
            case SessionState.BINDING if now >= self._deadline:
                self._close(CloseReason.BIND_TIMEOUT, events)
            case SessionState.UNBINDING if now >= self._deadline or self._is_drained():
                peer_began = self._asked is None
                self._close(CloseReason.SMSC_UNBOUND if peer_began else CloseReason.UNBIND_TIMEOUT, events)
            case SessionState.BOUND if self._enquired_at is not None:
                if now >= self._enquired_at + self._response_timeout:
                    self._close(CloseReason.ENQUIRE_LINK_TIMEOUT, events)
            case SessionState.BOUND if now >= self._heard_at + self._enquire_link:
                self._request(CommandId.ENQUIRE_LINK)
                self._enquired_at = now
        return events

    def disconnected(self, now: float) -> list[Event[Tag]]:
        """The transport is gone: every segment under way is NoResponse."""
        events: list[Event[Tag]] = [NoResponse(tag) for tag, _ in self._window.values()]
        self._window.clear()
        if self.state is not SessionState.CLOSED:
            self._close(CloseReason.CONNECTION_LOST, events)
        return events

    def receive(self, data: bytes, now: float) -> list[Event[Tag]]:
        """What the octets of one read mean, however the stream was cut. Raises nothing, whatever they are."""
        events: list[Event[Tag]] = []
        if self.closing:
            return events
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wanted:
                return events
            data = bytes(self._pending)
            self._pending.clear()
        window, unpack_header = self._window, HEADER.unpack_from
        position, end, wanted = 0, len(data), _HEADER_SIZE
        while end - position >= _HEADER_SIZE:
            length, command_id, command_status, sequence_number = unpack_header(data, position)
            body = position + _HEADER_SIZE
            after = position + length
            if not _HEADER_SIZE <= length <= MAX_COMMAND_LENGTH:
                self._nack(consts.SMPP_ESME_RINVCMDLEN, sequence_number)
                self._close(CloseReason.FRAMING_LOST, events)
                return events
            if after > end:
                wanted = length
                break
            if command_id == _SUBMIT_SM_RESP and (sent := window.pop(sequence_number, None)):
                # Octets behind the message_id are TLVs of later versions; without a NUL it fills the body.
                stop = data.find(b"\0", body, body + MAX_MESSAGE_ID_BYTES)
                if not body <= stop <= after:
                    stop = min(after, body + MAX_MESSAGE_ID_BYTES)
                events.append(_answered((sent[0], command_status, str(data[body:stop], "latin-1"))))
            else:
                self._handle(command_id, command_status, sequence_number, data[body:after], now, events)
                if self.closing:
                    return events
            if not window and self._is_drained():
                self._close(CloseReason.SMSC_UNBOUND, events)
                return events
            position = after
        if position:
            self._heard_at = now
        if position < end:
            self._pending += data[position:]
            self._wanted = wanted
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
        """Any PDU but the answer to a segment under way."""
        match command_id:
            case CommandId.DELIVER_SM | CommandId.DATA_SM if self.state in _NOT_YET_BOUND:
                status = consts.SMPP_ESME_RINVBNDSTS
                self._out.append(encode_pdu(command_id | RESPONSE_BIT, status, sequence_number, b"\0"))
                events.append(UnexpectedPdu(command_id, "before the bind was answered"))
            case CommandId.DELIVER_SM | CommandId.DATA_SM:
                self.unacknowledged_deliveries += 1
                events.append(Received(command_id, sequence_number, body))
            case CommandId.ENQUIRE_LINK:
                self._out.append(encode_pdu(CommandId.ENQUIRE_LINK_RESP, 0, sequence_number))
            case CommandId.ENQUIRE_LINK_RESP:
                self._enquired_at = None
            case CommandId.UNBIND:
                self._out.append(encode_pdu(CommandId.UNBIND_RESP, 0, sequence_number))
                events.append(SmscUnbound())
                if self.state is not SessionState.UNBINDING:
                    self.state, self._slots, self._asked = SessionState.UNBINDING, 0, None
                    self._deadline = now + self._response_timeout
            case CommandId.UNBIND_RESP if self._answers(SessionState.UNBINDING, sequence_number):
                events.append(Unbound())
                self._close(CloseReason.UNBOUND, events)
            case (
                CommandId.BIND_TRANSCEIVER_RESP | CommandId.BIND_TRANSMITTER_RESP | CommandId.BIND_RECEIVER_RESP
            ) if self._answers(SessionState.BINDING, sequence_number):
                if command_status:
                    self._refuse_bind(command_status, events)
                else:
                    self.state, self._slots, self._asked = SessionState.BOUND, self._slots_when_bound, None
                    self._heard_at = now
                    events.append(Bound(*decode_bind_resp(body)))
            case CommandId.SUBMIT_SM_RESP if sequence_number in self._late:
                message_id = body.partition(b"\0")[0][:MAX_MESSAGE_ID_BYTES].decode("latin-1")
                events.append(LateResponse(self._late.pop(sequence_number), command_status, message_id))
            case CommandId.GENERIC_NACK:
                self._take_nack(sequence_number, command_status, events)
            case CommandId.ALERT_NOTIFICATION | CommandId.OUTBIND:
                events.append(UnexpectedPdu(command_id, "not for this session"))  # neither has a response
            case _ if command_id & RESPONSE_BIT:
                events.append(UnexpectedPdu(command_id, "answers nothing under way"))
            case _:
                self._nack(consts.SMPP_ESME_RINVCMDID, sequence_number)
                events.append(UnexpectedPdu(command_id, "not a request to an ESME"))

    def _take_nack(self, sequence_number: int, command_status: int, events: list[Event[Tag]]) -> None:
        # A generic_nack is never a success, whatever status it bears.
        command_status = command_status or consts.SMPP_ESME_RSYSERR
        if sent := self._window.pop(sequence_number, None):
            events.append(SubmitResponse(sent[0], command_status, ""))
        elif sequence_number in self._late:
            events.append(LateResponse(self._late.pop(sequence_number), command_status, ""))
        elif self._answers(SessionState.BINDING, sequence_number):
            self._refuse_bind(command_status, events)
        elif self._answers(SessionState.UNBINDING, sequence_number):
            self._close(CloseReason.UNBOUND, events)
        else:
            self._enquired_at = None  # an SMSC that knows no enquire_link is alive all the same
            events.append(UnmatchedNack(sequence_number, command_status))

    def _refuse_bind(self, command_status: int, events: list[Event[Tag]]) -> None:
        events.append(BindRefused(command_status))
        self._close(CloseReason.BIND_REFUSED, events)

    def _answers(self, state: SessionState, sequence_number: int) -> bool:
        """Whether this is the sequence_number of the bind or unbind that is awaited in `state`."""
        return self.state is state and self._asked == sequence_number

    def _is_drained(self) -> bool:
        """Whether the SMSC has unbound and neither side owes the other an answer any more."""
        return (
            self.state is SessionState.UNBINDING
            and self._asked is None
            and not self._window
            and not self.unacknowledged_deliveries
        )

    def _expire(self, now: float, events: list[Event[Tag]]) -> None:
        """Give up on segments whose time for an answer is over; the window is in the order of sending."""
        window, late = self._window, self._late
        while window:
            sequence_number, (tag, sent_at) = next(iter(window.items()))
            if sent_at + self._response_timeout > now:
                break
            del window[sequence_number]
            late[sequence_number] = tag
            if len(late) > MAX_LATE_RESPONSES:
                late.popitem(last=False)
            events.append(NoResponse(tag))

    def _close(self, reason: CloseReason, events: list[Event[Tag]]) -> None:
        self.state, self._slots = SessionState.CLOSED, 0
        self._pending.clear()
        events.append(Closed(reason))

    def _request(self, command_id: CommandId, body: bytes = b"") -> int:
        sequence_number = self._next_sequence_number()
        self._out.append(encode_pdu(command_id, 0, sequence_number, body))
        return sequence_number

    def _nack(self, command_status: int, sequence_number: int) -> None:
        self._out.append(encode_pdu(CommandId.GENERIC_NACK, command_status, sequence_number))

    def _next_sequence_number(self) -> int:
        """1…0x7FFFFFFF and round again, past numbers whose answer may still come (SMPP 3.4 §3.2)."""
        number = self._sequence % MAX_SEQUENCE_NUMBER + 1
        while number in self._window or number in self._late:
            number = number % MAX_SEQUENCE_NUMBER + 1
        self._sequence = number
        return number
