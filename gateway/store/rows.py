"""Rows as named tuples, mapped by column name and never by position."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import asyncpg

Row = TypeVar("Row", bound=NamedTuple)


def reader(kind: type[Row]) -> Callable[[asyncpg.Record], Row]:
    """A function that makes a `kind` of a row. The row must have a column for each field; others are ignored."""
    values = itemgetter(*kind._fields)

    def read(row: asyncpg.Record) -> Row:
        return kind._make(values(cast("Any", row)))

    return read
