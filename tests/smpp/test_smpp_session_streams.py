"""The session with streams split in any way and with any octets; and driven at random against a model."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.smpp.pdu import CommandId, encode_pdu
from gateway.smpp.session import (
    Closed,
    Event,
    LateResponse,
    NoResponse,
    Received,
    Session,
    SessionState,
    SmscUnbound,
    SubmitResponse,
    UnexpectedPdu,
)
from tests.smpp.sessions import (
    RESPONSE_TIMEOUT_SECONDS,
    binding_session,
    bound_session,
    fresh_session,
    sent_by,
    submit_sm_resp,
)
from tests.smpp.smpplib_codec import smpplib_encode

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines

message_ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
sequence_numbers = st.integers(0, 8)
commands = st.sampled_from(
    ["enquire_link", "enquire_link_resp", "generic_nack", "data_sm", "alert_notification", "submit_sm"]
)
valid_pdus = st.one_of(
    st.builds(submit_sm_resp, sequence_numbers, message_ids),
    st.builds(smpplib_encode, st.just("submit_sm_resp"), sequence_numbers, st.integers(0, 255)),
    st.builds(
        lambda n, text: smpplib_encode("deliver_sm", n, short_message=text),
        sequence_numbers,
        st.binary(max_size=50),
    ),
    st.builds(smpplib_encode, commands, sequence_numbers),
    st.builds(
        lambda status: smpplib_encode("bind_transceiver_resp", 1, status, system_id="smsc"),
        st.sampled_from([0, 13]),
    ),
    st.builds(smpplib_encode, st.sampled_from(["unbind", "unbind_resp"]), st.just(2)),
)
invalid_pdus = st.one_of(
    st.binary(max_size=80),
    st.builds(
        encode_pdu,
        st.one_of(st.sampled_from(list(CommandId)), st.integers(0, 0xFFFFFFFF)),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF) | sequence_numbers,
        st.binary(max_size=40),
    ),
)
streams = st.lists(st.one_of(valid_pdus, valid_pdus, invalid_pdus), max_size=12).map(b"".join)


def session_with_three_under_way() -> Session[object]:
    session = bound_session()
    for n in range(3):
        session.submit(b"", n, 0.0)
    return session


start_states = st.sampled_from([fresh_session, binding_session, bound_session, session_with_three_under_way])


def outcome_of(session: Session[object], pieces: list[bytes]) -> tuple[list[Event[object]], bytes, str, int, int]:
    """Everything observable of a session after these reads."""
    events = [event for piece in pieces for event in session.receive(piece, 1.0)]
    return events, session.data_to_send(), session.state, session.free, session.unacknowledged_deliveries


def split(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in itertools.pairwise(marks)]


@given(start_states, streams, st.lists(st.integers(0, 5_000), max_size=10))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_stream_has_the_same_events_however_it_is_split(
    begin: Callable[[], Session[object]], stream: bytes, places: list[int]
) -> None:
    whole = outcome_of(begin(), [stream])
    assert outcome_of(begin(), [stream[at : at + 1] for at in range(len(stream))]) == whole
    assert outcome_of(begin(), split(stream, places)) == whole


@given(start_states, st.lists(st.binary(max_size=100), max_size=20))
def test_no_octets_make_a_session_raise(begin: Callable[[], Session[object]], reads: list[bytes]) -> None:
    session = begin()
    for n, octets in enumerate(reads):
        for event in session.receive(octets, float(n)):
            assert isinstance(event, tuple)
        session.tick(float(n))
        session.next_deadline()
        session.data_to_send()
    session.disconnected(100.0)
    assert session.closing


@given(streams)
def test_a_session_ends_once_and_every_segment_has_one_outcome(stream: bytes) -> None:
    session = session_with_three_under_way()
    events = session.receive(stream, 1.0) + session.tick(5.0) + session.disconnected(6.0)
    assert sum(isinstance(event, Closed) for event in events) == 1
    outcomes = [event.tag for event in events if isinstance(event, SubmitResponse | NoResponse)]
    assert sorted(outcomes, key=str) == [0, 1, 2]


class AnySession(RuleBasedStateMachine):
    """A bound session, an SMSC that sends anything, and time; the model has the events that must follow."""

    WINDOW = 4

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.tags = 0
        self.under_way: dict[int, tuple[object, float]] = {}
        self.late: dict[int, tuple[object, float]] = {}
        self.unacknowledged: list[int] = []
        self.unbinding = False
        self.unbind_resp_at: float | None = None  # until when the response waits for deliver_sm_resp

    @initialize()
    def bind(self) -> None:
        self.session = bound_session(window=self.WINDOW)

    def receive(self, octets: bytes, data: st.DataObject) -> list[Event[object]]:
        place = data.draw(st.integers(0, len(octets)))
        return self.session.receive(octets[:place], self.now) + self.session.receive(octets[place:], self.now)

    def alive(self) -> bool:
        return not self.session.closing

    @precondition(lambda self: self.session.free)
    @rule(body=st.binary(max_size=20))
    def submit(self, body: bytes) -> None:
        self.session.data_to_send()
        sequence_number = self.session.submit(body, self.tags, self.now)
        assert sequence_number not in self.under_way
        assert sequence_number not in self.late
        assert self.session.data_to_send() == encode_pdu(CommandId.SUBMIT_SM, 0, sequence_number, body)
        self.under_way[sequence_number] = (self.tags, self.now)
        self.tags += 1

    @precondition(lambda self: self.alive() and self.under_way)
    @rule(data=st.data(), message_id=message_ids, nack=st.booleans())
    def respond_to_segment(self, data: st.DataObject, message_id: str, nack: bool) -> None:
        sequence_number = data.draw(st.sampled_from(sorted(self.under_way)))
        tag, _ = self.under_way.pop(sequence_number)
        octets = (
            smpplib_encode("generic_nack", sequence_number, 0x58)
            if nack
            else submit_sm_resp(sequence_number, message_id)
        )
        expected = SubmitResponse(tag, 0x58, "") if nack else SubmitResponse(tag, 0, message_id)
        assert self.receive(octets, data)[:1] == [expected]

    @precondition(lambda self: self.alive() and self.late)
    @rule(data=st.data(), message_id=message_ids)
    def respond_late(self, data: st.DataObject, message_id: str) -> None:
        sequence_number = data.draw(st.sampled_from(sorted(self.late)))
        tag, sent_at = self.late.pop(sequence_number)
        assert self.receive(submit_sm_resp(sequence_number, message_id), data)[:1] == [
            LateResponse(tag, 0, message_id, self.now - sent_at)
        ]

    @precondition(alive)
    @rule(data=st.data())
    def respond_to_no_segment(self, data: st.DataObject) -> None:
        assert isinstance(self.receive(submit_sm_resp(0x7FFFFFFF, "id"), data)[0], UnexpectedPdu)

    @precondition(alive)
    @rule(data=st.data(), sequence_number=st.integers(1, 0xFFFFFFFF))
    def deliver(self, data: st.DataObject, sequence_number: int) -> None:
        [event] = self.receive(smpplib_encode("deliver_sm", sequence_number), data)
        assert isinstance(event, Received)
        self.unacknowledged.append(sequence_number)

    @precondition(lambda self: self.alive() and self.unacknowledged)
    @rule()
    def respond(self) -> None:
        sequence_number = self.unacknowledged.pop()
        self.session.data_to_send()
        self.session.respond(CommandId.DELIVER_SM, sequence_number)
        expected = [("deliver_sm_resp", 0, sequence_number)]
        if self.unbind_resp_at is not None and not self.unacknowledged:
            self.unbind_resp_at = None
            expected.append(("unbind_resp", 0, 98))
        assert sent_by(self.session) == expected

    @precondition(alive)
    @rule(data=st.data())
    def enquire(self, data: st.DataObject) -> None:
        self.session.data_to_send()
        self.receive(smpplib_encode("enquire_link", 99), data)
        assert ("enquire_link_resp", 0, 99) in sent_by(self.session)

    @precondition(lambda self: self.alive() and not self.unbinding)
    @rule(data=st.data())
    def unbind(self, data: st.DataObject) -> None:
        self.unbinding = True
        self.unbind_resp_at = self.now + 1.0 if self.unacknowledged else None
        self.session.data_to_send()
        assert self.receive(smpplib_encode("unbind", 98), data)[0] == SmscUnbound()
        assert sent_by(self.session) == ([] if self.unacknowledged else [("unbind_resp", 0, 98)])

    @rule(seconds=st.floats(0, 15))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.session.next_deadline()
        was_alive = self.alive()
        self.session.data_to_send()
        events = self.session.tick(self.now)
        if deadline is None or deadline > self.now:
            assert (events, self.session.data_to_send()) == ([], b"")
        if self.unbind_resp_at is not None and self.now >= self.unbind_resp_at:
            self.unbind_resp_at = None
            assert sent_by(self.session) == [("unbind_resp", 0, 98)]
        due = [n for n, (_, sent_at) in self.under_way.items() if sent_at + RESPONSE_TIMEOUT_SECONDS <= self.now]
        if was_alive:
            assert [e for e in events if isinstance(e, NoResponse)] == [
                NoResponse(self.under_way[n][0]) for n in due
            ]
            for n in due:
                self.late[n] = self.under_way.pop(n)
        after = self.session.next_deadline()
        assert after is None or after > self.now

    @invariant()
    def the_window_equals_that_of_the_model(self) -> None:
        bound = self.session.state is SessionState.BOUND
        overdue = [n for n, (_, sent_at) in self.late.items() if sent_at + 2 * RESPONSE_TIMEOUT_SECONDS > self.now]
        free = self.session.window.limit - len(self.under_way) - len(overdue)
        assert self.session.free == (max(free, 0) if bound else 0)
        assert 1 <= self.session.window.limit <= self.WINDOW
        assert self.session.unacknowledged_deliveries == len(self.unacknowledged)
        deadline = self.session.next_deadline()
        assert (deadline is None) == self.session.closing

    def teardown(self) -> None:
        events = self.session.disconnected(self.now)
        assert [e.tag for e in events if isinstance(e, NoResponse)] == [tag for tag, _ in self.under_way.values()]


TestAnySession = AnySession.TestCase
