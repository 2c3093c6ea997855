"""User data with its UDH or sar_* TLVs: which part of which text it is, and whether it is for a person."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from smpplib import consts

from gateway.smpp.pdu import ShortMessage, TlvTag
from gateway.smpp.text import MAX_SEGMENTS

_UDHI: Final = consts.SMPP_GSMFEAT_UDHI
_CONCATENATION_8: Final = consts.SMPP_UDHIEIE_CONCATENATED
_CONCATENATION_16: Final = consts.SMPP_UDHIEIE_CONCATENATED16
_PORTS: Final = (0x04, 0x05)
"""Application port addressing, 8 and 16 bits."""
_WIDE: Final = 16
"""The bits of the other kind of reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation:
    """The position of a segment in its text: `number` from 1 to `total`, `total` at least 2."""

    reference: int
    total: int
    number: int
    reference_bits: int = 8
    """The bits of the reference, 8 or 16: a telephone counts the two apart, so equal values of both are two texts.
    """

    @property
    def key(self) -> int:
        """The reference, different for equal values of 8 and of 16 bits."""
        return self.reference | (1 << 16 if self.reference_bits == _WIDE else 0)


class UserData(NamedTuple):
    """User data without its UDH, and what the UDH says."""

    octets: bytes
    concatenation: Concatenation | None = None
    """The position of a segment; None for a message of one segment."""
    to_port: bool = False
    """It is addressed to a port, so to a program and not to a person (3GPP 23.040 §9.2.3.24.3–4)."""
    is_stray: bool = False
    """It is a segment without a reference: which others belong to it cannot be known."""


def split_udh(sm: ShortMessage) -> UserData:
    """The user data without the UDH, and what the UDH or sar_* TLVs say.

    The position comes from a UDH with either reference (3GPP 23.040 §9.2.3.24.1, .8) or from sar_* TLVs (SMPP 3.4
    §5.3.2.22–24). Other information elements are skipped. A UDH with wrong lengths stays in the user data; what
    the elements before the wrong one say holds all the same, so that no part of a text passes for the whole.
    """
    payload = sm.payload
    if not sm.esm_class & _UDHI:
        return _of_sar(sm, payload)
    length = payload[0] + 1 if payload else 0
    header, octets = payload[1:length], payload[length:]
    if not 2 <= len(header) == length - 1:
        return _of_sar(sm, payload)
    concatenation, to_port = None, False
    while len(header) >= 2:
        element, size = header[0], header[1]
        value, header = header[2 : 2 + size], header[2 + size :]
        if len(value) < size:
            octets = payload
            break
        if element == _CONCATENATION_8 and size == 3:
            concatenation = _concatenation(value[0], value[1], value[2])
        elif element == _CONCATENATION_16 and size == 4:
            concatenation = _concatenation(int.from_bytes(value[:2], "big"), value[2], value[3], _WIDE)
        to_port = to_port or element in _PORTS
    return UserData(octets, concatenation, to_port) if concatenation else _of_sar(sm, octets, to_port)


def _of_sar(sm: ShortMessage, octets: bytes, to_port: bool = False) -> UserData:
    """The user data with the position that sar_* TLVs say, if any."""
    reference, total, number = (
        int.from_bytes(sm.tlvs.get(tag, b"")[-2:], "big")
        for tag in (TlvTag.SAR_MSG_REF_NUM, TlvTag.SAR_TOTAL_SEGMENTS, TlvTag.SAR_SEGMENT_SEQNUM)
    )
    concatenation = _concatenation(reference, total, number, _WIDE)
    if concatenation is not None and not sm.tlvs.get(TlvTag.SAR_MSG_REF_NUM):
        return UserData(octets, None, to_port, is_stray=True)
    return UserData(octets, concatenation, to_port)


def _concatenation(reference: int, total: int, number: int, bits: int = 8) -> Concatenation | None:
    """None for an invalid total or number: the message is then a single one (3GPP 23.040 §9.2.3.24.1)."""
    if not (2 <= total <= MAX_SEGMENTS and 1 <= number <= total):
        return None
    return Concatenation(reference=reference, total=total, number=number, reference_bits=bits)
