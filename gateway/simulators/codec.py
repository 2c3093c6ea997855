"""SMPP PDUs encoded and decoded with `smpplib`, which is independent of the gateway's own codec.

Two things are done here because smpplib does not do them. Its TLV reader raises on TLVs that a PDU's table does
not list, drops the last character of a string without NUL and ignores the length of integers, so this module
reads the TLVs. It also appends TLVs that smpplib's tables lack to the PDUs that smpplib generates.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from smpplib import command_codes, consts, exceptions, smpp

from gateway.simulators.more_commands import make_pdu

HEADER = struct.Struct(">IIII")
MAX_PDU_BYTES = 65_536
TLV_TAGS: dict[str, int] = consts.OPTIONAL_PARAMS
ANSWERED = frozenset({"submit_sm", "data_sm", "submit_multi", "query_sm", "cancel_sm"})
"""Requests that a malformed PDU gets the response of; others get generic_nack."""

UnknownCommand = exceptions.UnknownCommandError


class MalformedPdu(Exception):
    """A PDU that violates SMPP 3.4; `status` is the command_status for the response."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class _NoSequence:
    """The client that smpplib requires; sequence_numbers are set by the caller."""

    sequence = 0

    @staticmethod
    def next_sequence() -> int:
        return 0


_NO_SEQUENCE = _NoSequence()


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Removes complete PDUs from the front of `buffer`; MalformedPdu on an impossible command_length."""
    while len(buffer) >= 4:
        length = int.from_bytes(buffer[:4], "big")
        if not HEADER.size <= length <= MAX_PDU_BYTES:
            raise MalformedPdu(f"command_length {length}", consts.SMPP_ESME_RINVCMDLEN)
        if len(buffer) < length:
            return
        frame = bytes(buffer[:length])
        del buffer[:length]
        yield frame


def parse(frame: bytes) -> Any:
    """smpplib's PDU object with an added `tlvs` mapping of tag to octets; its text fields are bytes.

    Raises UnknownCommand, or MalformedPdu with the status for the response.
    """
    name = smpp.pdu.extract_command(frame)
    pdu = make_pdu(name, client=_NO_SEQUENCE)
    tail = bytearray()
    pdu.parse_optional_params = tail.extend
    try:
        pdu.parse(frame)
    except (struct.error, ValueError, IndexError) as error:
        raise MalformedPdu(f"{name}: {error}", consts.SMPP_ESME_RINVMSGLEN) from None
    if name in ("submit_sm", "deliver_sm") and len(pdu.short_message or b"") != pdu.sm_length:
        raise MalformedPdu(f"{name}: sm_length {pdu.sm_length}", consts.SMPP_ESME_RINVMSGLEN)
    pdu.tlvs = dict(_tlvs(bytes(tail)))
    return pdu


def _tlvs(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        value = at + 4
        if value > len(octets):
            raise MalformedPdu(f"truncated TLV header: {octets[at:].hex()}", consts.SMPP_ESME_RINVOPTPARSTREAM)
        tag, length = struct.unpack_from(">HH", octets, at)
        if value + length > len(octets):
            raise MalformedPdu(f"truncated TLV {tag:#06x}", consts.SMPP_ESME_RINVOPTPARSTREAM)
        yield tag, octets[value : value + length]
        at = value + length


def encode(
    name: str,
    sequence_number: int,
    status: int = 0,
    *,
    body: bool = True,
    tlvs: Mapping[str | int, bytes] | None = None,
    **fields: Any,
) -> bytes:
    """A PDU's octets; `fields` by smpplib's names, `tlvs` by name or tag for what smpplib's tables lack.

    Without `body` only the header, which an error response may be (SMPP 3.4 §4.4.2).
    """
    pdu = make_pdu(name, client=_NO_SEQUENCE, status=status, **fields)
    pdu.sequence = sequence_number
    octets: bytes = pdu.generate()
    if not body:
        octets = octets[: HEADER.size]
    for tag, value in (tlvs or {}).items():
        octets += struct.pack(">HH", TLV_TAGS[tag] if isinstance(tag, str) else tag, len(value)) + value
    return struct.pack(">I", len(octets)) + octets[4:]


def command_with_response(frame: bytes) -> str | None:
    """The command's name, if what is wrong with it goes into its own response."""
    name = command_codes.get_command_name(int.from_bytes(frame[4:8], "big"))
    return name if name in ANSWERED else None


def text(field: bytes | None) -> str:
    """The characters of a C-octet string."""
    return (field or b"").decode("latin-1")


def status_number(name: str | int) -> int:
    """The command_status of `0x58`, `88`, `RTHROTTLED` or `ESME_RTHROTTLED`."""
    if isinstance(name, int):
        return name
    try:
        return int(name, 0)
    except ValueError:
        number: int = getattr(consts, "SMPP_ESME_" + name.upper().removeprefix("ESME_"))
        return number
