"""Encoding of MT texts: alphabets and segments by 3GPP 23.038 and 23.040, decoded by smpplib."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import gsm

from gateway.smpp.pdu import Address, CommandId, SubmitEncoder, encode_pdu
from gateway.smpp.text import (
    DataCoding,
    LongMessages,
    Segment,
    alphabet,
    decode,
    decode_segments,
    segment_count,
    segment_texts,
    segments,
)
from tests.smpp.smpplib_codec import smpplib_decode

UDH = {LongMessages.UDH8: 6, LongMessages.UDH16: 7}


def texts_of(cut: list[Segment], long_messages: LongMessages) -> list[bytes]:
    """The octets of each segment without its UDH."""
    udh = UDH.get(long_messages, 0) if len(cut) > 1 else 0
    return [segment.short_message[udh:] for segment in cut]


@pytest.mark.parametrize(
    ("units", "udh8", "udh16"),
    [(28, 1, 1), (70, 1, 1), (71, 2, 2), (132, 2, 2), (133, 2, 3), (134, 2, 3), (135, 3, 3), (233, 4, 4),
     (967, 15, 15), (1014, 16, 16), (1087, 17, 17)],
)  # fmt: skip
def test_ucs2_texts_have_the_segments_that_the_rules_demand(units: int, udh8: int, udh16: int) -> None:
    text = "қ" * units
    for long_messages, count in [
        (LongMessages.UDH8, udh8),
        (LongMessages.PAYLOAD, udh8),
        (LongMessages.UDH16, udh16),
        (LongMessages.SAR, udh16),
    ]:
        assert segment_count(text, long_messages) == count
        if long_messages is not LongMessages.PAYLOAD:
            assert len(segments(text, long_messages, 1)[1]) == count


@pytest.mark.parametrize(
    ("septets", "udh8", "udh16"),
    [(0, 1, 1), (1, 1, 1), (160, 1, 1), (161, 2, 2), (304, 2, 2), (305, 2, 3), (306, 2, 3), (307, 3, 3)],
)
def test_gsm_texts_have_the_segments_that_the_rules_demand(septets: int, udh8: int, udh16: int) -> None:
    assert segment_count("a" * septets, LongMessages.UDH8) == udh8
    assert segment_count("a" * septets, LongMessages.UDH16) == udh16


def test_an_extended_character_takes_two_septets() -> None:
    assert segment_count("€" * 80, LongMessages.UDH8) == 1
    assert segment_count("€" * 80 + "a", LongMessages.UDH8) == 2


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F", "@£$¥èéùìòÇ\nØø\rÅå"),
        ("10 11 12 13 14 15 16 17 18 19 1A 1C 1D 1E 1F", "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ"),
        ("20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F", " !\"#¤%&'()*+,-./"),
        ("40 5B 5C 5D 5E 5F 60 7B 7C 7D 7E 7F", "¡ÄÖÑÜ§¿äöñüà"),
        ("1B0A 1B14 1B28 1B29 1B2F 1B3C 1B3D 1B3E 1B40 1B65", "\f^{}\\[~]|€"),
    ],
)
def test_the_tables_are_those_of_3gpp_23_038(octets: str, text: str) -> None:
    code, [segment] = segments(text, LongMessages.UDH8, 1)
    assert (code, segment.short_message) == (0, bytes.fromhex(octets))
    assert decode(bytes.fromhex(octets), 0, "gsm7") == text


def test_smpplib_has_the_same_table() -> None:
    # Its "`" stands where it has nothing, "§" included; form feed is missing.
    known = "".join(c for c in dict.fromkeys(gsm.GSM_CHARACTER_TABLE) if c not in "`\x1b")
    for c in known:
        assert segments(c, LongMessages.UDH8, 1) == (0, [Segment(0, gsm.gsm_encode(c), b"")])


@pytest.mark.parametrize("text", ["қазақ", "Ç ç", "№", "`", "\x1b", "😀", "a\u0301"])
def test_one_character_outside_gsm_makes_the_whole_text_ucs2(text: str) -> None:
    assert alphabet(text) is DataCoding.UCS2
    assert segments(text, LongMessages.UDH8, 1) == (8, [Segment(0, text.encode("utf-16-be"), b"")])


def test_segments_have_a_udh_with_an_8_bit_reference() -> None:
    # 3GPP 23.040 §9.2.3.24.1: UDHL 05, IEI 00, IEDL 03, reference, total, number.
    _, cut = segments("қ" * 100, LongMessages.UDH8, 0x1C8)
    assert [s.short_message[:6].hex(" ") for s in cut] == ["05 00 03 c8 02 01", "05 00 03 c8 02 02"]
    assert {(s.esm_class, s.tlvs) for s in cut} == {(0x40, b"")}


def test_segments_have_a_udh_with_a_16_bit_reference() -> None:
    # 3GPP 23.040 §9.2.3.24.8: UDHL 06, IEI 08, IEDL 04.
    _, cut = segments("a" * 200, LongMessages.UDH16, 0x1A1C8)
    assert [s.short_message[:7].hex(" ") for s in cut] == ["06 08 04 a1 c8 02 01", "06 08 04 a1 c8 02 02"]
    assert {(s.esm_class, s.tlvs) for s in cut} == {(0x40, b"")}


def test_segments_have_sar_tlvs_and_no_udh() -> None:
    # SMPP 3.4 §5.3.2.22–24; no UDH, no UDHI.
    _, cut = segments("қ" * 100, LongMessages.SAR, 0xC8)
    assert [s.tlvs.hex() for s in cut] == [f"020c000200c8020e000102020f0001{number:02x}" for number in (1, 2)]
    assert {s.esm_class for s in cut} == {0}
    assert b"".join(s.short_message for s in cut).decode("utf-16-be") == "қ" * 100


def test_message_payload_carries_the_whole_text() -> None:
    # SMPP 3.4 §5.3.2.32; short_message stays empty.
    _, [segment] = segments("қ" * 100, LongMessages.PAYLOAD, 7)
    assert segment == Segment(0, b"", bytes.fromhex("042400c8") + ("қ" * 100).encode("utf-16-be"))


@pytest.mark.parametrize("long_messages", LongMessages)
def test_a_text_of_one_segment_has_no_udh_and_no_tlv(long_messages: LongMessages) -> None:
    assert segments("Сіз", long_messages, 7) == (8, [Segment(0, "Сіз".encode("utf-16-be"), b"")])


def test_a_resent_text_is_the_same_byte_for_byte() -> None:
    text = "Құрметті " * 60
    assert segments(text, LongMessages.UDH8, 9) == segments(text, LongMessages.UDH8, 9)


def test_an_escape_pair_is_not_split() -> None:
    _, cut = segments("a" * 152 + "€" + "b" * 20, LongMessages.UDH8, 1)
    assert texts_of(cut, LongMessages.UDH8) == [b"a" * 152, b"\x1be" + b"b" * 20]


@pytest.mark.parametrize(
    "whole",
    [
        "😀",  # a surrogate pair
        "и\u0306",  # й, decomposed
        "e\u0301\u0323",  # two marks on one letter
        "❤\ufe0f",  # with its variation selector
        "👍🏽",  # with its skin tone
        "👩\u200d👧",  # joined
        "1\u20e3",  # a keycap
        "\U0001d157\U0001d165",  # a mark beyond sixteen bits
    ],
)
@pytest.mark.parametrize("before", range(58, 68))
def test_a_displayed_character_is_not_split(whole: str, before: int) -> None:
    _, cut = segments("қ" * before + whole + "қ" * 40, LongMessages.UDH8, 1)
    texts = [octets.decode("utf-16-be") for octets in texts_of(cut, LongMessages.UDH8)]
    assert "".join(texts) == "қ" * before + whole + "қ" * 40
    assert any(whole in text for text in texts)


def test_more_combining_marks_than_a_segment_holds_are_split() -> None:
    _, cut = segments("a" + "\u0301" * 300, LongMessages.UDH8, 1)
    assert [len(octets) for octets in texts_of(cut, LongMessages.UDH8)] == [134] * 4 + [66]
    _, cut = segments("қ" + "\U0001d165" * 300, LongMessages.UDH8, 1)
    assert "".join(octets.decode("utf-16-be") for octets in texts_of(cut, LongMessages.UDH8))


def test_a_text_beyond_255_segments_is_rejected() -> None:
    assert len(segments("қ" * 67 * 255, LongMessages.UDH8, 1)[1]) == 255
    with pytest.raises(ValueError, match="256 segments"):
        segments("қ" * 67 * 255 + "қ", LongMessages.UDH8, 1)
    with pytest.raises(ValueError, match="message_payload"):
        segments("қ" * 40_000, LongMessages.PAYLOAD, 1)


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
lively = st.text(st.sampled_from("aқ€[{😀👍🏽\u0301\u0306\u200d\ufe0f\n3#1"), max_size=600)
latin = st.text(st.sampled_from("a€[{\n3#1@_"), max_size=600)


@given(
    anything | lively | latin,
    st.sampled_from([LongMessages.UDH8, LongMessages.UDH16, LongMessages.SAR]),
    st.integers(0, 0xFFFFF),
)
def test_every_segment_of_any_text_decodes_alone(text: str, long_messages: LongMessages, reference: int) -> None:
    data_coding, cut = segments(text, long_messages, reference)
    octets = texts_of(cut, long_messages)
    decoded = [decode(o, data_coding, "gsm7") for o in octets]
    assert None not in decoded
    assert "".join(d or "" for d in decoded) == text
    assert decoded == segment_texts(text, long_messages)
    assert decode_segments(octets, data_coding, "gsm7") == text
    assert len(cut) == segment_count(text, long_messages)
    assert len(cut) == 1 or all(octets)
    limit = {0: 153, 8: 134} if long_messages is LongMessages.UDH8 else {0: 152, 8: 132}
    assert len(cut) == 1 or all(len(o) <= limit[data_coding] for o in octets)


@given(
    st.lists(
        st.sampled_from(["a", "қ", "€", "и\u0306", "👍🏽", "👩\u200d👧", "❤\ufe0f", "e\u0301\u0323"]),
        max_size=400,
    )
)
def test_segments_begin_between_displayed_characters(characters: list[str]) -> None:
    between = set(itertools.accumulate(map(len, characters)))
    data_coding, cut = segments("".join(characters), LongMessages.UDH8, 1)
    decoded = [decode(octets, data_coding, "gsm7") or "" for octets in texts_of(cut, LongMessages.UDH8)]
    assert not characters or set(itertools.accumulate(map(len, decoded))) <= between


@given(anything | lively, st.sampled_from(LongMessages), st.integers(0, 0xFFFF))
def test_smpplib_decodes_every_segment(text: str, long_messages: LongMessages, reference: int) -> None:
    data_coding, cut = segments(text, long_messages, reference)
    encoder = SubmitEncoder(Address(addr="1414", ton=0, npi=0), receipts="last")
    for number, body in enumerate(encoder.bodies("77011234567", cut, data_coding), start=1):
        [pdu] = smpplib_decode(encode_pdu(CommandId.SUBMIT_SM, 0, number, body))
        segment = cut[number - 1]
        assert (pdu.esm_class, pdu.short_message or b"") == (segment.esm_class, segment.short_message)
        if segment.tlvs and long_messages is LongMessages.SAR:
            sar = (pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum)
            assert sar == (reference, len(cut), number)
        if segment.tlvs and long_messages is LongMessages.PAYLOAD:
            assert pdu.message_payload == segment.tlvs[4:]


def test_a_lone_surrogate_is_replaced() -> None:
    assert segments("қ\ud800", LongMessages.UDH8, 1) == (8, [Segment(0, "қ?".encode("utf-16-be"), b"")])
