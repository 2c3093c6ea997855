"""Changes of a record of evidence: each of its values, one at a time."""

import copy
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]
Place = tuple[str | int, ...]
"""The names and indexes that lead to a value."""


def leaves(value: Any, path: Place = ()) -> Iterator[Place]:
    """The paths of all plain values."""
    match value:
        case dict() if value:
            for name, inner in value.items():
                yield from leaves(inner, (*path, name))
        case list() if value:
            for n, inner in enumerate(value):
                yield from leaves(inner, (*path, n))
        case _:
            yield path


def changed(record: Record, path: Place) -> Record:
    """A copy of the record with another value at that place."""
    record = copy.deepcopy(record)
    holder: Any = record
    for step in path[:-1]:
        holder = holder[step]
    match holder[path[-1]]:
        case bool(value):
            holder[path[-1]] = not value
        case int(value):
            holder[path[-1]] = value + 1
        case str(value) if value[-1:].isdigit():
            holder[path[-1]] = value[:-1] + str((int(value[-1]) + 1) % 10)
        case str(value):
            holder[path[-1]] = value + "0"
        case _:
            holder[path[-1]] = "0"
    return record
