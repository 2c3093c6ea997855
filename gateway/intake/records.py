"""One line of a recipient list: validated field by field, with the place of every fault, and ready to be stored.

A null is the same as a missing field. Names are normalised to NFC; nothing else is changed or corrected. A fault
of a record is returned, never raised.
"""

import re
import unicodedata
from collections.abc import Mapping
from itertools import islice, takewhile
from typing import Any, NamedTuple

import orjson

from gateway.consent.identity import iin_fault
from gateway.intake.duplicate_keys import duplicate_keys
from gateway.intake.fields import MAX_ID_LENGTH, Code, escaped, is_reportable, text_fault, unknown_fields
from gateway.intake.names import INVISIBLE_OCTETS, has_invisible, is_name

MAX_NAME_LENGTH = 60
MAX_RAW_NAME_LENGTH = 4 * MAX_NAME_LENGTH
"""The longest name before NFC, which may make one character of a letter and its marks."""
MAX_FAULTS = 100
"""The number of faults reported of one record; beyond it, its validation stops."""

_CATEGORIES = (1, 2, 3)
_LANGUAGES = ("kk", "ru")

_BIN = re.compile(r"[0-9]{12}")

_RECORD = frozenset(
    ("record_id", "category", "language", "pupil", "school", "mother", "father", "representatives")
)
_PERSON = frozenset(("iin", "surname", "given_name", "patronymic"))
_SCHOOL = frozenset(("bin", "name"))
_OBJECTS = ("pupil", "school", "mother", "father")
_NAMES = frozenset(("surname", "given_name", "patronymic", "name"))
_COUNTED_OCTETS = b":\\" + INVISIBLE_OCTETS
"""A key has a colon; an invisible character is an escape sequence, or begins with one of the others."""


class Fault(NamedTuple):
    """A JSON pointer (RFC 6901) and a Code; the empty pointer is the record as a whole."""

    pointer: str
    code: str


class Record(NamedTuple):
    """A valid record. `content` is JSON: pupil, school, and the recipients in the order of asking."""

    record_id: str
    category: int
    language: str
    pupil_iin: str
    content: bytes


class Rejected(NamedTuple):
    """An invalid record: at least one fault; `record_id` is None when it has no usable one."""

    record_id: str | None
    faults: list[Fault]


def read_record(line: bytes) -> Record | Rejected:
    """The record on a line, or its faults."""
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError:  # or not UTF-8, a lone surrogate, nesting without end
        return Rejected(None, [Fault("", Code.JSON)])
    if type(given) is not dict:
        return Rejected(None, [Fault("", Code.JSON)])
    faults: list[Fault] = []
    record_id = _record_id(given.get("record_id"), faults)
    category = _category(given.get("category"), faults)
    language = _language(given.get("language"), faults)
    pupil = _pupil(given.get("pupil"), faults)
    school = _school(given.get("school"), faults)
    recipients = _recipients(given, faults)
    if not _RECORD.issuperset(given):
        _note_unknown(given, _RECORD, "", faults)
    if faults or not _is_plain(line, given):
        _note_invisible(given, faults)
        _note_duplicates(line, faults)
    if faults or record_id is None:
        return Rejected(record_id, faults[:MAX_FAULTS])
    content = orjson.dumps({"pupil": pupil, "school": school, "recipients": recipients})
    return Record(record_id, category, language, pupil["iin"], content)


def _record_id(value: Any, faults: list[Fault]) -> str | None:
    if (code := text_fault(value, MAX_ID_LENGTH)) is not None:
        faults.append(Fault("/record_id", code))
        return None
    return str(value)


def _category(value: object, faults: list[Fault]) -> int:
    if type(value) is not int:  # a boolean is no integer here
        faults.append(Fault("/category", Code.REQUIRED if value is None else Code.TYPE))
    elif value not in _CATEGORIES:
        faults.append(Fault("/category", Code.RANGE))
    else:
        return value
    return 0


def _language(value: object, faults: list[Fault]) -> str:
    if value is None:
        return "kk"
    if type(value) is not str:
        faults.append(Fault("/language", Code.TYPE))
    elif value not in _LANGUAGES:
        faults.append(Fault("/language", Code.RANGE))
    else:
        return value
    return ""


def _pupil(value: object, faults: list[Fault]) -> dict[str, Any]:
    pupil: dict[str, Any] = {}
    if value is None:
        faults.append(Fault("/pupil", Code.REQUIRED))
    else:
        _read_person(value, pupil, "/pupil", faults)
    return pupil


def _recipients(given: Mapping[str, Any], faults: list[Fault]) -> list[dict[str, Any]]:
    """Mother, father, then the other representatives in the order given (order A1 §9)."""
    recipients: list[dict[str, Any]] = []
    for relation in ("mother", "father"):
        if (value := given.get(relation)) is not None:
            recipient: dict[str, Any] = {"relation": relation}
            _read_person(value, recipient, f"/{relation}", faults)
            recipients.append(recipient)
    others = given.get("representatives")
    if type(others) is list:
        for i, value in enumerate(others):
            if len(faults) > MAX_FAULTS:
                break
            recipient = {"relation": "representative"}
            _read_person(value, recipient, f"/representatives/{i}", faults)
            recipients.append(recipient)
    elif others is not None:
        faults.append(Fault("/representatives", Code.TYPE))
        return recipients
    if not recipients:
        faults.append(Fault("", Code.NO_RECIPIENT))
    return recipients


def _read_person(value: object, person: dict[str, Any], at: str, faults: list[Fault]) -> None:
    """Puts the person's fields into `person`."""
    if type(value) is not dict:
        faults.append(Fault(at, Code.TYPE))
        return
    iin = value.get("iin")
    if type(iin) is not str:
        faults.append(Fault(f"{at}/iin", Code.REQUIRED if iin is None else Code.TYPE))
    elif (fault := iin_fault(iin)) is not None:
        faults.append(Fault(f"{at}/iin", fault))
    person["iin"] = iin
    person["surname"] = _name(value.get("surname"), at, "surname", faults)
    person["given_name"] = _name(value.get("given_name"), at, "given_name", faults)
    patronymic = value.get("patronymic")
    person["patronymic"] = None if patronymic is None else _name(patronymic, at, "patronymic", faults)
    if not _PERSON.issuperset(value):
        _note_unknown(value, _PERSON, at, faults)


def _school(value: object, faults: list[Fault]) -> dict[str, Any] | None:
    if value is None:
        return None
    if type(value) is not dict:
        faults.append(Fault("/school", Code.TYPE))
        return None
    number = value.get("bin")
    if type(number) is not str:
        faults.append(Fault("/school/bin", Code.REQUIRED if number is None else Code.TYPE))
    elif not _BIN.fullmatch(number):
        faults.append(Fault("/school/bin", Code.FORMAT))
    name = _name(value.get("name"), "/school", "name", faults, is_person=False)
    if not _SCHOOL.issuperset(value):
        _note_unknown(value, _SCHOOL, "/school", faults)
    return {"bin": number, "name": name}


def _name(value: object, at: str, field: str, faults: list[Fault], *, is_person: bool = True) -> str:
    """The name in NFC. That of a person has a letter; that of a school a letter or a digit."""
    if type(value) is not str:
        faults.append(Fault(f"{at}/{field}", Code.REQUIRED if value is None else Code.TYPE))
        return ""
    if len(value) > MAX_RAW_NAME_LENGTH:  # normalising takes time: it is not even tried
        faults.append(Fault(f"{at}/{field}", Code.LENGTH))
        return ""
    name = value if unicodedata.is_normalized("NFC", value) else unicodedata.normalize("NFC", value)
    if not 0 < len(name) <= MAX_NAME_LENGTH:
        faults.append(Fault(f"{at}/{field}", Code.LENGTH))
    elif not name.isalpha() and not is_name(name, is_person):
        faults.append(Fault(f"{at}/{field}", Code.FORMAT))
    return name


def _is_plain(line: bytes, given: Mapping[str, Any]) -> bool:
    """Whether the line of a record without faults certainly has no key twice and no invisible character: cheap.

    It then has as many of _COUNTED_OCTETS as keys: their colons.
    """
    keys = len(given)
    for field in _OBJECTS:
        if value := given.get(field):
            keys += len(value)
    for value in given.get("representatives") or ():
        keys += len(value)
    return len(line) - len(line.translate(None, _COUNTED_OCTETS)) == keys


def _note_invisible(given: Mapping[str, Any], faults: list[Fault]) -> None:
    """Notes names with an invisible character that have no such fault yet; with MAX_FAULTS it stops."""
    objects = {f"/{field}": given[field] for field in _RECORD & given.keys()}
    others = given.get("representatives")
    if type(others) is list:
        objects |= {f"/representatives/{i}": value for i, value in enumerate(others)}
    for at, value in objects.items():
        if len(faults) > MAX_FAULTS:
            break
        if type(value) is not dict:
            continue
        for field in _NAMES & value.keys():
            fault = Fault(f"{at}/{field}", Code.FORMAT)
            if type(value[field]) is str and has_invisible(value[field]) and fault not in faults:
                faults.append(fault)


def _note_unknown(value: Mapping[str, Any], known: frozenset[str], at: str, faults: list[Fault]) -> None:
    pointers = islice(unknown_fields(value, known, at), MAX_FAULTS)
    faults.extend(Fault(pointer, Code.UNKNOWN_FIELD) for pointer in pointers)


def _note_duplicates(line: bytes, faults: list[Fault]) -> None:
    """Notes duplicate keys, each place once; the pointer ends before a key that cannot be stored."""
    paths = duplicate_keys(line, MAX_FAULTS)
    pointers = ("".join(f"/{escaped(key)}" for key in takewhile(is_reportable, path)) for path in paths)
    faults.extend(Fault(pointer, Code.DUPLICATE_KEY) for pointer in islice(dict.fromkeys(pointers), MAX_FAULTS))
