"""Texts as segments, and user data without its UDH as text: alphabets, data_coding (3GPP 23.038, 23.040).

A segment holds so many characters:

===================  ======  ==================================  ======================================
alphabet             single  with an 8-bit reference (udh8)      with a 16-bit reference (udh16, sar)
===================  ======  ==================================  ======================================
GSM 03.38, septets   160     153                                 152
UCS-2, 16-bit units  70      67                                  66
===================  ======  ==================================  ======================================

GSM 03.38 septets are sent unpacked, one in an octet; the SMSC packs them. With sar_* TLVs the SMSC builds the UDH
and may choose either reference, so segments have the shorter length. With message_payload the SMSC splits the
text: one submit_sm carries all of it, and `segment_count` is the number of segments that the SMSC sends.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum
from functools import partial
from typing import Final, Literal

from smpplib import consts

from gateway.smpp.pdu import Segment, TlvTag, encode_tlv

__all__ = [
    "DataCoding",
    "DefaultAlphabet",
    "LongMessages",
    "Segment",
    "alphabet",
    "are_of_one_coding",
    "decode",
    "decode_segments",
    "decode_text",
    "encode",
    "segment_count",
    "segments",
    "without_final_nul",
]


class DataCoding(IntEnum):
    """The data_coding values that the gateway sends (SMPP 3.4 §5.2.19)."""

    GSM7 = consts.SMPP_ENCODING_DEFAULT
    UCS2 = consts.SMPP_ENCODING_ISO10646


class LongMessages(StrEnum):
    """How the segments of one text are concatenated (configuration `links.long_messages`)."""

    UDH8 = "udh8"
    UDH16 = "udh16"
    SAR = "sar"
    PAYLOAD = "payload"


DefaultAlphabet = Literal["gsm7", "packed", "ascii", "latin1"]
"""The alphabet of data_coding 0: GSM 03.38 unpacked or packed, ASCII, ISO 8859-1 (`links.default_alphabet`)."""

MAX_SEGMENTS: Final = 255
"""The total is one octet in a UDH (3GPP 23.040 §9.2.3.24.1) and in sar_total_segments (SMPP 3.4 §5.3.2.23)."""

_NUMBER_OCTETS: Final = tuple(bytes((number,)) for number in range(MAX_SEGMENTS + 1))
_segment: Final = partial(tuple.__new__, Segment)
"""A Segment from a tuple of its fields, at half the cost of its own constructor."""

# 3GPP 23.038 §6.2.1 and §6.2.1.1. 0x1B escapes to the extension table.
_ESCAPE: Final = 0x1B
_GSM_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION: Final = dict(zip(b"\n\x14()/<=>@e", "\f^{}\\[~]|€", strict=True))
_GSM_SEPTETS: Final = {ord(c): bytes((code,)) for code, c in enumerate(_GSM_BASIC) if code != _ESCAPE} | {
    ord(c): bytes((_ESCAPE, code)) for code, c in _GSM_EXTENSION.items()
}
_NOT_GSM: Final = re.compile(f"[^{re.escape(''.join(map(chr, _GSM_SEPTETS)))}]")
_GSM_ESCAPED_CHARACTERS: Final = {_GSM_BASIC[code]: c for code, c in _GSM_EXTENSION.items()} | {
    "\x1b": " ",
    "": " ",
}
_ESCAPED: Final = re.compile("\x1b(.?)", re.DOTALL)

_MAX_SINGLE_BYTES: Final = {DataCoding.GSM7: 160, DataCoding.UCS2: 140}
_MAX_SEGMENT_BYTES: Final = {
    LongMessages.UDH8: {DataCoding.GSM7: 153, DataCoding.UCS2: 134},
    LongMessages.UDH16: {DataCoding.GSM7: 152, DataCoding.UCS2: 132},
    LongMessages.SAR: {DataCoding.GSM7: 152, DataCoding.UCS2: 132},
    LongMessages.PAYLOAD: {DataCoding.GSM7: 153, DataCoding.UCS2: 134},
}
"""Octets of short_message without the UDH."""

# 16-bit units that may belong to the character before them: combining marks and variation selectors to their
# letter, a surrogate to the other half of its pair, the zero-width joiner to what it joins.
_ZERO_WIDTH_JOINER: Final = "\u200d".encode("utf-16-be")
_COMBINING_UNITS: Final = frozenset(
    [chr(c).encode("utf-16-be") for c in range(0x300, 0x10000) if unicodedata.category(chr(c))[0] == "M"]
    + [unit.to_bytes(2, "big") for unit in range(0xD800, 0xE000)]
    + [_ZERO_WIDTH_JOINER]
)
_HIGH_SURROGATES: Final = range(0xD8, 0xDC)
_LOW_SURROGATES: Final = range(0xDC, 0xE0)
_SKIN_TONES: Final = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"

_UDHI: Final = consts.SMPP_GSMFEAT_UDHI
_CONCATENATION_8: Final = consts.SMPP_UDHIEIE_CONCATENATED
_CONCATENATION_16: Final = consts.SMPP_UDHIEIE_CONCATENATED16

_UCS2: Final = "utf-16-be"
_UNSPECIFIED_OCTETS: Final = "utf-8"
"""The coding of "octet unspecified": ASCII is UTF-8, and other octets are hardly valid UTF-8 by chance."""
_CODEC_BY_DATA_CODING: Final = {
    consts.SMPP_ENCODING_IA5: "ascii",
    consts.SMPP_ENCODING_BINARY: _UNSPECIFIED_OCTETS,
    consts.SMPP_ENCODING_ISO88591: "latin-1",
    consts.SMPP_ENCODING_BINARY2: _UNSPECIFIED_OCTETS,
    consts.SMPP_ENCODING_ISO88595: "iso8859-5",
    consts.SMPP_ENCODING_ISO10646: _UCS2,
}


def alphabet(text: str) -> DataCoding:
    """GSM7 when GSM 03.38 has every character, else UCS2."""
    return DataCoding.UCS2 if _NOT_GSM.search(text) else DataCoding.GSM7


def segment_count(text: str, long_messages: LongMessages) -> int:
    """The number of segments that `text` takes: what pacing and the operator's bill count."""
    data_coding, octets = encode(text)
    return len(_segment_starts(octets, data_coding, long_messages)) + 1


def segment_texts(text: str, long_messages: LongMessages) -> list[str]:
    """The text of each segment: where a handset that joins none of them begins a new message."""
    data_coding, octets = encode(text)
    starts = _segment_starts(octets, data_coding, long_messages)
    pieces = [octets[start:end] for start, end in zip([0, *starts], [*starts, len(octets)], strict=True)]
    return [decode(piece, data_coding, "gsm7") or "" for piece in pieces]


def segments(text: str, long_messages: LongMessages, reference: int) -> tuple[int, list[Segment]]:
    """The data_coding and the segments of `text`, one for each submit_sm. The same arguments give the same octets.

    `reference` is reduced to the size of its field. Raises ValueError beyond 255 segments, or 65,535 octets of
    message_payload.
    """
    data_coding, octets = encode(text)
    if len(octets) <= _MAX_SINGLE_BYTES[data_coding]:
        return data_coding.value, [Segment(0, octets, b"")]
    if long_messages is LongMessages.PAYLOAD:
        if len(octets) > 0xFFFF:
            raise ValueError(f"{len(octets)} octets are too many for message_payload")
        return data_coding.value, [Segment(0, b"", encode_tlv(TlvTag.MESSAGE_PAYLOAD, octets))]
    starts = _segment_starts(octets, data_coding, long_messages)
    total = len(starts) + 1
    if total > MAX_SEGMENTS:
        raise ValueError(f"{total} segments, {MAX_SEGMENTS} at most")
    pieces = [octets[start:end] for start, end in zip([0, *starts], [*starts, len(octets)], strict=True)]
    match long_messages:
        case LongMessages.UDH8:
            header = bytes((5, _CONCATENATION_8, 3, reference & 0xFF, total))
        case LongMessages.UDH16:
            header = bytes((6, _CONCATENATION_16, 4)) + _reference_octets(reference) + bytes((total,))
        case LongMessages.SAR:
            total_tlv = encode_tlv(TlvTag.SAR_TOTAL_SEGMENTS, bytes((total,)))
            tlvs = encode_tlv(TlvTag.SAR_MSG_REF_NUM, _reference_octets(reference)) + total_tlv
            return data_coding.value, [
                Segment(0, piece, tlvs + encode_tlv(TlvTag.SAR_SEGMENT_SEQNUM, bytes((number,))))
                for number, piece in enumerate(pieces, start=1)
            ]
    return data_coding.value, [
        _segment((_UDHI, header + _NUMBER_OCTETS[number] + piece, b""))
        for number, piece in enumerate(pieces, start=1)
    ]


def encode(text: str) -> tuple[DataCoding, bytes]:
    """The text's alphabet, and all its octets; GSM 03.38 septets are one in an octet."""
    if _NOT_GSM.search(text):
        # A lone surrogate is not a character and becomes "?".
        return DataCoding.UCS2, text.encode("utf-16-be", "replace")
    return DataCoding.GSM7, codecs.charmap_encode(text, "strict", _GSM_SEPTETS)[0]


def _segment_starts(octets: bytes, data_coding: DataCoding, long_messages: LongMessages) -> list[int]:
    """The offset of every segment but the first."""
    if len(octets) <= _MAX_SINGLE_BYTES[data_coding]:
        return []
    size = _MAX_SEGMENT_BYTES[long_messages][data_coding]
    starts, at, last = [], 0, len(octets) - size
    if data_coding is DataCoding.GSM7:
        while at < last:
            at += size
            if octets[at - 1] == _ESCAPE:
                at -= 1
            starts.append(at)
        return starts
    while at < last:
        start, at = at, at + size
        if octets[at : at + 2] in _COMBINING_UNITS or octets[at - 2 : at] == _ZERO_WIDTH_JOINER:
            at = _character_boundary(octets, start, at)
        starts.append(at)
    return starts


def _character_boundary(octets: bytes, start: int, end: int) -> int:
    """The last offset up to `end` that splits no surrogate pair, combining sequence or joined character."""
    for at in range(end, start, -2):
        unit = octets[at : at + 2]
        if unit[0] in _HIGH_SURROGATES:
            character = octets[at : at + 4].decode("utf-16-be")
            joined = unicodedata.category(character)[0] == "M" or character in _SKIN_TONES
        else:
            joined = unit in _COMBINING_UNITS
        if not joined and octets[at - 2 : at] != _ZERO_WIDTH_JOINER:
            return at
    # One letter has more marks than a segment holds: only surrogate pairs are kept together.
    return end - 2 if octets[end] in _LOW_SURROGATES else end


def _reference_octets(reference: int) -> bytes:
    return (reference & 0xFFFF).to_bytes(2, "big")


def decode(octets: bytes, data_coding: int, default_alphabet: str, udh_octets: int = 0) -> str | None:
    """The text of user data without its UDH; None when the octets are not valid in that coding.

    `default_alphabet` is the link's meaning of data_coding 0: gsm7 (unpacked), packed, ascii or latin1.
    `udh_octets` is the length of the UDH that preceded them: packed septets start at a septet boundary.
    """
    return decode_segments([octets], data_coding, default_alphabet, udh_octets)


def decode_segments(
    segments: Sequence[bytes], data_coding: int, default_alphabet: str, udh_octets: int = 0
) -> str | None:
    """The text of the segments of one message, in order; see `decode`.

    Handsets split surrogate and escape pairs, so segments are joined before they are decoded. Packed septets are
    unpacked first, each segment on its own.
    """
    codec = _codec(data_coding, default_alphabet)
    if codec == "packed":
        return _decode_septets(b"".join(_unpack(octets, udh_octets) for octets in segments))
    octets = b"".join(segments)
    if codec == "gsm7":
        return _decode_septets(octets)
    if codec == _UCS2:
        if octets.startswith(codecs.BOM_UTF16_LE):
            codec = "utf-16-le"
        octets = octets.removeprefix(codecs.BOM_UTF16_BE).removeprefix(codecs.BOM_UTF16_LE)
    try:
        return octets.decode(codec)
    except UnicodeDecodeError:
        return None


def are_of_one_coding(data_codings: Iterable[int], default_alphabet: str) -> bool:
    """Whether segments with these data_codings can be decoded as one text."""
    return len({_codec(data_coding, default_alphabet) for data_coding in data_codings}) == 1


def decode_text(octets: bytes, data_coding: int, default_alphabet: str, udh_octets: int = 0) -> str | None:
    """The text of a whole message as `decode` reads it, without one final NUL."""
    octets = without_final_nul(octets, data_coding, default_alphabet)
    return decode(octets, data_coding, default_alphabet, udh_octets)


def without_final_nul(octets: bytes, data_coding: int, default_alphabet: str) -> bytes:
    """The user data without one final NUL: some SMSCs count that of a C-octet string in sm_length.

    In packed septets, and at the end of a 16-bit unit of UCS-2, it belongs to the text.
    """
    codec = _codec(data_coding, default_alphabet)
    if codec == "packed" or (codec == _UCS2 and len(octets) % 2 == 0):
        return octets
    return octets.removesuffix(b"\0")


def _codec(data_coding: int, default_alphabet: str) -> str:
    """A codec of Python, "gsm7" or "packed".

    0–15 are SMPP's own values (SMPP 3.4 §5.2.19). Above, each coding group has its own bits for the alphabet
    (3GPP 23.038 §4). Reserved values mean the link's default.
    """
    septets = "packed" if default_alphabet == "packed" else "gsm7"
    group = data_coding >> 4
    if group == 0:
        return _CODEC_BY_DATA_CODING.get(data_coding, default_alphabet)
    if group in (0x1, 0x5):  # general data coding with a message class, not compressed; 5: marked for deletion
        return (septets, _UNSPECIFIED_OCTETS, _UCS2, septets)[data_coding >> 2 & 0b11]
    if group in (0xC, 0xD):  # message waiting: discard, store
        return septets
    if group == 0xE:  # message waiting: store, UCS-2
        return _UCS2
    if group == 0xF:  # message class
        return _UNSPECIFIED_OCTETS if data_coding & 0b100 else septets
    return default_alphabet


def _unpack(octets: bytes, udh_octets: int) -> bytes:
    """Septets, one in an octet (3GPP 23.038 §6.1.2.1), without the fill bits after a UDH (23.040 §9.2.3.24)."""
    fill = -8 * udh_octets % 7
    count, spare = divmod(max(8 * len(octets) - fill, 0), 7)
    aligned = (int.from_bytes(octets, "little") >> fill).to_bytes(len(octets), "little")
    blocks = (int.from_bytes(aligned[at : at + 7], "little") for at in range(0, len(aligned), 7))
    septets = bytes(block >> bit & 0x7F for block in blocks for bit in range(0, 56, 7))[:count]
    # SMPP counts octets, not septets: a last septet that ends at an octet boundary may be padding, NUL or CR.
    return septets[:-1] if spare == 0 and septets[-1:] in (b"\0", b"\r") else septets


def _decode_septets(septets: bytes) -> str | None:
    try:
        text = codecs.charmap_decode(septets, "strict", _GSM_BASIC)[0]
    except UnicodeDecodeError:
        return None
    return _ESCAPED.sub(_escaped_character, text) if "\x1b" in text else text


def _escaped_character(escaped: re.Match[str]) -> str:
    """The escaped character. One that the extension table lacks is its basic one, an escape a space (§6.2.1.1)."""
    return _GSM_ESCAPED_CHARACTERS.get(escaped[1], escaped[1])
