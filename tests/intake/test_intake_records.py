"""One line of a list: valid records, and every fault of invalid ones."""

import json
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.duplicate_keys import duplicate_keys
from gateway.intake.records import MAX_FAULTS, Record, Rejected, read_record
from tests.record_factories import FATHER, MOTHER, PUPILS, good, person

PUPIL = PUPILS[0]
IINS = {"digits": "87031249700x", "length": "8703124970", "checksum": "870312497006"}


def read(given: object) -> Record | Rejected:
    return read_record(given if isinstance(given, bytes) else orjson.dumps(given))


def faults(given: object) -> list[tuple[str, str]]:
    refusal = read(given)
    assert isinstance(refusal, Rejected)
    return [(pointer, str(code)) for pointer, code in refusal.faults]


def content(given: object) -> Any:
    accepted = read(given)
    assert isinstance(accepted, Record), accepted
    return orjson.loads(accepted.content)


def test_a_valid_record_keeps_the_fields_that_the_journey_needs() -> None:
    accepted = read(good())
    assert isinstance(accepted, Record)
    assert accepted[:4] == ("r-1", 1, "kk", PUPIL)
    kept = orjson.loads(accepted.content)
    assert kept["pupil"] == person(PUPIL, 1)
    assert kept["school"] == {"bin": "990240001234", "name": "№ 12 мектеп"}
    assert kept["recipients"] == [{"relation": "mother", **person(MOTHER, 2, "ова")}]


def test_recipients_are_kept_in_the_order_of_asking() -> None:
    given = good(representatives=[person("120915597004"), person("870312497500")], father=person(FATHER))
    assert [(r["relation"], r["iin"]) for r in content(given)["recipients"]] == [
        ("mother", MOTHER),
        ("father", FATHER),
        ("representative", "120915597004"),
        ("representative", "870312497500"),
    ]


@pytest.mark.parametrize("left_out", ["language", "school", "father", "representatives"])
@pytest.mark.parametrize("as_null", [True, False])
def test_optional_fields_may_be_null_or_left_out(left_out: str, as_null: bool) -> None:
    changes: dict[str, Any] = {left_out: None}
    given = good(**changes)
    if not as_null:
        del given[left_out]
    assert isinstance(read(given), Record)


def test_a_record_without_a_language_is_kazakh() -> None:
    languages = [read(good(language=language)).language for language in (None, "kk", "ru")]  # type: ignore[union-attr]
    assert languages == ["kk", "kk", "ru"]


def test_a_patronymic_may_be_missing() -> None:
    pupil = person(PUPIL)
    del pupil["patronymic"]
    assert content(good(pupil=pupil))["pupil"]["patronymic"] is None


def test_names_of_a_record_are_stored_in_nfc() -> None:
    decomposed = unicodedata.normalize("NFD", "Ёлкин-Йошкин")
    assert len(decomposed) > len("Ёлкин-Йошкин")
    kept = content(good(pupil={**person(PUPIL), "surname": decomposed}))
    assert kept["pupil"]["surname"] == "Ёлкин-Йошкин"


def test_the_length_of_a_name_is_checked_after_nfc() -> None:
    assert isinstance(read(good(pupil={**person(PUPIL), "surname": "и\u0306" * 60})), Record)
    assert faults(good(pupil={**person(PUPIL), "surname": "и\u0306" * 61})) == [("/pupil/surname", "length")]


NAMES = [
    "Ахметов",
    "Әбілқайыр-Тоқтар",
    "Жан д'Арк",
    "О’Коннор",
    "Мұхаммед Әли ұлы",
    "Серік\u00a0ұлы",
    "Ә.",
    "Е\u0301лкин",
    "Сейітқали 2",
    "Müller",
    "Łukasz",
    "김",
    "Ұ",
    "Ахметов (Ахмет)",
    "Ахмет ʼ",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_with_a_letter_and_visible_characters_is_kept(name: str) -> None:
    kept = content(good(pupil={**person(PUPIL), "surname": name}, mother={**person(MOTHER), "patronymic": name}))
    assert (kept["pupil"]["surname"], kept["recipients"][0]["patronymic"]) == (name, name)


UNUSABLE_NAMES = {
    "zero width space": "\u200b",
    "filler": "\u3164",
    "override": "\u202e",
    "hyphen": "-",
    "dash": "\u2014",
    "digits": "12",
    "question marks": "??????",
    "number sign": "№",
    "combining mark alone": "\u0301",
    "zero width space in a name": "Ахме\u200bтов",
    "override in a name": "Ахмет\u202eов",
    "isolate in a name": "\u2067Ахметов",
    "Arabic letter mark": "Ахметов\u061c",
    "soft hyphen": "Ах\u00adметов",
    "byte order mark": "\ufeffАхметов",
    "filler in a name": "Ахмет\u3164ов",
    "halfwidth filler": "Ахметов\uffa0",
    "Hangul fillers": "\u115f\u1160",
    "combining grapheme joiner": "Ахмет\u034fов",
    "variation selector": "Ахметов\ufe0f",
    "braille blank": "\u2800",
    "tag": "Ахметов\U000e0041",
    "private use": "Ахметов\U000f0000",
}


@pytest.mark.parametrize("name", UNUSABLE_NAMES.values(), ids=UNUSABLE_NAMES)
@pytest.mark.parametrize("field", ["surname", "given_name", "patronymic"])
def test_a_name_without_a_letter_or_with_an_invisible_character_is_rejected(field: str, name: str) -> None:
    assert faults(good(pupil={**person(PUPIL), field: name})) == [(f"/pupil/{field}", "format")]
    assert faults(good(representatives=[{**person(FATHER), field: name}])) == [
        (f"/representatives/0/{field}", "format")
    ]


@pytest.mark.parametrize(("name", "accepted"), [("№ 12", True), ("12", True), ("-", False), ("№ 12\u202e", False)])
def test_the_name_of_a_school_may_be_a_number(name: str, accepted: bool) -> None:
    given = good(school={"bin": "990240001234", "name": name})
    assert isinstance(read(given), Record) if accepted else faults(given) == [("/school/name", "format")]


PUPIL_FAULTS = [
    ({"iin": None}, "/pupil/iin", "required"),
    ({"iin": 131106697007}, "/pupil/iin", "type"),
    ({"iin": IINS["length"]}, "/pupil/iin", "iin_length"),
    ({"iin": IINS["digits"]}, "/pupil/iin", "iin_digits"),
    ({"iin": IINS["checksum"]}, "/pupil/iin", "iin_checksum"),
    ({"iin": "000000000000"}, "/pupil/iin", "iin_checksum"),
    ({"iin": "１３１１０６６９７００７"}, "/pupil/iin", "iin_digits"),
    ({"surname": None}, "/pupil/surname", "required"),
    ({"surname": ""}, "/pupil/surname", "length"),
    ({"surname": "А" * 61}, "/pupil/surname", "length"),
    ({"surname": "Ахметов\n"}, "/pupil/surname", "format"),
    ({"surname": "Ахме\x00тов"}, "/pupil/surname", "format"),
    ({"surname": "Ахме\u2028тов"}, "/pupil/surname", "format"),
    ({"surname": " \u00a0"}, "/pupil/surname", "format"),
    ({"given_name": ["Нұрлан"]}, "/pupil/given_name", "type"),
    ({"given_name": True}, "/pupil/given_name", "type"),
    ({"patronymic": ""}, "/pupil/patronymic", "length"),
    ({"patronymic": 1}, "/pupil/patronymic", "type"),
    ({"phone": "77011234567"}, "/pupil/phone", "unknown_field"),
]


@pytest.mark.parametrize(("change", "pointer", "code"), PUPIL_FAULTS)
def test_an_invalid_person_is_rejected_with_its_json_pointer(
    change: dict[str, Any], pointer: str, code: str
) -> None:
    assert faults(good(pupil={**person(PUPIL), **change})) == [(pointer, code)]


RECORD_FAULTS = [
    ({"record_id": None}, "/record_id", "required"),
    ({"record_id": 7}, "/record_id", "type"),
    ({"record_id": ""}, "/record_id", "length"),
    ({"record_id": "r" * 65}, "/record_id", "length"),
    ({"record_id": "r\x00"}, "/record_id", "format"),
    ({"record_id": "r\t1"}, "/record_id", "format"),
    ({"category": None}, "/category", "required"),
    ({"category": True}, "/category", "type"),
    ({"category": 1.0}, "/category", "type"),
    ({"category": "1"}, "/category", "type"),
    ({"category": 0}, "/category", "range"),
    ({"category": 4}, "/category", "range"),
    ({"category": 1 << 63}, "/category", "range"),
    ({"language": "en"}, "/language", "range"),
    ({"language": 1}, "/language", "type"),
    ({"pupil": None}, "/pupil", "required"),
    ({"pupil": PUPIL}, "/pupil", "type"),
    ({"school": "№ 12"}, "/school", "type"),
    ({"school": {"name": "№ 12"}}, "/school/bin", "required"),
    ({"school": {"bin": "99024000123", "name": "№ 12"}}, "/school/bin", "format"),
    ({"school": {"bin": "99024000123x", "name": "№ 12"}}, "/school/bin", "format"),
    ({"school": {"bin": 990240001234, "name": "№ 12"}}, "/school/bin", "type"),
    ({"school": {"bin": "990240001234"}}, "/school/name", "required"),
    ({"school": {"bin": "990240001234", "name": "№ 12", "city": "Алматы"}}, "/school/city", "unknown_field"),
    ({"mother": None}, "", "no_recipient"),
    ({"mother": []}, "/mother", "type"),
    ({"father": "Ахметов"}, "/father", "type"),
    ({"representatives": {}}, "/representatives", "type"),
    ({"representatives": [None]}, "/representatives/0", "type"),
    ({"representatives": [person(FATHER), {**person(MOTHER), "iin": IINS["checksum"]}]}, "/representatives/1/iin",
     "iin_checksum"),
    ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    ({"": 1}, "/", "unknown_field"),
    ({"\x00": 1}, "", "unknown_field"),
    ({"x" * 65: 1}, "", "unknown_field"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "pointer", "code"), RECORD_FAULTS)
def test_an_invalid_field_is_rejected_with_its_json_pointer(
    change: dict[str, Any], pointer: str, code: str
) -> None:
    assert faults(good(**change)) == [(pointer, code)]


NOT_OBJECTS = [
    b"{",
    b"null",
    b"[]",
    b'"r-1"',
    b"NaN",
    b"{}{}",
    b"{'record_id': 1}",
    b"\xff\xfe",
    b'{"record_id": "\xed\xa0\x80"}',
    b'{"record_id": "\\ud800"}',
    b"[" * 50_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
]


@pytest.mark.parametrize("line", NOT_OBJECTS)
def test_a_line_that_is_not_a_json_object_is_one_fault(line: bytes) -> None:
    assert read(line) == Rejected(None, [("", "json")])  # type: ignore[list-item]


def line_with(*pairs: str, **more: Any) -> bytes:
    """A valid record with these members, as they are written, before its own."""
    return b"{" + "".join(f"{pair}, " for pair in pairs).encode() + orjson.dumps(good(**more))[1:]


MOTHER_TWICE = orjson.dumps(person(FATHER)).decode()
DUPLICATES = {
    "mother": (line_with(f'"mother": {MOTHER_TWICE}'), ["/mother"]),
    "mother and null": (line_with('"mother": null'), ["/mother"]),
    "the same value": (line_with('"category": 1'), ["/category"]),
    "spaces before the colon": (line_with('"category" \t : 1'), ["/category"]),
    "an escaped key": (line_with('"c\\u0061tegory": 1'), ["/category"]),
    "three times": (line_with('"category": 1', '"category": 1'), ["/category"]),
    "two keys": (line_with('"category": 1', '"language": "kk"'), ["/category", "/language"]),
    "a field of a person": (
        orjson.dumps(good()).replace(b'{"iin":', b'{"iin": "870312497005", "iin":', 1),
        ["/pupil/iin"],
    ),
    "a field of a representative": (
        orjson.dumps(good(representatives=[person(FATHER), person(MOTHER)])).replace(
            b'},{"iin":', b'},{"surname": "\xd0\x90:\xd0\x91", "iin":'
        ),
        ["/representatives/1/surname"],
    ),
    "a field of a school": (
        orjson.dumps(good()).replace(b'{"bin":', b'{"name": "1:2 \\" {[,", "bin":'), ["/school/name"]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "pointers"), DUPLICATES.values(), ids=DUPLICATES)
def test_a_key_that_occurs_twice_in_an_object_is_a_fault(line: bytes, pointers: list[str]) -> None:
    assert faults(line) == [(pointer, "duplicate_key") for pointer in pointers]


def test_a_key_that_occurs_twice_in_an_unknown_field_is_reported_within_three_levels() -> None:
    line = line_with('"x": {"y": [0, {"z": {"deep": 1, "deep": 2}}]}')
    assert faults(line) == [("/x", "unknown_field"), ("/x/y/1", "duplicate_key")]


def test_a_repeated_key_that_cannot_be_stored_is_reported_at_its_object() -> None:
    line = line_with(*[f'"{"k" * 65}": 1'] * 2, '"\\u0000": 1', '"\\u0000": 2')
    assert faults(line) == [("", "unknown_field"), ("", "duplicate_key")]


def test_one_key_in_several_objects_is_no_duplicate() -> None:
    assert isinstance(read(good(father=person(FATHER), representatives=[person("120915597004")] * 2)), Record)


def test_a_colon_in_a_text_is_no_key() -> None:
    given = good(record_id="a:b", school={"bin": "990240001234", "name": 'КГУ: "№ 12": {мектеп}, [\\]'})
    assert isinstance(read(given), Record)


def test_a_record_of_duplicate_keys_alone_is_read_in_bounded_steps() -> None:
    assert ("/a", "duplicate_key") in faults(b"{" + b",".join([b'"a":1'] * 10_000) + b"}")
    deep = b'{"a":1,"a":' * 500 + b"1" + b"}" * 500
    assert ("/a/a/a", "duplicate_key") in faults(deep)


def test_every_fault_of_a_record_is_reported() -> None:
    given = good(category=9, pupil={**person(PUPIL), "iin": "1", "surname": ""}, colour="red")
    assert faults(given) == [
        ("/category", "range"),
        ("/pupil/iin", "iin_length"),
        ("/pupil/surname", "length"),
        ("/colour", "unknown_field"),
    ]


def test_at_most_max_faults_of_a_record_are_reported() -> None:
    assert len(faults({f"field{i}": i for i in range(3000)})) == MAX_FAULTS
    assert len(faults(good(representatives=[0] * 3000))) == MAX_FAULTS


def test_a_rejected_record_keeps_a_valid_record_id() -> None:
    assert read(good(category=0)).record_id == "r-1"
    assert read(good(record_id="x" * 65)).record_id is None


def test_an_empty_object_has_a_fault_for_every_required_field() -> None:
    assert faults({}) == [
        ("/record_id", "required"),
        ("/category", "required"),
        ("/pupil", "required"),
        ("", "no_recipient"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_rejected_without_an_exception(line: bytes) -> None:
    assert isinstance(read_record(line), Rejected)


@pytest.mark.no_cover  # tracing adds half its time, and other tests cover the same lines
@given(
    st.recursive(st.integers(), lambda inner: st.lists(inner) | st.lists(st.tuples(st.text(max_size=2), inner)))
)
def test_duplicate_keys_are_those_that_another_parser_finds(value: Any) -> None:
    line = _written(value).encode()
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        found.extend(key for position, key in enumerate(keys) if key in keys[:position])

    json.loads(line, object_pairs_hook=note)
    assert len(duplicate_keys(line)) == len(found)


@given(st.sampled_from([*good(), "patronymic", "x"]), JSON)
def test_any_value_in_any_field_is_accepted_or_rejected_without_an_exception(field: str, value: Any) -> None:
    line = (
        orjson.dumps(good(**{field: value}), option=orjson.OPT_NON_STR_KEYS, default=str) if _fits(value) else b""
    )
    outcome = read_record(line)
    if isinstance(outcome, Record):
        assert b"\x00" not in outcome.content
    else:
        assert outcome.faults


def _written(value: Any) -> str:
    """JSON; a list of pairs is an object, whose keys may occur more than once."""
    match value:
        case [(str(), _), *_]:
            return "{" + " , ".join(f"{json.dumps(key)} : {_written(inner)}" for key, inner in value) + "}"
        case list():
            return "[" + ",".join(_written(inner) for inner in value) + "]"
    return json.dumps(value)


def _fits(value: Any) -> bool:
    """Whether orjson writes it: it knows integers of 64 bits."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
