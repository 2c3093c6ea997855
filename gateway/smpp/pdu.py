"""Bytes of SMPP 3.4: what the gateway sends, strictly; what an SMSC sends, liberally.

Sending follows the specification to the letter. Reading takes whatever can be read without guessing:
over-long strings, unknown, misplaced and repeated TLVs, a broken tail behind the last whole TLV. What is
refused as `MalformedPdu` is a message that is not all there, since half a reply must never pass for the whole,
and one whose addresses are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final, Literal, NamedTuple

from smpplib import consts
from smpplib.command_codes import commands

HEADER: Final = Struct(">IIII")
"""command_length, command_id, command_status, sequence_number (SMPP 3.4 §3.2)."""

MAX_COMMAND_LENGTH: Final = 65_536
"""No PDU this gateway reads is longer; a longer one means that framing is lost."""

MAX_SEQUENCE_NUMBER: Final = 0x7FFFFFFF
"""SMPP 3.4 §5.1.4."""

MAX_MESSAGE_ID_BYTES: Final = 255
"""Octets kept of an SMSC's message_id. §5.2.23 allows 64; beyond this a database index no longer takes it."""

MAX_ADDRESS_BYTES: Final = 255
"""Octets of an address. §5.2.8 allows 20, and 64 in data_sm; a far longer one no database index takes."""

RESPONSE_BIT: Final = 0x80000000
"""The bit that makes a command_id a response (SMPP 3.4 §5.1.2.1)."""

_TLV: Final = Struct(">HH")
_OCTET: Final = tuple(bytes((value,)) for value in range(256))

_TO_A_SUBSCRIBER: Final = bytes((consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN))
_NOTHING_SPECIAL: Final = b"\0\0\0\0"
"""protocol_id, priority_flag, schedule_delivery_time, validity_period."""

SOURCE_ADDRESS: Final = r"\+?[0-9]{1,20}|[ -~]{1,11}"
"""What source_addr may be: a number (§5.2.8: 20 octets) or a name (3GPP 23.040 §9.1.2.5: 11 characters)."""

_MAX_SHORT_CODE_DIGITS: Final = 8


class CommandId(IntEnum):
    """The PDUs of SMPP 3.4 §5.1.2.1 that this gateway sends or understands."""

    GENERIC_NACK = commands["generic_nack"]
    BIND_RECEIVER = commands["bind_receiver"]
    BIND_RECEIVER_RESP = commands["bind_receiver_resp"]
    BIND_TRANSMITTER = commands["bind_transmitter"]
    BIND_TRANSMITTER_RESP = commands["bind_transmitter_resp"]
    BIND_TRANSCEIVER = commands["bind_transceiver"]
    BIND_TRANSCEIVER_RESP = commands["bind_transceiver_resp"]
    SUBMIT_SM = commands["submit_sm"]
    SUBMIT_SM_RESP = commands["submit_sm_resp"]
    DELIVER_SM = commands["deliver_sm"]
    DELIVER_SM_RESP = commands["deliver_sm_resp"]
    DATA_SM = commands["data_sm"]
    DATA_SM_RESP = commands["data_sm_resp"]
    UNBIND = commands["unbind"]
    UNBIND_RESP = commands["unbind_resp"]
    ENQUIRE_LINK = commands["enquire_link"]
    ENQUIRE_LINK_RESP = commands["enquire_link_resp"]
    OUTBIND = commands["outbind"]
    ALERT_NOTIFICATION = commands["alert_notification"]


class TlvTag(IntEnum):
    """The TLVs this gateway reads or writes (SMPP 3.4 §5.3.2)."""

    RECEIPTED_MESSAGE_ID = consts.OPTIONAL_PARAMS["receipted_message_id"]
    SAR_MSG_REF_NUM = consts.OPTIONAL_PARAMS["sar_msg_ref_num"]
    SAR_TOTAL_SEGMENTS = consts.OPTIONAL_PARAMS["sar_total_segments"]
    SAR_SEGMENT_SEQNUM = consts.OPTIONAL_PARAMS["sar_segment_seqnum"]
    SC_INTERFACE_VERSION = consts.OPTIONAL_PARAMS["sc_interface_version"]
    NETWORK_ERROR_CODE = consts.OPTIONAL_PARAMS["network_error_code"]
    MESSAGE_PAYLOAD = consts.OPTIONAL_PARAMS["message_payload"]
    MESSAGE_STATE = consts.OPTIONAL_PARAMS["message_state"]
    USSD_SERVICE_OP = consts.OPTIONAL_PARAMS["ussd_service_op"]
    ITS_SESSION_INFO = consts.OPTIONAL_PARAMS["its_session_info"]


class MalformedPdu(ValueError):
    """A message that cannot be read whole. Journal its octets and answer it with ESME_RINVMSGLEN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An SME address as on the wire, with its type of number and numbering plan (SMPP 3.4 §5.2.5–6)."""

    addr: str
    ton: int
    npi: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortMessage:
    """A deliver_sm or data_sm, read. Fields that data_sm does not have are 0 or empty."""

    command_id: int
    service_type: str
    source: Address
    destination: Address
    esm_class: int
    protocol_id: int
    priority_flag: int
    schedule_delivery_time: str
    validity_period: str
    registered_delivery: int
    data_coding: int
    short_message: bytes
    tlvs: dict[int, bytes]

    @property
    def payload(self) -> bytes:
        """The user data: short_message, or the message_payload TLV when that is empty (§5.3.2.32)."""
        return self.short_message or self.tlvs.get(TlvTag.MESSAGE_PAYLOAD, b"")


def source_numbering(source: str) -> tuple[int, int]:
    """The TON and NPI of a source_addr by its form (§5.2.5–6).

    Letters are 5/0, a short code of at most 8 characters 3/0, a longer number 1/1.
    """
    if not source.removeprefix("+").isdigit():
        return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK
    if len(source) <= _MAX_SHORT_CODE_DIGITS:
        return consts.SMPP_TON_NWSPEC, consts.SMPP_NPI_UNK
    return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN


class Segment(NamedTuple):
    """What one submit_sm carries of a text."""

    esm_class: int
    short_message: bytes
    tlvs: bytes
    """Encoded already."""


def encode_pdu(command_id: int, command_status: int, sequence_number: int, body: bytes = b"") -> bytes:
    """A whole PDU (SMPP 3.4 §3.2)."""
    return HEADER.pack(HEADER.size + len(body), command_id, command_status, sequence_number) + body


def encode_tlv(tag: int, value: bytes) -> bytes:
    """One optional parameter (SMPP 3.4 §3.2.4.1)."""
    return _TLV.pack(tag, len(value)) + value


def encode_bind(system_id: str, password: str, system_type: str = "") -> bytes:
    """The body of any bind_* request: version 3.4, no address range (SMPP 3.4 §4.1.1).

    An operator that issues longer credentials than the specification allows gets them whole: a password cut
    to 8 characters is a wrong password. Raises ValueError for what is not ASCII or holds a NUL.
    """
    fields = b"".join(_c_octet_string(field) for field in (system_id, password, system_type))
    return fields + bytes((consts.SMPP_VERSION_34, 0, 0)) + b"\0"


def decode_bind_resp(body: bytes) -> tuple[str, int | None]:
    """The SMSC's system_id and its sc_interface_version, if it tells one (SMPP 3.4 §4.1.2)."""
    system_id, _, tail = body.partition(b"\0")
    try:
        version = decode_tlvs(tail).get(TlvTag.SC_INTERFACE_VERSION)
    except MalformedPdu:
        version = None
    return system_id.decode("latin-1"), version[-1] if version else None


def decode_tlvs(data: bytes) -> dict[int, bytes]:
    """Every whole TLV of `data`, whatever its tag; of a repeated one the last.

    A tail too short for the length it claims is dropped. Raises MalformedPdu when that tail is
    message_payload: then the text itself is cut.
    """
    tlvs = {}
    position, end = 0, len(data)
    while end - position >= _TLV.size:
        tag, length = _TLV.unpack_from(data, position)
        position += _TLV.size
        if length > end - position:
            if tag == TlvTag.MESSAGE_PAYLOAD:
                raise MalformedPdu(f"message_payload of {length} octets, {end - position} there")
            break
        tlvs[tag] = data[position : position + length]
        position += length
    return tlvs


def decode_short_message(command_id: int, body: bytes) -> ShortMessage:
    """A deliver_sm (SMPP 3.4 §4.6.1) or data_sm (§4.7.1) from its body.

    Raises MalformedPdu when a mandatory field, or octets that sm_length counts, are not there, and for an address
    beyond `MAX_ADDRESS_BYTES`.
    """
    try:
        service_type, at = _read_string(body, 0)
        source, at = _read_address(body, at)
        destination, at = _read_address(body, at)
        esm_class = body[at]
        if command_id == CommandId.DATA_SM:
            registered_delivery, data_coding = body[at + 1], body[at + 2]
            protocol_id = priority_flag = 0
            schedule_delivery_time = validity_period = ""
            short_message = b""
            at += 3
        else:
            protocol_id, priority_flag = body[at + 1], body[at + 2]
            schedule_delivery_time, at = _read_string(body, at + 3)
            validity_period, at = _read_string(body, at)
            # replace_if_present_flag and sm_default_msg_id mean nothing in a deliver_sm (§4.6.1).
            registered_delivery, _, data_coding, _, sm_length = body[at : at + 5]
            at += 5
            short_message = body[at : at + sm_length]
            at += sm_length
    except (IndexError, ValueError) as error:
        raise MalformedPdu("the mandatory fields cannot be read") from error
    if at > len(body):
        raise MalformedPdu(f"sm_length counts {at - len(body)} octets that are not there")
    return ShortMessage(
        command_id=command_id,
        service_type=service_type,
        source=source,
        destination=destination,
        esm_class=esm_class,
        protocol_id=protocol_id,
        priority_flag=priority_flag,
        schedule_delivery_time=schedule_delivery_time,
        validity_period=validity_period,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        short_message=short_message,
        tlvs=decode_tlvs(body[at:]),
    )


def _read_string(body: bytes, start: int) -> tuple[str, int]:
    """A C-octet string and where the next field begins."""
    end = body.index(b"\0", start)
    return body[start:end].decode("latin-1"), end + 1


def _read_address(body: bytes, start: int) -> tuple[Address, int]:
    addr, after = _read_string(body, start + 2)
    if len(addr) > MAX_ADDRESS_BYTES:
        raise ValueError(f"an address of {len(addr)} octets")
    return Address(addr=addr, ton=body[start], npi=body[start + 1]), after


def _address(address: Address) -> bytes:
    return bytes((address.ton, address.npi)) + _c_octet_string(address.addr)


def _c_octet_string(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("a NUL inside a C-octet string")
    return value.encode("ascii") + b"\0"


class SubmitEncoder:
    """Bodies of submit_sm (SMPP 3.4 §4.4.1) for one link: what never changes is encoded once."""

    def __init__(
        self, source: Address, *, receipts: Literal["last", "all", "none"], service_type: str = ""
    ) -> None:
        self._head = _c_octet_string(service_type) + _address(source) + _TO_A_SUBSCRIBER
        asked, not_asked = _OCTET[consts.SMPP_SMSC_DELIVERY_RECEIPT_BOTH], _OCTET[0]
        self._receipt = asked if receipts == "all" else not_asked
        self._last_receipt = not_asked if receipts == "none" else asked

    def bodies(self, destination: str, segments: Sequence[Segment], data_coding: int) -> list[bytes]:
        """The submit_sm bodies of one whole text, in order, without their headers.

        `destination` is a canonical MSISDN. `segments` are all of the text's, also when only some are to be
        sent again: which of them asks for a receipt follows from its place.
        """
        to = self._head + destination.encode("ascii") + b"\0"
        coding = b"\0" + _OCTET[data_coding] + b"\0"  # between replace_if_present_flag and sm_default_msg_id
        receipt, last_receipt, last = self._receipt, self._last_receipt, len(segments) - 1
        return [
            b"".join(
                (
                    to,
                    _OCTET[esm_class],
                    _NOTHING_SPECIAL,
                    last_receipt if place == last else receipt,
                    coding,
                    _OCTET[len(short_message)],
                    short_message,
                    tlvs,
                )
            )
            for place, (esm_class, short_message, tlvs) in enumerate(segments)
        ]
