"""Settings written as `key=value` words, read into a frozen dataclass."""

import shlex
from dataclasses import fields, replace
from typing import Any, TypeVar

T = TypeVar("T")
YES_OR_NO = {"yes": True, "no": False}


def with_words(settings: T, words: str, what: str) -> T:
    """`settings` with what these words set; a word alone is `yes`.

    The type of a field's present value says how its word is read. ValueError names the word that is wrong, with
    `what` the settings are of.
    """
    names = {field.name for field in fields(settings)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for word in shlex.split(words):
        key, equals, value = word.partition("=")
        if key not in names:
            raise ValueError(f"{key}: no such setting of {what}")
        kind = type(getattr(settings, key))
        if kind is bool:
            if equals and value not in YES_OR_NO:
                raise ValueError(f"{key}: yes or no is expected")
            changes[key] = YES_OR_NO.get(value, True)
        else:
            changes[key] = kind(value)
    return replace(settings, **changes)  # type: ignore[type-var]
