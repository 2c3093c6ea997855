"""Forward-only migrations: numbered SQL files, each applied once, in a transaction of its own."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import asyncpg

from gateway.logs.log import Event, get_logger
from gateway.resources import MIGRATIONS
from gateway.store import locks
from gateway.store.database import Connection, DatabaseError
from gateway.store.locks import Lock
from gateway.store.session_checks import check_may_migrate
from gateway.store.statements import split

log = get_logger()


class Migration(NamedTuple):
    """One file of the migrations folder."""

    name: str  # of the file, without .sql: 0001_gateway
    sql: str
    checksum: str  # SHA-256 of `sql` in UTF-8, hex


def migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """All migrations of the folder, in order; raises DatabaseError unless they are numbered 0001, 0002, …."""
    found = []
    for number, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        if not re.fullmatch(rf"{number:04}_[a-z0-9_]+", path.stem):
            raise DatabaseError(f"the migration {path.name} is out of order: {number:04}_… is expected")
        sql = path.read_text(encoding="utf-8")
        found.append(Migration(path.stem, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return found


async def pending(connection: Connection, directory: Path = MIGRATIONS) -> list[Migration]:
    """The migrations not applied yet; raises DatabaseError when those applied are not those of the folder."""
    known = migrations(directory)
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return known
    rows = await connection.fetch("SELECT name, checksum FROM schema_migrations ORDER BY name")
    applied = {row["name"]: row["checksum"] for row in rows}
    if unknown := applied.keys() - {migration.name for migration in known}:
        raise DatabaseError(
            f"the database has {min(unknown)}, which this version does not know: start a newer version"
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise DatabaseError(
                f"{migration.name}.sql was changed after it was applied: restore it, add a new migration"
            )
    return [migration for migration in known if migration.name not in applied]


async def migrate(connection: Connection, directory: Path = MIGRATIONS, *, schema: str | None = None) -> list[str]:
    """The names of the migrations applied now, in order; each is a transaction of its own.

    `schema` is the one that the session uses, if it is configured: created if it is missing. Processes that start
    at the same time wait for the advisory lock, and find nothing pending afterwards. Raises DatabaseError.
    """
    if schema is not None:
        await _create_schema(connection, schema)
    await check_may_migrate(connection)
    lock_timeout = await connection.fetchval("SHOW lock_timeout")
    await connection.execute("SET lock_timeout = 0")  # the migrations of another process may take long
    await locks.lock_session(connection, Lock.MIGRATE)
    try:
        await connection.execute(
            """CREATE TABLE IF NOT EXISTS schema_migrations (
                name        text PRIMARY KEY,
                checksum    text NOT NULL,
                applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
            )"""
        )
        applied = []
        for name, sql, checksum in await pending(connection, directory):
            try:
                async with connection.transaction():
                    for statement in split(sql):
                        await connection.execute(statement)
                    await connection.execute(
                        "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", name, checksum
                    )
            except asyncpg.PostgresError as error:
                raise DatabaseError(f"the migration {name} failed and was rolled back: {error}") from error
            log.info(Event.MIGRATED, migration=name)
            applied.append(name)
        return applied
    finally:
        await locks.unlock_session(connection, Lock.MIGRATE)
        await connection.execute("SELECT set_config('lock_timeout', $1, false)", lock_timeout)


async def _create_schema(connection: Connection, schema: str) -> None:
    """Creates the schema unless it is there; raises DatabaseError when the role may not."""
    row = await connection.fetchrow(
        """SELECT to_regnamespace(quote_ident($1)) IS NULL AS is_missing, quote_ident($1) AS quoted,
            current_user AS role, has_database_privilege(current_database(), 'CREATE') AS may_create""",
        schema,
    )
    assert row is not None
    if not row["is_missing"]:
        return
    if not row["may_create"]:
        raise DatabaseError(
            f"role {row['role']} may not create the schema {schema}: CREATE SCHEMA {row['quoted']} AUTHORIZATION "
            f"{row['role']}, as the owner of the database"
        )
    with suppress(asyncpg.DuplicateSchemaError, asyncpg.UniqueViolationError):  # another process was first
        await connection.execute(f"CREATE SCHEMA {row['quoted']}")
