"""Checks of one field of a JSON object that comes from outside: a record, or the body of a request."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

MAX_ID_LENGTH = 64
"""Characters of an id that another system has given."""
MAX_FIELD_NAME_LENGTH = 64
"""The longest name of an unknown field that is reported."""

# Line and paragraph separators too, which would break the lines of a text. Surrogates: octets that are not UTF-8.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Code(StrEnum):
    """What is wrong with a record, a field of it or of a request's body, or the record's line."""

    JSON = "json"
    DUPLICATE_KEY = "duplicate_key"
    LINE_LENGTH = "line_length"
    REQUIRED = "required"
    TYPE = "type"
    UNKNOWN_FIELD = "unknown_field"
    FORMAT = "format"
    LENGTH = "length"
    RANGE = "range"
    IIN_LENGTH = "iin_length"
    IIN_DIGITS = "iin_digits"
    IIN_CHECKSUM = "iin_checksum"
    DUPLICATE_RECORD_ID = "duplicate_record_id"
    NO_RECIPIENT = "no_recipient"
    DUPLICATE = "duplicate"  # of another record or case: nothing is wrong with it


DETAILS: Mapping[str, str] = {
    Code.JSON: "the line is no JSON object: one record a line, without a comma after it",
    Code.DUPLICATE_KEY: "the field stands there twice: leave one",
    Code.LINE_LENGTH: "the line is longer than 65,536 octets",
    Code.REQUIRED: "must be present",
    Code.TYPE: "is of another JSON type than the contract says",
    Code.UNKNOWN_FIELD: "is no field of a record: remove it",
    Code.FORMAT: "has another form than the contract says, or a control character",
    Code.LENGTH: "is empty or too long",
    Code.RANGE: "is none of the values that the contract names",
    Code.IIN_LENGTH: "an IIN has 12 digits",
    Code.IIN_DIGITS: "an IIN has ASCII digits only",
    Code.IIN_CHECKSUM: "the check digit of the IIN is wrong: a digit was mistyped",
    Code.DUPLICATE_RECORD_ID: "an earlier line of the list has this record_id",
    Code.NO_RECIPIENT: "needs a mother, a father or a representative",
    Code.DUPLICATE: "the pupil stands in an earlier line, has an open case, or a consent of this school year",
}
"""What each code of a record means, for people."""


def has_control(text: str) -> bool:
    """Whether a character of the text controls its presentation, or cannot be stored."""
    return not text.isprintable() and _CONTROL.search(text) is not None


def text_fault(value: object, max_length: int, *, printable: bool = False) -> Code | None:
    """What is wrong with a required text of 1 to `max_length` characters; None if nothing.

    None of them may be a control character; with `printable` all have to be printable.
    """
    if type(value) is not str:
        return Code.REQUIRED if value is None else Code.TYPE
    if not 0 < len(value) <= max_length:
        return Code.LENGTH
    if value.isprintable() or not (printable or has_control(value)):
        return None
    return Code.FORMAT


def unknown_fields(value: Mapping[str, Any], known: frozenset[str], at: str) -> Iterator[str]:
    """The JSON pointers of unknown fields of the object at `at`.

    Names that are too long or not printable are not repeated: all of them are one pointer, that of the object.
    """
    unnamed = False
    for field in value:
        if field in known:
            continue
        if is_reportable(field):
            yield f"{at}/{escaped(field)}"
        elif not unnamed:
            unnamed = True
            yield at


def is_reportable(field: str) -> bool:
    """Whether the name of a field from outside may be shown and stored."""
    return len(field) <= MAX_FIELD_NAME_LENGTH and field.isprintable()


def escaped(field: str) -> str:
    """The name of a field as a part of a JSON pointer (RFC 6901 §3)."""
    return field.replace("~", "~0").replace("/", "~1")
