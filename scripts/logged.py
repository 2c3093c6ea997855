"""Exceptions in the log of a gateway: each is a fault of the program, whatever was done to it."""

from collections import Counter

import orjson

NOT_STORED = "inbound_not_stored"
"""The one event whose exception may be that of a database that is away."""
PROGRAM_ERRORS = (
    "AssertionError", "AttributeError", "IndexError", "InvalidStateError", "KeyError", "NameError",
    "NotImplementedError", "RecursionError", "RuntimeError", "TypeError", "UnboundLocalError",
    "UnicodeDecodeError", "UnicodeEncodeError", "ValueError", "ZeroDivisionError",
)  # fmt: skip
"""Exceptions that no database raises."""


def exceptions(log: bytes) -> Counter[str]:
    """How often each exception is in these lines, by its class. A line that a kill has cut off does not count."""
    counted: Counter[str] = Counter()
    for text in log.splitlines():
        if b'"exception":' not in text:
            continue
        try:
            line = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found := line.get("exception"), dict):
            name = str(found.get("error")).partition(":")[0]
            if line.get("event") != NOT_STORED or name in PROGRAM_ERRORS:
                counted[name] += 1
    return counted
