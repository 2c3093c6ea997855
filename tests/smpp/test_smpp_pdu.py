"""PDUs as octets: examples of the specification, and smpplib as the other codec."""

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import MAX_SMPP_STRING_OCTETS
from gateway.smpp.pdu import (
    MAX_VALIDITY,
    SOURCE_ADDRESS,
    Address,
    CommandId,
    MalformedPdu,
    ReceiptRequest,
    Segment,
    SubmitEncoder,
    TlvTag,
    decode_bind_resp,
    decode_short_message,
    decode_tlvs,
    encode_bind,
    encode_pdu,
    encode_relative_time,
    encode_tlv,
    source_numbering,
)
from tests.smpp.smpplib_codec import smpplib_body, smpplib_decode, smpplib_encode

SOURCE = Address(addr="1414", ton=0, npi=0)

# SMPP 3.4 §4.6.1, field by field.
DELIVER_SM = bytes.fromhex(
    "00"  # service_type ""
    "01 01 37373031323334353637 3800".replace(" ", "")  # source 1/1 77012345678
    + "00 00 3134313400".replace(" ", "")  # destination 0/0 1414
    + "00 00 00".replace(" ", "")  # esm_class, protocol_id, priority_flag
    + "00 00".replace(" ", "")  # schedule_delivery_time, validity_period
    + "00 00 00 00".replace(" ", "")  # registered_delivery, replace_if_present_flag, data_coding, default
    + "03 332331".replace(" ", "")  # sm_length, short_message 3#1
)


def test_a_bind_equals_the_sample_pdu_of_the_specification() -> None:
    # SMPP 3.4 §3.2, the sample PDU, with interface_version 0x34 (§5.2.4) and no address range of our own.
    sample = bytes.fromhex(
        "0000002F 00000002 00000000 00000001"
        "534D50503354455354 00 7365637265743038 00 5355424D495431 00 34 00 00 00"
    )
    bind = encode_bind("SMPP3TEST", "secret08", "SUBMIT1")
    assert encode_pdu(CommandId.BIND_TRANSMITTER, 0, 1, bind) == sample


@pytest.mark.parametrize(
    "command",
    ["bind_transceiver", "bind_transmitter", "bind_receiver"],
    ids=lambda name: name.removeprefix("bind_"),
)
def test_smpplib_decodes_our_bind(command: str) -> None:
    [pdu] = smpplib_decode(encode_pdu(CommandId[command.upper()], 0, 7, encode_bind("gateway", "secret")))
    assert (pdu.command, pdu.sequence) == (command, 7)
    assert (pdu.system_id, pdu.password, pdu.system_type) == (b"gateway", b"secret", b"")
    assert pdu.interface_version == 0x34


@pytest.mark.parametrize(
    ("addr", "ton", "npi"), [("1414", 3, 9), ("^77[0-9]{9}$", 1, 1), ("^1(4|7)1.$", 0, 0), ("9" * 40, 255, 255)]
)
@pytest.mark.parametrize("interface_version", [0x33, 0x34, 0x50, 0])
def test_smpplib_decodes_the_address_range_and_the_interface_version_of_our_bind(
    addr: str, ton: int, npi: int, interface_version: int
) -> None:
    address_range = Address(addr=addr, ton=ton, npi=npi)
    bind = encode_bind("gateway", "secret", "VMA", interface_version, address_range)
    [pdu] = smpplib_decode(encode_pdu(CommandId.BIND_TRANSCEIVER, 0, 7, bind))
    assert (pdu.system_type, pdu.interface_version) == (b"VMA", interface_version)
    assert (pdu.addr_ton, pdu.addr_npi, pdu.address_range) == (ton, npi, addr.encode())


def test_a_password_longer_than_the_specification_allows_is_sent_whole() -> None:
    assert b"a-long-password\0" in encode_bind("gateway", "a-long-password")


@pytest.mark.parametrize("credential", ["a\0b", "пароль"])
def test_a_credential_that_no_c_octet_string_can_hold_is_rejected(credential: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|ascii"):
        encode_bind("gateway", credential)


def test_a_bind_resp_has_the_system_id_and_the_interface_version() -> None:
    response = smpplib_body("bind_transceiver_resp", system_id="smsc", sc_interface_version=0x34)
    assert decode_bind_resp(response) == ("smsc", 0x34)
    assert decode_bind_resp(b"smsc\0") == ("smsc", None)
    assert decode_bind_resp(b"smsc") == ("smsc", None)
    assert decode_bind_resp(b"") == ("", None)


def test_a_long_system_id_is_cut_and_marked() -> None:
    name, version = decode_bind_resp(b"s" * 63_000 + b"\0" + encode_tlv(TlvTag.SC_INTERFACE_VERSION, b"\x34"))
    assert (name, version) == ("s" * (MAX_SMPP_STRING_OCTETS - 1) + "…", 0x34)
    assert decode_bind_resp(b"s" * MAX_SMPP_STRING_OCTETS + b"\0") == ("s" * MAX_SMPP_STRING_OCTETS, None)


def test_a_submit_sm_has_the_fields_of_the_specification_in_order() -> None:
    # SMPP 3.4 §4.4.1, in its order.
    expected = bytes.fromhex(
        "00"  # service_type
        "00" "00" "3134313400"  # source_addr_ton, _npi, source_addr
        "01" "01" "373730313132333435363700"  # dest_addr_ton, _npi, destination_addr
        "40" "00" "00"  # esm_class, protocol_id, priority_flag
        "00" "00"  # schedule_delivery_time, validity_period
        "01" "00" "08" "00"  # registered_delivery, replace_if_present_flag, data_coding, sm_default_msg_id
        "08" "0500037F0101" "0438"  # sm_length, short_message
    )  # fmt: skip
    segment = Segment(0x40, bytes.fromhex("0500037F01010438"), b"")
    assert SubmitEncoder(SOURCE, receipts="last").bodies("77011234567", [segment], 8) == [expected]


@pytest.mark.parametrize(
    ("receipts", "requested"),
    [
        ("last", [0, 0, 1]),
        ("first", [1, 0, 0]),
        ("all", [1, 1, 1]),
        ("none", [0, 0, 0]),
        ("first", [1]),
        ("last", [1]),
    ],
)
def test_receipts_are_requested_as_configured(receipts: ReceiptRequest, requested: list[int]) -> None:
    segments = [Segment(0x40, b"\x05\x00\x03\x01\x03%c" % n, b"") for n in range(1, len(requested) + 1)]
    encoder = SubmitEncoder(SOURCE, receipts=receipts)
    bodies = encoder.bodies("77011234567", segments, 8)
    tracked = encoder.tracked_segments(len(requested))
    assert [tracked >> n & 1 for n in range(len(requested))] == requested
    pdus = [smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, 1, body))[0] for body in bodies]
    assert [pdu.registered_delivery for pdu in pdus] == requested


@given(
    st.lists(st.binary(min_size=1, max_size=254), min_size=1, max_size=20),
    st.sampled_from([0x00, 0x40]),
    st.integers(0, 255),
    st.from_regex(r"77[0-9]{9}", fullmatch=True),
)
def test_smpplib_decodes_our_submit_sm(texts: list[bytes], esm_class: int, data_coding: int, msisdn: str) -> None:
    encoder = SubmitEncoder(Address(addr="eGov", ton=5, npi=0), receipts="all")
    bodies = encoder.bodies(msisdn, [Segment(esm_class, text, b"") for text in texts], data_coding)
    for sent, text in zip(bodies, texts, strict=True):
        [pdu] = smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, 1, sent))
        assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (5, 0, b"eGov")
        assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (1, 1, msisdn.encode())
        assert (pdu.esm_class, pdu.data_coding, pdu.short_message) == (esm_class, data_coding, text)
        assert (pdu.protocol_id, pdu.priority_flag, pdu.replace_if_present_flag) == (0, 0, 0)


def decoded_submit(encoder: SubmitEncoder, kind: str = "") -> Any:
    [body] = encoder.bodies("77011234567", [Segment(0, b"3#1", b"")], 0, kind)
    [pdu] = smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, 1, body))
    return pdu


@pytest.mark.parametrize(("service_type", "ton", "npi"), [("CMT", 0, 1), ("", 2, 8), ("VMA01", 255, 0)])
def test_smpplib_decodes_service_type_and_numbering_of_the_destination(
    service_type: str, ton: int, npi: int
) -> None:
    pdu = decoded_submit(
        SubmitEncoder(SOURCE, receipts="none", service_type=service_type, dest_ton=ton, dest_npi=npi)
    )
    assert (pdu.service_type, pdu.dest_addr_ton, pdu.dest_addr_npi) == (service_type.encode(), ton, npi)
    assert (pdu.destination_addr, pdu.validity_period, pdu.short_message) == (b"77011234567", b"", b"3#1")


def test_a_text_has_the_validity_period_of_its_kind() -> None:
    validity = {"request": timedelta(days=3), "agreed": timedelta(hours=26, minutes=5, seconds=9)}
    encoder = SubmitEncoder(SOURCE, receipts="none", validity=validity)
    kinds = ("request", "agreed", "refused", "")
    periods = {kind: decoded_submit(encoder, kind).validity_period for kind in kinds}
    assert periods == {
        "request": b"000003000000000R",
        "agreed": b"000001020509000R",
        "refused": b"",
        "": b"",
    }
    pdu = decoded_submit(encoder, "request")
    assert (pdu.schedule_delivery_time, pdu.registered_delivery, pdu.short_message) == (b"", 0, b"3#1")


def test_the_relative_time_format_is_that_of_the_specification() -> None:
    # SMPP 3.4 §7.1.1.2: YYMMDDhhmmsstnn and R; tenths and the offset from UTC mean nothing in it.
    assert encode_relative_time(timedelta(days=2, hours=6, minutes=23, seconds=34)) == "000002062334000R"
    assert encode_relative_time(timedelta(minutes=90)) == "000000013000000R"
    assert encode_relative_time(MAX_VALIDITY) == "000030000000000R"
    for period in (MAX_VALIDITY + timedelta(seconds=1), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="validity period"):
            encode_relative_time(period)


def test_smpplib_decodes_our_tlvs() -> None:
    tlvs = encode_tlv(TlvTag.SAR_MSG_REF_NUM, b"\x12\x34") + encode_tlv(TlvTag.MESSAGE_PAYLOAD, b"payload")
    [sent] = SubmitEncoder(SOURCE, receipts="none").bodies("77011234567", [Segment(0, b"", tlvs)], 0)
    [pdu] = smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, 1, sent))
    assert (pdu.sar_msg_ref_num, pdu.message_payload) == (0x1234, b"payload")


@pytest.mark.parametrize(
    ("source", "ton", "npi"),
    [
        ("1414", 3, 0),
        ("12345678", 3, 0),
        ("123456789", 1, 1),
        ("eGov", 5, 0),
        ("77011234567", 1, 1),
        ("+77011234567", 1, 1),
        ("12345678901", 1, 1),
        ("eGov kz 123", 5, 0),
    ],
)
def test_a_source_has_the_ton_and_npi_of_its_form(source: str, ton: int, npi: int) -> None:
    assert re.fullmatch(SOURCE_ADDRESS, source)
    assert source_numbering(source) == (ton, npi)


@pytest.mark.parametrize("source", ["", "тамақ", "twelve chars", "1" * 21, "a\0b"])
def test_a_source_that_no_handset_could_show_is_no_source_address(source: str) -> None:
    assert re.fullmatch(SOURCE_ADDRESS, source) is None


def test_a_deliver_sm_of_the_specification_is_decoded() -> None:
    sm = decode_short_message(CommandId.DELIVER_SM, DELIVER_SM)
    assert sm.source == Address(addr="77012345678", ton=1, npi=1)
    assert sm.destination == Address(addr="1414", ton=0, npi=0)
    assert (sm.esm_class, sm.data_coding, sm.short_message, sm.tlvs) == (0, 0, b"3#1", {})


c_octets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=15)
octet = st.integers(0, 255)


@given(
    source=c_octets,
    destination=c_octets,
    numbers=st.tuples(*[octet] * 9),
    short_message=st.binary(max_size=254),
    reference=st.none() | st.integers(0, 0xFFFF),
    message_id=st.none() | c_octets.filter(bool),
)
def test_a_deliver_sm_of_smpplib_is_decoded(
    source: str,
    destination: str,
    numbers: tuple[int, ...],
    short_message: bytes,
    reference: int | None,
    message_id: str | None,
) -> None:
    names = (
        "source_addr_ton", "source_addr_npi", "dest_addr_ton", "dest_addr_npi", "esm_class", "protocol_id",
        "priority_flag", "registered_delivery", "data_coding",
    )  # fmt: skip
    encoded = smpplib_body(
        "deliver_sm",
        source_addr=source,
        destination_addr=destination,
        short_message=short_message,
        sar_msg_ref_num=reference,
        receipted_message_id=message_id,
        schedule_delivery_time="260801101500020+",
        **dict(zip(names, numbers, strict=True)),
    )
    sm = decode_short_message(CommandId.DELIVER_SM, encoded)
    assert (sm.source.ton, sm.source.npi, sm.destination.ton, sm.destination.npi) == numbers[:4]
    assert (sm.esm_class, sm.protocol_id, sm.priority_flag) == numbers[4:7]
    assert (sm.registered_delivery, sm.data_coding) == numbers[7:]
    assert (sm.source.addr, sm.destination.addr) == (source, destination)
    assert (sm.short_message, sm.schedule_delivery_time) == (short_message, "260801101500020+")
    expected = {}
    if reference is not None:
        expected[TlvTag.SAR_MSG_REF_NUM] = reference.to_bytes(2, "big")
    if message_id is not None:
        expected[TlvTag.RECEIPTED_MESSAGE_ID] = message_id.encode() + b"\0"
    assert sm.tlvs == expected


def test_a_data_sm_is_decoded_with_its_text_in_message_payload() -> None:
    encoded = smpplib_body(
        "data_sm", source_addr="77012345678", destination_addr="1414", esm_class=0x40, data_coding=8,
        registered_delivery=1, message_payload=b"\0003\0#\0001",
    )  # fmt: skip
    sm = decode_short_message(CommandId.DATA_SM, encoded)
    assert (sm.source.addr, sm.destination.addr) == ("77012345678", "1414")
    assert (sm.esm_class, sm.registered_delivery, sm.data_coding) == (0x40, 1, 8)
    assert (sm.short_message, sm.payload) == (b"", b"\0003\0#\0001")


def test_short_message_is_the_payload_unless_it_is_empty() -> None:
    both = decode_short_message(CommandId.DELIVER_SM, DELIVER_SM + encode_tlv(TlvTag.MESSAGE_PAYLOAD, b"3#2"))
    only = decode_short_message(
        CommandId.DELIVER_SM, DELIVER_SM[:-4] + b"\0" + encode_tlv(TlvTag.MESSAGE_PAYLOAD, b"3#2")
    )
    assert (both.payload, only.payload) == (b"3#1", b"3#2")


@pytest.mark.parametrize(
    ("tail", "tlvs"),
    [
        ("0501 0001 12", {0x0501: b"\x12"}),  # ussd_service_op, which has no place in a deliver_sm
        ("1400 0003 414243", {0x1400: b"ABC"}),  # a vendor's own (§3.2.4.1: 0x1400–0x3FFF)
        ("001E 0003 414243", {0x001E: b"ABC"}),  # a C-octet string without its NUL
        ("0427 0002 0002", {0x0427: b"\0\2"}),  # an integer longer than it should be
        ("0424 0000", {0x0424: b""}),
        ("020C 0002 0001 020C 0002 0002", {0x020C: b"\0\2"}),
        ("00", {}),  # the NUL that some append to short_message
        ("0427 00", {}),
        ("020E 0001 02 001E 00FF 4142", {0x020E: b"\2"}),
    ],
)
def test_unknown_misplaced_and_broken_tlvs_affect_nothing_else(tail: str, tlvs: dict[int, bytes]) -> None:
    sm = decode_short_message(CommandId.DELIVER_SM, DELIVER_SM + bytes.fromhex(tail))
    assert (sm.short_message, sm.tlvs) == (b"3#1", tlvs)


@pytest.mark.parametrize("length", range(len(DELIVER_SM)))
def test_a_truncated_deliver_sm_is_malformed_wherever_it_ends(length: int) -> None:
    with pytest.raises(MalformedPdu):
        decode_short_message(CommandId.DELIVER_SM, DELIVER_SM[:length])


@pytest.mark.parametrize("field", [b"77012345678\0", b"1414\0"])
def test_an_address_of_more_than_255_octets_is_malformed(field: bytes) -> None:
    longest, longer = (DELIVER_SM.replace(field, b"7" * octets + b"\0") for octets in (255, 256))
    assert decode_short_message(CommandId.DELIVER_SM, longest).short_message == b"3#1"
    with pytest.raises(MalformedPdu):
        decode_short_message(CommandId.DELIVER_SM, longer)


def test_long_strings_of_a_deliver_sm_are_cut_and_its_text_is_not() -> None:
    long = b"x" * 5_000 + DELIVER_SM[:-10] + b"4" * 30_000 + b"\0" + b"5" * 20_000 + b"\0" + DELIVER_SM[-8:]
    message = decode_short_message(CommandId.DELIVER_SM, long)
    cut = [message.service_type, message.schedule_delivery_time, message.validity_period]
    assert [(len(text), text[-1]) for text in cut] == [(MAX_SMPP_STRING_OCTETS, "…")] * 3
    assert message.short_message == b"3#1"


def test_a_truncated_message_payload_is_malformed() -> None:
    cut = DELIVER_SM[:-4] + b"\0" + encode_tlv(TlvTag.MESSAGE_PAYLOAD, "3#1 жоқ".encode("utf-16-be"))[:-6]
    with pytest.raises(MalformedPdu, match="message_payload"):
        decode_short_message(CommandId.DELIVER_SM, cut)


@given(st.sampled_from([CommandId.DELIVER_SM, CommandId.DATA_SM]), st.binary(max_size=200))
def test_any_octets_are_a_message_or_malformed(command_id: CommandId, octets: bytes) -> None:
    try:
        sm = decode_short_message(command_id, octets)
    except MalformedPdu:
        return
    assert len(sm.payload) <= len(octets)


@given(st.dictionaries(st.integers(0, 0xFFFF), st.binary(max_size=70), max_size=8))
def test_tlvs_are_decoded_as_they_were_encoded(tlvs: dict[int, bytes]) -> None:
    assert decode_tlvs(b"".join(encode_tlv(tag, value) for tag, value in tlvs.items())) == tlvs


def test_a_header_equals_that_of_smpplib() -> None:
    nack = encode_pdu(CommandId.GENERIC_NACK, 3, 0x7FFFFFFF)
    assert nack == bytes.fromhex("00000010 80000000 00000003 7FFFFFFF")  # SMPP 3.4 §4.3.1
    assert nack == smpplib_encode("generic_nack", 0x7FFFFFFF, 3)
