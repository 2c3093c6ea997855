"""The other voice: smpplib says what an SMSC says, and reads what the gateway says."""

from typing import Any

from smpplib import smpp


def smpplib_encode(command: str, sequence_number: int, command_status: int = 0, **fields: Any) -> bytes:
    """A PDU as smpplib encodes it."""
    pdu = smpp.make_pdu(command, sequence=sequence_number, **fields)
    pdu.sequence, pdu.status = sequence_number, command_status
    return bytes(pdu.generate())


def smpplib_body(command: str, **fields: Any) -> bytes:
    """The same without its header."""
    return smpplib_encode(command, 1, **fields)[16:]


def smpplib_decode(octets: bytes) -> list[Any]:
    """Every PDU of a stream as smpplib decodes it."""
    pdus = []
    while octets:
        length = int.from_bytes(octets[:4], "big")
        pdus.append(smpp.parse_pdu(octets[:length], sequence=0))
        octets = octets[length:]
    return pdus
