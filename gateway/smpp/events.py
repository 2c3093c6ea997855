"""What a session is, and what it tells: the words between `gateway.smpp.session` and the shell around it."""

from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

Tag = TypeVar("Tag")
"""What the caller of `Session.submit` has a segment's outcome reported with."""


class Role(StrEnum):
    """What a session is bound for (SMPP 3.4 §2.2.1)."""

    TRANSCEIVER = "transceiver"
    TRANSMITTER = "transmitter"
    RECEIVER = "receiver"


class SessionState(StrEnum):
    """Where a session stands; the table above tells what leads where."""

    OPEN = "open"
    BINDING = "binding"
    BOUND = "bound"
    UNBINDING = "unbinding"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a session came to its end."""

    BIND_REFUSED = "bind_refused"
    BIND_TIMEOUT = "bind_timeout"
    ENQUIRE_LINK_TIMEOUT = "enquire_link_timeout"
    FRAMING_LOST = "framing_lost"
    UNBOUND = "unbound"
    UNBIND_TIMEOUT = "unbind_timeout"
    SMSC_UNBOUND = "smsc_unbound"
    CONNECTION_LOST = "connection_lost"


class Bound(NamedTuple):
    """The SMSC took the bind. `interface_version` is 0x34 for SMPP 3.4, None when it told none."""

    system_id: str
    interface_version: int | None


class BindRefused(NamedTuple):
    """The SMSC refused the bind with this status."""

    command_status: int


class SubmitResponse(NamedTuple, Generic[Tag]):
    """The SMSC answered a segment; `message_id` is "" when it gave none."""

    tag: Tag
    command_status: int
    message_id: str


class NoResponse(NamedTuple, Generic[Tag]):
    """A segment's outcome is unknown: no answer in time, or before the connection ended."""

    tag: Tag


class LateResponse(NamedTuple, Generic[Tag]):
    """The answer to a segment that was reported NoResponse; its slot is free since then."""

    tag: Tag
    command_status: int
    message_id: str


class Received(NamedTuple):
    """A deliver_sm or data_sm, not decoded; the SMSC waits for `respond` with both of the numbers."""

    command_id: int
    sequence_number: int
    body: bytes


class SmscUnbound(NamedTuple):
    """The SMSC unbound; unbind_resp is on its way and nothing new may be submitted."""


class Unbound(NamedTuple):
    """The SMSC answered our unbind."""


class UnmatchedNack(NamedTuple):
    """A generic_nack for nothing that is under way."""

    sequence_number: int
    command_status: int


class UnexpectedPdu(NamedTuple):
    """A PDU that makes no sense here and was answered or ignored."""

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
