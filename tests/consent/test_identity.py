"""IINs, MSISDNs and their masks, with the test vectors of the rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consent.identity import IinFault, canonical_msisdn, iin_fault, mask_iin, mask_msisdn

FIRST_PASS = ["870312497005", "841130397007", "120915597004", "131106697007", "870312497500"]
SECOND_PASS = ["870312497605", "841130397811", "120915597511", "061211600012"]
WRONG_DIGIT = ["870312497006", "123456789012"]


@pytest.mark.parametrize("iin", FIRST_PASS + SECOND_PASS)
def test_valid_iin_has_no_fault(iin: str) -> None:
    assert iin_fault(iin) is None


@pytest.mark.parametrize("iin", WRONG_DIGIT)
def test_wrong_check_digit_is_a_checksum_fault(iin: str) -> None:
    assert iin_fault(iin) is IinFault.CHECKSUM


@pytest.mark.parametrize("last", "0123456789")
def test_an_iin_with_control_sum_10_in_both_passes_is_invalid_with_every_check_digit(last: str) -> None:
    assert iin_fault("87031249768" + last) is IinFault.CHECKSUM


def test_an_iin_of_zeros_is_a_checksum_fault() -> None:
    assert iin_fault("000000000000") is IinFault.CHECKSUM


@pytest.mark.parametrize("iin", ["", "8", "87031249700", "8703124970050", " 870312497005"])
def test_iin_of_another_length_is_a_length_fault(iin: str) -> None:
    assert iin_fault(iin) is IinFault.LENGTH


@pytest.mark.parametrize(
    "iin", ["87031249700X", "8703 1249700", "-70312497005", "٨٧٠٣١٢٤٩٧٠٠٥", "８70312497005", "87031249700²"]
)
def test_an_iin_with_other_than_ascii_digits_is_a_digits_fault(iin: str) -> None:
    assert iin_fault(iin) is IinFault.DIGITS


def valid_by_control_sums(iin: str) -> bool:
    digits = [int(digit) for digit in iin]
    for weights in (range(1, 12), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)):
        control = sum(digit * weight for digit, weight in zip(digits[:11], weights, strict=True)) % 11
        if control < 10:
            return control == digits[11] and any(digits)
    return False


@given(st.from_regex(r"[0-9]{12}", fullmatch=True))
def test_iin_fault_agrees_with_the_published_control_sums(iin: str) -> None:
    assert (iin_fault(iin) is None) == valid_by_control_sums(iin)


@given(st.text())
def test_no_text_makes_iin_fault_or_canonical_msisdn_raise(text: str) -> None:
    assert iin_fault(text) is IinFault.LENGTH or len(text) == 12
    assert canonical_msisdn(text) is None or any("0" <= character <= "9" for character in text)


@pytest.mark.parametrize(
    "raw",
    [
        "87011234567",
        "+77011234567",
        "77011234567",
        "7011234567",
        "8 (701) 123-45-67",
        "8-10-7-701-1234567",
        "0077011234567",
        "+7 701 123 45 67",
        "+7\u00a0(701)\u202f123\u201145\u201167",
    ],
)
def test_every_spelling_of_a_kazakh_mobile_number_is_one_msisdn(raw: str) -> None:
    assert canonical_msisdn(raw) == "77011234567"


@pytest.mark.parametrize(
    "prefix",
    "700 701 702 705 706 707 708 747 760 761 762 763 764 771 775 776 777 778 785".split(),  # noqa: SIM905
)
def test_every_kazakh_mobile_prefix_is_accepted(prefix: str) -> None:
    assert canonical_msisdn(f"8{prefix}0000000") == f"7{prefix}0000000"


@pytest.mark.parametrize("prefix", ["703", "704", "709", "746", "748", "765", "770", "772", "774", "779", "786"])
def test_an_unassigned_mobile_prefix_is_rejected(prefix: str) -> None:
    assert canonical_msisdn(f"7{prefix}1234567") is None


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "+",
        "1414",
        "+79161234567",  # Russian mobile
        "87172123456",  # Astana landline
        "7701123456",
        "770112345678",
        "+997011234567",
        "810",
        "00",
        "８7011234567",
        "8٠7011234567",
        "7701123456٧7",  # without its foreign digit it would be another number
        "A7011234567",  # an alphanumeric sender, or any other word with a number in it
        "7701123456O7",
        "+7701+1234567",
        "77011234567\x00",
        "7701" + " " * 40 + "1234567",  # longer than anybody writes a number
    ],
)
def test_a_text_that_is_not_a_kazakh_mobile_number_is_rejected(raw: str) -> None:
    assert canonical_msisdn(raw) is None


@given(st.from_regex(r"77(?:0[0-25-8]|47|6[0-4]|7[15-8]|85)[0-9]{7}", fullmatch=True))
def test_a_canonical_msisdn_is_unchanged(msisdn: str) -> None:
    assert canonical_msisdn(msisdn) == msisdn


def test_masked_iin_keeps_four_and_two_digits() -> None:
    assert mask_iin("870312497005") == "8703••••••05"


@pytest.mark.parametrize("msisdn", ["77011234567", "+77011234567"])
def test_masked_msisdn_keeps_the_prefix_and_two_digits(msisdn: str) -> None:
    assert mask_msisdn(msisdn) == "+7701•••••67"


@pytest.mark.parametrize("text", ["", "8703", "8703124970", "87031249700500"])
def test_the_mask_of_any_other_text_has_no_digits(text: str) -> None:
    assert mask_iin(text) == "•" * len(text)
    assert mask_msisdn(text) == "•" * len(text)
