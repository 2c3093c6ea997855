"""Sessions to start from."""

from typing import Any

from smpp.smpplib_codec import smpplib_decode, smpplib_encode

from gateway.smpp.session import Bound, Role, Session

RESPONSE_TIMEOUT = 10.0
ENQUIRE_LINK = 30.0


def fresh_session(role: Role = Role.TRANSCEIVER, window: int = 10) -> Session[object]:
    return Session(
        role=role,
        system_id="gateway",
        password="secret",
        window=window,
        enquire_link=ENQUIRE_LINK,
        response_timeout=RESPONSE_TIMEOUT,
    )


def binding_session(role: Role = Role.TRANSCEIVER, window: int = 10) -> Session[object]:
    """Connected at 0; the bind, sequence_number 1, is out."""
    session = fresh_session(role, window)
    session.connected(0.0)
    session.data_to_send()
    return session


def bound_session(role: Role = Role.TRANSCEIVER, window: int = 10) -> Session[object]:
    """Bound at 0; the next sequence_number is 2."""
    session = binding_session(role, window)
    assert session.receive(smpplib_encode(f"bind_{role}_resp", 1, system_id="smsc"), 0.0) == [Bound("smsc", None)]
    return session


def sent_by(session: Session[object]) -> list[tuple[str, int, int]]:
    """What the session has to send, as smpplib reads it: command, status, sequence_number."""
    return [(pdu.command, pdu.status, pdu.sequence) for pdu in smpplib_decode(session.data_to_send())]


def submit_sm_resp(sequence_number: int, message_id: str = "", **fields: Any) -> bytes:
    return smpplib_encode("submit_sm_resp", sequence_number, message_id=message_id, **fields)
