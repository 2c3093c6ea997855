"""Receipts: how they differ from replies, what operators write, and how their ids relate to those of responses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import MAX_RECEIPT_ERROR_CHARACTERS
from gateway.smpp.pdu import Address, CommandId, ShortMessage, decode_short_message
from gateway.smpp.receipt import (
    IdRelation,
    MessageState,
    Receipt,
    normalize_message_id,
    parse_receipt,
    related_ids,
)
from tests.smpp.smpplib_codec import smpplib_body

# SMPP 3.4 Appendix B.
APPENDIX_B = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2608011015 done date:2608011016 stat:DELIVRD err:000 "
    b"text:\xd2\xb1\xd3\x99"
)


def delivered(text: bytes, esm_class: int = 0x04, **fields: object) -> ShortMessage:
    encoded = smpplib_body(
        "deliver_sm", source_addr="77012345678", short_message=text, esm_class=esm_class, **fields
    )
    return decode_short_message(CommandId.DELIVER_SM, encoded)


def read(text: bytes, esm_class: int = 0x04, **fields: object) -> Receipt:
    receipt = parse_receipt(delivered(text, esm_class, **fields))
    assert receipt is not None
    return receipt


def test_the_receipt_of_the_specification_is_parsed() -> None:
    assert read(APPENDIX_B) == Receipt(
        message_id="0123456789", state=MessageState.DELIVERED, error="000", intermediate=False
    )


@pytest.mark.parametrize(
    ("err", "kept"),
    [
        ("000", "000"),
        ("0x1F", "0x1F"),
        ("E-12.3", "E-12.3"),
        ("870312497005", "8703124…"),  # no number of a person passes for an error code
        ("Нұрлан", "???????…"),
        ("<b>", "?b?"),
    ],
)
def test_an_error_code_is_short_and_of_letters_and_digits(err: str, kept: str) -> None:
    assert read(f"id:7 stat:UNDELIV err:{err} text:x".encode()).error == kept
    assert len(kept) <= MAX_RECEIPT_ERROR_CHARACTERS


def test_only_the_beginning_of_a_receipt_is_read() -> None:
    long = decode_short_message(
        CommandId.DELIVER_SM,
        smpplib_body(
            "deliver_sm",
            source_addr="77012345678",
            esm_class=0x04,
            message_payload=b"id:7 err:" + b"9" * 60_000 + b" stat:DELIVRD",
        ),
    )
    found = parse_receipt(long)
    assert found is not None
    assert (found.state, found.message_id, found.error) == (MessageState.UNSTATED, "7", "9999999…")


@pytest.mark.parametrize("esm_class", [0x00, 0x03, 0x40, 0x80, 0xC0, 0x08, 0x10])
def test_a_message_without_receipt_marks_is_a_reply(esm_class: int) -> None:
    assert parse_receipt(delivered(b"3#1", esm_class)) is None


@pytest.mark.parametrize("esm_class", [0x00, 0x03, 0x80, 0x08])
@pytest.mark.parametrize(
    "text",
    [
        APPENDIX_B,
        b"id:7 stat:DELIVRD",
        b"id=7 status=FAILED err=12",
        b'id:"7f-01" state:"SKIPPED"',
        b"message_id:7 message_state:DELIVRD",
        b"stat:EXPIRED, id:7, done date:26-08-01 10:15",
        b"id:7 sub:001 dlvrd:001 submit date:2608011015 stat:BLACKLISTED err:0 text:3#1 please",
        b"id:7 smsc:12 part:1/2 stat:DELIVRD",
        b"id:7 stat:BOUNCED",
        b"stat:NOT_HOME, id=7f01",
        b'{"id":"7","stat":"DELIVRD"}',
        b"id:deadbeef sub:001 dlvrd:001 submit date:2608011015 done date:2608011016 stat:DELIVRD err:000 text:",
        b"id:ABCDEF stat:DELIVRD",
        b"id:1234@smsc sub:001 dlvrd:001 stat:DELIVRD",
        b"id:12/34 stat:EXPIRED",
        b"id:7 sub:001 dlvrd:001 stat:2 err:000",
        b"id:7 stat:FAILED err:Absent subscriber",
        b"id:7 stat:DELIVRD done date:1 Aug 2026 10:15",
        "id:7 stat:UNDELIV err:001".encode("utf-16-be"),
    ],
)
def test_a_text_of_fields_with_id_and_state_is_a_receipt_in_any_esm_class(text: bytes, esm_class: int) -> None:
    assert read(text, esm_class).by_text


def test_a_word_in_capitals_that_is_not_known_is_a_state_that_is_not_known() -> None:
    receipt = read(b"id:7 stat:BOUNCED", 0)
    assert (receipt.state, receipt.unknown_state, receipt.final) == (MessageState.UNSTATED, "BOUNCED", False)


def test_a_number_in_place_of_the_state_is_a_state_that_is_not_known() -> None:
    receipt = read(b"id:7 sub:001 dlvrd:001 stat:2 err:000", 0)
    assert (receipt.message_id, receipt.state, receipt.unknown_state) == ("7", MessageState.UNSTATED, "2")


def test_a_word_that_the_link_knows_makes_a_receipt_in_any_case() -> None:
    states = {"bounced": MessageState.UNDELIVERABLE}
    receipt = parse_receipt(delivered(b"id:7 stat:bounced", 0), states)
    assert receipt is not None
    assert receipt.state is MessageState.UNDELIVERABLE
    assert parse_receipt(delivered(b"id:7 stat:bounced", 0)) is None


@pytest.mark.parametrize(
    "text",
    [
        "3#1",
        "3#1 id:7 stat:DELIVRD",
        "id:7 stat:DELIVRD 3#1",
        "id:3#1 stat:DELIVRD",
        "id:7 text:3#1 stat:DELIVRD",
        "id:7 stat:agree",
        "id:mother stat:agree",
        "id:ABCDEF stat:received",
        "id:7 stat:FAILED err:3#1 please",
        "id:7 3#1 sub:001 stat:DELIVRD err:000",
        "id:7 I agree sub:001 stat:DELIVRD",
        "id:7 stat:2",
        "id:870312497005 status:согласна",
        "ID: 870312497005 согласна, status: да",
        "id:Айгүл stat:DELIVRD",
        "My id:7, the status:received on monday",
        "id:7 I have read it, state:ok",
        "stat:DELIVRD",
        "id:7",
        "status:FAILED",
        "id: stat:DELIVRD",
        "delivered",
        "3#1, DELIVRD, 77012345678, 2026",
        "1,DELIVRD",
        "agree, 870312497005, 3, 1",
        "ИИН 870312497005, EXPIRED",
        "I have 1234, DELETED, then, 5",
        "",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be"])
def test_a_text_that_a_parent_may_write_is_never_a_receipt(text: str, encoding: str) -> None:
    assert parse_receipt(delivered(text.encode(encoding), esm_class=0)) is None


@pytest.mark.parametrize("esm_class", [0x04, 0x44, 0x07, 0x24])
def test_esm_class_marks_a_receipt(esm_class: int) -> None:
    assert read(APPENDIX_B, esm_class).message_id == "0123456789"


def test_a_receipted_message_id_marks_a_receipt_whatever_its_esm_class() -> None:
    receipt = read(b"3#1", esm_class=0, receipted_message_id="abc", message_state=2)
    assert receipt == Receipt(message_id="abc", state=MessageState.DELIVERED, error="", intermediate=False)


def test_an_intermediate_notification_is_never_final() -> None:
    receipt = read(APPENDIX_B, esm_class=0x20)
    assert (receipt.intermediate, receipt.state, receipt.final) == (True, MessageState.DELIVERED, False)


def test_receipt_tlvs_take_precedence_over_the_text() -> None:
    receipt = read(APPENDIX_B, receipted_message_id="tlv-id", message_state=5, network_error_code=b"\x03\x00\x1b")
    assert (receipt.message_id, receipt.state) == ("tlv-id", MessageState.UNDELIVERABLE)
    assert receipt.error == "000"


def test_network_error_code_is_the_error_of_a_receipt_text_without_one() -> None:
    assert read(b"id:1 stat:UNDELIV", network_error_code=b"\x03\x00\x1b").error == "27"
    assert read(b"id:1 stat:UNDELIV", network_error_code=b"\x03").error == ""


@pytest.mark.parametrize(
    ("text", "message_id", "state", "error"),
    [
        # other orders, cases, separators, dates with seconds, missing fields: as vendors write them
        (b"ID:7B-3F SUB:1 DLVRD:1 STAT:UNDELIV ERR:1", "7B-3F", MessageState.UNDELIVERABLE, "1"),
        (b"stat:EXPIRED err:0A1F id:7", "7", MessageState.EXPIRED, "0A1F"),
        (b"id:7 stat:REJECTD", "7", MessageState.REJECTED, ""),
        (b"id: 7 stat: DELETED err: 12", "7", MessageState.DELETED, "12"),
        (b"id:7, sub:001, stat:DELIVRD, err:000", "7", MessageState.DELIVERED, "000"),
        (b"id:7;stat:ACCEPTD;err:0", "7", MessageState.ACCEPTED, "0"),
        (b"id:7 submit date:260801101500 done date:2608011016 stat:ENROUTE", "7", MessageState.ENROUTE, ""),
        (b"id:7 submitdate:2608011015 donedate:2608011015 stat:UNKNOWN", "7", MessageState.UNKNOWN, ""),
        (b"id:7 stat:DELIVERED", "7", MessageState.DELIVERED, ""),
        (b"id:7 stat:undeliverable", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7\nstat:DELIVRD\r\nerr:000", "7", MessageState.DELIVERED, "000"),
        (b"id: sub:001 stat:DELIVRD err: text:", "", MessageState.DELIVERED, ""),
        (b"id:018f3f2e-1c1a-7cc0-9f4e-0242ac120002 stat:DELIVRD", "018f3f2e-1c1a-7cc0-9f4e-0242ac120002",
         MessageState.DELIVERED, ""),
        (b"id:7 stat:DELIVRD err:000 text:id:8 stat:UNDELIV err:1", "7", MessageState.DELIVERED, "000"),
        (b"guid:9 id:7 stat:DELIVRD", "7", MessageState.DELIVERED, ""),
        (b"id:7 stat:SOMETHING", "7", MessageState.UNSTATED, ""),
        (b"id:7 stat:FAILED", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:Failure err:5", "7", MessageState.UNDELIVERABLE, "5"),
        (b"id:7 stat:NOT_DELIVERED", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:NOT DELIVERED err:1", "7", MessageState.UNDELIVERABLE, "1"),
        (b"id:7 stat:NOTDELIVRD", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:UNDELIVERED", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:ERROR", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:DELIVERY_FAILED", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:SKIPPED", "7", MessageState.SKIPPED, ""),
        (b"id:7 stat:RECEIVED", "7", MessageState.DELIVERED, ""),
        (b"id:7 stat:READ", "7", MessageState.DELIVERED, ""),
        (b"id:7 status:DELIVRD", "7", MessageState.DELIVERED, ""),
        (b"id:7 state:EXPIRED", "7", MessageState.EXPIRED, ""),
        (b"id=7 stat=DELIVRD err=000", "7", MessageState.DELIVERED, "000"),
        (b"id:'7-a' stat:'DELIVRD'", "7-a", MessageState.DELIVERED, ""),
        (b"message_id:7 message_state:EXPIRED err:0", "7", MessageState.EXPIRED, "0"),
        (b"msgId=7 msgStatus=DELIVRD", "7", MessageState.DELIVERED, ""),
        (b'message_id:"7" status:"NOT_DELIVERED"', "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:NOCRED err:0", "7", MessageState.UNDELIVERABLE, "0"),  # SMS Central
        (b"id:7 stat:SYSERR err:500", "7", MessageState.UNDELIVERABLE, "500"),
        (b"id:7 stat:BUFFRED err:0", "7", MessageState.ENROUTE, "0"),
        (b"id:7 stat:BARRED", "7", MessageState.UNDELIVERABLE, ""),  # PSWinCom
        (b"id:7 stat:BARREDA", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:ZEROBAL", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:NULL", "7", MessageState.UNKNOWN, ""),
        (b"id:7 stat:NO-CREDITS", "7", MessageState.UNDELIVERABLE, ""),  # Kaleyra
        (b"id:7 stat:SYSTEM_ERROR", "7", MessageState.UNDELIVERABLE, ""),
        (b"id:7 stat:ACKED", "7", MessageState.ACCEPTED, ""),  # Mblox
        # without the name of the state: an operator of a ksmppd user
        (b"id:ce5bc5a9-4f7d submit date:180903120815 done date:180903120816 DELIVRD err:000 Text:",
         "ce5bc5a9-4f7d", MessageState.DELIVERED, "000"),
        (b"id:7", "7", MessageState.UNSTATED, ""),
        (b"delivered to handset", "", MessageState.UNSTATED, ""),
        (b"", "", MessageState.UNSTATED, ""),
    ],
)  # fmt: skip
def test_receipt_texts_are_parsed_in_any_order_and_case_with_fields_missing(
    text: bytes, message_id: str, state: MessageState, error: str
) -> None:
    receipt = read(text)
    assert (receipt.message_id, receipt.state, receipt.error) == (message_id, state, error)


@pytest.mark.parametrize("esm_class", [0x04, 0x00])
@pytest.mark.parametrize(
    ("text", "message_id", "state", "error"),
    [
        (
            "180828100924138386,77012345678,0,DELIVRD,20181125112640",
            "180828100924138386",
            MessageState.DELIVERED,
            "",
        ),
        ("77012345678,DELIVRD,2019-04-12 00:04,22DA53D4D87948BA", "22DA53D4D87948BA", MessageState.DELIVERED, ""),
        (
            "904d5125d6d44000002, 7012345678, UNDELIV, 014",
            "904d5125d6d44000002",
            MessageState.UNDELIVERABLE,
            "014",
        ),
        ("7f3a01;+77012345678;01/08/2026 10:15;EXPIRED;12", "7f3a01", MessageState.EXPIRED, "12"),
        ("7f3a01|77012345678|1414|NOCRED|0|", "7f3a01", MessageState.UNDELIVERABLE, "0"),
    ],
)
def test_a_receipt_of_values_alone_has_their_id_and_state(
    text: str, message_id: str, state: MessageState, error: str, esm_class: int
) -> None:
    receipt = read(text.encode(), esm_class)
    assert (receipt.message_id, receipt.state, receipt.error) == (message_id, state, error)
    assert receipt.by_text is (esm_class == 0)


STATES = {"unknown": MessageState.ENROUTE, "blacklisted": MessageState.UNDELIVERABLE, "10": MessageState.EXPIRED}
"""The meanings of words that a link configures."""


@pytest.mark.parametrize(
    ("text", "number", "state"),
    [
        (b"id:7 stat:UNKNOWN err:0", None, MessageState.ENROUTE),
        (b"id:7 stat:DELIVRD", 7, MessageState.ENROUTE),  # message_state takes precedence
        (b"id:7 stat:UNKNOWN", 2, MessageState.DELIVERED),
        (b"id:7 stat:Black-Listed", None, MessageState.UNDELIVERABLE),
        (b"id:7", 10, MessageState.EXPIRED),
        (b"id:7 stat:DELIVRD", None, MessageState.DELIVERED),
    ],
)
def test_a_state_means_what_the_link_says(text: bytes, number: int | None, state: MessageState) -> None:
    tlvs = {} if number is None else {"message_state": number}
    receipt = parse_receipt(delivered(text, **tlvs), STATES)
    assert receipt is not None
    assert (receipt.state, receipt.unknown_state) == (state, "")
    assert receipt.final is state.final


def test_a_receipt_in_ucs2_or_in_message_payload_is_parsed() -> None:
    text = b"id:7 stat:DELIVRD err:000"
    assert read(text.decode().encode("utf-16-be"), data_coding=8).message_id == "7"
    assert read(b"", message_payload=text).state is MessageState.DELIVERED


def test_a_receipted_message_id_is_decoded_with_or_without_its_nul() -> None:
    for value in (b"abc", b"abc\0", b"abc\0\0"):
        sm = ShortMessage(
            command_id=CommandId.DATA_SM,
            service_type="",
            source=Address(addr="", ton=0, npi=0),
            destination=Address(addr="", ton=0, npi=0),
            esm_class=0,
            protocol_id=0,
            priority_flag=0,
            schedule_delivery_time="",
            validity_period="",
            registered_delivery=0,
            data_coding=0,
            short_message=b"",
            tlvs={0x001E: value},
        )
        receipt = parse_receipt(sm)
        assert receipt is not None
        assert receipt.message_id == "abc"


@pytest.mark.parametrize("number", range(256))
def test_a_message_state_is_one_of_the_specification_or_unstated(number: int) -> None:
    # SMPP 5.0 §4.7.15; 3.4 §5.2.28 has those from 1 to 8.
    names = ["SCHEDULED", "ENROUTE", "DELIVERED", "EXPIRED", "DELETED", "UNDELIVERABLE", "ACCEPTED", "UNKNOWN",
             "REJECTED", "SKIPPED"]  # fmt: skip
    receipt = read(b"", receipted_message_id="7", message_state=number)
    assert receipt.state.name == (names[number] if number < 10 else "UNSTATED")
    assert receipt.unknown_state == ("" if number < 10 else str(number))


def test_message_state_0_gives_way_to_a_state_in_the_text() -> None:
    assert read(b"id:7 stat:DELIVRD", message_state=0).state is MessageState.DELIVERED
    assert read(b"id:7 stat:FAILED", message_state=9).state is MessageState.SKIPPED


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (b"id:7 stat:BLACKLISTED err:1", "BLACKLISTED"),
        (b'id:7 stat:"PENDING"', "PENDING"),
        (b"id:7 stat:" + b"X" * 100, "X" * 20),
        (b"id:7 stat:DELIVRD", ""),
        (b"id:7", ""),
    ],
)
def test_a_state_that_is_not_known_is_kept_as_written_and_bounded(text: bytes, unknown: str) -> None:
    receipt = read(text)
    assert receipt.unknown_state == unknown
    assert receipt.final is (text == b"id:7 stat:DELIVRD")


def test_receipt_states_that_can_still_change_are_not_final() -> None:
    assert {state for state in MessageState if not state.final} == {
        MessageState.ENROUTE, MessageState.ACCEPTED, MessageState.SCHEDULED, MessageState.UNSTATED,
    }  # fmt: skip
    assert [state for state in MessageState if state.delivered] == [MessageState.DELIVERED]


@pytest.mark.parametrize(
    ("message_id", "relation", "expected"),
    [
        ("1A2B", "exact", ["1a2b"]),
        ("1A2B", "hex-to-dec", ["6699"]),
        ("6699", "dec-to-hex", ["1a2b"]),
        ("1A2B", "auto", ["1a2b", "6699"]),
        ("0000006699", "auto", ["6699", "26265", "1a2b"]),
        ("7", "auto", ["7"]),
        ("018f-uuid", "hex-to-dec", ["18f-uuid"]),
        ("1A2B", "dec-to-hex", ["1a2b"]),
        ("018f3f2e1c1a7cc09f4e0242ac120002", "auto", ["18f3f2e1c1a7cc09f4e0242ac120002"]),
        ("0", "auto", ["0"]),
        ("", "auto", [""]),
    ],
)
def test_a_message_id_is_related_as_configured(message_id: str, relation: IdRelation, expected: list[str]) -> None:
    assert related_ids(message_id, relation) == expected


def test_message_ids_are_compared_without_leading_zeros_and_case() -> None:
    assert normalize_message_id("000AbC") == normalize_message_id("abc") == normalize_message_id(" ABC ") == "abc"
    assert normalize_message_id("0 0a") == normalize_message_id("0\x85a") == normalize_message_id("a") == "a"
    assert normalize_message_id("000") == normalize_message_id("0") == normalize_message_id("0 0") == "0"
    assert normalize_message_id("") == ""


@given(st.integers(0, 2**63))
def test_an_id_converted_by_the_smsc_is_related_to_the_original(number: int) -> None:
    as_hex, as_dec = f"{number:010X}", f"{number:020d}"
    for relation in ("hex-to-dec", "auto"):
        assert normalize_message_id(as_dec) in related_ids(as_hex, relation)
    for relation in ("dec-to-hex", "auto"):
        assert normalize_message_id(as_hex) in related_ids(as_dec, relation)  # type: ignore[arg-type]


@given(st.binary(max_size=160), st.integers(0, 255))
def test_any_octets_are_a_receipt_or_a_reply(text: bytes, esm_class: int) -> None:
    receipt = parse_receipt(delivered(text, esm_class))
    assert receipt is not None or not esm_class & 0x24
    assert receipt is None or receipt.by_text or esm_class & 0x24


@given(st.text(max_size=300), st.sampled_from(["exact", "hex-to-dec", "dec-to-hex", "auto"]))
def test_any_message_id_has_related_ids(message_id: str, relation: IdRelation) -> None:
    assert related_ids(message_id, relation)


@pytest.mark.parametrize("text", [b"ab1c,,,ERR", b"id:1 stat:ERR"])
def test_the_shortest_receipts_without_a_mark_are_receipts(text: bytes) -> None:
    assert read(text, esm_class=0x00).state is MessageState.UNDELIVERABLE


@pytest.mark.parametrize("text", [b"ab1,,,ERR", b"3#1", b"id:1 ERR"])
def test_a_shorter_text_without_a_mark_is_a_reply(text: bytes) -> None:
    assert parse_receipt(delivered(text, 0x00)) is None
