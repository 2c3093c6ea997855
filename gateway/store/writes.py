"""Changes that depend on no other's effect, made by one statement: their transaction waits for one response."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import asyncpg

from gateway.store.database import Connection

_PARAMETER: Final = re.compile(r"\$(\d+)")


class Write(NamedTuple):
    """A change: common table expressions with names of their own, and the arguments of their $1, $2 …

    All changes of a statement see the rows as they were before it, and no two of them may change the same row.
    """

    sql: str
    arguments: tuple[Any, ...]


async def execute(connection: Connection, writes: Sequence[Write], result: str = "SELECT") -> list[asyncpg.Record]:
    """Makes the changes; the rows of `result`, a query over what their expressions return."""
    if not writes:
        return []
    statement = _combined(tuple(write.sql for write in writes), result)
    return await connection.fetch(statement, *[argument for write in writes for argument in write.arguments])


@lru_cache(maxsize=256)
def _combined(expressions: tuple[str, ...], result: str) -> str:
    """The statement; the parameters of each expression are numbered after those of the ones before it."""
    numbered, taken = [], 0
    for expression in expressions:
        numbers = {int(number) for number in _PARAMETER.findall(expression)}
        numbered.append(_PARAMETER.sub(lambda match: f"${int(match[1]) + taken}", expression))  # noqa: B023
        taken += max(numbers, default=0)
    return f"WITH {', '.join(numbered)} {result}"
