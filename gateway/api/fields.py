"""The errors of the fields of a request's body, as the intake checks them."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from gateway.api.problems import FieldError
from gateway.intake.fields import Code, text_fault, unknown_fields

MAX_UNKNOWN_SHOWN = 100
"""The number of unknown fields of one body that the response names."""


def text_error(
    value: object, pointer: str, max_length: int, *, printable: bool = False, required: str = "must be present"
) -> FieldError | None:
    """The error of a required text, None if it has none; `required` is the detail for one that is missing."""
    code = text_fault(value, max_length, printable=printable)
    if code is None:
        return None
    details = {
        Code.REQUIRED: required,
        Code.TYPE: "must be a string",
        Code.LENGTH: f"must be 1 to {max_length} characters",
        Code.FORMAT: f"must hold {'printable characters only' if printable else 'no control characters'}",
    }
    return FieldError(pointer, code, details[code])


def unknown_field_errors(body: Mapping[str, Any], *known: str) -> list[FieldError]:
    """The errors of a body for the fields that it has beside the known ones: one for each, up to the limit."""
    pointers = islice(unknown_fields(body, frozenset(known), ""), MAX_UNKNOWN_SHOWN)
    only = f"may have {', '.join(known)} only"
    return [
        FieldError(pointer, Code.UNKNOWN_FIELD, "is no field of this body" if pointer else only)
        for pointer in pointers
    ]
