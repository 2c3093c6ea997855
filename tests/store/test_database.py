"""The pool, the origin of the clock, the migrations and the embedded server, with a real PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import psutil
import pytest

from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.resources import MIGRATIONS
from gateway.store.database import Database, DatabaseError, connect, load_clock
from gateway.store.embedded import SETTINGS, EmbeddedError, EmbeddedServer
from gateway.store.migrations import migrate, migrations, pending

ROOT = Path(__file__).parents[2]
SMALL = {**SETTINGS, "shared_buffers": "16MB", "fsync": "off"}


@pytest.fixture
async def bare(bare_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(bare_database_url)
    yield connection
    await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (a integer);\nINSERT INTO first VALUES (1);")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second (b integer)")
    return tmp_path


# The pool


async def test_a_database_session_uses_utc_and_synchronous_commit(database: Database) -> None:
    async with database.acquire() as connection:
        for name, value in {
            "timezone": "UTC",
            "jit": "off",
            "synchronous_commit": "on",
            "idle_in_transaction_session_timeout": "10s",
            "application_name": "gateway test",
        }.items():
            assert await connection.fetchval("SELECT current_setting($1)", name) == value


async def test_a_transaction_left_open_is_rolled_back_when_its_connection_is_released(database_url: str) -> None:
    database = await connect(database_url, size=1)
    async with database.acquire() as connection:
        await connection.execute("BEGIN; INSERT INTO feeds (feed) VALUES ('sdu')")
    async with database.acquire() as connection:
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM feeds") == 0
    await database.close()


async def test_closing_the_pool_does_not_wait_forever_for_a_connection_in_use(database_url: str) -> None:
    database = await connect(database_url, size=1, close_timeout_seconds=0.05)
    await database.pool.acquire()
    await database.close()
    with pytest.raises(asyncpg.InterfaceError):
        await database.pool.fetch("SELECT 1")


async def test_an_unreachable_database_is_a_one_line_error() -> None:
    with pytest.raises(DatabaseError, match=r"^the database cannot be reached: [^\n]+$"):
        await connect("postgresql://nobody@127.0.0.1:1/nothing", size=1)


# The clock


async def test_the_origin_of_the_clock_is_stored_once_and_shared(database: Database) -> None:
    async with database.acquire() as connection:
        first = await load_clock(connection, 86400)
        second = await load_clock(connection, 600)
    assert first.origin == second.origin
    assert first.rate == 86400
    assert abs(datetime.now(UTC) - first.origin) < timedelta(minutes=1)


# Migrations


async def test_migrations_run_in_order_and_only_once(bare: asyncpg.Connection, folder: Path) -> None:
    assert [migration.name for migration in await pending(bare, folder)] == ["0001_first", "0002_second"]
    assert await migrate(bare, folder) == ["0001_first", "0002_second"]
    assert await bare.fetchval("SELECT a FROM first") == 1
    assert await pending(bare, folder) == []
    assert await migrate(bare, folder) == []


async def test_a_new_migration_is_pending(bare: asyncpg.Connection, folder: Path) -> None:
    await migrate(bare, folder)
    (folder / "0003_third.sql").write_text("ALTER TABLE first ADD c integer")
    assert [migration.name for migration in await pending(bare, folder)] == ["0003_third"]
    assert await migrate(bare, folder) == ["0003_third"]


async def test_a_failed_migration_is_rolled_back(bare: asyncpg.Connection, folder: Path) -> None:
    (folder / "0002_second.sql").write_text("CREATE TABLE second (b integer); SELECT 1/0;")
    with pytest.raises(DatabaseError, match="0002_second failed and was rolled back: division by zero"):
        await migrate(bare, folder)
    assert await bare.fetchval("SELECT to_regclass('second')") is None
    assert [migration.name for migration in await pending(bare, folder)] == ["0002_second"]


async def test_concurrent_processes_migrate_once(bare_database_url: str, folder: Path) -> None:
    database = await connect(bare_database_url, size=4)

    async def start() -> list[str]:
        async with database.acquire() as connection:
            return await migrate(connection, folder)

    applied = await asyncio.gather(*(start() for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["0001_first", "0002_second"]]
    await database.close()


async def test_an_applied_migration_that_was_edited_is_rejected(bare: asyncpg.Connection, folder: Path) -> None:
    await migrate(bare, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE first (a bigint)")
    for attempt in (pending, migrate):
        with pytest.raises(DatabaseError, match=r"0001_first\.sql was changed after it was applied"):
            await attempt(bare, folder)


async def test_a_database_newer_than_the_program_is_rejected(bare: asyncpg.Connection, folder: Path) -> None:
    await migrate(bare, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(DatabaseError, match="has 0002_second, which this version does not know"):
        await pending(bare, folder)


@pytest.mark.parametrize("name", ["0004_gap.sql", "3_short.sql", "0003-dash.sql"])
def test_a_migration_with_a_wrong_number_is_rejected(folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(DatabaseError, match="0003_… is expected"):
        migrations(folder)


async def test_the_gateways_own_migrations_are_found_and_applied(bare: asyncpg.Connection) -> None:
    names = [migration.name for migration in migrations()]
    assert names[0] == "0001_gateway"
    assert len(names) == len(list(MIGRATIONS.glob("*.sql")))
    assert await migrate(bare) == names


# The embedded server


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir, SMALL)
    yield server
    server.release()


def postmaster(directory: Path) -> psutil.Process:
    return psutil.Process(int((directory / "postgresql/postmaster.pid").read_text().split()[0]))


def has_ended(process: psutil.Process) -> bool:
    """Whether the process has ended, even if its parent has not waited for it yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def test_the_embedded_server_starts_with_our_settings_and_stops_when_released(
    server: EmbeddedServer, data_dir: Path
) -> None:
    connection = await asyncpg.connect(await server.ensure())
    for name in ("shared_buffers", "max_wal_size", "wal_level", "log_error_verbosity", "autovacuum_naptime"):
        assert await connection.fetchval("SELECT current_setting($1)", name) == SMALL[name]
    await connection.close()
    process = postmaster(data_dir)
    server.release()
    assert has_ended(process)


async def test_the_embedded_server_keeps_committed_rows(server: EmbeddedServer) -> None:
    for expected in (0, 1):
        connection = await asyncpg.connect(await server.ensure())
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (a integer)")
        assert await connection.fetchval("SELECT count(*) FROM kept") == expected
        await connection.execute("INSERT INTO kept VALUES (1)")
        await connection.close()
        server.release()


async def test_a_killed_embedded_server_is_restarted(server: EmbeddedServer, data_dir: Path) -> None:
    database = await connect(await server.ensure(), size=1, server=server)
    before = await database.pool.fetchval("SELECT pg_postmaster_start_time()")
    postmaster(data_dir).kill()
    started = None
    while started in {None, before}:
        try:
            started = await database.pool.fetchval("SELECT pg_postmaster_start_time()")
        except TRANSIENT_ERRORS:  # what a caller tries again
            await asyncio.sleep(0.01)
    assert started > before
    await database.close()


async def test_the_embedded_server_restarts_while_sessions_of_the_killed_one_still_end(
    server: EmbeddedServer, data_dir: Path
) -> None:
    """They hold its shared memory until they notice its end."""
    for _ in range(2):
        url = await server.ensure()
        sessions = [await asyncpg.connect(url) for _ in range(4)]
        busy = [asyncio.create_task(s.execute("SELECT count(*) FROM generate_series(1, 5e6)")) for s in sessions]
        await asyncio.sleep(0)
        postmaster(data_dir).kill()
        await server.ensure()
        await asyncio.gather(*busy, return_exceptions=True)
        for session in sessions:
            session.terminate()


async def test_releasing_a_killed_embedded_server_succeeds(server: EmbeddedServer, data_dir: Path) -> None:
    await server.ensure()
    postmaster(data_dir).kill()
    server.release()


SECOND_PROCESS = """
import sys
from pathlib import Path
from gateway.store.embedded import EmbeddedServer
from tests.store.test_database import SMALL
server = EmbeddedServer(Path(sys.argv[1]), SMALL)
server.start()
print("up", flush=True)
sys.stdin.read()
server.release()
"""


def second_process(directory: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", SECOND_PROCESS, str(directory)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert any(line == "up\n" for line in process.stdout)
    return process


async def test_the_last_of_several_processes_stops_the_embedded_server(
    server: EmbeddedServer, data_dir: Path
) -> None:
    await server.ensure()
    with second_process(data_dir) as other:
        process = postmaster(data_dir)
        server.release()
        assert not has_ended(process)
        other.communicate()
    assert has_ended(process)


async def test_a_killed_process_does_not_keep_the_embedded_server_running(
    server: EmbeddedServer, data_dir: Path
) -> None:
    with second_process(data_dir) as other:
        other.send_signal(signal.SIGKILL)
    await server.ensure()
    process = postmaster(data_dir)
    server.release()
    assert has_ended(process)


async def test_the_embedded_server_starts_with_an_unknown_locale(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "kk_KZ.no-such")
    connection = await asyncpg.connect(await server.ensure())
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    await connection.close()
    assert os.environ["LC_ALL"] == "kk_KZ.no-such"


async def test_a_folder_unusable_for_the_embedded_server_is_a_one_line_error(data_dir: Path) -> None:
    (data_dir / "var").write_text("a file")
    with pytest.raises(EmbeddedError, match=r"^the embedded PostgreSQL does not start: [^\n]+$"):
        await EmbeddedServer(data_dir / "var", SMALL).ensure()


async def test_the_error_for_invalid_settings_of_the_embedded_server_names_its_log(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, {**SMALL, "wal_level": "no-such"}, crash_cleanup_seconds=0.0)
    with pytest.raises(EmbeddedError, match=r"does not start \(pg_ctl failed\); see .*/log$"):
        await server.ensure()
