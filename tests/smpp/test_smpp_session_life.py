"""The session between bind and end: enquire_link, deliver_sm, unbind of either side, unexpected PDUs."""

import pytest

from gateway.smpp.pdu import CommandId
from gateway.smpp.session import (
    Closed,
    CloseReason,
    NoResponse,
    Received,
    Role,
    Session,
    SmscUnbound,
    SubmitResponse,
    Unbound,
    UnexpectedPdu,
    UnmatchedNack,
)
from tests.smpp.sessions import binding_session, bound_session, fresh_session, sent_by, submit_sm_resp
from tests.smpp.smpplib_codec import smpplib_encode

# --- enquire_link ---


def test_an_idle_session_sends_enquire_link() -> None:
    session = bound_session()
    assert session.next_deadline() == 30.0
    assert session.tick(29.9) == []
    assert session.data_to_send() == b""
    assert session.tick(30.0) == []
    assert sent_by(session) == [("enquire_link", 0, 2)]
    assert session.next_deadline() == 40.0
    assert session.receive(smpplib_encode("enquire_link_resp", 2), 31.0) == []
    assert session.next_deadline() == 61.0


def test_any_pdu_of_the_smsc_postpones_enquire_link() -> None:
    session = bound_session()
    session.receive(smpplib_encode("enquire_link", 1), 20.0)
    assert session.next_deadline() == 50.0


def test_an_incomplete_pdu_does_not_postpone_enquire_link() -> None:
    session = bound_session()
    for n, octet in enumerate(smpplib_encode("deliver_sm", 5)[:-1]):
        assert session.receive(bytes((octet,)), float(n)) == []
    assert session.next_deadline() == 30.0


def test_an_enquire_link_without_response_ends_the_session() -> None:
    session = bound_session()
    session.tick(30.0)
    session.submit(b"", "tag", 35.0)
    session.receive(smpplib_encode("enquire_link", 1), 36.0)
    assert session.tick(40.0) == [Closed(CloseReason.ENQUIRE_LINK_TIMEOUT)]
    assert session.tick(50.0) == []
    assert session.disconnected(50.0) == [NoResponse("tag")]


def test_a_generic_nack_to_enquire_link_keeps_the_session() -> None:
    session = bound_session()
    session.tick(30.0)
    assert session.receive(smpplib_encode("generic_nack", 2, 3), 31.0) == [UnmatchedNack(2, 3)]
    assert session.tick(40.0) == []


def test_enquire_link_from_the_smsc_is_responded_to_in_every_state() -> None:
    unbinding = bound_session()
    unbinding.unbind(1.0)
    unbinding.data_to_send()
    for session in (
        fresh_session(),
        binding_session(),
        bound_session(),
        bound_session(Role.RECEIVER),
        unbinding,
    ):
        assert session.receive(smpplib_encode("enquire_link", 77), 1.0) == []
        assert sent_by(session) == [("enquire_link_resp", 0, 77)]


# --- receiving ---


@pytest.mark.parametrize("command", ["deliver_sm", "data_sm"])
@pytest.mark.parametrize("role", Role)
def test_deliver_sm_and_data_sm_are_reported_and_responded_to_on_request(command: str, role: Role) -> None:
    session = bound_session(role)
    pdu = smpplib_encode(
        command, 0x80000001, source_addr="77012345678"
    )  # an SMSC's number beyond the allowed is echoed
    [event] = session.receive(pdu, 1.0)
    assert event == Received(CommandId[command.upper()], 0x80000001, pdu[16:])
    assert (session.data_to_send(), session.unacknowledged_deliveries) == (b"", 1)
    assert isinstance(event, Received)
    session.respond(event.command_id, event.sequence_number)
    assert session.unacknowledged_deliveries == 0
    code = {"deliver_sm": "80000005", "data_sm": "80000103"}[command]
    assert session.data_to_send() == bytes.fromhex(f"00000011 {code} 00000000 80000001 00")  # §4.6.2, §4.7.2


def test_a_deliver_sm_can_be_responded_to_with_an_error() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5), 1.0)
    session.respond(CommandId.DELIVER_SM, 5, 0x64)
    assert session.data_to_send() == bytes.fromhex("00000011 80000005 00000064 00000005 00")


def test_a_response_after_the_end_of_the_session_is_not_sent() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5), 1.0)
    session.disconnected(2.0)
    session.respond(CommandId.DELIVER_SM, 5)
    assert session.data_to_send() == b""


# --- unbinding ---


def test_our_unbind_ends_with_unbind_resp() -> None:
    session = bound_session()
    session.unbind(1.0)
    assert (sent_by(session), session.free) == ([("unbind", 0, 2)], 0)
    assert session.receive(smpplib_encode("unbind_resp", 2), 2.0) == [Unbound(), Closed(CloseReason.UNBOUND)]
    assert session.closing


def test_our_unbind_without_response_ends_after_response_timeout() -> None:
    session = bound_session()
    session.unbind(1.0)
    assert session.next_deadline() == 11.0
    assert session.tick(11.0) == [Closed(CloseReason.UNBIND_TIMEOUT)]


def test_responses_and_deliver_sm_are_reported_while_unbinding() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    session.unbind(1.0)
    events = session.receive(
        submit_sm_resp(2, "id") + smpplib_encode("deliver_sm", 5) + smpplib_encode("unbind_resp", 3), 2.0
    )
    assert [type(event) for event in events] == [SubmitResponse, Received, Unbound, Closed]


def test_a_generic_nack_to_our_unbind_ends_the_session() -> None:
    session = bound_session()
    session.unbind(1.0)
    assert session.receive(smpplib_encode("generic_nack", 2, 3), 2.0) == [Closed(CloseReason.UNBOUND)]


def test_our_unbind_before_bind_resp_ends_the_session_at_once() -> None:
    session = binding_session()
    session.unbind(1.0)
    assert session.next_deadline() == 0.0
    [event] = session.receive(smpplib_encode("bind_transceiver_resp", 1, system_id="smsc"), 1.0)
    assert isinstance(event, UnexpectedPdu)
    assert session.tick(1.0) == [Closed(CloseReason.UNBIND_TIMEOUT)]


def test_an_unbind_from_the_smsc_with_nothing_owed_ends_the_session() -> None:
    session = bound_session()
    assert session.receive(smpplib_encode("unbind", 5), 1.0) == [SmscUnbound(), Closed(CloseReason.SMSC_UNBOUND)]
    assert (sent_by(session), session.closing) == ([("unbind_resp", 0, 5)], True)


def test_after_an_unbind_from_the_smsc_owed_responses_are_exchanged() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    session.receive(smpplib_encode("deliver_sm", 5), 1.0)
    session.data_to_send()
    assert session.receive(smpplib_encode("unbind", 6), 2.0) == [SmscUnbound()]
    assert (session.free, session.closing) == (0, False)
    assert session.receive(submit_sm_resp(2, "id"), 2.5) == [SubmitResponse("tag", 0, "id")]
    session.respond(CommandId.DELIVER_SM, 5)
    assert session.next_deadline() == 0.0
    assert sent_by(session) == [("deliver_sm_resp", 0, 5), ("unbind_resp", 0, 6)]
    assert session.tick(2.5) == [Closed(CloseReason.SMSC_UNBOUND)]


def test_deliver_sm_resp_that_are_owed_go_before_unbind_resp() -> None:
    session = bound_session()
    octets = smpplib_encode("deliver_sm", 5) + smpplib_encode("data_sm", 6) + smpplib_encode("unbind", 7)
    assert [type(event) for event in session.receive(octets, 2.0)] == [Received, Received, SmscUnbound]
    assert (session.data_to_send(), session.next_deadline()) == (b"", 3.0)
    session.respond(CommandId.DATA_SM, 6)
    assert sent_by(session) == [("data_sm_resp", 0, 6)]
    session.respond(CommandId.DELIVER_SM, 5, 0x64)
    assert sent_by(session) == [("deliver_sm_resp", 0x64, 5), ("unbind_resp", 0, 7)]
    assert session.tick(2.1) == [Closed(CloseReason.SMSC_UNBOUND)]


def test_unbind_resp_waits_one_second_at_most_for_deliver_sm_resp() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5) + smpplib_encode("unbind", 6), 2.0)
    assert (session.tick(2.9), session.data_to_send(), session.next_deadline()) == ([], b"", 3.0)
    assert (session.tick(3.0), sent_by(session)) == ([], [("unbind_resp", 0, 6)])
    assert session.next_deadline() == 12.0
    session.respond(CommandId.DELIVER_SM, 5)
    assert sent_by(session) == [("deliver_sm_resp", 0, 5)]


def test_each_unbind_of_an_smsc_that_repeats_it_gets_its_response_after_what_is_owed() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5) + smpplib_encode("unbind", 6), 2.0)
    assert session.receive(smpplib_encode("unbind", 7), 2.5) == [SmscUnbound()]
    assert (session.data_to_send(), session.next_deadline()) == (b"", 3.0)
    session.respond(CommandId.DELIVER_SM, 5)
    assert sent_by(session) == [("deliver_sm_resp", 0, 5), ("unbind_resp", 0, 6), ("unbind_resp", 0, 7)]


def test_a_deliver_sm_after_the_unbind_also_gets_its_response_first() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5) + smpplib_encode("unbind", 6), 2.0)
    [event] = session.receive(smpplib_encode("deliver_sm", 7), 2.1)
    assert isinstance(event, Received)
    session.respond(CommandId.DELIVER_SM, 5)
    session.respond(CommandId.DELIVER_SM, 7)
    assert [command for command, _, _ in sent_by(session)] == ["deliver_sm_resp"] * 2 + ["unbind_resp"]


def test_a_response_timeout_shorter_than_a_second_also_ends_the_wait_for_deliver_sm_resp() -> None:
    session = Session[object](
        role=Role.TRANSCEIVER,
        system_id="gateway",
        password="secret",
        window=10,
        enquire_link=30.0,
        response_timeout=0.5,
    )
    session.connected(0.0)
    session.receive(smpplib_encode("bind_transceiver_resp", 1, system_id="smsc"), 0.0)
    session.data_to_send()
    session.receive(smpplib_encode("deliver_sm", 5) + smpplib_encode("unbind", 6), 1.0)
    assert session.next_deadline() == 1.5
    assert session.tick(1.5) == [Closed(CloseReason.SMSC_UNBOUND)]
    assert sent_by(session) == [("unbind_resp", 0, 6)]


def test_when_both_sides_unbind_deliver_sm_resp_go_before_unbind_resp() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5), 1.0)
    session.unbind(1.0)
    session.receive(smpplib_encode("unbind", 6), 2.0)
    assert ([command for command, _, _ in sent_by(session)], session.next_deadline()) == (["unbind"], 3.0)
    session.respond(CommandId.DELIVER_SM, 5)
    assert sent_by(session) == [("deliver_sm_resp", 0, 5), ("unbind_resp", 0, 6)]


def test_an_unbind_resp_that_waits_is_sent_when_our_own_unbind_ends_the_session() -> None:
    session = bound_session()
    session.receive(smpplib_encode("deliver_sm", 5), 1.0)
    session.unbind(1.0)
    session.receive(smpplib_encode("unbind", 6), 2.0)
    session.data_to_send()
    assert session.receive(smpplib_encode("unbind_resp", 2), 2.1) == [Unbound(), Closed(CloseReason.UNBOUND)]
    assert sent_by(session) == [("unbind_resp", 0, 6)]


def test_after_an_unbind_from_the_smsc_the_session_ends_after_response_timeout() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    session.receive(smpplib_encode("unbind", 6), 2.0)
    assert session.tick(11.0) == [NoResponse("tag"), Closed(CloseReason.SMSC_UNBOUND)]


def test_both_sides_may_unbind_at_once() -> None:
    session = bound_session()
    session.unbind(1.0)
    assert session.receive(smpplib_encode("unbind", 6), 2.0) == [SmscUnbound()]
    assert session.receive(smpplib_encode("unbind_resp", 2), 2.0) == [Unbound(), Closed(CloseReason.UNBOUND)]
    assert [command for command, _, _ in sent_by(session)] == ["unbind", "unbind_resp"]


def test_an_unbind_resp_to_no_unbind_is_unexpected() -> None:
    session = bound_session()
    assert [type(event) for event in session.receive(smpplib_encode("unbind_resp", 2), 2.0)] == [UnexpectedPdu]


# --- unexpected PDUs ---


@pytest.mark.parametrize("command_length", [0, 1, 15, 65_537, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_invalid_command_length_ends_the_session(command_length: int) -> None:
    session = bound_session()
    octets = command_length.to_bytes(4, "big") + smpplib_encode("enquire_link", 0x1234)[4:]
    assert session.receive(octets + smpplib_encode("enquire_link", 1), 1.0) == [Closed(CloseReason.FRAMING_LOST)]
    assert session.data_to_send() == bytes.fromhex("00000010 80000000 00000002 00001234")
    assert session.closing
    assert session.receive(smpplib_encode("enquire_link", 1), 1.0) == []
    assert session.data_to_send() == b""


def test_a_pdu_of_the_maximum_length_is_read() -> None:
    session = bound_session()
    pdu = (65_536).to_bytes(4, "big") + smpplib_encode("deliver_sm", 5)[4:]
    pdu += b"\0" * (65_536 - len(pdu))
    assert session.receive(pdu, 1.0) == [Received(5, 5, pdu[16:])]


@pytest.mark.parametrize(
    "command_id",
    [0x00000001, 0x00000002, 0x00000003, 0x00000004, 0x00000007, 0x00000008, 0x00000009, 0x00000021, 0x00000016,
     0x00010200, 0x7FFFFFFF],
)  # fmt: skip
def test_a_request_that_an_esme_does_not_serve_gets_generic_nack_and_the_session_continues(
    command_id: int,
) -> None:
    session = bound_session()
    pdu = bytes.fromhex(f"00000012 {command_id:08x} 00000000 00000009 0000")
    assert [type(event) for event in session.receive(pdu, 1.0)] == [UnexpectedPdu]
    assert session.data_to_send() == bytes.fromhex("00000010 80000000 00000003 00000009")
    assert session.free == 10


@pytest.mark.parametrize("command_id", [0x80000003, 0x80000007, 0x80000021, 0x80000005, 0x80010200, 0xFFFFFFFF])
def test_a_response_to_no_request_is_ignored(command_id: int) -> None:
    session = bound_session()
    pdu = bytes.fromhex(f"00000010 {command_id:08x} 00000000 00000009")
    assert [type(event) for event in session.receive(pdu, 1.0)] == [UnexpectedPdu]
    assert (session.data_to_send(), session.free) == (b"", 10)


@pytest.mark.parametrize("command_id", [0x0000000B, 0x00000102])
def test_a_request_that_has_no_response_gets_none(command_id: int) -> None:
    session = bound_session()
    pdu = bytes.fromhex(f"00000010 {command_id:08x} 00000000 00000009")
    assert [type(event) for event in session.receive(pdu, 1.0)] == [UnexpectedPdu]
    assert session.data_to_send() == b""


def test_an_unknown_pdu_affects_no_other() -> None:
    session = bound_session()
    session.submit(b"", "tag", 1.0)
    unknown = bytes.fromhex("00000014 00FACADE 00000000 00000009 DEADBEEF")
    events = session.receive(unknown + submit_sm_resp(2, "id") + unknown + smpplib_encode("deliver_sm", 5), 1.0)
    assert [type(event) for event in events] == [UnexpectedPdu, SubmitResponse, UnexpectedPdu, Received]
