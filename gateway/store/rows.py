"""Rows by the names of their columns, and columns by the names of fields: nothing is mapped by position."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import asyncpg

Row = TypeVar("Row", bound=NamedTuple)


def reader(kind: type[Row]) -> Callable[[asyncpg.Record], Row]:
    """Makes a `kind` of a row that has a column for each of its fields, whatever columns it has besides."""
    values = itemgetter(*kind._fields)

    def read(row: asyncpg.Record) -> Row:
        return kind._make(values(cast("Any", row)))

    return read
