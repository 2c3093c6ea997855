"""USSD dialogues in octets of the specification's tables (SMPP 3.4 §5.3.2.43–44)."""

import pytest

from gateway.smpp.pdu import Address, CommandId, SubmitEncoder, decode_short_message, encode_pdu
from gateway.smpp.ussd import (
    SERVICE_TYPE,
    UssdMessage,
    UssdOp,
    dialled_service,
    encode_screen,
    encode_screen_tlvs,
    parse_ussd,
)
from tests.smpp.smpplib_codec import smpplib_decode

HEAD = (
    "55535344 00"  # service_type USSD
    "01 01 3737303131323334353637 00"  # source 1/1 77011234567
    "00 00 31343134 00"  # destination 0/0 1414
    "00 00 00 00 00 00 00"  # esm_class, protocol_id, priority, two times, registered_delivery, replace_if_present
)
DIALLED = "00 00 08 2a313431342a3323"  # data_coding 0, sm_default_msg_id, sm_length, *1414*3#


def deliver_sm(rest: str) -> UssdMessage | None:
    return parse_ussd(decode_short_message(CommandId.DELIVER_SM, bytes.fromhex(HEAD + rest)))


def test_a_dialled_code_is_a_pssr_message() -> None:
    message = deliver_sm(DIALLED + "0501 0001 01  1383 0002 7f02")
    assert message is not None
    assert (message.op, message.session_info) == (UssdOp.PSSR_INDICATION, b"\x7f\x02")
    assert message.text("gsm7") == "*1414*3#"


def test_a_message_without_ussd_service_op_is_an_sms() -> None:
    assert deliver_sm(DIALLED) is None
    assert deliver_sm(DIALLED + "1383 0002 7f02") is None


@pytest.mark.parametrize("op", ["02", "03", "10", "11", "13", "20", "99", "ff"])
def test_an_op_that_no_subscriber_causes_leaves_an_sms(op: str) -> None:
    assert deliver_sm(DIALLED + f"0501 0001 {op}") is None
    assert deliver_sm(DIALLED + f"0501 0001 {op} 1383 0002 0102") is None


def test_an_empty_ussd_service_op_leaves_an_sms() -> None:
    assert deliver_sm(DIALLED + "0501 0000") is None


def test_the_message_counter_is_no_part_of_the_ussd_session_id() -> None:
    first, second = (deliver_sm(DIALLED + f"0501 0001 12 1383 0002 7f{count}") for count in ("02", "05"))
    other = deliver_sm(DIALLED + "0501 0001 12 1383 0002 8002")
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.session == second.session != other.session


@pytest.mark.parametrize(("info", "session"), [("", b""), ("07", b"\x07"), ("01020304", b"\x01\x02\x03\x04")])
def test_session_info_of_a_vendors_length_is_the_session_id_as_a_whole(info: str, session: bytes) -> None:
    octets = bytes.fromhex(info)
    assert UssdMessage(op=UssdOp.USSR_CONFIRM, session_info=octets, octets=b"1", data_coding=0).session == session


def test_ussd_service_op_has_the_values_of_the_specification() -> None:
    assert [(op.name, op.value) for op in UssdOp] == [
        ("PSSD_INDICATION", 0),
        ("PSSR_INDICATION", 1),
        ("USSR_REQUEST", 2),
        ("USSN_REQUEST", 3),
        ("PSSD_RESPONSE", 16),
        ("PSSR_RESPONSE", 17),
        ("USSR_CONFIRM", 18),
        ("USSN_CONFIRM", 19),
        ("ABORT", 129),
    ]


@pytest.mark.parametrize(
    ("octets", "data_coding", "text"),
    [
        (b"1", 0x00, "1"),
        (b"1", 0x0F, "1"),  # GSM 03.38, language unspecified
        (b"\0\x31", 0x48, "1"),  # cell broadcast's UCS-2
        (b"\0\x31", 0x08, "1"),  # SMPP's
        (b"1", 0x44, "1"),  # 8-bit data
        (b"1", 0x40, "1"),
        (b"\xd8", 0x48, None),
    ],
)
def test_ussd_text_is_decoded_by_the_codings_of_cell_broadcast(
    octets: bytes, data_coding: int, text: str | None
) -> None:
    message = UssdMessage(op=UssdOp.USSR_CONFIRM, session_info=b"", octets=octets, data_coding=data_coding)
    assert message.text("gsm7") == text


@pytest.mark.parametrize(
    ("code", "service"),
    [
        ("*1414*3#", "3"),
        ("*1414*13#", "13"),
        ("*1414*3*1#", "3"),
        ("*1414*3", "3"),
        (" *1414*3# ", "3"),
        ("*1414#", None),
        ("1414*3#", None),
        ("3#1", None),
        ("", None),
        (None, None),
    ],
)
def test_the_dialled_code_names_the_service(code: str | None, service: str | None) -> None:
    assert dialled_service(code) == service


@pytest.mark.parametrize(("text", "data_coding"), [("ұ" * 80, 8), ("a" * 182, 0)])
def test_a_screen_is_one_segment_and_smpplib_decodes_it(text: str, data_coding: int) -> None:
    tlvs = encode_screen_tlvs(UssdOp.USSR_REQUEST, b"\x7f\x02")
    coding, segments = encode_screen(text, tlvs)
    encoder = SubmitEncoder(Address(addr="1414", ton=3, npi=0), receipts="none", service_type=SERVICE_TYPE)
    (body,) = encoder.bodies("77011234567", segments, coding)
    (pdu,) = smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, 1, body))
    assert (pdu.service_type, pdu.esm_class, pdu.registered_delivery) == (b"USSD", 0, 0)
    assert (pdu.data_coding, pdu.ussd_service_op, pdu.its_session_info) == (data_coding, 2, 0x7F02)
    assert pdu.short_message.decode("utf-16-be" if coding else "ascii") == text


def test_a_dialogue_without_session_info_gets_none_back() -> None:
    assert encode_screen_tlvs(UssdOp.PSSR_RESPONSE, b"") == bytes.fromhex("0501 0001 11")
