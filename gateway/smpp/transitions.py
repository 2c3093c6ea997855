"""The states of an SMPP session and its inputs, as a table (SMPP 3.4 §2.2).

`gateway.smpp.session` changes its state only by `transition`, which rejects a pair of state and input that the
table does not have. Tests drive a session through every pair and compare events, PDUs and state with the table.
scripts/diagrams draws docs/architecture/session.md from it.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.smpp.events import (
    BindRefused,
    Bound,
    CloseReason,
    LateResponse,
    NoResponse,
    Received,
    SessionState,
    SmscUnbound,
    SubmitResponse,
    Unbound,
    UnexpectedPdu,
    UnmatchedNack,
)


class Input(StrEnum):
    """What can happen to a session: calls, the passing of time, and PDUs of the SMSC."""

    CONNECTED = "connected()"
    SUBMIT = "submit()"
    RESPOND = "respond()"
    RESPOND_LAST = "respond() to the last deliver_sm before an unbind_resp that waits"
    UNBIND = "unbind()"
    DISCONNECTED = "disconnected()"

    RESPONSE_TIMEOUT = "response_timeout since the state was entered"
    SEGMENT_TIMEOUT = "response_timeout since a submit_sm"
    IDLE = "enquire_link interval without a PDU"
    ENQUIRE_LINK_TIMEOUT = "response_timeout since our enquire_link"
    UNRESPONSIVE = "twice response_timeout without any submit_sm_resp, and a full window"
    DRAINED = "no response owed by either side"
    UNBIND_RESP_DUE = "1 s since an unbind from the SMSC, deliver_sm_resp owed"

    BIND_RESP = "bind_*_resp, status 0"
    BIND_RESP_ERROR = "bind_*_resp, other status"
    SUBMIT_SM_RESP = "submit_sm_resp"
    NOT_BOUND = "submit_sm_resp ESME_RINVBNDSTS"
    NOT_BOUND_LATE = "submit_sm_resp ESME_RINVBNDSTS after response_timeout"
    SUBMIT_SM_RESP_LATE = "submit_sm_resp after response_timeout"
    SUBMIT_SM_RESP_UNMATCHED = "submit_sm_resp to no segment"
    DELIVER_SM = "deliver_sm"
    DATA_SM = "data_sm"
    ENQUIRE_LINK = "enquire_link"
    ENQUIRE_LINK_RESP = "enquire_link_resp"
    ENQUIRE_LINK_RESP_ERROR = "enquire_link_resp, other status"
    SMSC_UNBIND = "unbind from the SMSC"
    SMSC_UNBIND_OWED = "unbind from the SMSC, deliver_sm_resp owed"
    UNBIND_RESP = "unbind_resp"
    UNBIND_RESP_UNMATCHED = "unbind_resp to another sequence_number"
    GENERIC_NACK = "generic_nack to the bind or unbind"
    GENERIC_NACK_SEGMENT = "generic_nack to a segment"
    GENERIC_NACK_SEGMENT_NOT_BOUND = "generic_nack ESME_RINVBNDSTS to a segment"
    GENERIC_NACK_LATE = "generic_nack to a segment after response_timeout"
    GENERIC_NACK_UNMATCHED = "generic_nack to no request"
    GENERIC_NACK_NOT_BOUND = "generic_nack ESME_RINVBNDSTS to no segment, as to enquire_link"
    ALERT_NOTIFICATION = "alert_notification"
    OUTBIND = "outbind"
    OTHER_REQUEST = "any other request"
    OTHER_RESPONSE = "any other response"
    TOO_MANY_UNEXPECTED = "the last of 10,000 unexpected PDUs in a row"
    INVALID_LENGTH = "command_length outside 16…65,536"


class Transition(NamedTuple):
    """A row of the table; it is the same for each of `states`."""

    states: tuple[SessionState, ...]
    input: Input
    to: SessionState | None
    """The next state; None: the same."""
    sends: str
    """The PDUs that are sent, with their command_status where that is not 0; "" for none."""
    events: tuple[type[tuple[object, ...]], ...]
    """Types of the events in their order. NoResponse is reported for every segment that the input concerns."""
    section: str
    """The section of SMPP 3.4."""
    reason: CloseReason | None = None
    """The reason of the event Closed, with which each transition to CLOSED ends."""


_OPEN: Final = (SessionState.OPEN,)
_BINDING: Final = (SessionState.BINDING,)
_BOUND: Final = (SessionState.BOUND,)
_UNBINDING: Final = (SessionState.UNBINDING,)
_DRAINING: Final = (SessionState.DRAINING,)
_LAPSED: Final = (SessionState.LAPSED,)
_ENDED: Final = _DRAINING + _LAPSED
_CLOSED: Final = (SessionState.CLOSED,)
_UNBOUND: Final = _OPEN + _BINDING
_WAS_BOUND: Final = _BOUND + _UNBINDING + _ENDED
_ALIVE: Final = _UNBOUND + _WAS_BOUND

# A pair without a row is rejected with RuntimeError (connected, submit), or cannot occur: before a bind is
# accepted no segment is under way, no deliver_sm_resp owed and no enquire_link was sent.
# fmt: off
_CALLS: Final = (
    Transition(_OPEN, Input.CONNECTED, SessionState.BINDING, "bind_*", (), "§4.1"),
    Transition(_BOUND, Input.SUBMIT, None, "submit_sm", (), "§4.4"),
    Transition(_ALIVE, Input.RESPOND, None, "deliver_sm_resp", (), "§4.6.2"),
    Transition(_BINDING, Input.UNBIND, SessionState.UNBINDING, "", (), "§4.2"),
    Transition(_BOUND, Input.UNBIND, SessionState.UNBINDING, "unbind", (), "§4.2"),
    Transition(_OPEN + _UNBINDING + _ENDED, Input.UNBIND, None, "", (), "§4.2"),
    Transition(_UNBOUND, Input.DISCONNECTED, SessionState.CLOSED, "", (), "§2.2", CloseReason.CONNECTION_LOST),
    Transition(
        _WAS_BOUND, Input.DISCONNECTED, SessionState.CLOSED, "", (NoResponse,), "§2.2", CloseReason.CONNECTION_LOST
    ),
    Transition(_CLOSED, Input.DISCONNECTED, None, "", (NoResponse,), "§2.2"),
)
_TIME: Final = (
    Transition(_BINDING, Input.RESPONSE_TIMEOUT, SessionState.CLOSED, "", (), "§7.2", CloseReason.BIND_TIMEOUT),
    Transition(
        _UNBINDING, Input.RESPONSE_TIMEOUT, SessionState.CLOSED, "", (), "§7.2", CloseReason.UNBIND_TIMEOUT
    ),
    Transition(_DRAINING, Input.RESPONSE_TIMEOUT, SessionState.CLOSED, "", (), "§7.2", CloseReason.SMSC_UNBOUND),
    Transition(_LAPSED, Input.RESPONSE_TIMEOUT, SessionState.CLOSED, "", (), "§7.2", CloseReason.NOT_BOUND),
    Transition(_OPEN + _BOUND, Input.RESPONSE_TIMEOUT, None, "", (), "§7.2"),
    Transition(_DRAINING, Input.DRAINED, SessionState.CLOSED, "", (), "§4.2", CloseReason.SMSC_UNBOUND),
    Transition(_LAPSED, Input.DRAINED, SessionState.CLOSED, "", (), "§4.4.2", CloseReason.NOT_BOUND),
    Transition(_UNBOUND + _BOUND + _UNBINDING, Input.DRAINED, None, "", (), "§4.2"),
    Transition(_WAS_BOUND, Input.SEGMENT_TIMEOUT, None, "", (NoResponse,), "§7.2"),
    Transition(_BOUND, Input.IDLE, None, "enquire_link", (), "§7.2"),
    Transition(_UNBOUND + _UNBINDING + _ENDED, Input.IDLE, None, "", (), "§7.2"),
    Transition(
        _BOUND, Input.ENQUIRE_LINK_TIMEOUT, SessionState.CLOSED, "", (), "§7.2", CloseReason.ENQUIRE_LINK_TIMEOUT
    ),
    Transition(_UNBINDING + _ENDED, Input.ENQUIRE_LINK_TIMEOUT, None, "", (), "§7.2"),
    Transition(_BOUND, Input.UNRESPONSIVE, SessionState.CLOSED, "", (), "§7.2", CloseReason.UNRESPONSIVE),
    Transition(_UNBINDING + _ENDED, Input.UNRESPONSIVE, None, "", (), "§7.2"),
)
_BIND_AND_UNBIND: Final = (
    Transition(_BINDING, Input.BIND_RESP, SessionState.BOUND, "", (Bound,), "§4.1"),
    Transition(
        _BINDING, Input.BIND_RESP_ERROR, SessionState.CLOSED, "", (BindRefused,), "§4.1", CloseReason.BIND_REFUSED
    ),
    Transition(_OPEN + _WAS_BOUND, Input.BIND_RESP, None, "", (UnexpectedPdu,), "§4.1"),
    Transition(_OPEN + _WAS_BOUND, Input.BIND_RESP_ERROR, None, "", (UnexpectedPdu,), "§4.1"),
    Transition(
        _BINDING, Input.GENERIC_NACK, SessionState.CLOSED, "", (BindRefused,), "§4.3", CloseReason.BIND_REFUSED
    ),
    Transition(_UNBINDING, Input.GENERIC_NACK, SessionState.CLOSED, "", (), "§4.3", CloseReason.UNBOUND),
    Transition(_OPEN + _BOUND + _ENDED, Input.GENERIC_NACK, None, "", (UnmatchedNack,), "§4.3"),
    Transition(_UNBINDING, Input.UNBIND_RESP, SessionState.CLOSED, "", (Unbound,), "§4.2", CloseReason.UNBOUND),
    Transition(_UNBOUND + _BOUND + _ENDED, Input.UNBIND_RESP, None, "", (UnexpectedPdu,), "§4.2"),
    Transition(_ALIVE, Input.UNBIND_RESP_UNMATCHED, None, "", (UnexpectedPdu,), "§4.2"),
    Transition(_UNBOUND + _BOUND, Input.SMSC_UNBIND, SessionState.DRAINING, "unbind_resp", (SmscUnbound,), "§4.2"),
    Transition(_UNBINDING + _ENDED, Input.SMSC_UNBIND, None, "unbind_resp", (SmscUnbound,), "§4.2"),
    Transition(_BOUND, Input.SMSC_UNBIND_OWED, SessionState.DRAINING, "", (SmscUnbound,), "§4.2"),
    Transition(_UNBINDING + _ENDED, Input.SMSC_UNBIND_OWED, None, "", (SmscUnbound,), "§4.2"),
    Transition(_UNBINDING + _ENDED, Input.RESPOND_LAST, None, "deliver_sm_resp, unbind_resp", (), "§4.2"),
    Transition(_UNBINDING + _ENDED, Input.UNBIND_RESP_DUE, None, "unbind_resp", (), "§4.2"),
)
_PDUS: Final = (
    Transition(_WAS_BOUND, Input.SUBMIT_SM_RESP, None, "", (SubmitResponse,), "§4.4.2"),
    Transition(_BOUND, Input.NOT_BOUND, SessionState.LAPSED, "", (SubmitResponse,), "§4.4.2"),
    Transition(_UNBINDING + _ENDED, Input.NOT_BOUND, None, "", (SubmitResponse,), "§4.4.2"),
    Transition(_BOUND, Input.NOT_BOUND_LATE, SessionState.LAPSED, "", (LateResponse,), "§4.4.2"),
    Transition(_UNBINDING + _ENDED, Input.NOT_BOUND_LATE, None, "", (LateResponse,), "§4.4.2"),
    Transition(_WAS_BOUND, Input.SUBMIT_SM_RESP_LATE, None, "", (LateResponse,), "§4.4.2"),
    Transition(_ALIVE, Input.SUBMIT_SM_RESP_UNMATCHED, None, "", (UnexpectedPdu,), "§4.4.2"),
    Transition(_WAS_BOUND, Input.GENERIC_NACK_SEGMENT, None, "", (SubmitResponse,), "§4.3"),
    Transition(
        _BOUND, Input.GENERIC_NACK_SEGMENT_NOT_BOUND, SessionState.LAPSED, "", (SubmitResponse,), "§4.3"
    ),
    Transition(_UNBINDING + _ENDED, Input.GENERIC_NACK_SEGMENT_NOT_BOUND, None, "", (SubmitResponse,), "§4.3"),
    Transition(_WAS_BOUND, Input.GENERIC_NACK_LATE, None, "", (LateResponse,), "§4.3"),
    Transition(_ALIVE, Input.GENERIC_NACK_UNMATCHED, None, "", (UnmatchedNack,), "§4.3"),
    Transition(_BOUND, Input.GENERIC_NACK_NOT_BOUND, SessionState.LAPSED, "", (UnmatchedNack,), "§4.3"),
    Transition(
        _UNBOUND + _UNBINDING + _ENDED, Input.GENERIC_NACK_NOT_BOUND, None, "", (UnmatchedNack,), "§4.3"
    ),
    Transition(_UNBOUND, Input.DELIVER_SM, None, "deliver_sm_resp ESME_RINVBNDSTS", (UnexpectedPdu,), "§4.6"),
    Transition(_WAS_BOUND, Input.DELIVER_SM, None, "", (Received,), "§4.6"),
    Transition(_UNBOUND, Input.DATA_SM, None, "data_sm_resp ESME_RINVBNDSTS", (UnexpectedPdu,), "§4.7"),
    Transition(_WAS_BOUND, Input.DATA_SM, None, "", (Received,), "§4.7"),
    Transition(_ALIVE, Input.ENQUIRE_LINK, None, "enquire_link_resp", (), "§4.11"),
    Transition(_ALIVE, Input.ENQUIRE_LINK_RESP, None, "", (), "§4.11"),
    Transition(_BOUND, Input.ENQUIRE_LINK_RESP_ERROR, SessionState.LAPSED, "", (), "§4.11"),
    Transition(_UNBOUND + _UNBINDING + _ENDED, Input.ENQUIRE_LINK_RESP_ERROR, None, "", (), "§4.11"),
    Transition(_ALIVE, Input.ALERT_NOTIFICATION, None, "", (UnexpectedPdu,), "§4.12"),
    Transition(_ALIVE, Input.OUTBIND, None, "", (UnexpectedPdu,), "§4.1.7"),
    Transition(_ALIVE, Input.OTHER_REQUEST, None, "generic_nack ESME_RINVCMDID", (UnexpectedPdu,), "§4.3"),
    Transition(_ALIVE, Input.OTHER_RESPONSE, None, "", (UnexpectedPdu,), "§3.2"),
    Transition(
        _ALIVE, Input.TOO_MANY_UNEXPECTED, SessionState.CLOSED, "", (UnexpectedPdu,), "§2.2",
        CloseReason.UNEXPECTED_PDUS,
    ),
    Transition(
        _ALIVE, Input.INVALID_LENGTH, SessionState.CLOSED, "generic_nack ESME_RINVCMDLEN", (), "§4.3",
        CloseReason.FRAMING_LOST,
    ),
)
# fmt: on
_WITHOUT_EFFECT_ONCE_CLOSED: Final = tuple(
    Transition(_CLOSED, each, None, "", (), "§2.2")
    for each in Input
    if each not in (Input.CONNECTED, Input.SUBMIT, Input.DISCONNECTED)
)

TABLE: Final = _CALLS + _TIME + _BIND_AND_UNBIND + _PDUS + _WITHOUT_EFFECT_ONCE_CLOSED
"""Every pair of state and input that can occur."""

_BY_PAIR: Final = {(state, row.input): row for row in TABLE for state in row.states}


def transition(state: SessionState, given: Input) -> Transition:
    """The row for an input in a state. Raises RuntimeError for a pair that the table does not have."""
    row = _BY_PAIR.get((state, given))
    if row is None:
        raise RuntimeError(f"a session that is {state} has no transition for {given}")
    return row


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """(state, input, next state, effect, source) of every pair, as diagrams and pages show them."""
    for row in TABLE:
        effects = [f"sends {row.sends}"] if row.sends else []
        effects += [event.__name__ for event in row.events]
        if row.reason is not None:
            effects.append(f"Closed: {row.reason}")
        for state in row.states:
            yield state, row.input, row.to or state, ", ".join(effects), f"SMPP 3.4 {row.section}"
