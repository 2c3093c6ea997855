"""The entries by which cases and texts are found, for tests that change the rows by hand."""

import asyncpg

from gateway.store import entries
from gateway.store.database import Connection

_TABLES = ("deadlines", "ended_cases", "waiting_cases", "cases_for_ops", "outbox", "sending")


async def find_again(connection: "asyncpg.Connection | Connection") -> None:
    """Writes the entries of all cases and texts again."""
    await connection.execute(";".join(f"DELETE FROM {table}" for table in _TABLES))
    for part in range(entries.PARTS):
        await entries.repair(connection, part)


async def change_rows(connection: "asyncpg.Connection | Connection", statements: str) -> None:
    """Changes cases and texts behind the gateway's back; the entries by which they are found follow."""
    async with connection.transaction():
        await connection.execute(statements)
        await find_again(connection)
