"""The rules for any body of a list: each line is a record that can be stored, or has faults that can be told."""

import json
import unicodedata
from typing import Any, Final

from gateway.consent.identity import iin_fault
from gateway.intake.body import MAX_LINE_BYTES, Body, BodyEncodingError, Plain, check_encoding
from gateway.intake.duplicate_keys import duplicate_keys
from gateway.intake.fields import MAX_FIELD_NAME_LENGTH, MAX_ID_LENGTH, Code
from gateway.intake.records import MAX_FAULTS, MAX_NAME_LENGTH, Record, Rejected, read_record
from gateway.store.lists import staged_row

WORDS: Final = (
    b"null", b"true", b"{}", b"[]", b'""', b"1e999", b"-1", b"1.0", b"99999999999999999999", b'"\\u0000"',
    b'"\\ud800"', b'"870312497005"', b'"000000000000"', b'"record_id"', b'"pupil"', b'"representatives"',
    b'"iin"', b'"surname"', b'"patronymic"', b'"category":1,', b'"a~/b":1,', b'"\\u0069in":1,', b"\\\\", b"\\t",
    b"\n", b"\r\n", b"\xef\xbb\xbf", b"\0", b"\xff", "ё".encode(), "е\u0308".encode(), "\u3164".encode(),
    "\u2028".encode(), b"[" * 40,
)  # fmt: skip
_LINE: Final = 7
_CASE_ID: Final = "01JDTESTTESTTESTTESTTESTTT"
_COLUMNS: Final = 7
_CODES: Final = frozenset(map(str, Code))
_MAX_POINTER_CHARACTERS: Final = 3 * (2 * MAX_FIELD_NAME_LENGTH + 1)


def probe(octets: bytes) -> None:
    """Reads the octets as a body and as a line. Raises AssertionError, or what a reader raised."""
    whole = _lines(octets, len(octets) or 1)
    assert _lines(octets, 1) == whole, "how a body is split changes its lines"
    for line in {octets, *filter(None, whole or ())}:
        if len(line) <= MAX_LINE_BYTES:
            _read(line)


def _lines(octets: bytes, piece: int) -> list[bytes | None] | None:
    """The lines of a body that comes in pieces of that length; None when it is not UTF-8."""
    body = Body(Plain(), 1 << 20)
    try:
        pieces = (octets[at : at + piece] for at in range(0, len(octets), piece))
        numbered = [line for part in pieces for lines in body.feed(part) for line in lines]
        numbered += body.close()
    except BodyEncodingError:
        return None
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    return [line for _, line in numbered]


def _read(line: bytes) -> None:
    record = read_record(line)
    if isinstance(record, Record):
        _is_storable(line, record)
    else:
        _is_told(line, record)


def _is_storable(line: bytes, record: Record) -> None:
    check_encoding(line)
    assert _duplicates(line) == 0, "a key occurs twice"
    assert duplicate_keys(line) == []
    assert record.record_id.isprintable() or "\n" not in record.record_id
    assert 0 < len(record.record_id) <= MAX_ID_LENGTH
    assert (record.category, record.language) in {(n, code) for n in (1, 2, 3) for code in ("kk", "ru")}
    assert iin_fault(record.pupil_iin) is None
    content = json.loads(record.content)
    assert b"\\u0000" not in record.content
    people = [content["pupil"], *content["recipients"]]
    assert len(people) > 1
    for person in people:
        assert iin_fault(person["iin"]) is None
        for name in (person["surname"], person["given_name"], person["patronymic"]):
            assert name is None or (0 < len(name) <= MAX_NAME_LENGTH and unicodedata.is_normalized("NFC", name))
    row = staged_row(_LINE, _CASE_ID, *record)
    assert row.count(b"\n") == 1
    assert row.count(b"\t") == _COLUMNS - 1


def _is_told(line: bytes, rejected: Rejected) -> None:
    assert 0 < len(rejected.faults) <= MAX_FAULTS
    assert rejected.record_id is None or 0 < len(rejected.record_id) <= MAX_ID_LENGTH
    for pointer, code in rejected.faults:
        assert code in _CODES
        assert len(pointer) <= _MAX_POINTER_CHARACTERS
        assert pointer.isprintable()
    if all(code is not Code.JSON for _, code in rejected.faults) and len(rejected.faults) < MAX_FAULTS:
        told = any(code == Code.DUPLICATE_KEY for _, code in rejected.faults)
        assert told == (_duplicates(line) > 0)


def _duplicates(line: bytes) -> int:
    """How many keys occur again in their object, by another parser."""
    found = 0

    def count(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found += len(pairs) - len({key for key, _ in pairs})

    json.loads(line, object_pairs_hook=count)
    return found
