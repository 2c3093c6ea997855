"""The entries by which cases and texts are found, when a process of an earlier version has written none."""

import pytest

from gateway.store import entries
from gateway.store.database import Database
from tests.store.rows import MONDAY, add_case

_TABLES = ("deadlines", "ended_cases", "waiting_cases", "cases_for_ops", "outbox", "sending")
_TEXT = """
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, reference, segments,
                 created_at, state, node)
VALUES ('asked', 'request', 0, 'kcell', '77010000001', 1, '', 'x', 'udh8', 1, 1, now(), 'queued', NULL),
       ('asked', 'request', 0, 'kcell', '77010000001', 1, '', 'x', 'udh8', 1, 1, now(), 'sending', 'node')
"""


async def repair(database: Database) -> int:
    async with database.acquire() as connection:
        return sum([await entries.repair(connection, part) for part in range(entries.PARTS)])


@pytest.fixture
async def rows(database: Database) -> None:
    """One case or text for each table, with its entry."""
    async with database.acquire() as connection:
        await connection.execute(_TEXT)
        await add_case(connection, "asked", state="asked", due_at=MONDAY)
        await add_case(connection, "ended", state="refused", ended_at=MONDAY)
        await add_case(connection, "waiting", state="waiting", msisdn="77010000001")
        await add_case(connection, "parked", state="parked", resume="waiting")
        await add_case(connection, "held", state="asked", held="agree")


@pytest.mark.usefixtures("rows")
async def test_missing_entries_are_found_and_written(database: Database) -> None:
    async with database.acquire() as connection:
        assert await entries.check(connection) == [entries.EntriesCheck(table, 0, 0) for table in _TABLES]
        for table in _TABLES:
            await connection.execute(f"DELETE FROM {table}")
        assert sum(found.missing for found in await entries.check(connection)) == 7
    assert await repair(database) == 7
    async with database.acquire() as connection:
        assert all(found.holds for found in await entries.check(connection))


@pytest.mark.usefixtures("rows")
async def test_entries_that_are_there_are_not_written_again(database: Database) -> None:
    assert await repair(database) == 0
