"""Texts on the air: which alphabet, how many segments, cut where; and octets from the air back into text.

===================  ======  ==================================  ======================================
alphabet             single  beside an 8-bit reference (udh8)    beside a 16-bit reference (udh16, sar)
===================  ======  ==================================  ======================================
GSM 03.38, septets   160     153                                 152
UCS-2, 16-bit units  70      67                                  66
===================  ======  ==================================  ======================================

GSM 03.38 septets travel unpacked, one in an octet: packing is the SMSC's work. With sar_* TLVs the SMSC
builds the header; it may take either reference, so segments keep to the shorter size. With message_payload
the SMSC cuts the text: one submit_sm carries it all, and `segment_count` still says what goes on the air.
"""

import codecs
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import partial
from typing import Final

from smpplib import consts

from gateway.smpp.pdu import Segment, ShortMessage, TlvTag, encode_tlv

__all__ = [
    "Concatenation",
    "DataCoding",
    "LongMessages",
    "Segment",
    "alphabet",
    "decode",
    "decode_segments",
    "encode",
    "segment_count",
    "segments",
    "split_udh",
]


class DataCoding(IntEnum):
    """What the gateway sends in (SMPP 3.4 §5.2.19)."""

    GSM7 = consts.SMPP_ENCODING_DEFAULT
    UCS2 = consts.SMPP_ENCODING_ISO10646


class LongMessages(StrEnum):
    """How a text of several segments is marked as one (configuration `links.long_messages`)."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


MAX_SEGMENTS: Final = 255
"""The total is one octet, whatever marks it (3GPP 23.040 §9.2.3.24.1, SMPP 3.4 §5.3.2.23)."""

_NUMBER: Final = tuple(bytes((number,)) for number in range(MAX_SEGMENTS + 1))
_segment: Final = partial(tuple.__new__, Segment)
"""Segment from a tuple of its fields, at half of what its own constructor costs."""

# 3GPP 23.038 §6.2.1 and §6.2.1.1. 0x1B escapes to the extension table.
_ESCAPE: Final = 0x1B
_GSM_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION: Final = dict(zip(b"\n\x14()/<=>@e", "\f^{}\\[~]|€", strict=True))
_TO_GSM: Final = {ord(c): bytes((code,)) for code, c in enumerate(_GSM_BASIC) if code != _ESCAPE} | {
    ord(c): bytes((_ESCAPE, code)) for code, c in _GSM_EXTENSION.items()
}
_NOT_GSM: Final = re.compile(f"[^{re.escape(''.join(map(chr, _TO_GSM)))}]")
_EXTENDED: Final = {_GSM_BASIC[code]: c for code, c in _GSM_EXTENSION.items()} | {"\x1b": " ", "": " "}
_ESCAPED: Final = re.compile("\x1b(.?)", re.DOTALL)

_SINGLE: Final = {DataCoding.GSM7: 160, DataCoding.UCS2: 140}
_LONG: Final = {
    LongMessages.UDH8: {DataCoding.GSM7: 153, DataCoding.UCS2: 134},
    LongMessages.UDH16: {DataCoding.GSM7: 152, DataCoding.UCS2: 132},
    LongMessages.SAR: {DataCoding.GSM7: 152, DataCoding.UCS2: 132},
    LongMessages.PAYLOAD: {DataCoding.GSM7: 153, DataCoding.UCS2: 134},
}
"""Octets of short_message, a UDH not counted."""

# 16-bit units that may not begin a segment, or not without a closer look: marks and variation selectors
# belong to the letter before them, a surrogate to its other half, the zero-width joiner to what it joins.
_JOINER: Final = "\u200d".encode("utf-16-be")
_SUSPECT: Final = frozenset(
    [chr(c).encode("utf-16-be") for c in range(0x300, 0x10000) if unicodedata.category(chr(c))[0] == "M"]
    + [unit.to_bytes(2, "big") for unit in range(0xD800, 0xE000)]
    + [_JOINER]
)
_HIGH_SURROGATES: Final = range(0xD8, 0xDC)
_LOW_SURROGATES: Final = range(0xDC, 0xE0)
_SKIN_TONES: Final = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

_UDHI: Final = consts.SMPP_GSMFEAT_UDHI
_CONCATENATION_8: Final = consts.SMPP_UDHIEIE_CONCATENATED
_CONCATENATION_16: Final = consts.SMPP_UDHIEIE_CONCATENATED16

_UCS2: Final = "utf-16-be"
_OCTETS: Final = "utf-8"
"""Of "octets unspecified": ASCII is, and other octets that are UTF-8 are so by no accident."""
_SMPP_CODINGS: Final = {
    consts.SMPP_ENCODING_IA5: "ascii",
    consts.SMPP_ENCODING_BINARY: _OCTETS,
    consts.SMPP_ENCODING_ISO88591: "latin-1",
    consts.SMPP_ENCODING_BINARY2: _OCTETS,
    consts.SMPP_ENCODING_ISO88595: "iso8859-5",
    consts.SMPP_ENCODING_ISO10646: _UCS2,
}


def alphabet(text: str) -> DataCoding:
    """GSM7 when every character has its place in GSM 03.38, else UCS2."""
    return DataCoding.UCS2 if _NOT_GSM.search(text) else DataCoding.GSM7


def segment_count(text: str, long_messages: LongMessages) -> int:
    """How many segments `text` takes on the air: what pacing and the operator's bill count."""
    data_coding, octets = encode(text)
    return len(_cuts(octets, data_coding, long_messages)) + 1


def segments(text: str, long_messages: LongMessages, reference: int) -> tuple[int, list[Segment]]:
    """The data_coding and what each submit_sm carries, in order; the same arguments give the same octets.

    `reference` is taken modulo what its field holds. Raises ValueError beyond 255 segments, or 65,535 octets
    of message_payload.
    """
    data_coding, octets = encode(text)
    if len(octets) <= _SINGLE[data_coding]:
        return data_coding.value, [Segment(0, octets, b"")]
    if long_messages is LongMessages.PAYLOAD:
        if len(octets) > 0xFFFF:
            raise ValueError(f"{len(octets)} octets are too many for message_payload")
        return data_coding.value, [Segment(0, b"", encode_tlv(TlvTag.MESSAGE_PAYLOAD, octets))]
    cuts = _cuts(octets, data_coding, long_messages)
    total = len(cuts) + 1
    if total > MAX_SEGMENTS:
        raise ValueError(f"{total} segments, {MAX_SEGMENTS} at most")
    cut = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    match long_messages:
        case LongMessages.UDH8:
            header = bytes((5, _CONCATENATION_8, 3, reference & 0xFF, total))
        case LongMessages.UDH16:
            header = bytes((6, _CONCATENATION_16, 4)) + _two_octets(reference) + bytes((total,))
        case LongMessages.SAR:
            total_tlv = encode_tlv(TlvTag.SAR_TOTAL_SEGMENTS, bytes((total,)))
            tlvs = encode_tlv(TlvTag.SAR_MSG_REF_NUM, _two_octets(reference)) + total_tlv
            return data_coding.value, [
                Segment(0, piece, tlvs + encode_tlv(TlvTag.SAR_SEGMENT_SEQNUM, bytes((number,))))
                for number, piece in enumerate(cut, start=1)
            ]
    return data_coding.value, [
        _segment((_UDHI, header + _NUMBER[number] + piece, b"")) for number, piece in enumerate(cut, start=1)
    ]


def encode(text: str) -> tuple[DataCoding, bytes]:
    """The text's alphabet and its octets, not cut; GSM 03.38 septets one in an octet."""
    if _NOT_GSM.search(text):
        # A lone surrogate is no character and becomes "?".
        return DataCoding.UCS2, text.encode("utf-16-be", "replace")
    return DataCoding.GSM7, codecs.charmap_encode(text, "strict", _TO_GSM)[0]


def _cuts(octets: bytes, data_coding: DataCoding, long_messages: LongMessages) -> list[int]:
    """Where every segment but the first begins."""
    if len(octets) <= _SINGLE[data_coding]:
        return []
    size = _LONG[long_messages][data_coding]
    cuts, at, last = [], 0, len(octets) - size
    if data_coding is DataCoding.GSM7:
        while at < last:
            at += size
            if octets[at - 1] == _ESCAPE:
                at -= 1
            cuts.append(at)
        return cuts
    while at < last:
        start, at = at, at + size
        if octets[at : at + 2] in _SUSPECT or octets[at - 2 : at] == _JOINER:
            at = _whole_characters(octets, start, at)
        cuts.append(at)
    return cuts


def _whole_characters(octets: bytes, start: int, end: int) -> int:
    """The nearest place from `end` back where no surrogate pair, mark or joined character is cut off."""
    for at in range(end, start, -2):
        unit = octets[at : at + 2]
        if unit[0] in _HIGH_SURROGATES:
            character = octets[at : at + 4].decode("utf-16-be")
            joined = unicodedata.category(character)[0] == "M" or character in _SKIN_TONES
        else:
            joined = unit in _SUSPECT
        if not joined and octets[at - 2 : at] != _JOINER:
            return at
    # More marks on one letter than a segment holds: only a surrogate pair is kept whole.
    return end - 2 if octets[end] in _LOW_SURROGATES else end


def _two_octets(reference: int) -> bytes:
    return (reference & 0xFFFF).to_bytes(2, "big")


def decode(octets: bytes, data_coding: int, default_alphabet: str, udh_octets: int = 0) -> str | None:
    """The text of a message's user data without its UDH, or None when the octets are not in that coding.

    `default_alphabet` is what the link means by data_coding 0: gsm7 (unpacked), packed, ascii or latin1.
    `udh_octets` is the length of the UDH that stood before them: packed septets begin at a septet's boundary.
    """
    return decode_segments([octets], data_coding, default_alphabet, udh_octets)


def decode_segments(
    segments: Sequence[bytes], data_coding: int, default_alphabet: str, udh_octets: int = 0
) -> str | None:
    """The text of the segments of one message, in order; see `decode`.

    They are joined before they are decoded, since handsets cut pairs in two; packed ones are unpacked first.
    """
    coding = _coding(data_coding, default_alphabet)
    if coding == "packed":
        return _decode_gsm(b"".join(_unpack(octets, udh_octets) for octets in segments))
    octets = b"".join(segments)
    if coding == "gsm7":
        return _decode_gsm(octets)
    if coding == _UCS2:
        if octets.startswith(codecs.BOM_UTF16_LE):
            coding = "utf-16-le"
        octets = octets.removeprefix(codecs.BOM_UTF16_BE).removeprefix(codecs.BOM_UTF16_LE)
    try:
        return octets.decode(coding)
    except UnicodeDecodeError:
        return None


def _coding(data_coding: int, default_alphabet: str) -> str:
    """The name of a coding: Python's, or gsm7 or packed.

    0–15 are SMPP's own list (SMPP 3.4 §5.2.19); above it every group says in its own bits what it holds
    (3GPP 23.038 §4), and reserved values are read as the link's default.
    """
    septets = "packed" if default_alphabet == "packed" else "gsm7"
    group = data_coding >> 4
    if group == 0:
        return _SMPP_CODINGS.get(data_coding, default_alphabet)
    if group in (
        0x1,
        0x5,
    ):  # general data coding with a message class, not compressed; 5: to be deleted after
        return (septets, _OCTETS, _UCS2, septets)[data_coding >> 2 & 0b11]
    if group in (0xC, 0xD):  # message waiting: discard, store
        return septets
    if group == 0xE:  # message waiting: store, UCS-2
        return _UCS2
    if group == 0xF:  # message class
        return _OCTETS if data_coding & 0b100 else septets
    return default_alphabet


def _unpack(octets: bytes, udh_octets: int) -> bytes:
    """Septets, one in an octet (3GPP 23.038 §6.1.2.1); fill bits after a UDH skipped (23.040 §9.2.3.24)."""
    fill = -8 * udh_octets % 7
    count, spare = divmod(max(8 * len(octets) - fill, 0), 7)
    aligned = (int.from_bytes(octets, "little") >> fill).to_bytes(len(octets), "little")
    blocks = (int.from_bytes(aligned[at : at + 7], "little") for at in range(0, len(aligned), 7))
    septets = bytes(block >> bit & 0x7F for block in blocks for bit in range(0, 56, 7))[:count]
    # SMPP counts octets, not septets: a last septet that ends with its octet may be padding, zeros or a CR.
    return septets[:-1] if spare == 0 and septets[-1:] in (b"\0", b"\r") else septets


def _decode_gsm(septets: bytes) -> str | None:
    try:
        text = codecs.charmap_decode(septets, "strict", _GSM_BASIC)[0]
    except UnicodeDecodeError:
        return None
    return _ESCAPED.sub(_extension, text) if "\x1b" in text else text


def _extension(escaped: re.Match[str]) -> str:
    """The escaped character; one the table lacks shows as its basic one, an escape as a space (§6.2.1.1)."""
    return _EXTENDED.get(escaped[1], escaped[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation:
    """Which segment of which text this is: `number` from 1 to `total`, `total` at least 2."""

    reference: int
    total: int
    number: int


def split_udh(sm: ShortMessage) -> tuple[Concatenation | None, bytes]:
    """Which segment the message is, if it is one, and its user data without the UDH.

    Understands both UDH references (3GPP 23.040 §9.2.3.24.1, .8) and the sar_* TLVs (SMPP 3.4 §5.3.2.22–24).
    Other information elements are skipped. A UDH that does not add up stays in the user data, as it came.
    """
    payload = sm.payload
    if not sm.esm_class & _UDHI:
        return _sar(sm), payload
    length = payload[0] + 1 if payload else 0
    header, octets = payload[1:length], payload[length:]
    if not 2 <= len(header) == length - 1:
        return _sar(sm), payload
    concatenation = None
    while len(header) >= 2:
        element, size = header[0], header[1]
        value, header = header[2 : 2 + size], header[2 + size :]
        if len(value) < size:
            return _sar(sm), payload
        if element == _CONCATENATION_8 and size == 3:
            concatenation = _concatenation(value[0], value[1], value[2])
        elif element == _CONCATENATION_16 and size == 4:
            concatenation = _concatenation(int.from_bytes(value[:2], "big"), value[2], value[3])
    return concatenation or _sar(sm), octets


def _sar(sm: ShortMessage) -> Concatenation | None:
    reference, total, number = (
        int.from_bytes(sm.tlvs.get(tag, b"")[-2:], "big")
        for tag in (TlvTag.SAR_MSG_REF_NUM, TlvTag.SAR_TOTAL_SEGMENTS, TlvTag.SAR_SEGMENT_SEQNUM)
    )
    return _concatenation(reference, total, number)


def _concatenation(reference: int, total: int, number: int) -> Concatenation | None:
    """None for what makes no sense: the message then stands alone (3GPP 23.040 §9.2.3.24.1)."""
    if not (2 <= total <= MAX_SEGMENTS and 1 <= number <= total):
        return None
    return Concatenation(reference=reference, total=total, number=number)
