"""Sessions in the states that tests start from, with smpplib as the SMSC."""

from typing import Any

from gateway.smpp.session import Bound, Role, Session
from gateway.smpp.session_life import MAX_UNEXPECTED_PDUS
from tests.smpp.smpplib_codec import smpplib_decode, smpplib_encode

RESPONSE_TIMEOUT_SECONDS = 10.0
ENQUIRE_LINK_SECONDS = 30.0


def fresh_session(
    role: Role = Role.TRANSCEIVER, window: int = 10, max_unexpected: int = MAX_UNEXPECTED_PDUS
) -> Session[object]:
    return Session(
        role=role,
        system_id="gateway",
        password="secret",
        window=window,
        enquire_link=ENQUIRE_LINK_SECONDS,
        response_timeout=RESPONSE_TIMEOUT_SECONDS,
        max_unexpected=max_unexpected,
    )


def binding_session(
    role: Role = Role.TRANSCEIVER, window: int = 10, max_unexpected: int = MAX_UNEXPECTED_PDUS
) -> Session[object]:
    """BINDING since 0; the bind has sequence_number 1."""
    session = fresh_session(role, window, max_unexpected)
    session.connected(0.0)
    session.data_to_send()
    return session


def bound_session(
    role: Role = Role.TRANSCEIVER, window: int = 10, max_unexpected: int = MAX_UNEXPECTED_PDUS
) -> Session[object]:
    """BOUND since 0; the next sequence_number is 2."""
    session = binding_session(role, window, max_unexpected)
    assert session.receive(smpplib_encode(f"bind_{role}_resp", 1, system_id="smsc"), 0.0) == [Bound("smsc", None)]
    return session


def sent_by(session: Session[object]) -> list[tuple[str, int, int]]:
    """Command, status and sequence_number of every PDU that the session has to send, decoded by smpplib."""
    return [(pdu.command, pdu.status, pdu.sequence) for pdu in smpplib_decode(session.data_to_send())]


def submit_sm_resp(sequence_number: int, message_id: str = "", **fields: Any) -> bytes:
    return smpplib_encode("submit_sm_resp", sequence_number, message_id=message_id, **fields)
