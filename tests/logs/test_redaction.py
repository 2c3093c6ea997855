"""Redaction of log values: personal data and secrets are masked, other values are not."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ids import new_ulid
from gateway.logs.redaction import MASK, masked, masked_message, masked_text, without_numbers

IIN = "870312497005"
MASKED_IIN = "8703••••••05"
MASKED_MSISDN = "+7701•••••67"

NOT_DIGITS = st.text(st.characters(codec="utf-8", exclude_categories=["Nd"]), max_size=12)
MSISDNS = st.builds(
    lambda prefix, rest: f"7{prefix}{rest:07}",
    st.sampled_from(
        [
            "700",
            "701",
            "702",
            "703",
            "704",
            "705",
            "706",
            "707",
            "708",
            "747",
            "760",
            "761",
            "762",
            "763",
            "764",
            "771",
            "775",
            "776",
            "777",
            "778",
            "785",
        ]
    ).filter(lambda prefix: prefix not in {"703", "704"}),  # of no operator
    st.integers(0, 9_999_999),
)


@pytest.mark.parametrize(
    "text",
    [
        IIN,
        f"pupil_iin={IIN}",
        f"Key (pupil_iin)=({IIN}) already exists.",
        f"iin{IIN}x",
        f"/v1/people/{IIN}?x=1",
        f"b'\\x00{IIN}'",
        f'{{"iin":"{IIN}"}}',
    ],
)
def test_an_iin_is_masked_in_any_context(text: str) -> None:
    assert masked_text(text) == text.replace(IIN, MASKED_IIN)


@pytest.mark.parametrize(
    "written",
    [
        "87011234567",
        "+77011234567",
        "77011234567",
        "7011234567",
        "8 (701) 123-45-67",
        "+7 701 123 45 67",
        "8-10-7-701-1234567",
        "810 77011234567",
        "0077011234567",
    ],
)
@pytest.mark.parametrize("around", ["{}", "to {} failed", "tel:{}", "({})", "x{}y", "'{}'", "%2B{}", "1414 {}, 3"])
def test_an_msisdn_is_masked_in_every_spelling(written: str, around: str) -> None:
    assert masked_text(around.format(written)) == around.format(MASKED_MSISDN)


@given(NOT_DIGITS, st.from_regex(r"[0-9]{12}", fullmatch=True), NOT_DIGITS)
def test_12_digits_are_masked_between_any_characters(before: str, iin: str, after: str) -> None:
    assert iin not in masked_text(f"{before}{iin}{after}")


@given(NOT_DIGITS, MSISDNS, NOT_DIGITS)
def test_an_msisdn_is_masked_between_any_characters(before: str, msisdn: str, after: str) -> None:
    shown = masked_text(f"{before}{msisdn}{after}")
    assert msisdn not in shown
    assert msisdn[1:] not in shown


@given(
    st.recursive(
        st.sampled_from([IIN, int(IIN), "+77011234567", 77011234567, "Ахметова Айгүл"]),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", IIN, "detail"]), inner, max_size=3)
        ),
    )
)
def test_personal_data_is_masked_at_any_depth(value: object) -> None:
    shown = repr(masked(value))
    assert IIN not in shown
    assert "7011234567" not in shown
    assert "Ахметова" not in shown


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)))  # noqa: DTZ001
def test_an_instant_is_not_masked(at: datetime) -> None:
    assert masked(at) == at.isoformat()
    assert masked_text(at.isoformat(timespec="milliseconds")) == at.isoformat(timespec="milliseconds")


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1)))  # noqa: DTZ001
def test_a_ulid_is_not_masked(at: datetime) -> None:
    ulid = new_ulid(at)
    assert masked(ulid) == ulid
    assert masked_text(f"case {ulid} of r-000001") == f"case {ulid} of r-000001"


@given(st.integers(-10_000_000, 6_999_999_999) | st.booleans() | st.floats(allow_nan=False) | st.none())
def test_small_numbers_are_not_masked(value: object) -> None:
    assert masked(value) == value


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22-a",
        "r-000001",
        "sha256:" + "870312497005abcdef" * 3 + "0123456789",
        "01KAN0870312497005ABCDEFGH",
        "127.0.0.1:9101",
        "kcell",
        "1763797503512",
        "ESME_RTHROTTLED 0x58",
        "postgresql:///gateway?host=/run/gateway",
    ],
)
def test_a_text_without_personal_data_is_not_masked(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "surname", "given_name", "Patronymic", "name", "text", "body", "password", "token", "signing_secret",
        "authorization", "Authorization", "short_message", "octets", "pupil", "mother",
    ],
)  # fmt: skip
def test_the_value_of_a_private_key_is_masked(key: str) -> None:
    assert masked({key: "Akhmetova", "a": [{key: {"deep": 1}}]}) == {key: MASK, "a": [{key: MASK}]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such person: Ахметова Айгүл Серікқызы", f"no such person: {MASK}"),
        ("KeyError: 'Әсел'", f"KeyError: '{MASK}'"),
        ("postgresql://gateway:hunter2@db/gateway", f"postgresql://{MASK}@db/gateway"),
        ("Authorization: Bearer abc.def", f"Authorization: {MASK}"),
        ("whsec_c2VjcmV0", MASK),
        ("bad row\nDETAIL:  Failing row contains (1, Akhmetova)", f"bad row\nDETAIL:{MASK}"),
        ("invalid input for query argument $1: 'Akhmetova' (x)", f"invalid input for query argument {MASK}"),
    ],
)
def test_cyrillic_words_and_credentials_in_a_text_are_masked(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("could not convert string to float: 'Akhmetova'", f"could not convert string to float: '{MASK}'"),
        (
            'invalid input syntax for type json: "{\\"a\\": 1}" (x)',
            f'invalid input syntax for type json: "{MASK}"',
        ),
        ("Invalid status line:\n\n  b'Akhmetova'", f"Invalid status line:\n\n  b'{MASK}'"),
        ('a row cut off: (1, "Akhmet...', f'a row cut off: (1, "{MASK}"'),
        ("it can't, says 'Akhmetova'", f"it can't, says '{MASK}'"),
        ("half an answer is out", "half an answer is out"),
    ],
)
def test_quoted_parts_of_exception_texts_are_masked(message: str, shown: str) -> None:
    assert masked_message(message) == shown
    assert masked(ValueError(message)) == f"ValueError: {shown}"


def test_an_os_error_keeps_its_path() -> None:
    error = FileNotFoundError(2, "No such file or directory", "/etc/gateway/authority.pem")
    assert str(masked(error)).endswith("No such file or directory: '/etc/gateway/authority.pem'")


@dataclass
class Person:
    surname: str


def test_an_object_is_logged_as_its_class() -> None:
    assert masked(Person("Akhmetova")) == "<Person>"
    assert masked(uuid.UUID(int=870312497005)) == "<UUID>"


def test_plain_values_are_converted_to_json_values() -> None:
    assert masked(b"3#1") == "<3 octets>"
    assert masked(timedelta(milliseconds=250)) == 0.25
    assert masked(Path("var/x")) == "var/x"
    assert masked((1, {2})) == [1, [2]]
    assert masked(1 << 70) == str(1 << 70)
    assert masked("\ud800 long enough") == "? long enough"
    assert masked(ValueError(f"{IIN} again")) == f"ValueError: {MASKED_IIN} again"


def test_a_list_that_contains_itself_is_masked_at_a_bounded_depth() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert MASK in repr(masked(loop))


def test_without_numbers_masks_only_iins_and_msisdns() -> None:
    text = f"Отказ: ИИН {IIN} есть у +7 701 123-45-67, case 01M82VGH46478RQAG5D65SFDDF"
    assert without_numbers(text) == (
        f"Отказ: ИИН {MASKED_IIN} есть у {MASKED_MSISDN}, case 01M82VGH46478RQAG5D65SFDDF"
    )
