"""Decoding of MO texts: data_coding, default alphabets, packed septets, UDHs and sar_* TLVs."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.pdu import CommandId, ShortMessage, decode_short_message
from gateway.smpp.text import decode, decode_segments, decode_text
from gateway.smpp.user_data import Concatenation, UserData, split_udh
from tests.smpp.smpplib_codec import smpplib_body

UCS2 = "3#1".encode("utf-16-be")


@pytest.mark.parametrize(
    ("octets", "data_coding", "default_alphabet", "text"),
    [
        (b"3#1", 0x00, "gsm7", "3#1"),
        (b"3#1", 0x00, "ascii", "3#1"),
        (b"3#1", 0x00, "latin1", "3#1"),
        (bytes.fromhex("B3510C"), 0x00, "packed", "3#1"),
        (b"\x00\x1be\x02", 0x00, "gsm7", "@€$"),
        (b"\x00\x02", 0x00, "ascii", "\0\x02"),
        (b"\xe4", 0x00, "latin1", "ä"),
        (b"3#1", 0x01, "gsm7", "3#1"),
        (b"3#1", 0x02, "gsm7", "3#1"),
        (b"3#1 \xfc", 0x03, "gsm7", "3#1 ü"),
        (b"3#1", 0x04, "gsm7", "3#1"),
        ("3#1 иә".encode(), 0x04, "gsm7", "3#1 иә"),
        (b"3#1 \xd8\xef", 0x06, "gsm7", "3#1 ия"),  # ISO 8859-5: 0xB0–0xCF are А–Я, 0xD0–0xEF а–я
        (UCS2, 0x08, "gsm7", "3#1"),
        (b"\xfe\xff" + UCS2, 0x08, "gsm7", "3#1"),
        (b"\xff\xfe" + "3#1".encode("utf-16-le"), 0x08, "gsm7", "3#1"),
        ("😀".encode("utf-16-be"), 0x08, "gsm7", "😀"),
        (b"", 0x08, "gsm7", ""),
    ],
)
def test_octets_are_decoded_by_their_data_coding(
    octets: bytes, data_coding: int, default_alphabet: str, text: str
) -> None:
    assert decode(octets, data_coding, default_alphabet) == text


@pytest.mark.parametrize(
    ("octets", "data_coding", "default_alphabet"),
    [
        (b"3#1\x80", 0x00, "gsm7"),
        (b"3#1\x80", 0x00, "ascii"),
        (b"3#1\xff", 0x01, "latin1"),
        (b"3#1\xfc", 0x04, "latin1"),
        (UCS2[:-1], 0x08, "gsm7"),
        (b"\xd8\x3d\x00\x31", 0x08, "gsm7"),
        (b"\xde\x00", 0x08, "gsm7"),
        (b"\xff", 0xF4, "latin1"),
        (UCS2 + b"\0", 0xE0, "gsm7"),
    ],
)
def test_octets_that_are_invalid_in_their_data_coding_are_no_text(
    octets: bytes, data_coding: int, default_alphabet: str
) -> None:
    assert decode(octets, data_coding, default_alphabet) is None


@pytest.mark.parametrize(
    ("data_codings", "octets", "text"),
    [
        (range(0xC0, 0xE0), b"\x003#1", "@3#1"),  # 3GPP 23.038 §4: message waiting, default alphabet
        (range(0xE0, 0xF0), UCS2, "3#1"),  # message waiting, UCS-2
        ((0xF0, 0xF1, 0xF2, 0xF3, 0xF8, 0xFB), b"\x003#1", "@3#1"),  # message class, default alphabet
        ((0xF4, 0xF5, 0xF6, 0xF7), b"3#1", "3#1"),  # message class, 8-bit
        ((0x10, 0x13, 0x50), b"\x003#1", "@3#1"),  # general, with a class: default alphabet
        ((0x14, 0x17, 0x54), b"3#1", "3#1"),  # 8-bit
        ((0x18, 0x1B, 0x58), UCS2, "3#1"),  # UCS-2
        ((0x05, 0x0F, 0x20, 0x3F, 0x80, 0xBF), b"\x003#1", "@3#1"),  # the link's default
    ],
)
def test_a_coding_group_is_decoded_by_its_own_bits(data_codings: Sequence[int], octets: bytes, text: str) -> None:
    assert {decode(octets, data_coding, "gsm7") for data_coding in data_codings} == {text}


@pytest.mark.parametrize(
    ("octets", "data_coding", "default_alphabet", "text"),
    [
        (b"3#1\0", 0x00, "gsm7", "3#1"),
        (b"3#1\0", 0x00, "ascii", "3#1"),
        (b"3#1\0", 0x04, "gsm7", "3#1"),
        (UCS2 + b"\0", 0x08, "gsm7", "3#1"),
        (b"3#1\0\0", 0x00, "gsm7", "3#1@"),  # one alone
        (b"\0", 0x00, "gsm7", ""),
        (b"3#1", 0x00, "gsm7", "3#1"),
        ("Ѐ".encode("utf-16-be"), 0x08, "gsm7", "Ѐ"),  # U+0400 ends in a NUL of its own
        (bytes.fromhex("B3510C") + b"\0", 0x00, "packed", "3#1@"),
    ],
)
def test_a_text_has_no_final_nul_that_its_smsc_has_counted(
    octets: bytes, data_coding: int, default_alphabet: str, text: str
) -> None:
    assert decode_text(octets, data_coding, default_alphabet) == text


def test_the_low_bits_of_a_coding_group_are_no_data_coding() -> None:
    for data_coding in (0xC8, 0xD8, 0xF8):
        assert decode(UCS2, data_coding, "gsm7") == "@3@#@1"


def test_a_message_class_has_the_default_alphabet_packed_where_the_link_packs() -> None:
    assert decode(bytes.fromhex("B3510C"), 0xF0, "packed") == "3#1"
    assert decode(b"\x003#1", 0xF0, "latin1") == "@3#1"


@pytest.mark.parametrize(
    ("septets", "text"),
    [
        (b"3\x1b", "3 "),  # an escape of nothing
        (b"3\x1b\x1b1", "3 1"),  # an escape to a table that is not there: a space (3GPP 23.038 §6.2.1.1)
        (b"3\x1b#1", "3#1"),  # an escaped character without a meaning shows as its basic one
    ],
)
def test_an_escape_without_meaning_is_decoded_as_handsets_show_it(septets: bytes, text: str) -> None:
    assert decode(septets, 0, "gsm7") == text


def pack(text: bytes, fill: int = 0) -> bytes:
    """Septets as 3GPP 23.038 §6.1.2.1 packs them, bit by bit."""
    bits = "0" * fill + "".join(f"{septet:07b}"[::-1] for septet in text)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def test_a_well_known_packed_text_is_decoded() -> None:
    assert decode(bytes.fromhex("E8329BFD4697D9EC37"), 0, "packed") == "hellohello"


@given(st.binary(max_size=160).map(lambda octets: bytes(o & 0x7F for o in octets)), st.integers(0, 20))
def test_packed_septets_are_decoded_after_a_udh_of_any_length(septets: bytes, udh_octets: int) -> None:
    fill = -8 * udh_octets % 7
    expected = decode(septets, 0, "gsm7")
    padded = (7 * len(septets) + fill) % 8 == 0 and septets[-1:] in (b"\0", b"\r")
    if padded:  # it cannot be told from padding
        expected = decode(septets[:-1], 0, "gsm7")
    assert decode(pack(septets, fill), 0, "packed", udh_octets) == expected


@pytest.mark.parametrize("padding", [b"\0", b"\r"])
def test_a_last_septet_of_padding_is_no_character(padding: bytes) -> None:
    assert decode(pack(b"3#1 yes" + padding), 0, "packed") == "3#1 yes"


def test_packed_segments_are_unpacked_each_on_its_own() -> None:
    first, second = pack(b"3#1 and ", 1), pack(b"thank you", 1)
    assert decode_segments([first, second], 0, "packed", 6) == "3#1 and thank you"


def test_a_pair_that_a_handset_split_is_joined_before_decoding() -> None:
    octets = "3#1 😀".encode("utf-16-be")
    assert decode_segments([octets[:-2], octets[-2:]], 8, "gsm7") == "3#1 😀"
    assert decode_segments([b"3#1 \x1b", b"e"], 0, "gsm7") == "3#1 €"


@given(st.binary(max_size=300), st.integers(0, 255), st.sampled_from(["gsm7", "packed", "ascii", "latin1"]))
def test_any_octets_in_any_coding_are_text_or_none(octets: bytes, data_coding: int, default_alphabet: str) -> None:
    text = decode(octets, data_coding, default_alphabet, len(octets) % 9)
    assert text is None or len(text) <= 2 * len(octets)


def delivered(payload: bytes, esm_class: int = 0x40, **tlvs: int) -> ShortMessage:
    encoded = smpplib_body(
        "deliver_sm", source_addr="77012345678", short_message=payload, esm_class=esm_class, **tlvs
    )
    return decode_short_message(CommandId.DELIVER_SM, encoded)


def of(reference: int, total: int, number: int, bits: int = 8) -> Concatenation:
    return Concatenation(reference=reference, total=total, number=number, reference_bits=bits)


@pytest.mark.parametrize(
    ("udh", "concatenation"),
    [
        ("05 00 03 C8 03 02", of(0xC8, 3, 2)),  # 3GPP 23.040 §9.2.3.24.1
        ("06 08 04 A1 C8 02 01", of(0xA1C8, 2, 1, 16)),  # §9.2.3.24.8
        ("0B 05 04 0B84 23F0 00 03 C8 03 02", of(0xC8, 3, 2)),  # ports before it
        ("0A 00 03 C8 03 02 24 01 01 25 00", of(0xC8, 3, 2)),  # national shift tables behind it
        ("06 05 04 0B84 23F0", None),  # ports only
        ("05 00 03 C8 01 01", None),  # one of one
        ("05 00 03 C8 00 01", None),
        ("05 00 03 C8 03 00", None),
        ("05 00 03 C8 03 04", None),
        ("04 00 02 C8 03", None),  # an element of a wrong length
        ("06 00 03 C8 03 02 99", of(0xC8, 3, 2)),  # an octet too many
    ],
)
def test_a_udh_is_removed_and_has_the_position_of_the_segment(
    udh: str, concatenation: Concatenation | None
) -> None:
    octets, found, *_ = split_udh(delivered(bytes.fromhex(udh) + b"3#1"))
    assert (found, octets) == (concatenation, b"3#1")


def test_equal_references_of_8_and_of_16_bits_are_of_two_texts() -> None:
    narrow, wide = of(0xC8, 2, 1), of(0xC8, 2, 1, 16)
    assert narrow.key != wide.key
    assert {of(reference, 2, 1).key for reference in range(256)}.isdisjoint(
        of(reference, 2, 1, 16).key for reference in range(65_536)
    )


@pytest.mark.parametrize(
    ("udh", "to_port"),
    [
        ("06 05 04 0B84 23F0", True),  # WAP push
        ("04 04 02 F0 F1", True),  # 8-bit ports
        ("0B 05 04 0B84 23F0 00 03 C8 03 02", True),
        ("05 00 03 C8 03 02", False),
        ("03 25 01 00", False),  # a national shift table
    ],
)
def test_a_message_to_a_port_is_recognised(udh: str, to_port: bool) -> None:
    assert split_udh(delivered(bytes.fromhex(udh) + b"3#1")).to_port is to_port


@pytest.mark.parametrize(
    "payload",
    [
        b"3#1",
        UCS2,
        "иә".encode("utf-16-be"),
        b"",
        b"\x00",
        b"\x01\x00",
        b"\x05\x00\x03\xc8\x03",
        b"\x05\x00\x0f\1\2\3",
    ],
)
def test_a_udh_with_wrong_lengths_is_text(payload: bytes) -> None:
    assert split_udh(delivered(payload)) == UserData(payload)


def test_a_udh_with_a_wrong_length_stays_in_the_text_and_its_elements_before_hold() -> None:
    port = bytes.fromhex("080504000100020005") + b"3#1"
    assert split_udh(delivered(port)) == UserData(port, to_port=True)
    segment = bytes.fromhex("070003C803020005") + b"3#1"
    assert split_udh(delivered(segment)) == UserData(segment, of(0xC8, 3, 2))


def test_a_segment_by_sar_without_a_reference_is_stray() -> None:
    sar = {"sar_total_segments": 2, "sar_segment_seqnum": 1}
    assert split_udh(delivered(b"3#1", esm_class=0, **sar)) == UserData(b"3#1", is_stray=True)


def test_without_udhi_nothing_is_removed() -> None:
    payload = bytes.fromhex("050003C80302") + b"3#1"
    assert split_udh(delivered(payload, esm_class=0)) == UserData(payload)


def test_sar_tlvs_have_the_position_of_the_segment() -> None:
    sar = {"sar_msg_ref_num": 0xA1C8, "sar_total_segments": 2, "sar_segment_seqnum": 1}
    assert split_udh(delivered(b"3#1", esm_class=0, **sar)) == UserData(b"3#1", of(0xA1C8, 2, 1, 16))
    assert split_udh(delivered(b"3#1", esm_class=0, **sar | {"sar_segment_seqnum": 3})) == UserData(b"3#1")
    assert split_udh(delivered(b"3#1", esm_class=0, sar_msg_ref_num=5)) == UserData(b"3#1")


@given(st.binary(max_size=160), st.integers(0, 255))
def test_any_user_data_is_split_from_its_udh_or_unchanged(payload: bytes, esm_class: int) -> None:
    octets, concatenation, *_ = split_udh(delivered(payload, esm_class))
    assert payload.endswith(octets)
    if concatenation is not None:
        assert 1 <= concatenation.number <= concatenation.total
