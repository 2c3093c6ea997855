"""A parent's telephone: how it reads and writes, joins segments and drops second copies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from smpplib import consts, gsm

from gateway.simulators.codec import TLV_TAGS, Malformed, text

UDHI = consts.SMPP_GSMFEAT_UDHI
# smpplib's table has a backtick where GSM 03.38 has the section sign, and no form feed.
_BASIC = gsm.GSM_CHARACTER_TABLE[:128].replace("`", "§")
_EXTENSION = {0x0A: "\f"} | {code: sign for code, sign in enumerate(gsm.GSM_CHARACTER_TABLE[128:]) if sign != "`"}


def gsm_decode(octets: bytes) -> str:
    """The text of unpacked GSM 03.38 septets; UnicodeError where there is none."""
    signs, codes = [], iter(octets)
    for code in codes:
        sign = _EXTENSION.get(next(codes, -1)) if code == 0x1B else _BASIC[code] if code < 128 else None
        if sign is None:
            raise UnicodeError(f"not GSM 03.38: {octets.hex()}")
        signs.append(sign)
    return "".join(signs)


def gsm_encode(characters: str) -> bytes:
    """Unpacked GSM 03.38 septets; UnicodeError when the text needs UCS-2."""
    if "`" in characters:
        raise UnicodeError("no backtick in GSM 03.38")
    octets: bytes = gsm.gsm_encode(characters)
    return octets


def gsm_pack(septets: bytes) -> bytes:
    """Septets packed as on the air (3GPP TS 23.038 §6.1.2.1)."""
    bits = sum(septet << 7 * place for place, septet in enumerate(septets))
    return bits.to_bytes((7 * len(septets) + 7) // 8, "little")


ENCODINGS: dict[str, tuple[int, Any]] = {
    "gsm7": (consts.SMPP_ENCODING_DEFAULT, gsm_encode),
    "packed": (consts.SMPP_ENCODING_DEFAULT, lambda characters: gsm_pack(gsm_encode(characters))),
    "ascii": (consts.SMPP_ENCODING_IA5, lambda characters: characters.encode("ascii")),
    "latin1": (consts.SMPP_ENCODING_ISO88591, lambda characters: characters.encode("latin-1")),
    "cyrillic": (consts.SMPP_ENCODING_ISO88595, lambda characters: characters.encode("iso8859-5")),
    "ucs2": (consts.SMPP_ENCODING_ISO10646, lambda characters: characters.encode("utf-16-be")),
}


def write(characters: str, encoding: str = "auto") -> tuple[int, bytes]:
    """(data_coding, octets) of a text as a handset sends it: GSM 03.38 where it fits, else UCS-2."""
    if encoding == "auto":
        try:
            return consts.SMPP_ENCODING_DEFAULT, gsm_encode(characters)
        except UnicodeError:
            encoding = "ucs2"
    data_coding, encode = ENCODINGS[encoding]
    return data_coding, encode(characters)


def read(octets: bytes, data_coding: int) -> str | None:
    """The text, or None when the octets are no text in that coding."""
    try:
        match data_coding:
            case consts.SMPP_ENCODING_DEFAULT:
                return gsm_decode(octets)
            case consts.SMPP_ENCODING_ISO10646:
                return octets.decode("utf-16-be")
            case consts.SMPP_ENCODING_ISO88595:
                return octets.decode("iso8859-5")
            case _:
                return octets.decode("latin-1")
    except UnicodeError:
        return None


@dataclass(slots=True)
class Submitted:
    """One submit_sm as it arrived, and the answer it got; `at` and `answered_at` are monotonic seconds."""

    at: float
    session: int
    sequence_number: int
    source: str
    source_ton: int
    source_npi: int
    destination: str
    destination_ton: int
    destination_npi: int
    service_type: str
    esm_class: int
    data_coding: int
    registered_delivery: int
    validity_period: str
    short_message: bytes
    tlvs: dict[int, bytes]
    octets: bytes
    """The user data without UDH, or message_payload."""
    reference: int | None
    total: int
    number: int
    text: str | None
    status: int | None = None
    """command_status of the answer; None while there is none."""
    message_id: str = ""
    answered_at: float | None = None
    taken: bool = False
    """The SMSC sent it on to the handset, whatever it answered."""
    serial: int = 0


def submitted(pdu: Any, *, at: float, session: int) -> Submitted:
    """The submit_sm that smpplib read; Malformed when its UDH or its length cannot be."""
    payload = pdu.tlvs.get(TLV_TAGS["message_payload"], b"")
    octets = pdu.short_message or payload
    reference, total, number = None, 1, 1
    if pdu.esm_class & UDHI:
        header, octets = split_udh(octets)
        if header:
            reference, total, number = header
    elif TLV_TAGS["sar_msg_ref_num"] in pdu.tlvs:
        reference, total, number = (
            int.from_bytes(pdu.tlvs.get(TLV_TAGS[name], b""), "big")
            for name in ("sar_msg_ref_num", "sar_total_segments", "sar_segment_seqnum")
        )
    if not 1 <= number <= total:
        raise Malformed(f"segment {number} of {total}", consts.SMPP_ESME_RINVESMCLASS)
    if TLV_TAGS["ussd_service_op"] in pdu.tlvs:
        _fits_the_screen(octets, pdu.data_coding)
    elif not payload:
        _fits_the_air(pdu.short_message or b"", octets, pdu.data_coding)
    return Submitted(
        at=at,
        session=session,
        sequence_number=pdu.sequence,
        source=text(pdu.source_addr),
        source_ton=pdu.source_addr_ton,
        source_npi=pdu.source_addr_npi,
        destination=text(pdu.destination_addr),
        destination_ton=pdu.dest_addr_ton,
        destination_npi=pdu.dest_addr_npi,
        service_type=text(pdu.service_type),
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        registered_delivery=pdu.registered_delivery,
        validity_period=text(pdu.validity_period),
        short_message=pdu.short_message or b"",
        tlvs=pdu.tlvs,
        octets=octets,
        reference=reference,
        total=total,
        number=number,
        text=read(octets, pdu.data_coding),
    )


def split_udh(octets: bytes) -> tuple[tuple[int, int, int] | None, bytes]:
    """((reference, total, number) or None, the octets after the header); Malformed if it cannot be one."""
    end = 1 + octets[0] if octets else 1
    if not octets or end > len(octets):
        raise Malformed(f"UDH cut: {octets[:8].hex()}", consts.SMPP_ESME_RINVESMCLASS)
    at, found = 1, None
    while at + 1 < end:
        element, length = octets[at], octets[at + 1]
        value = octets[at + 2 : at + 2 + length]
        if (element, length) in (
            (consts.SMPP_UDHIEIE_CONCATENATED, 3),
            (consts.SMPP_UDHIEIE_CONCATENATED16, 4),
        ):
            found = (int.from_bytes(value[:-2], "big"), value[-2], value[-1])
        at += 2 + length
    if at != end:
        raise Malformed(f"UDH elements do not fill it: {octets[:end].hex()}", consts.SMPP_ESME_RINVESMCLASS)
    return found, octets[end:]


def _fits_the_air(user_data: bytes, octets: bytes, data_coding: int) -> None:
    """Malformed when the segment is longer than the 140 octets that a short message carries."""
    header = len(user_data) - len(octets)
    if data_coding == consts.SMPP_ENCODING_DEFAULT:
        length, limit = (header * 8 + 6) // 7 + len(octets), 160
    else:
        length, limit = len(user_data), 140
    if length > limit:
        raise Malformed(f"segment of {length} where {limit} fit", consts.SMPP_ESME_RINVMSGLEN)


def _fits_the_screen(octets: bytes, data_coding: int) -> None:
    """Malformed when a USSD screen is longer than 160 octets, or 182 septets (3GPP TS 23.038 §6.1.2.3)."""
    limit = 182 if data_coding == consts.SMPP_ENCODING_DEFAULT else 160
    if len(octets) > limit:
        raise Malformed(f"screen of {len(octets)} where {limit} fit", consts.SMPP_ESME_RINVMSGLEN)


@dataclass(slots=True, eq=False)
class Message:
    """A text on a handset's screen, or what of it has come so far."""

    source: str
    destination: str
    reference: int | None
    total: int
    segments: dict[int, Submitted] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    """How often each segment came; the handset shows one."""

    @property
    def complete(self) -> bool:
        return len(self.segments) == self.total

    @property
    def text(self) -> str:
        """What the screen shows; octets that are no text show as U+FFFD."""
        return "".join(
            "\ufffd" if segment.text is None else segment.text for _, segment in sorted(self.segments.items())
        )

    @property
    def repeated(self) -> int:
        """Copies that came beyond the first, over all segments."""
        return sum(self.copies.values()) - len(self.copies)

    @property
    def last(self) -> Submitted:
        """The segment that came last."""
        return max(self.segments.values(), key=lambda segment: segment.at)


class Handsets:
    """All the handsets there are; joins segments into messages as one of them does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._open: dict[tuple[str, str, int, int], Message] = {}
        self._to: dict[str, list[Message]] = {}

    def take(self, segment: Submitted) -> Message | None:
        """The message that this segment completes, if it does.

        A copy of a segment already there is dropped and counted. Other octets under the same number mean that
        the reference was used again: a new message begins.
        """
        key = (segment.destination, segment.source, segment.reference or 0, segment.total)
        message = self._open.get(key) if segment.reference is not None else None
        had = message.segments.get(segment.number) if message else None
        if message is None or (had is not None and had.octets != segment.octets):
            message = Message(segment.source, segment.destination, segment.reference, segment.total)
            self.messages.append(message)
            self._to.setdefault(segment.destination, []).append(message)
            if segment.reference is not None:
                self._open[key] = message
            had = None
        message.copies[segment.number] = message.copies.get(segment.number, 0) + 1
        if had is not None:
            return None
        message.segments[segment.number] = segment
        return message if message.complete else None

    def inbox(self, destination: str) -> list[Message]:
        """The whole messages at one number, oldest first."""
        return [message for message in self._to.get(destination, ()) if message.complete]


def concatenated(segments: Sequence[bytes], how: str, reference: int) -> Iterable[tuple[dict[str, Any], bytes]]:
    """(fields of the deliver_sm, its short_message) of each segment; `how` is udh8, udh16 or sar."""
    total = len(segments)
    for number, octets in enumerate(segments, start=1):
        match how:
            case "udh8":
                yield {"esm_class": UDHI}, bytes((5, 0, 3, reference & 0xFF, total, number)) + octets
            case "udh16":
                yield (
                    {"esm_class": UDHI},
                    b"\x06\x08\x04" + reference.to_bytes(2, "big") + bytes((total, number)) + octets,
                )
            case "sar":
                yield (
                    {
                        "sar_msg_ref_num": reference,
                        "sar_total_segments": total,
                        "sar_segment_seqnum": number,
                    },
                    octets,
                )
            case _:
                raise ValueError(f"no such way to join segments: {how}")
