"""The migration to blocks of the journal seals what the version before has pending, whatever runs beside it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from gateway.resources import MIGRATIONS
from gateway.store import journal, journal_check, sealed
from gateway.store.database import Connection, connect
from gateway.store.journal import Entry
from gateway.store.journal_blocks import ENTRIES
from gateway.store.migrations import migrate

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
WITH_BLOCKS = "0037_journal_blocks"
# What the version before does.
_APPEND = """
INSERT INTO journal_pending (at, case_id, event, event_id, detail)
SELECT $1, 'case-' || n % 7, 'asked', 'id-' || n, '{"relation": "анасы"}'
FROM generate_series($2::integer, $3) AS n
"""
_LOCK = """
SELECT pg_advisory_xact_lock(1785689458::bigint # ((CASE current_schema() WHEN 'public' THEN 0
                                                    ELSE hashtext(current_schema()) END)::bigint << 32))
"""
_SEAL = """
WITH head AS (
    SELECT coalesce(max(seq), 0) AS seq, coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '') AS hash
    FROM journal
), claimed AS (
    DELETE FROM journal_pending RETURNING *
), numbered AS (
    SELECT head.seq + row_number() OVER (ORDER BY id) AS seq, head.hash AS head, claimed.* FROM claimed, head
)
INSERT INTO journal (seq, at, case_id, event, event_id, detail, hash)
SELECT seq, at, case_id, event, event_id, detail,
       journal_chain(head, journal_entry(seq, at, case_id, event, event_id, detail)) OVER (ORDER BY seq)
FROM numbered
"""
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"


@asynccontextmanager
async def opened(url: str, schema: str | None = None) -> AsyncIterator[Connection]:
    database = await connect(url, size=1, schema=schema)
    async with database.acquire() as connection:
        yield connection
    await database.close()


@pytest.fixture
def folder_before(tmp_path: Path) -> Path:
    """The migrations of the version before."""
    for path in MIGRATIONS.glob("*.sql"):
        if path.stem < WITH_BLOCKS:
            shutil.copy(path, tmp_path)
    return tmp_path


@pytest.fixture
async def before(bare_database_url: str, folder_before: Path) -> AsyncIterator["Session"]:
    """A connection of a process of the version before, to its database."""
    async with opened(bare_database_url) as connection:
        await migrate(connection, folder_before)
    connection = await asyncpg.connect(bare_database_url)
    yield connection
    await connection.close()


async def until_waiting(url: str) -> None:
    """Returns once a session waits for the lock of another one."""
    observer = await asyncpg.connect(url)
    while not await observer.fetchval(_WAITS):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await observer.close()


async def event_ids(connection: Connection) -> list[str | None]:
    return [entry.event_id for entry in await sealed.after(connection, 0, 10_000)]


@pytest.mark.parametrize("schema", [None, "almaty"])
@pytest.mark.parametrize(
    ("in_rows", "waiting"),
    [(0, 0), (0, 5), (ENTRIES - 1, 1), (ENTRIES, 0), (ENTRIES, 3), (300, 700), (2 * ENTRIES - 1, 1)],
)
async def test_a_journal_that_ends_anywhere_goes_on(
    bare_database_url: str, folder_before: Path, schema: str | None, in_rows: int, waiting: int
) -> None:
    total = in_rows + waiting
    async with opened(bare_database_url, schema) as connection:
        await migrate(connection, folder_before, schema=schema)
        await connection.execute(_APPEND, AT, 1, in_rows)
        await connection.execute(_SEAL)
        await connection.execute(_APPEND, AT, in_rows + 1, total)
        await migrate(connection, schema=schema)
    async with opened(bare_database_url, schema) as connection:
        entries = [Entry(AT, "case-1", "asked", f"id-{total + n}", "{}") for n in range(1, 401)]
        await journal.append(connection, entries)
        while await journal.seal(connection, 300):
            pass
        folded: int | None = 0
        while folded is not None:
            async with connection.transaction():
                folded = await journal.fold(connection, folded)
        assert await event_ids(connection) == [f"id-{n}" for n in range(1, total + 401)]
        check = await journal_check.verify(connection)
        assert (check.entries, check.fault) == (total + 400, None)
        rows = await connection.fetchval("SELECT count(*) FROM journal")
        assert rows == (total + 400) % ENTRIES


async def test_what_a_process_of_the_version_before_commits_during_the_migration_is_not_lost(
    before: "Session", bare_database_url: str
) -> None:
    async with opened(bare_database_url) as connection:
        async with before.transaction():
            await before.execute(_APPEND, AT, 1, 3)
            migrating = asyncio.create_task(migrate(connection))
            await until_waiting(bare_database_url)
        await migrating
        assert await event_ids(connection) == ["id-1", "id-2", "id-3"]


async def test_a_process_of_the_version_before_that_seals_and_the_migration_wait_for_each_other_in_one_order(
    before: "Session", bare_database_url: str
) -> None:
    await before.execute(_APPEND, AT, 1, 3)
    async with opened(bare_database_url) as connection:
        async with before.transaction():
            await before.execute(_LOCK)
            migrating = asyncio.create_task(migrate(connection))
            await until_waiting(bare_database_url)
            await before.execute(_SEAL)
        await migrating
        assert await event_ids(connection) == ["id-1", "id-2", "id-3"]
