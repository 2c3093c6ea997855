"""SMPP 3.4 PDUs as octets: encoded strictly, decoded liberally.

Encoding follows the specification. Decoding accepts whatever it can read without guessing: over-long strings,
unknown, misplaced and repeated TLVs, octets after the last whole TLV. `MalformedPdu` is left for a message that
is incomplete, because part of a reply must never count as the reply, and for one without usable addresses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from struct import Struct
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from smpplib import consts
from smpplib.command_codes import commands

from gateway.limits import MAX_ADDRESS_OCTETS, MAX_SMPP_STRING_OCTETS, cut

HEADER: Final = Struct(">IIII")
"""command_length, command_id, command_status, sequence_number (SMPP 3.4 §3.2)."""

MAX_COMMAND_LENGTH: Final = 65_536
"""The longest PDU in octets. A command_length beyond it means that framing is lost."""

MAX_SEQUENCE_NUMBER: Final = 0x7FFFFFFF
"""The highest sequence_number (SMPP 3.4 §5.1.4)."""

RESPONSE_BIT: Final = 0x80000000
"""The bit that makes a command_id a response (SMPP 3.4 §5.1.2.1)."""

_TLV: Final = Struct(">HH")
BLANK_OCTETS: Final = b"\0\t\n\r "
"""The octets of white space, in UCS-2 as well."""
_OCTET: Final = tuple(bytes((value,)) for value in range(256))

_FIELDS_BEFORE_VALIDITY: Final = b"\0\0\0"
"""protocol_id, priority_flag, schedule_delivery_time: all at their defaults (§4.4.1)."""

INTERFACE_VERSION: Final = consts.SMPP_VERSION_34
"""The interface_version of a bind, 0x34: SMPP 3.4 (§5.2.4)."""

DESTINATION_TON: Final = consts.SMPP_TON_INTL
DESTINATION_NPI: Final = consts.SMPP_NPI_ISDN
"""The numbering plan of an MSISDN (§5.2.5–6)."""

MAX_VALIDITY: Final = timedelta(days=30)
"""The longest validity_period that needs no months, whose length differs (§7.1.1)."""
_RECEIPT_REQUESTED: Final = _OCTET[consts.SMPP_SMSC_DELIVERY_RECEIPT_BOTH]

SOURCE_ADDRESS: Final = r"\+?[0-9]{1,20}|[ -~]{1,11}"
"""What source_addr may be: a number (§5.2.8: 20 octets) or a name (3GPP 23.040 §9.1.2.5: 11 characters)."""

ReceiptRequest = Literal["last", "first", "all", "none"]
"""The segments of a text for which a receipt is requested (configuration `links.receipts`)."""

_MAX_SHORT_CODE_DIGITS: Final = 8


class CommandId(IntEnum):
    """The PDUs of SMPP 3.4 §5.1.2.1 that the gateway sends or understands."""

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
    """The TLVs that the gateway reads or writes (SMPP 3.4 §5.3.2)."""

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
    """A message that cannot be decoded completely. Its octets are journaled; the response is ESME_RINVMSGLEN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An SME address as on the wire, with its type of number and numbering plan (SMPP 3.4 §5.2.5–6)."""

    addr: str
    ton: int
    npi: int


NO_ADDRESS: Final = Address(addr="", ton=0, npi=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortMessage:
    """A decoded deliver_sm or data_sm. Fields that data_sm does not have are 0 or empty."""

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
        """The user data: short_message, or the message_payload TLV when that is empty or blank (§5.3.2.32)."""
        if self.short_message.strip(BLANK_OCTETS):
            return self.short_message
        return self.tlvs.get(TlvTag.MESSAGE_PAYLOAD, b"") or self.short_message


def is_number(address: str) -> bool:
    """Whether an address is digits, with or without a leading `+`, and no name."""
    digits = address.removeprefix("+")
    return digits.isascii() and digits.isdigit()


def source_numbering(source: str) -> tuple[int, int]:
    """The TON and NPI of a source_addr by its form (§5.2.5–6).

    Letters are 5/0, a short code of at most 8 characters 3/0, a longer number 1/1.
    """
    if not is_number(source):
        return consts.SMPP_TON_ALNUM, consts.SMPP_NPI_UNK
    if len(source) <= _MAX_SHORT_CODE_DIGITS:
        return consts.SMPP_TON_NWSPEC, consts.SMPP_NPI_UNK
    return consts.SMPP_TON_INTL, consts.SMPP_NPI_ISDN


class Segment(NamedTuple):
    """The fields of a submit_sm that hold one segment of a text."""

    esm_class: int
    short_message: bytes
    tlvs: bytes
    """The encoded TLVs."""


def encode_pdu(command_id: int, command_status: int, sequence_number: int, body: bytes = b"") -> bytes:
    """A PDU with its header (SMPP 3.4 §3.2)."""
    return HEADER.pack(HEADER.size + len(body), command_id, command_status, sequence_number) + body


def encode_tlv(tag: int, value: bytes) -> bytes:
    """One optional parameter (SMPP 3.4 §3.2.4.1)."""
    return _TLV.pack(tag, len(value)) + value


def encode_bind(
    system_id: str,
    password: str,
    system_type: str = "",
    interface_version: int = INTERFACE_VERSION,
    address_range: Address = NO_ADDRESS,
) -> bytes:
    """The body of any bind_* request (SMPP 3.4 §4.1.1).

    Credentials longer than the specification allows are sent as they are: a password cut to 8 characters is a
    wrong password. Raises ValueError for a NUL or a character outside ASCII.
    """
    fields = b"".join(_encode_c_octet_string(field) for field in (system_id, password, system_type))
    return fields + _OCTET[interface_version] + _encode_address(address_range)


def encode_relative_time(period: timedelta) -> str:
    """A period in the relative time format, in whole seconds: three days are "000003000000000R" (SMPP 3.4 §7.1.1).

    Raises ValueError for one beyond `MAX_VALIDITY`.
    """
    if not timedelta(0) <= period <= MAX_VALIDITY:
        raise ValueError(f"a validity period of {period}")
    minutes, seconds = divmod(period.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"0000{period.days:02}{hours:02}{minutes:02}{seconds:02}000R"


def decode_bind_resp(body: bytes) -> tuple[str, int | None]:
    """The SMSC's system_id, and its sc_interface_version or None (SMPP 3.4 §4.1.2)."""
    system_id, _, tail = body.partition(b"\0")
    try:
        version = decode_tlvs(tail).get(TlvTag.SC_INTERFACE_VERSION)
    except MalformedPdu:
        version = None
    name = cut(system_id[: MAX_SMPP_STRING_OCTETS + 1].decode("latin-1"), MAX_SMPP_STRING_OCTETS)
    return name, version[-1] if version else None


def decode_tlvs(data: bytes) -> dict[int, bytes]:
    """Every complete TLV of `data`, whatever its tag; the last one of a repeated tag.

    A last TLV shorter than its length field is dropped. Raises MalformedPdu when that one is message_payload:
    then part of the text is missing.
    """
    tlvs = {}
    position, end = 0, len(data)
    while end - position >= _TLV.size:
        tag, length = _TLV.unpack_from(data, position)
        position += _TLV.size
        if length > end - position:
            if tag == TlvTag.MESSAGE_PAYLOAD:
                raise MalformedPdu(f"message_payload of {length} octets, {end - position} received")
            break
        tlvs[tag] = data[position : position + length]
        position += length
    return tlvs


def decode_short_message(command_id: int, body: bytes) -> ShortMessage:
    """A deliver_sm (SMPP 3.4 §4.6.1) or data_sm (§4.7.1) from its body.

    Raises MalformedPdu when a mandatory field, or part of short_message, is missing, and for an address beyond
    MAX_ADDRESS_OCTETS. Other strings are cut at MAX_SMPP_STRING_OCTETS.
    """
    try:
        service_type, at = _decode_c_octet_string(body, 0)
        source, at = _decode_address(body, at)
        destination, at = _decode_address(body, at)
        esm_class = body[at]
        if command_id == CommandId.DATA_SM:
            registered_delivery, data_coding = body[at + 1], body[at + 2]
            protocol_id = priority_flag = 0
            schedule_delivery_time = validity_period = ""
            short_message = b""
            at += 3
        else:
            protocol_id, priority_flag = body[at + 1], body[at + 2]
            schedule_delivery_time, at = _decode_c_octet_string(body, at + 3)
            validity_period, at = _decode_c_octet_string(body, at)
            # replace_if_present_flag and sm_default_msg_id mean nothing in a deliver_sm (§4.6.1).
            registered_delivery, _, data_coding, _, sm_length = body[at : at + 5]
            at += 5
            short_message = body[at : at + sm_length]
            at += sm_length
    except (IndexError, ValueError) as error:
        raise MalformedPdu("the mandatory fields cannot be decoded") from error
    if at > len(body):
        raise MalformedPdu(f"{at - len(body)} octets of short_message are missing")
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


def _decode_c_octet_string(body: bytes, start: int) -> tuple[str, int]:
    """A C-octet string, cut if it is too long, and the offset of the next field."""
    end = body.index(b"\0", start)
    return cut(
        body[start : min(end, start + MAX_SMPP_STRING_OCTETS + 1)].decode("latin-1"), MAX_SMPP_STRING_OCTETS
    ), end + 1


def _decode_address(body: bytes, start: int) -> tuple[Address, int]:
    end = body.index(b"\0", start + 2)
    if end - start - 2 > MAX_ADDRESS_OCTETS:
        raise ValueError(f"an address of {end - start - 2} octets")
    return Address(addr=body[start + 2 : end].decode("latin-1"), ton=body[start], npi=body[start + 1]), end + 1


def _encode_address(address: Address) -> bytes:
    return bytes((address.ton, address.npi)) + _encode_c_octet_string(address.addr)


def _encode_c_octet_string(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("a NUL inside a C-octet string")
    return value.encode("ascii") + b"\0"


class SubmitEncoder:
    """Encodes the bodies of submit_sm (SMPP 3.4 §4.4.1) for one link. Constant fields are encoded once."""

    def __init__(
        self,
        source: Address,
        *,
        receipts: ReceiptRequest,
        service_type: str = "",
        dest_ton: int = DESTINATION_TON,
        dest_npi: int = DESTINATION_NPI,
        validity: Mapping[str, timedelta] = MappingProxyType({}),
    ) -> None:
        """`validity`: validity_period by kind of text; where it has none, the SMSC's own applies."""
        self._head = (
            _encode_c_octet_string(service_type) + _encode_address(source) + _OCTET[dest_ton] + _OCTET[dest_npi]
        )
        self._default_fields = _FIELDS_BEFORE_VALIDITY + b"\0"
        self._fields = {
            kind: _FIELDS_BEFORE_VALIDITY + _encode_c_octet_string(encode_relative_time(period))
            for kind, period in validity.items()
        }
        self._receipts = receipts
        self._requests: dict[int, tuple[bytes, ...]] = {}  # registered_delivery by number of segments

    def tracked_segments(self, count: int) -> int:
        """The segments of a text of `count` segments that request a receipt; bit n: segment n."""
        match self._receipts:
            case "last":
                return 1 << count - 1
            case "first":
                return 1
            case "all":
                return (1 << count) - 1
            case "none":
                return 0

    def bodies(
        self, destination: str, segments: Sequence[Segment], data_coding: int, kind: str = ""
    ) -> list[bytes]:
        """The submit_sm bodies of all segments of one text, in order, without headers.

        `destination` is a canonical MSISDN. `segments` are all segments of the text, also when only some are to be
        sent again: which of them requests a receipt depends on its position. `kind` decides validity_period.
        """
        fields = self._fields.get(kind, self._default_fields)
        receipts = self._receipt_requests(len(segments))
        head = self._head + destination.encode("ascii") + b"\0"
        coding = b"\0" + _OCTET[data_coding] + b"\0"  # between replace_if_present_flag and sm_default_msg_id
        return [
            b"".join(
                (
                    head,
                    _OCTET[esm_class],
                    fields,
                    receipt,
                    coding,
                    _OCTET[len(short_message)],
                    short_message,
                    tlvs,
                )
            )
            for receipt, (esm_class, short_message, tlvs) in zip(receipts, segments, strict=True)
        ]

    def _receipt_requests(self, count: int) -> tuple[bytes, ...]:
        """registered_delivery of each segment of a text of `count` segments."""
        if (requests := self._requests.get(count)) is None:
            tracked = self.tracked_segments(count)
            requests = tuple(_RECEIPT_REQUESTED if tracked >> n & 1 else b"\0" for n in range(count))
            self._requests[count] = requests
        return requests
