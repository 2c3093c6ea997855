"""A submit_sm as the SMSC received it, with its concatenation header decoded and its length checked."""

from dataclasses import dataclass
from typing import Any

from smpplib import consts

from gateway.clock import wall_now
from gateway.simulators import text_coding
from gateway.simulators.codec import TLV_TAGS, MalformedPdu, text
from gateway.simulators.smpp_time import seconds_until

UDHI = consts.SMPP_GSMFEAT_UDHI
MAX_SEGMENT_SEPTETS = 160
MAX_SEGMENT_BYTES = 140
MAX_SCREEN_SEPTETS = 182
MAX_SCREEN_BYTES = 160
SEVEN_BITS = ("gsm7", "ascii")


@dataclass(slots=True)
class Submitted:
    """One submit_sm and the response it got; `at` and `responded_at` are monotonic seconds."""

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
    """command_status of the response; None while there is none."""
    message_id: str = ""
    responded_at: float | None = None
    accepted: bool = False
    """The SMSC forwarded it to the handset, whatever the response was."""
    serial: int = 0
    command: str = "submit_sm"
    """submit_sm, data_sm or, a Submitted for each of its destinations, submit_multi."""
    system_id: str = ""
    """The system_id of the ESME that submitted it: receipts and replies go to its sessions."""
    schedule_delivery_time: str = ""
    due_in: float = 0.0
    """Seconds until it is forwarded, by schedule_delivery_time."""
    valid_for: float | None = None
    """Seconds until it expires, by validity_period; None: for ever."""
    state: str = ""
    """What became of it, an outcome of receipts; "" until it is accepted."""


def submitted(pdu: Any, *, at: float, session: int, system_id: str = "", command: str = "submit_sm") -> Submitted:
    """The submit_sm or data_sm that smpplib parsed; MalformedPdu when its UDH, length or times are impossible."""
    payload = pdu.tlvs.get(TLV_TAGS["message_payload"], b"")
    short_message = getattr(pdu, "short_message", None) or b""
    octets = short_message or payload
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
        raise MalformedPdu(f"segment {number} of {total}", consts.SMPP_ESME_RINVESMCLASS)
    if TLV_TAGS["ussd_service_op"] in pdu.tlvs:
        _check_screen_length(octets, pdu.data_coding)
    elif not payload:
        _check_segment_length(short_message, octets, pdu.data_coding)
    schedule, validity = (text(getattr(pdu, name, None)) for name in ("schedule_delivery_time", "validity_period"))
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
        validity_period=validity,
        short_message=short_message,
        tlvs=pdu.tlvs,
        octets=octets,
        reference=reference,
        total=total,
        number=number,
        text=text_coding.decode(octets, pdu.data_coding),
        command=command,
        system_id=system_id,
        schedule_delivery_time=schedule,
        due_in=_seconds(schedule, consts.SMPP_ESME_RINVSCHED) or 0.0,
        valid_for=_seconds(validity, consts.SMPP_ESME_RINVEXPIRY),
    )


def _seconds(time: str, status: int) -> float | None:
    """Seconds until a time, None for an empty one; MalformedPdu with `status` for one that is none or is past."""
    if not time:
        return None
    try:
        seconds = seconds_until(time, wall_now())
    except ValueError as error:
        raise MalformedPdu(str(error), status) from None
    if seconds < 0:
        raise MalformedPdu(f"{time} is past", status)
    return seconds


def split_udh(octets: bytes) -> tuple[tuple[int, int, int] | None, bytes]:
    """((reference, total, number) or None, the octets after the UDH); MalformedPdu if it is not a UDH."""
    end = 1 + octets[0] if octets else 1
    if not octets or end > len(octets):
        raise MalformedPdu(f"truncated UDH: {octets[:8].hex()}", consts.SMPP_ESME_RINVESMCLASS)
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
        raise MalformedPdu(
            f"UDH elements do not add up to its length: {octets[:end].hex()}", consts.SMPP_ESME_RINVESMCLASS
        )
    return found, octets[end:]


def _check_segment_length(user_data: bytes, octets: bytes, data_coding: int) -> None:
    """MalformedPdu when the segment is longer than the 140 octets of a short message.

    An octet is a septet of those in the codings of seven bits.
    """
    header = len(user_data) - len(octets)
    if text_coding.alphabet(data_coding) in SEVEN_BITS:
        length, limit = (header * 8 + 6) // 7 + len(octets), MAX_SEGMENT_SEPTETS
    else:
        length, limit = len(user_data), MAX_SEGMENT_BYTES
    if length > limit:
        raise MalformedPdu(f"segment of {length}, the limit is {limit}", consts.SMPP_ESME_RINVMSGLEN)


def _check_screen_length(octets: bytes, data_coding: int) -> None:
    """MalformedPdu when a USSD screen is longer than 160 octets, or 182 septets (3GPP TS 23.038 §6.1.2.3)."""
    limit = MAX_SCREEN_SEPTETS if text_coding.alphabet(data_coding) in SEVEN_BITS else MAX_SCREEN_BYTES
    if len(octets) > limit:
        raise MalformedPdu(f"screen of {len(octets)}, the limit is {limit}", consts.SMPP_ESME_RINVMSGLEN)
