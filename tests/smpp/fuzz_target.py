"""The rules for any octets from an SMSC; `probe` checks them for the corpus, Hypothesis and scripts/fuzz."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, get_args

from gateway.limits import MAX_ADDRESS_OCTETS, MAX_MESSAGE_ID_OCTETS
from gateway.smpp.pdu import (
    HEADER,
    MAX_COMMAND_LENGTH,
    RESPONSE_BIT,
    CommandId,
    MalformedPdu,
    ShortMessage,
    decode_short_message,
    decode_tlvs,
)
from gateway.smpp.receipt import IdRelation, Receipt, normalize_message_id, parse_receipt, related_ids
from gateway.smpp.session import Event, NoResponse, Received, Session, SubmitResponse
from gateway.smpp.text import DefaultAlphabet, decode
from gateway.smpp.user_data import split_udh
from gateway.smpp.ussd import dialled_service, parse_ussd
from tests.smpp.sessions import (
    RESPONSE_TIMEOUT_SECONDS,
    binding_session,
    bound_session,
    fresh_session,
    submit_sm_resp,
)
from tests.smpp.smpplib_codec import smpplib_body, smpplib_encode

WORDS: Final = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x1b",
    b"\0\0\0\x10",
    b"\0\0\0\x0f",
    b"\0\1\0\0",
    b"\0\1\0\1",
    b"\4\x24",
)
"""Octets at which parsers often fail: limits of command_length, an escape, the tag of message_payload."""
UNDER_WAY: Final = 3
DEFAULT_ALPHABETS: Final = get_args(DefaultAlphabet)
_DELIVERIES: Final = (CommandId.DELIVER_SM, CommandId.DATA_SM)
_ENDS: Final = (CommandId.UNBIND, CommandId.UNBIND_RESP)

EARLIER: Final = smpplib_encode(
    "deliver_sm", 77, source_addr="77012345678", short_message=b"3#1"
) + submit_sm_resp(2, "an id")
EARLIER_EVENTS: Final = [
    Received(
        CommandId.DELIVER_SM, 77, smpplib_body("deliver_sm", source_addr="77012345678", short_message=b"3#1")
    ),
    SubmitResponse(0, 0, "an id"),
]


def session_with_segments_under_way() -> Session[object]:
    """BOUND; the segments have the tags 0, 1, 2 and the sequence numbers 2, 3, 4."""
    session = bound_session()
    for tag in range(UNDER_WAY):
        session.submit(b"", tag, 0.0)
    session.data_to_send()
    return session


def session_with_late_segments() -> Session[object]:
    """BOUND; the segments 2, 3, 4 had no response within response_timeout; a late one is recognised."""
    session = bound_session()
    for tag in range(UNDER_WAY):
        session.submit(b"", tag, -RESPONSE_TIMEOUT_SECONDS)
    session.tick(0.0)
    session.data_to_send()
    return session


def unbinding_session() -> Session[object]:
    """UNBINDING; our unbind has sequence_number 2."""
    session = bound_session()
    session.unbind(0.0)
    session.data_to_send()
    return session


START_STATES: Final[dict[Callable[[], Session[object]], int]] = {
    fresh_session: 0,
    binding_session: 0,
    bound_session: 0,
    session_with_segments_under_way: UNDER_WAY,
    session_with_late_segments: 0,
    unbinding_session: 0,
}
"""Sessions to start from, and the number of segments that each has under way."""


def probe(octets: bytes) -> None:
    """Feeds the octets to the session and to every decoder. Raises AssertionError, or what a decoder raised."""
    splitting_changes_nothing(octets)
    earlier_pdus_are_reported(octets)
    for begin, under_way in START_STATES.items():
        ends_with_one_outcome_each(begin(), octets, under_way)
    bodies = [octets, octets[HEADER.size :], *(event.body for event in deliveries(octets))]
    for one in dict.fromkeys(bodies):
        decode_body(one)


def receive(session: Session[object], octets: bytes) -> list[Event[object]]:
    """The events of one read; checks the size of what the session keeps and reports."""
    events = session.receive(octets, 1.0)
    assert len(session._pending) < MAX_COMMAND_LENGTH, "more is kept than one incomplete PDU"
    assert len(events) <= 2 * (len(octets) // HEADER.size) + 2, "more events than PDUs can cause"
    return events


def splitting_changes_nothing(octets: bytes) -> None:
    """Whole or byte by byte: the same events, responses and state."""
    for begin in START_STATES:
        whole, single = begin(), begin()
        events = receive(whole, octets)
        assert [event for at in range(len(octets)) for event in receive(single, octets[at : at + 1])] == events
        responses = whole.data_to_send()
        assert len(responses) <= 2 * len(octets), "more responses than PDUs can cause"
        assert single.data_to_send() == responses
        assert (single.state, single.free, single.unacknowledged_deliveries) == (
            whole.state,
            whole.free,
            whole.unacknowledged_deliveries,
        )
        are_responses(responses)


def earlier_pdus_are_reported(octets: bytes) -> None:
    """PDUs that precede the octets in the same read are reported, whatever the octets are."""
    session = session_with_segments_under_way()
    assert receive(session, EARLIER + octets)[:2] == EARLIER_EVENTS
    expected = deliveries(octets)
    reported = [event for event in receive(bound_session(), octets) if isinstance(event, Received)]
    assert reported[: len(expected)] == expected


def deliveries(octets: bytes) -> list[Received]:
    """Each deliver_sm and data_sm until framing is lost or the session may end; an independent framing."""
    found = []
    while len(octets) >= HEADER.size:
        length, command_id, _, sequence_number = HEADER.unpack_from(octets)
        if not HEADER.size <= length <= MAX_COMMAND_LENGTH or length > len(octets) or command_id in _ENDS:
            break
        if command_id in _DELIVERIES:
            found.append(Received(command_id, sequence_number, octets[HEADER.size : length]))
        octets = octets[length:]
    return found


def are_responses(octets: bytes) -> None:
    """Only complete responses and generic_nacks: octets of the SMSC never cause a request."""
    while octets:
        length, command_id, _, _ = HEADER.unpack_from(octets)
        assert HEADER.size <= length <= len(octets)
        assert command_id & RESPONSE_BIT
        octets = octets[length:]


def ends_with_one_outcome_each(session: Session[object], octets: bytes, under_way: int) -> None:
    """Everything received can be responded to, time can pass, and each segment has exactly one outcome."""
    events = receive(session, octets)
    for event in events:
        if isinstance(event, Received):
            session.respond(event.command_id, event.sequence_number)
    are_responses(session.data_to_send())
    for now in (1.0, 20.0, 40.0, 60.0):
        events += session.tick(now)
        deadline = session.next_deadline()
        assert deadline is None or deadline > now, "tick left work that was due"
    events += session.disconnected(61.0)
    assert session.closing
    outcomes = [event.tag for event in events if isinstance(event, SubmitResponse | NoResponse)]
    assert sorted(outcomes, key=str) == list(range(under_way))


def decode_body(octets: bytes) -> None:
    """Decodes it as deliver_sm and as data_sm, by every decoder; only MalformedPdu may be raised."""
    with suppress(MalformedPdu):
        decode_tlvs(octets)
    for command_id in _DELIVERIES:
        try:
            message = decode_short_message(command_id, octets)
        except MalformedPdu:
            continue
        decode_message(message)


def decode_message(message: ShortMessage) -> None:
    """Decodes it as a receipt, as USSD and as a reply, whatever it is."""
    assert max(len(message.source.addr), len(message.destination.addr)) <= MAX_ADDRESS_OCTETS
    if receipt := parse_receipt(message):
        is_storable(receipt)
    octets, concatenation, *_ = split_udh(message)
    assert message.payload.endswith(octets)
    assert concatenation is None or 1 <= concatenation.number <= concatenation.total <= 255
    ussd = parse_ussd(message)
    for alphabet in DEFAULT_ALPHABETS:
        udh_octets = len(message.payload) - len(octets)
        is_text(decode(octets, message.data_coding, alphabet, udh_octets))
        if ussd is not None:
            is_text(typed := ussd.text(alphabet))
            dialled_service(typed)


def is_text(text: str | None) -> None:
    """None, or text that can be stored as UTF-8."""
    assert text is None or text.encode("utf-8").decode("utf-8") == text


def is_storable(receipt: Receipt) -> None:
    """The fields of a receipt fit their columns and the index."""
    assert len(receipt.message_id) <= MAX_MESSAGE_ID_OCTETS
    assert "\0" not in receipt.message_id + receipt.error
    for relation in get_args(IdRelation):
        found = related_ids(receipt.message_id, relation)
        assert found
        assert all(key == normalize_message_id(key) for key in found)
