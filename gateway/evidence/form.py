"""The form of a record of evidence: its fields, their alphabets and their longest lengths.

A record is read in one way only. What JSON leaves open is rejected: a key twice, a field that nobody reads,
another spelling of a number, an instant or hexadecimal digits.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NoReturn, TypeAlias

import orjson

from gateway.evidence.digests import FORMATS

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""The largest JSON of a record: a case with some ten thousand replies."""
MAX_OCTETS = 65_536
"""The longest octets of a reply: those of a message_payload (SMPP 3.4 §5.3.2.32)."""
MAX_TEXT = 65_536
"""Characters of a text, a template or a detail."""
MAX_WORD = 255
"""Characters of a name, an id or an address, whoever gave it."""
MAX_FAULTS = 100
"""The number of faults reported of a record: those after them follow from them, or are more of the same."""
MAX_INTEGER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the record that does not hold: where, as a JSON pointer, and why."""

    pointer: str
    reason: str


class UnreadableRecordError(Exception):
    """The octets are no JSON that can be read in one way only. The message is one line."""


def read_record(octets: bytes) -> object:
    """The value of the JSON; raises UnreadableRecordError. The time is linear in the octets."""
    if len(octets) > MAX_RECORD_BYTES:
        raise UnreadableRecordError(f"has more than {MAX_RECORD_BYTES:,} octets")
    try:
        orjson.loads(octets)  # strict: UTF-8, no NaN, no lone surrogates
        return json.loads(octets.decode(), object_pairs_hook=_object, parse_float=_no_fraction)
    except (ValueError, RecursionError):
        raise UnreadableRecordError("is not JSON") from None


def form_faults(record: object) -> list[Fault]:
    """The fields that are missing, unknown, of another type, too long, or not spelt as the gateway does."""
    return list(islice(_RECORD(record, ""), MAX_FAULTS))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise UnreadableRecordError(f"has the key {key[:MAX_WORD]!r} twice in one object")
    return found


def _no_fraction(number: str) -> NoReturn:
    raise UnreadableRecordError(f"has the number {number[:MAX_WORD]}, which is no integer")


_Check: TypeAlias = Callable[[object, str], Iterator[Fault]]
"""The faults of a value at a pointer."""


def _word(longest: int = MAX_WORD, pattern: str | None = None) -> _Check:
    """A string of at most so many characters, of a regular expression where one is given."""
    compiled = None if pattern is None else re.compile(pattern)

    def check(value: object, at: str) -> Iterator[Fault]:
        if type(value) is not str:
            yield Fault(at, "is no text")
        elif len(value) > longest:
            yield Fault(at, f"has more than {longest:,} characters")
        elif compiled is not None and not compiled.fullmatch(value):
            yield Fault(at, "is not spelt as the gateway does")

    return check


def _one_of(values: Collection[str]) -> _Check:
    def check(value: object, at: str) -> Iterator[Fault]:
        if type(value) is not str or value not in values:
            yield Fault(at, f"is not one of {', '.join(values)}")

    return check


def _integer(value: object, at: str) -> Iterator[Fault]:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        yield Fault(at, "is no integer from 0 to 2^63 - 1")


def _flag(value: object, at: str) -> Iterator[Fault]:
    if type(value) is not bool:
        yield Fault(at, "is neither true nor false")


def _or_null(check: _Check) -> _Check:
    def check_if_given(value: object, at: str) -> Iterator[Fault]:
        if value is not None:
            yield from check(value, at)

    return check_if_given


def _each(check: _Check) -> _Check:
    def check_all(value: object, at: str) -> Iterator[Fault]:
        if type(value) is not list:
            yield Fault(at, "is no array")
            return
        for n, item in enumerate(value):
            yield from check(item, f"{at}/{n}")

    return check_all


def _fields(checks: Mapping[str, _Check], optional: Collection[str] = ()) -> _Check:
    """An object of exactly these fields."""

    def check(value: object, at: str) -> Iterator[Fault]:
        if type(value) is not dict:
            yield Fault(at, "is no object")
            return
        for name, of_field in checks.items():
            if name in value:
                yield from of_field(value[name], f"{at}/{name}")
            elif name not in optional:
                yield Fault(f"{at}/{name}", "is missing")
        if unknown := value.keys() - checks.keys():
            yield Fault(at, f"has the unknown field {min(unknown)[:MAX_WORD]!r}")

    return check


_INSTANT = _word(32, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00")
_HASH = _word(64, r"[0-9a-f]{64}")
_KEYED = _word(76, r"hmac-sha256:[0-9a-f]{64}")
_SEAL = _word(71, r"sha256:[0-9a-f]{64}")
_ID = _word(26, r"[0-9A-HJKMNP-TV-Z]{26}")
_CODE = _word(6, r"[0-9]{1,6}")
_PERSON = {"iin": _word(), "surname": _word(), "given_name": _word(), "patronymic": _or_null(_word())}

_CASE = _fields(
    {
        "case_id": _ID,
        "list_id": _word(),
        "record_id": _word(),
        "service": _word(),
        "language": _word(),
        "state": _word(),
        "msisdn": _or_null(_word()),
        "opened_at": _INSTANT,
        "ended_at": _or_null(_INSTANT),
        "answered_at": _or_null(_INSTANT),
        "evidence": _or_null(_SEAL),
        "voucher_id": _or_null(_word()),
        "erased_at": _or_null(_INSTANT),
        "record": _or_null(
            _fields(
                {
                    "pupil": _fields(_PERSON),
                    "school": _or_null(_fields({"bin": _word(), "name": _word()})),
                    "recipients": _each(_fields(_PERSON | {"relation": _word()})),
                }
            )
        ),
        "key": _HASH,
        "rules": _fields({"service": _CODE, "agree": _CODE, "refuse": _CODE, "strict": _flag}),
    }
)
_TEXT = _fields(
    {
        "sms_id": _integer,
        "kind": _word(),
        "repeat": _integer,
        "link": _word(),
        "msisdn": _word(),
        "state": _word(),
        "template": _word(12, r"[0-9a-f]{12}"),
        "template_body": _word(MAX_TEXT),
        "body": _or_null(_word(MAX_TEXT)),
        "segments": _integer,
        "reference": _integer,
        "message_ids": _or_null(_each(_or_null(_word()))),
        "created_at": _INSTANT,
        "accepted_at": _or_null(_INSTANT),
    }
)
_REPLY = _fields(
    {
        "link": _word(),
        "source_addr": _word(),
        "destination_addr": _word(),
        "octets": _or_null(_word(2 * MAX_OCTETS, r"(?:[0-9a-f]{2})*")),
        "data_coding": _integer,
        "smsc_time": _word(),
        "verdict": _word(),
        "normalised": _flag,
        "rule_version": _word(),
        "received_at": _INSTANT,
        "text": _or_null(_word(MAX_TEXT)),
        "default_alphabet": _word(),
        "digest": _KEYED,
        "received_addr": _or_null(_word()),
        "source_ton": _or_null(_integer),
        "source_npi": _or_null(_integer),
    },
    optional=("received_addr", "source_ton", "source_npi"),
)
_ENTRY = _fields(
    {
        "seq": _integer,
        "at_us": _integer,
        "event": _word(),
        "event_id": _or_null(_ID),
        "detail": _word(MAX_TEXT),
        "version": _integer,
        "before": _word(64, r"(?:[0-9a-f]{64})?"),
        "hash": _HASH,
        "path": _each(_HASH),
    },
    optional=("version",),
)
_RECORD = _fields(
    {
        "format": _one_of(FORMATS.values()),
        "made_at": _INSTANT,
        "case": _CASE,
        "texts": _each(_TEXT),
        "replies": _each(_REPLY),
        "journal": _each(_ENTRY),
        "tree": _fields({"size": _integer, "root": _HASH}),
        "seal": _SEAL,
    }
)
