"""smpplib as the codec of the SMSC: an implementation independent of the gateway's."""

from typing import Any

from smpplib import smpp


def smpplib_encode(command: str, sequence_number: int, command_status: int = 0, **fields: Any) -> bytes:
    """The PDU with its header, encoded by smpplib."""
    pdu = smpp.make_pdu(command, sequence=sequence_number, **fields)
    pdu.sequence, pdu.status = sequence_number, command_status
    return bytes(pdu.generate())


def smpplib_body(command: str, **fields: Any) -> bytes:
    """The body of the PDU, without its header."""
    return smpplib_encode(command, 1, **fields)[16:]


def smpplib_decode(octets: bytes) -> list[Any]:
    """Every PDU of a stream, decoded by smpplib."""
    pdus = []
    while octets:
        length = int.from_bytes(octets[:4], "big")
        pdus.append(smpp.parse_pdu(octets[:length], sequence=0))
        octets = octets[length:]
    return pdus
