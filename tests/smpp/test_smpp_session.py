"""The session, event by event: PDUs of the SMSC come from smpplib or the specification; smpplib decodes ours."""

import pytest

from gateway.smpp.pdu import Address, CommandId, Segment, SubmitEncoder
from gateway.smpp.session import (
    MAX_PDUS_PER_CALL,
    BindRefused,
    Bound,
    Closed,
    CloseReason,
    LateResponse,
    NoResponse,
    Received,
    Role,
    Session,
    SessionState,
    SubmitResponse,
    UnexpectedPdu,
    UnmatchedNack,
)
from tests.smpp.sessions import binding_session, bound_session, fresh_session, sent_by, submit_sm_resp
from tests.smpp.smpplib_codec import smpplib_decode, smpplib_encode

# --- binding ---


@pytest.mark.parametrize("role", Role)
def test_the_bind_is_the_first_pdu_sent(role: Role) -> None:
    session = fresh_session(role)
    assert (session.data_to_send(), session.next_deadline()) == (b"", None)
    session.connected(0.0)
    [bind] = smpplib_decode(session.data_to_send())
    assert (bind.command, bind.sequence, bind.system_id) == (f"bind_{role}", 1, b"gateway")
    assert session.data_to_send() == b""
    assert (session.state, session.free) == (SessionState.BINDING, 0)


def test_an_accepted_bind_opens_the_window() -> None:
    session = binding_session(window=7)
    response = smpplib_encode("bind_transceiver_resp", 1, system_id="smsc", sc_interface_version=0x34)
    assert session.receive(response, 1.0) == [Bound("smsc", 0x34)]
    assert (session.state, session.free) == (SessionState.BOUND, 7)


def test_a_receiver_has_no_window_to_submit_in() -> None:
    assert bound_session(Role.RECEIVER).free == 0
    assert bound_session(Role.TRANSMITTER).free == 10


@pytest.mark.parametrize("command_status", [0x05, 0x0D, 0x0E, 0x0F, 0x0400])
def test_a_refused_bind_ends_the_session(command_status: int) -> None:
    session = binding_session()
    refusal = smpplib_encode("bind_transceiver_resp", 1, command_status)[:15] + b"\x01"  # without a body
    refusal = b"\0\0\0\x10" + refusal[4:]
    assert session.receive(refusal, 1.0) == [BindRefused(command_status), Closed(CloseReason.BIND_REFUSED)]
    assert session.closing


def test_a_generic_nack_to_the_bind_refuses_it() -> None:
    session = binding_session()
    assert session.receive(smpplib_encode("generic_nack", 1, 3), 1.0) == [
        BindRefused(3),
        Closed(CloseReason.BIND_REFUSED),
    ]


def test_a_bind_without_response_ends_the_session() -> None:
    session = binding_session()
    assert session.next_deadline() == 10.0
    assert session.tick(9.9) == []
    assert session.tick(10.0) == [Closed(CloseReason.BIND_TIMEOUT)]


@pytest.mark.parametrize("sequence_number", [0, 2, 0x7FFFFFFF, 0xFFFFFFFF])
def test_the_bind_under_way_takes_a_bind_resp_with_any_sequence_number(sequence_number: int) -> None:
    session = binding_session()
    octets = smpplib_encode("bind_transceiver_resp", sequence_number, system_id="smsc")
    assert session.receive(octets, 1.0) == [Bound("smsc", None)]
    [event] = session.receive(octets, 1.0)
    assert isinstance(event, UnexpectedPdu)
    assert session.state is SessionState.BOUND


def test_a_deliver_sm_before_bind_resp_is_responded_with_rinvbndsts() -> None:
    session = binding_session()
    [event] = session.receive(smpplib_encode("deliver_sm", 5, short_message=b"3#1"), 1.0)
    assert isinstance(event, UnexpectedPdu)
    assert (sent_by(session), session.unacknowledged_deliveries) == ([("deliver_sm_resp", 0x04, 5)], 0)


# --- submitting ---


def test_a_submit_sm_has_its_sequence_number_and_its_response_the_tag() -> None:
    session = bound_session()
    encoder = SubmitEncoder(Address(addr="1414", ton=3, npi=0), receipts="last")
    [text] = encoder.bodies("77012345678", [Segment(0, b"3#1", b"")], 0)
    assert session.submit(text, "tag", 1.0) == 2
    [pdu] = smpplib_decode(session.data_to_send())
    assert (pdu.command, pdu.status, pdu.sequence, pdu.short_message) == ("submit_sm", 0, 2, b"3#1")
    assert session.receive(submit_sm_resp(2, "4A5B"), 2.0) == [SubmitResponse("tag", 0, "4A5B")]


def test_everything_queued_leaves_in_one_write() -> None:
    session = bound_session()
    for n in range(3):
        session.submit(b"\0" * 17, n, 1.0)
    session.respond(CommandId.DELIVER_SM, 9)
    assert [sequence for _, _, sequence in sent_by(session)] == [2, 3, 4, 9]


def test_the_window_is_never_overrun() -> None:
    session = bound_session(window=3)
    for n in range(3):
        session.submit(b"", n, 1.0)
    assert session.free == 0
    with pytest.raises(RuntimeError, match="no slot"):
        session.submit(b"", 3, 1.0)
    session.receive(submit_sm_resp(3), 1.0)
    assert (session.free, session.submit(b"", 3, 1.0)) == (1, 5)


@pytest.mark.parametrize("session", [fresh_session(), binding_session(), bound_session(Role.RECEIVER)])
def test_nothing_is_submitted_unless_bound_for_it(session: Session[object]) -> None:
    with pytest.raises(RuntimeError, match="no slot"):
        session.submit(b"", "tag", 1.0)


def test_responses_are_correlated_in_any_order() -> None:
    session = bound_session()
    for n in range(4):
        session.submit(b"", n, 1.0)
    responses = b"".join(
        submit_sm_resp(sequence_number, f"id{sequence_number}") for sequence_number in (4, 2, 5, 3)
    )
    assert session.receive(responses, 1.0) == [
        SubmitResponse(2, 0, "id4"), SubmitResponse(0, 0, "id2"),
        SubmitResponse(3, 0, "id5"), SubmitResponse(1, 0, "id3"),
    ]  # fmt: skip
    assert session.free == 10


@pytest.mark.parametrize(
    ("pdu", "response"),
    [
        ("00000010 80000004 00000058 00000002", (0x58, "")),  # an error response without a body (§4.4.2)
        ("00000011 80000004 0000000B 00000002 00", (0x0B, "")),
        ("00000011 80000004 00000000 00000002 00", (0, "")),  # accepted, untrackable
        ("00000010 80000004 00000000 00000002", (0, "")),
        ("00000013 80000004 00000000 00000002 414243", (0, "ABC")),  # without its NUL
        ("00000014 80000004 00000000 00000002 41424300", (0, "ABC")),
        ("00000019 80000004 00000000 00000002 41424300 0427000101", (0, "ABC")),  # TLVs of version 5
        ("00000013 80000004 00000000 00000002 C3A900", (0, "Ã©")),  # opaque octets
    ],
)
def test_a_submit_sm_resp_is_decoded_liberally(pdu: str, response: tuple[int, str]) -> None:
    for following in (b"", smpplib_encode("enquire_link", 9)):
        session = bound_session()
        session.submit(b"", "tag", 1.0)
        assert session.receive(bytes.fromhex(pdu) + following, 1.0) == [SubmitResponse("tag", *response)]


@pytest.mark.parametrize("nul", [b"", b"\0"])
def test_a_message_id_that_no_index_could_hold_is_cut(nul: bytes) -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    response = (16 + 5000 + len(nul)).to_bytes(4, "big") + submit_sm_resp(2)[4:16] + b"A" * 5000 + nul
    assert session.receive(response, 1.0) == [SubmitResponse("tag", 0, "A" * 255)]


def test_a_submit_sm_resp_to_no_segment_or_a_second_one_is_unexpected() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    events = session.receive(submit_sm_resp(9, "id") + submit_sm_resp(2, "id") + submit_sm_resp(2, "id"), 1.0)
    assert [type(event) for event in events] == [UnexpectedPdu, SubmitResponse, UnexpectedPdu]
    assert session.state is SessionState.BOUND


def test_a_generic_nack_is_the_response_to_its_segment() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    assert session.receive(smpplib_encode("generic_nack", 2, 0x58), 1.0) == [SubmitResponse("tag", 0x58, "")]


def test_a_generic_nack_to_a_segment_is_no_acceptance() -> None:
    session = bound_session()
    session.submit(b"", "nacked", 1.0)
    session.submit(b"", "accepted", 1.0)
    session.receive(smpplib_encode("generic_nack", 2, 0x58) + smpplib_encode("submit_sm_resp", 3, 0), 1.0)
    assert session.accepted == 1


def test_a_generic_nack_with_status_0_is_a_system_error() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    assert session.receive(smpplib_encode("generic_nack", 2, 0), 1.0) == [SubmitResponse("tag", 0x08, "")]


def test_a_generic_nack_to_no_request_is_only_reported() -> None:
    session = bound_session()
    assert session.receive(smpplib_encode("generic_nack", 0, 2), 1.0) == [UnmatchedNack(0, 2)]
    assert session.state is SessionState.BOUND


# --- segments without response ---


def test_a_segment_without_response_leaves_the_window_and_the_session_continues() -> None:
    session = bound_session(window=2)
    session.submit(b"", "first", 1.0)
    session.submit(b"", "second", 2.0)
    assert session.next_deadline() == 11.0
    assert session.tick(10.9) == []
    assert session.tick(11.0) == [NoResponse("first")]
    assert (session.state, session.next_deadline()) == (SessionState.BOUND, 12.0)


def test_a_segment_keeps_its_place_in_the_window_for_twice_response_timeout() -> None:
    session = bound_session(window=8)
    for n in range(3):
        session.submit(b"", n, 1.0)
    session.submit(b"", "responded", 2.0)
    session.receive(submit_sm_resp(5), 10.0)
    session.tick(11.0)
    assert (session.window.limit, session.free) == (4, 1)
    assert session.receive(submit_sm_resp(3), 12.0) == [LateResponse(1, 0, "", 11.0)]
    assert session.free == 2
    assert session.next_deadline() == 21.0
    assert session.tick(21.0) == []
    assert session.free == 4
    assert session.receive(submit_sm_resp(2), 25.0) == [LateResponse(0, 0, "", 24.0)]
    assert session.free == 4


def test_a_session_ends_when_a_full_window_has_no_response_within_twice_response_timeout() -> None:
    session = bound_session(window=2)
    for n in range(2):
        session.submit(b"", n, 1.0)
    assert session.tick(11.0) == [NoResponse(0), NoResponse(1)]
    session.receive(smpplib_encode("enquire_link_resp", 9), 20.0)
    assert session.tick(20.9) == []
    assert session.tick(21.0) == [Closed(CloseReason.UNRESPONSIVE)]


def test_a_session_with_a_full_window_goes_on_while_late_responses_come() -> None:
    session = bound_session(window=2)
    for n in range(2):
        session.submit(b"", n, 1.0)
    session.tick(11.0)
    session.receive(submit_sm_resp(2), 12.0)
    assert session.tick(21.0) == []
    assert session.state is SessionState.BOUND


@pytest.mark.parametrize("command", ["submit_sm_resp", "enquire_link_resp"])
def test_a_session_of_which_the_smsc_does_not_know_submits_nothing_and_ends(command: str) -> None:
    session = bound_session()
    session.submit(b"", "first", 1.0)
    session.submit(b"", "second", 1.0)
    session.receive(smpplib_encode(command, 2, 0x04), 2.0)
    assert (session.state, session.free) == (SessionState.LAPSED, 0)
    assert session.receive(submit_sm_resp(3, "id"), 3.0)[0] == SubmitResponse("second", 0, "id")
    session.receive(submit_sm_resp(2, "id"), 3.0)
    assert session.closing


@pytest.mark.parametrize("sequence_number", [2, 99])
def test_a_generic_nack_says_that_the_smsc_does_not_know_of_the_session(sequence_number: int) -> None:
    session = bound_session()
    session.submit(b"", "first", 1.0)
    session.receive(smpplib_encode("generic_nack", sequence_number, 0x04), 2.0)
    assert session.free == 0
    session.receive(submit_sm_resp(2, "id"), 3.0)
    assert session.closing


def test_a_session_of_which_the_smsc_does_not_know_waits_for_responses_no_longer_than_response_timeout() -> None:
    session = bound_session()
    session.submit(b"", "first", 1.0)
    session.receive(smpplib_encode("enquire_link_resp", 2, 0x0D), 2.0)
    assert session.tick(12.0) == [NoResponse("first"), Closed(CloseReason.NOT_BOUND)]


def test_a_response_after_response_timeout_is_reported_once_as_late() -> None:
    session = bound_session()
    session.submit(b"", "first", 1.0)
    session.submit(b"", "second", 1.0)
    assert session.tick(11.0) == [NoResponse("first"), NoResponse("second")]
    assert session.receive(submit_sm_resp(2, "id"), 12.0) == [LateResponse("first", 0, "id", 11.0)]
    assert session.receive(smpplib_encode("generic_nack", 3, 0x58), 12.0) == [
        LateResponse("second", 0x58, "", 11.0)
    ]
    assert [type(event) for event in session.receive(submit_sm_resp(2) + submit_sm_resp(3), 12.0)] == [
        UnexpectedPdu,
        UnexpectedPdu,
    ]


def test_segments_under_way_when_the_connection_ends_have_an_unknown_outcome() -> None:
    session = bound_session()
    for n in range(3):
        session.submit(b"", n, 1.0)
    session.receive(submit_sm_resp(3), 1.0)
    assert session.disconnected(2.0) == [NoResponse(0), NoResponse(2), Closed(CloseReason.CONNECTION_LOST)]
    assert (session.free, session.closing, session.next_deadline()) == (0, True, None)
    assert session.disconnected(3.0) == []


# --- a flood ---


def test_a_call_handles_a_limited_number_of_pdus_and_the_next_goes_on() -> None:
    session = bound_session()
    deliveries = b"".join(
        smpplib_encode("deliver_sm", n, short_message=b"3#1") for n in range(1, 2 * MAX_PDUS_PER_CALL + 2)
    )
    handled = [session.receive(deliveries[:-5], 1.0)]
    while session.has_backlog:
        handled.append(session.receive(b"", 1.0))
    handled.append(session.receive(deliveries[-5:], 1.0))
    assert [len(events) for events in handled] == [MAX_PDUS_PER_CALL, MAX_PDUS_PER_CALL, 1]
    numbers = [event.sequence_number for events in handled for event in events if isinstance(event, Received)]
    assert numbers == list(range(1, 2 * MAX_PDUS_PER_CALL + 2))


def test_responses_to_segments_are_all_handled_in_one_call() -> None:
    session = bound_session(window=2 * MAX_PDUS_PER_CALL)
    for n in range(2 * MAX_PDUS_PER_CALL):
        session.submit(b"", n, 1.0)
    responses = b"".join(submit_sm_resp(n) for n in range(2, 2 * MAX_PDUS_PER_CALL + 2))
    assert len(session.receive(responses, 1.0)) == 2 * MAX_PDUS_PER_CALL
    assert not session.has_backlog


def test_an_expected_pdu_among_unexpected_ones_keeps_the_session() -> None:
    session = bound_session(max_unexpected=3)
    unexpected = submit_sm_resp(99)
    for _ in range(5):
        session.receive(unexpected + unexpected + smpplib_encode("enquire_link", 7), 1.0)
    assert session.state is SessionState.BOUND
    session.receive(unexpected * 3, 1.0)
    assert session.closing


def test_a_session_that_is_closed_has_no_backlog() -> None:
    """Its shell reads what is left until there is none."""
    session = bound_session()
    session.receive(smpplib_encode("enquire_link", 1) * (MAX_PDUS_PER_CALL + 1), 1.0)
    assert session.has_backlog
    session.tick(31.0)
    session.tick(41.0)
    assert session.closing
    assert not session.has_backlog
