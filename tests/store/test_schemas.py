"""A schema holds everything of a gateway: several share one database and do not touch each other."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from gateway.consent.events import Event, EventType
from gateway.store import journal, journal_check, locks, nodes
from gateway.store.database import Connection, DatabaseError, connect
from gateway.store.locks import Lock
from gateway.store.migrations import migrate, migrations, pending
from tests.store.rows import AN_HOUR

ROLE = "gateway_of_a_region"
SCHEMAS = ("public", "almaty", "user")
"""The last one is a word of SQL."""
_KEYS = """
SELECT (classid::bigint << 32) + objid::bigint AS key FROM pg_locks
WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY objsubid, key
"""
_OBJECTS = """
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = $1::text::regnamespace)
     + (SELECT count(*) FROM pg_proc WHERE pronamespace = $1::text::regnamespace)
     + (SELECT count(*) FROM pg_type WHERE typnamespace = $1::text::regnamespace)
"""


@pytest.fixture
async def regions(bare_database_url: str) -> AsyncIterator[Mapping[str, Connection]]:
    """By schema, a connection to one database, migrated from nothing; that of `public` names no schema."""
    async with AsyncExitStack() as stack:
        opened: dict[str, Connection] = {}
        for schema in SCHEMAS:
            database = await connect(bare_database_url, size=1, schema=None if schema == "public" else schema)
            stack.push_async_callback(database.close)
            opened[schema] = await stack.enter_async_context(database.acquire())
            await migrate(opened[schema], schema=None if schema == "public" else schema)
        yield opened


@pytest.fixture
async def admin(bare_database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(bare_database_url)
    await connection.execute(f"DROP ROLE IF EXISTS {ROLE}")
    await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    yield connection
    await connection.execute(f"DROP OWNED BY {ROLE} CASCADE")
    await connection.execute(f"DROP ROLE {ROLE}")
    await connection.close()


def of_region(url: str) -> str:
    """The address for the role."""
    return url.replace("//postgres@", f"//{ROLE}@")


# Migrations


async def test_a_missing_schema_is_created_and_holds_all_that_migrations_create(
    bare_database_url: str, folder: Path
) -> None:
    database = await connect(bare_database_url, size=1, schema="almaty")
    async with database.acquire() as connection:
        in_public = await connection.fetchval(_OBJECTS, "public")
        assert await pending(connection) == migrations()
        names = [migration.name for migration in migrations()]
        assert await migrate(connection, schema="almaty") == names
        assert await migrate(connection, schema="almaty") == []
        assert await pending(connection) == []
        applied = await connection.fetch("SELECT name FROM almaty.schema_migrations ORDER BY name")
        assert [row["name"] for row in applied] == names
        assert await connection.fetchval(_OBJECTS, "public") == in_public
    await database.close()


async def test_a_named_schema_has_as_many_objects_as_public(regions: Mapping[str, Connection]) -> None:
    counts = [await connection.fetchval(_OBJECTS, f'"{schema}"') for schema, connection in regions.items()]
    assert counts == [counts[0]] * len(SCHEMAS)


async def test_processes_that_start_at_once_create_a_schema_once(bare_database_url: str, folder: Path) -> None:
    database = await connect(bare_database_url, size=4, schema="almaty")

    async def start() -> list[str]:
        async with database.acquire() as connection:
            return await migrate(connection, folder, schema="almaty")

    assert sorted(await asyncio.gather(*(start() for _ in range(4)))) == [[], [], [], ["0001_first"]]
    await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Migrations: one, of two statements."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (a integer);\nINSERT INTO first VALUES (1);")
    return tmp_path


async def test_a_role_that_may_not_create_the_schema_is_told_in_one_line(
    admin: Connection, bare_database_url: str
) -> None:
    database = await connect(of_region(bare_database_url), size=1, schema="user")
    async with database.acquire() as connection:
        with pytest.raises(DatabaseError) as told:
            await migrate(connection, schema="user")
        words = f'role {ROLE} may not create the schema user: CREATE SCHEMA "user" AUTHORIZATION {ROLE}, as '
        assert str(told.value).startswith(words)
        assert "\n" not in str(told.value)
        await admin.execute(f'CREATE SCHEMA "user" AUTHORIZATION {ROLE}')
        assert len(await migrate(connection, schema="user")) == len(migrations())
    await database.close()


async def test_a_role_that_may_not_use_the_schema_is_told_in_one_line(
    admin: Connection, bare_database_url: str
) -> None:
    await admin.execute("CREATE SCHEMA almaty")
    with pytest.raises(DatabaseError, match=f"^role {ROLE} may not use the schema almaty: GRANT USAGE, CREATE ON"):
        await connect(of_region(bare_database_url), size=1, schema="almaty")
    await admin.execute(f"GRANT USAGE ON SCHEMA almaty TO {ROLE}")
    database = await connect(of_region(bare_database_url), size=1, schema="almaty")
    async with database.acquire() as connection:
        with pytest.raises(DatabaseError, match=f"^role {ROLE} may not migrate: GRANT CREATE ON SCHEMA almaty to"):
            await migrate(connection, schema="almaty")
    await database.close()


# Sessions


async def test_a_session_finds_no_table_of_another_schema(regions: Mapping[str, Connection]) -> None:
    await regions["public"].execute("CREATE TABLE theirs (n integer)")
    with pytest.raises(asyncpg.UndefinedTableError):
        await regions["almaty"].execute("SELECT FROM theirs")
    for schema in ("almaty", "user"):
        assert await regions[schema].fetchval("SELECT current_schemas(false)") == [schema]


# Locks


async def held(connection: Connection) -> list[int]:
    """The keys of the advisory locks that the session holds."""
    return [row["key"] for row in await connection.fetch(_KEYS)]


async def test_the_locks_of_public_have_the_keys_of_earlier_versions(regions: Mapping[str, Connection]) -> None:
    connection = regions["public"]
    for lock in Lock:
        await locks.lock_session(connection, lock)
    assert await held(connection) == [0x61636373, 0x67617465, 0x6A6F7572, 0x6C697374, 0x74726565]
    for lock in Lock:
        await locks.unlock_session(connection, lock)
    await locks.hold_node(connection, "01K")
    hashed = await connection.fetchval("SELECT hashtext('01K')")
    assert await held(connection) == [(0x6E6F6465 << 32) + hashed % (1 << 32)]


async def test_advisory_locks_of_one_schema_block_no_other_schema(regions: Mapping[str, Connection]) -> None:
    """All are held at once: a lock that is taken would be waited for."""
    keys: set[int] = set()
    async with AsyncExitStack() as transactions:
        for connection in regions.values():
            await transactions.enter_async_context(connection.transaction())
            async with asyncio.timeout(10):
                for lock in Lock:
                    await locks.lock_transaction(connection, lock)
            await locks.hold_node(connection, "01K")
            keys.update(await held(connection))
    assert len(keys) == len(regions) * (len(Lock) + 1)


async def test_advisory_locks_block_the_same_schema_however_it_was_configured(
    regions: Mapping[str, Connection], bare_database_url: str
) -> None:
    for schema in ("public", "almaty"):
        other = await connect(bare_database_url, size=1, schema=schema)
        async with other.acquire() as connection:
            await connection.execute("SET lock_timeout = '50ms'")
            for lock in Lock:
                await locks.lock_session(regions[schema], lock)
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await locks.lock_session(connection, lock)
        await other.close()


# Processes


async def test_eviction_and_links_of_a_schema_leave_the_others_alone(
    regions: Mapping[str, Connection], bare_database_url: str
) -> None:
    """All have a link of one name. The process of `almaty` was killed."""
    processes = {}
    for schema in regions:
        processes[schema] = process = await asyncpg.connect(
            bare_database_url, server_settings={"search_path": f'"{schema}"'}
        )
        await nodes.join(process, f"node-of-{schema}", "gateway-1", ["kcell"])
        assert await nodes.claim_links(process, f"node-of-{schema}", ["kcell"]) == ["kcell"]
    await processes.pop("almaty").close()
    found: dict[str, list[nodes.OtherNode]] = {}
    async with asyncio.timeout(10):
        while "almaty" not in found or not found["almaty"][0].is_unlocked:  # PostgreSQL has yet to notice
            found = {schema: await nodes.others(c, "survivor") for schema, c in regions.items()}
    assert {schema: [(one.node, one.is_unlocked) for one in others] for schema, others in found.items()} == {
        schema: [(f"node-of-{schema}", schema == "almaty")] for schema in regions
    }
    survivor = regions["almaty"]
    evicted, _ = await nodes.evict_expired(
        survivor, found["almaty"], loss_detection_seconds=60.0, pause_after_copy=AN_HOUR
    )
    assert evicted == ["node-of-almaty"]
    await nodes.join(survivor, "survivor", "gateway-2", ["kcell"])
    assert await nodes.claim_links(survivor, "survivor", ["kcell"]) == ["kcell"]
    for schema, process in processes.items():
        assert await nodes.holders(regions[schema]) == {"kcell": f"node-of-{schema}"}
        await nodes.heartbeat(process, f"node-of-{schema}", datetime.now(UTC), ["kcell"])
        await process.close()


async def test_each_schema_has_its_own_chain(regions: Mapping[str, Connection]) -> None:
    async def fill(connection: Connection, entries: int) -> journal_check.JournalCheck:
        for n in range(entries):
            entry = journal.entry(
                datetime(2026, 11, 28, n, tzinfo=UTC), f"case-{entries}", Event(EventType.RECEIVED)
            )
            await journal.append(connection, [entry])
            assert await journal.seal(connection) == 1
        return await journal_check.verify(connection)

    lengths = dict(zip(regions, (2, 3, 4), strict=True))
    checks = await asyncio.gather(*(fill(regions[schema], entries) for schema, entries in lengths.items()))
    assert [(check.entries, check.fault) for check in checks] == [(2, None), (3, None), (4, None)]
    assert len({check.head for check in checks}) == len(regions)


async def test_sealing_in_a_schema_prevents_sealing_there_and_in_no_other(
    regions: Mapping[str, Connection], bare_database_url: str
) -> None:
    entry = journal.entry(datetime(2026, 11, 28, tzinfo=UTC), "case", Event(EventType.RECEIVED))
    for connection in regions.values():
        await journal.append(connection, [entry])
    other = await connect(bare_database_url, size=1, schema="almaty")
    async with other.acquire() as connection, connection.transaction():
        await locks.lock_transaction(connection, Lock.SEAL)
        for schema, sealed in {"public": 1, "almaty": 0, "user": 1}.items():
            async with regions[schema].transaction():
                assert await journal.seal_if_free(regions[schema], 10) == sealed
    await other.close()
