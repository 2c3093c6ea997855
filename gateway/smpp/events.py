"""The states and events of a `gateway.smpp.session.Session`, and what it is bound as."""

from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

Tag = TypeVar("Tag")
"""What the caller passes to `Session.submit` to recognise the segment in the events about it."""


class Role(StrEnum):
    """The direction that a session is bound for (SMPP 3.4 §2.2.1)."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"


class BindMode(StrEnum):
    """The binds of which one session of a link consists (configuration `links.bind`)."""

    TRANSCEIVER = "transceiver"
    PAIR = "transmitter+receiver"

    @property
    def roles(self) -> tuple[Role, ...]:
        """One for each socket."""
        return tuple(Role(name) for name in self.split("+"))


class SessionState(StrEnum):
    """The states of a session; `gateway.smpp.transitions` has the table."""

    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    """We have sent unbind, or gave the bind up before its response."""
    DRAINING = "draining"
    """The SMSC has sent unbind; responses that either side owes are still awaited."""
    LAPSED = "lapsed"
    """The SMSC says that we are not bound; responses that either side owes are still awaited."""
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a session ended."""

    BIND_REFUSED = "bind_refused"
    BIND_TIMEOUT = "bind_timeout"
    ENQUIRE_LINK_TIMEOUT = "enquire_link_timeout"
    FRAMING_LOST = "framing_lost"
    UNBOUND = "unbound"
    UNBIND_TIMEOUT = "unbind_timeout"
    SMSC_UNBOUND = "smsc_unbound"
    CONNECTION_LOST = "connection_lost"
    NOT_BOUND = "not_bound"
    """To the SMSC we are not bound: ESME_RINVBNDSTS, or an error in response to enquire_link."""
    UNRESPONSIVE = "unresponsive"
    """The SMSC has responded to no segment of a full window."""
    UNEXPECTED_PDUS = "unexpected_pdus"
    """The SMSC sends nothing but PDUs that fit no request and no state."""


class Bound(NamedTuple):
    """The SMSC accepted the bind. `interface_version` is 0x34 for SMPP 3.4; None without sc_interface_version."""

    system_id: str
    interface_version: int | None


class BindRefused(NamedTuple):
    """The SMSC refused the bind with this status."""

    command_status: int


class SubmitResponse(NamedTuple, Generic[Tag]):
    """The SMSC responded to a segment; `message_id` is "" when the response has none."""

    tag: Tag
    command_status: int
    message_id: str


class NoResponse(NamedTuple, Generic[Tag]):
    """A segment's outcome is unknown: no response within response_timeout, or before the connection ended."""

    tag: Tag


class LateResponse(NamedTuple, Generic[Tag]):
    """The response to a segment that was reported as NoResponse."""

    tag: Tag
    command_status: int
    message_id: str
    seconds: float
    """The time since the segment was submitted."""


class Received(NamedTuple):
    """A deliver_sm or data_sm, not decoded. The SMSC expects `Session.respond` with these two numbers."""

    command_id: int
    sequence_number: int
    body: bytes


class SmscUnbound(NamedTuple):
    """The SMSC sent unbind; nothing may be submitted any more. unbind_resp follows what is owed to it."""


class Unbound(NamedTuple):
    """The SMSC responded to our unbind."""


class UnmatchedNack(NamedTuple):
    """A generic_nack for no request that is under way."""

    sequence_number: int
    command_status: int


class UnexpectedPdu(NamedTuple):
    """A PDU that does not fit the state of the session. It was responded to, or ignored."""

    command_id: int
    reason: str


class Closed(NamedTuple):
    """The session is over."""

    reason: CloseReason


Event = (
    Bound
    | BindRefused
    | SubmitResponse[Tag]
    | NoResponse[Tag]
    | LateResponse[Tag]
    | Received
    | SmscUnbound
    | Unbound
    | UnmatchedNack
    | UnexpectedPdu
    | Closed
)
