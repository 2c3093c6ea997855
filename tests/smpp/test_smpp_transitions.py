"""A real session is driven through every pair of state and input, and compared with the table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

import pytest

from gateway.smpp import status
from gateway.smpp.pdu import HEADER, CommandId
from gateway.smpp.session import Closed, CloseReason, Event, NoResponse, Role, Session, SessionState
from gateway.smpp.transitions import TABLE, Input, rows, transition
from tests.smpp.sessions import sent_by

ENQUIRE_LINK, RESPONSE_TIMEOUT = 3.0, 10.0
LEFT_AT = 4.0
"""The instant at which UNBINDING, DRAINING, LAPSED or CLOSED is entered; BINDING and BOUND are entered at 0."""
SEGMENT_AT = 0.0
ENQUIRE_LINK_AT = ENQUIRE_LINK
STATE_TIMEOUT_AT = LEFT_AT + RESPONSE_TIMEOUT

UNANSWERED_AT = -7.0
"""The instant at which a full window is submitted to an SMSC that responds to none of it."""
UNRESPONSIVE_AT = UNANSWERED_AT + 2 * RESPONSE_TIMEOUT

BIND, LATE_SEGMENT, SEGMENT, DELIVERY, UNKNOWN = 1, 2, 3, 77, 99
OK, NOT_BOUND, THROTTLED, REFUSED_BIND = 0x00, 0x04, 0x58, 0x0D

MAX_UNEXPECTED: Final = 3


@dataclass(kw_only=True)
class Run:
    """A session, and what a driver needs to bring an input about."""

    session: Session[object]
    owes: bool
    """Whether a segment is under way and a deliver_sm without response."""
    command_status: int
    awaited: int = BIND
    """The sequence_number of the last bind or unbind."""

    def receive(self, command_id: int, sequence_number: int, now: float = LEFT_AT) -> list[Event[object]]:
        return self.session.receive(HEADER.pack(16, command_id, self.command_status, sequence_number), now)


Act = Callable[[Run], list[Event[object]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Brings an input about by `act`, after what has to happen in BOUND, and in the state itself."""

    act: Act
    in_bound: Act | None = None
    before: Act | None = None
    needs_segment: bool = False
    full_window: bool = False
    statuses: tuple[int, ...] = (OK,)


def call(method: Callable[[Session[object]], object]) -> Driver:
    def act(run: Run) -> list[Event[object]]:
        method(run.session)
        return []

    return Driver(act=act)


def pdu(
    command_id: int,
    sequence_number: int | None = None,
    *,
    needs_segment: bool = False,
    statuses: tuple[int, ...] = (OK, THROTTLED),
) -> Driver:
    """Without a sequence_number: that of the last bind or unbind."""
    return Driver(
        act=lambda run: run.receive(command_id, sequence_number or run.awaited),
        needs_segment=needs_segment,
        statuses=statuses,
    )


def keep_alive(run: Run) -> list[Event[object]]:
    """Leaves no other time-out near: neither of the segment nor of the enquire_link interval."""
    send_unbind_resp(run)
    run.receive(CommandId.SUBMIT_SM_RESP, SEGMENT, STATE_TIMEOUT_AT - 0.1)
    return []


def keep_alive_with_segment(run: Run) -> list[Event[object]]:
    send_unbind_resp(run)
    return run.receive(CommandId.ENQUIRE_LINK_RESP, UNKNOWN, SEGMENT_AT + RESPONSE_TIMEOUT - 0.1)


def send_unbind_resp(run: Run) -> list[Event[object]]:
    """Leaves no unbind_resp waiting for the deliver_sm_resp that is owed."""
    return run.session.tick(LEFT_AT + 1.0) if run.session.state is SessionState.DRAINING else []


def unbind_both(run: Run) -> list[Event[object]]:
    is_first = run.session.state in (SessionState.UNBINDING, SessionState.LAPSED)
    return run.receive(CommandId.UNBIND, UNKNOWN) if is_first else []


def respond_to_delivery(run: Run) -> list[Event[object]]:
    if run.owes:
        run.session.respond(CommandId.DELIVER_SM, DELIVERY)
    return []


def respond_to_everything(run: Run) -> list[Event[object]]:
    run.receive(CommandId.SUBMIT_SM_RESP, SEGMENT)
    return respond_to_delivery(run)


def time_out_once(run: Run) -> list[Event[object]]:
    run.session.tick(ENQUIRE_LINK_AT)
    return run.receive(CommandId.ENQUIRE_LINK_RESP, UNKNOWN, ENQUIRE_LINK_AT)


def keep_alive_with_window(run: Run) -> list[Event[object]]:
    send_unbind_resp(run)
    return run.receive(CommandId.ENQUIRE_LINK_RESP, UNKNOWN, UNRESPONSIVE_AT - 0.1)


def one_more_unexpected(run: Run) -> list[Event[object]]:
    return run.receive(CommandId.OUTBIND, UNKNOWN)


def receive_unexpected(run: Run) -> list[Event[object]]:
    send_unbind_resp(run)
    return [event for _ in range(MAX_UNEXPECTED - 1) for event in one_more_unexpected(run)]


def tick(now: float) -> Act:
    return lambda run: run.session.tick(now)


DRIVERS: Final[dict[Input, Driver]] = {
    Input.CONNECTED: call(lambda session: session.connected(LEFT_AT)),
    Input.SUBMIT: call(lambda session: session.submit(b"", "another segment", LEFT_AT)),
    Input.RESPOND: replace(
        call(lambda session: session.respond(CommandId.DELIVER_SM, DELIVERY)), before=send_unbind_resp
    ),
    Input.RESPOND_LAST: Driver(before=unbind_both, act=respond_to_delivery, needs_segment=True),
    Input.UNBIND: call(lambda session: session.unbind(LEFT_AT)),
    Input.DISCONNECTED: Driver(act=lambda run: run.session.disconnected(LEFT_AT)),
    Input.RESPONSE_TIMEOUT: Driver(before=keep_alive, act=tick(STATE_TIMEOUT_AT)),
    Input.SEGMENT_TIMEOUT: Driver(
        before=keep_alive_with_segment, act=tick(SEGMENT_AT + RESPONSE_TIMEOUT), needs_segment=True
    ),
    Input.UNBIND_RESP_DUE: Driver(before=unbind_both, act=tick(LEFT_AT + 1.0), needs_segment=True),
    Input.IDLE: Driver(before=send_unbind_resp, act=tick(LEFT_AT + ENQUIRE_LINK)),
    Input.ENQUIRE_LINK_TIMEOUT: Driver(
        in_bound=tick(ENQUIRE_LINK_AT),
        before=tick(ENQUIRE_LINK_AT + RESPONSE_TIMEOUT - 0.1),
        act=tick(ENQUIRE_LINK_AT + RESPONSE_TIMEOUT),
    ),
    Input.UNRESPONSIVE: Driver(
        in_bound=time_out_once, before=keep_alive_with_window, act=tick(UNRESPONSIVE_AT), full_window=True
    ),
    Input.DRAINED: Driver(before=respond_to_everything, act=tick(LEFT_AT)),
    Input.BIND_RESP: pdu(CommandId.BIND_TRANSCEIVER_RESP, BIND, statuses=(OK,)),
    Input.BIND_RESP_ERROR: pdu(CommandId.BIND_TRANSCEIVER_RESP, BIND, statuses=(REFUSED_BIND, THROTTLED)),
    Input.SUBMIT_SM_RESP: pdu(CommandId.SUBMIT_SM_RESP, SEGMENT, needs_segment=True),
    Input.NOT_BOUND: pdu(CommandId.SUBMIT_SM_RESP, SEGMENT, needs_segment=True, statuses=(NOT_BOUND,)),
    Input.NOT_BOUND_LATE: pdu(CommandId.SUBMIT_SM_RESP, LATE_SEGMENT, needs_segment=True, statuses=(NOT_BOUND,)),
    Input.SUBMIT_SM_RESP_LATE: pdu(CommandId.SUBMIT_SM_RESP, LATE_SEGMENT, needs_segment=True),
    Input.SUBMIT_SM_RESP_UNMATCHED: pdu(CommandId.SUBMIT_SM_RESP, UNKNOWN),
    Input.DELIVER_SM: pdu(CommandId.DELIVER_SM, UNKNOWN),
    Input.DATA_SM: pdu(CommandId.DATA_SM, UNKNOWN),
    Input.ENQUIRE_LINK: pdu(CommandId.ENQUIRE_LINK, UNKNOWN),
    Input.ENQUIRE_LINK_RESP: pdu(CommandId.ENQUIRE_LINK_RESP, UNKNOWN, statuses=(OK,)),
    Input.ENQUIRE_LINK_RESP_ERROR: pdu(CommandId.ENQUIRE_LINK_RESP, UNKNOWN, statuses=(NOT_BOUND, THROTTLED)),
    Input.SMSC_UNBIND: replace(pdu(CommandId.UNBIND, UNKNOWN), before=respond_to_delivery),
    Input.SMSC_UNBIND_OWED: pdu(CommandId.UNBIND, UNKNOWN, needs_segment=True),
    Input.UNBIND_RESP: pdu(CommandId.UNBIND_RESP),
    Input.UNBIND_RESP_UNMATCHED: pdu(CommandId.UNBIND_RESP, UNKNOWN),
    Input.GENERIC_NACK: pdu(CommandId.GENERIC_NACK),
    Input.GENERIC_NACK_SEGMENT: pdu(CommandId.GENERIC_NACK, SEGMENT, needs_segment=True),
    Input.GENERIC_NACK_SEGMENT_NOT_BOUND: pdu(
        CommandId.GENERIC_NACK, SEGMENT, needs_segment=True, statuses=(NOT_BOUND,)
    ),
    Input.GENERIC_NACK_LATE: pdu(CommandId.GENERIC_NACK, LATE_SEGMENT, needs_segment=True),
    Input.GENERIC_NACK_UNMATCHED: pdu(CommandId.GENERIC_NACK, UNKNOWN),
    Input.GENERIC_NACK_NOT_BOUND: pdu(CommandId.GENERIC_NACK, UNKNOWN, statuses=(NOT_BOUND,)),
    Input.ALERT_NOTIFICATION: pdu(CommandId.ALERT_NOTIFICATION, UNKNOWN),
    Input.OUTBIND: pdu(CommandId.OUTBIND, UNKNOWN),
    Input.OTHER_REQUEST: pdu(0x00FACADE, UNKNOWN),
    Input.OTHER_RESPONSE: pdu(0x80FACADE, UNKNOWN),
    Input.TOO_MANY_UNEXPECTED: Driver(before=receive_unexpected, act=one_more_unexpected),
    Input.INVALID_LENGTH: Driver(
        act=lambda run: run.session.receive(HEADER.pack(15, CommandId.DELIVER_SM, 0, UNKNOWN), LEFT_AT)
    ),
}

ENDED: Final = (SessionState.DRAINING, SessionState.LAPSED)
WITHOUT_SEGMENTS: Final = (SessionState.OPEN, SessionState.BINDING)
PAIRS: Final = frozenset((state, row.input) for row in TABLE for state in row.states)


def run_in(state: SessionState, driver: Driver, *, owes: bool, command_status: int = OK) -> Run:
    """A session in `state`, nothing left to send. Its late segment has sequence_number 2, the one under way 3."""
    session = Session[object](
        role=Role.TRANSCEIVER,
        system_id="gateway",
        password="secret",
        window=40,
        enquire_link=ENQUIRE_LINK,
        response_timeout=RESPONSE_TIMEOUT,
        max_unexpected=MAX_UNEXPECTED,
    )
    run = Run(session=session, owes=owes, command_status=command_status)
    if state is not SessionState.OPEN:
        session.connected(0.0)
    if state not in WITHOUT_SEGMENTS:
        session.receive(HEADER.pack(16, CommandId.BIND_TRANSCEIVER_RESP, OK, BIND), 0.0)
        assert session.submit(b"", "late", SEGMENT_AT - RESPONSE_TIMEOUT) == LATE_SEGMENT
        session.tick(0.0)
        if driver.full_window:
            run.receive(CommandId.SUBMIT_SM_RESP, LATE_SEGMENT, UNANSWERED_AT - 1)
            while session.free:
                session.submit(b"", "without response", UNANSWERED_AT)
        if owes:
            assert driver.full_window or session.submit(b"", "segment", SEGMENT_AT) == SEGMENT
            session.receive(HEADER.pack(16, CommandId.DELIVER_SM, OK, DELIVERY), 0.0)
        if driver.in_bound is not None:
            driver.in_bound(run)
        leave_bound(run, state)
    assert session.state is state
    if driver.before is not None:
        driver.before(run)
    session.data_to_send()
    return run


def leave_bound(run: Run, state: SessionState) -> None:
    run.session.data_to_send()
    match state:
        case SessionState.UNBINDING:
            run.session.unbind(LEFT_AT)
            [(_, _, run.awaited)] = sent_by(run.session)
        case SessionState.DRAINING:
            run.session.receive(HEADER.pack(16, CommandId.UNBIND, OK, UNKNOWN), LEFT_AT)
        case SessionState.LAPSED:
            run.session.receive(HEADER.pack(16, CommandId.ENQUIRE_LINK_RESP, NOT_BOUND, UNKNOWN), LEFT_AT)
        case SessionState.CLOSED:
            run.session.receive(HEADER.pack(15, 0, OK, UNKNOWN), LEFT_AT)


def expected(state: SessionState, given: Input, *, owes: bool) -> tuple[SessionState, list[str], list[object]]:
    """The next state, the PDUs sent, and the types of events, by the table. Closed is with its reason."""
    row = transition(state, given)
    concerns_none = given is Input.DISCONNECTED and not owes
    events: list[object] = [event for event in row.events if not (event is NoResponse and concerns_none)]
    events += [row.reason] if row.reason is not None else []
    target, sends = row.to or state, row.sends.split(", ") if row.sends else []
    if target in ENDED and not owes:  # in the same call
        target, more, end = expected(target, Input.DRAINED, owes=owes)
        return target, sends + more, events + end
    return target, sends, events


def observed(events: list[Event[object]]) -> list[object]:
    return [event.reason if isinstance(event, Closed) else type(event) for event in events]


def sent_with_status(session: Session[object]) -> list[str]:
    return [
        command if command_status == OK else f"{command} {status.name(command_status)}"
        for command, command_status, _ in sent_by(session)
    ]


def every_run() -> Iterator[tuple[SessionState, Input, bool, int]]:
    """Every pair that can occur; with and without responses owed where both can be, and with each status."""
    for state in SessionState:
        for given, driver in DRIVERS.items():
            for owes in (False, True):
                possible = (not owes and state not in ENDED) or (owes and state not in WITHOUT_SEGMENTS)
                if (state, given) in PAIRS and possible and (owes or not driver.needs_segment):
                    yield from ((state, given, owes, command_status) for command_status in driver.statuses)


@pytest.mark.parametrize(("state", "given", "owes", "command_status"), list(every_run()))
def test_a_session_follows_its_transition_table_for_every_input_in_every_state(
    state: SessionState, given: Input, owes: bool, command_status: int
) -> None:
    driver = DRIVERS[given]
    run = run_in(state, driver, owes=owes, command_status=command_status)
    events = driver.act(run)
    target, sends, types = expected(state, given, owes=owes)
    assert (run.session.state, observed(events)) == (target, types)
    sent = sent_with_status(run.session)
    assert len(sent) == len(sends)
    assert all(map(fnmatchcase, sent, sends)), (sent, sends)


def test_every_state_and_input_of_a_session_is_driven_or_not_in_the_transition_table() -> None:
    assert set(DRIVERS) == set(Input)
    driven = {(state, given) for state, given, _, _ in every_run()}
    assert driven == PAIRS
    assert {(state, given) for state in SessionState for given in Input} - driven == {
        (state, given)
        for given, states in {
            Input.CONNECTED: set(SessionState) - {SessionState.OPEN},
            Input.SUBMIT: set(SessionState) - {SessionState.BOUND},
            **{given: set(WITHOUT_SEGMENTS) for given, driver in DRIVERS.items() if driver.needs_segment},
            Input.ENQUIRE_LINK_TIMEOUT: set(WITHOUT_SEGMENTS),
            Input.UNRESPONSIVE: set(WITHOUT_SEGMENTS),
            Input.RESPOND_LAST: {*WITHOUT_SEGMENTS, SessionState.BOUND},
            Input.UNBIND_RESP_DUE: {*WITHOUT_SEGMENTS, SessionState.BOUND},
        }.items()
        for state in states
    }


@pytest.mark.parametrize("given", [Input.CONNECTED, Input.SUBMIT])
@pytest.mark.parametrize("state", SessionState)
def test_a_session_rejects_a_call_outside_its_transition_table_and_keeps_its_state(
    state: SessionState, given: Input
) -> None:
    if (state, given) in PAIRS:
        return
    run = run_in(state, DRIVERS[given], owes=state not in WITHOUT_SEGMENTS)
    with pytest.raises(RuntimeError):
        DRIVERS[given].act(run)
    assert (run.session.state, run.session.data_to_send()) == (state, b"")
    with pytest.raises(RuntimeError, match="no transition"):
        transition(state, given)


@pytest.mark.parametrize("state", WITHOUT_SEGMENTS)
def test_an_unbound_session_has_no_segment_and_no_enquire_link_under_way(state: SessionState) -> None:
    run = run_in(state, DRIVERS[Input.IDLE], owes=False)
    assert run.session.free == 0
    run.session.tick(ENQUIRE_LINK_AT)
    assert run.session.data_to_send() == b""


def test_the_session_table_has_one_row_for_each_state_and_input() -> None:
    assert len(PAIRS) == sum(len(row.states) for row in TABLE)


def test_session_transitions_have_a_reason_exactly_when_they_lead_to_closed() -> None:
    assert all((row.to is SessionState.CLOSED) == (row.reason is not None) for row in TABLE)
    assert {row.reason for row in TABLE} - {None} == set(CloseReason)


def test_the_drawn_session_table_has_every_state_and_input() -> None:
    assert {(state, given) for state, given, *_ in rows()} == PAIRS
    assert ("binding", "bind_*_resp, status 0", "bound", "Bound", "SMPP 3.4 §4.1") in set(rows())
