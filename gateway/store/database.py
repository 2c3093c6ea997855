"""The way to PostgreSQL: a pool of connections, the embedded server where one is asked for, migrations."""

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from gateway.clock import Clock
from gateway.config import Config
from gateway.logs.log import Event, get_logger
from gateway.resources import MIGRATIONS
from gateway.store.embedded import EmbeddedError, EmbeddedServer

log = get_logger()

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_SESSION = {
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    # A step that hangs in the middle must not hold its rows for ever.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",  # nor wait for somebody else's
}
ACQUIRE_TIMEOUT_SECONDS = 10.0
"""Seconds for which somebody waits while all connections are in use; who asked over HTTP may ask again."""
_MAX_SESSION_NAME_LENGTH = 63  # of a session, in PostgreSQL
_STATEMENTS_CACHED = 512
_CLOSING_TAKES_AT_MOST = 5.0  # seconds
_MIGRATING = 0x67617465  # "gate": the advisory lock of whoever migrates


class DatabaseError(Exception):
    """The database cannot be used as it is. The message is one line that says what to do."""


class Database:
    """A pool of connections to one database, and the embedded server behind it, if any."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", url: str, server: EmbeddedServer | None) -> None:
        self.pool = pool
        self.url = url
        self._server = server

    def acquire(self) -> "PoolAcquireContext[asyncpg.Record]":
        """A connection for an `async with` block; raises TimeoutError while all are in use for too long."""
        return self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Closes all connections, those in use after a while by force, and gives the embedded server up."""
        try:
            async with asyncio.timeout(_CLOSING_TAKES_AT_MOST):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()
        if self._server is not None:
            await asyncio.to_thread(self._server.release)


async def open_pool(config: Config, *, size: int = 8, node: str = "") -> Database:
    """The configured database, open; raises DatabaseError when it is not to be reached.

    `node` is the process's id in `nodes`: all its sessions bear it, so that others can end them when it is dead.
    """
    name = f"{node} {config.gateway.node}".strip()
    if config.gateway.embedded:
        server = EmbeddedServer(config.gateway.data_dir)
        try:
            url = await server.ensure()
        except EmbeddedError as error:
            raise DatabaseError(str(error)) from error
        return await connect(url, size=size, node=name, server=server)
    return await connect(config.gateway.database, size=size, node=name)


async def connect(url: str, *, size: int = 8, node: str = "", server: EmbeddedServer | None = None) -> Database:
    """The database at the address, open; raises DatabaseError when it is not to be reached."""

    async def connect_to_living(*args: Any, **kwargs: Any) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await asyncpg.connect(*args, **kwargs)
        except OSError:
            if server is None:
                raise
            try:
                await server.ensure()  # it was killed: nobody else would bring it back
            except EmbeddedError as error:
                raise ConnectionError(str(error)) from error  # to whoever asks, a database that is away
            return await asyncpg.connect(*args, **kwargs)

    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=size,
            max_size=size,
            max_inactive_connection_lifetime=0,
            connect=connect_to_living,
            reset=_reset,
            statement_cache_size=_STATEMENTS_CACHED,
            max_cached_statement_lifetime=0,
            server_settings={**_SESSION, "application_name": f"gateway {node}".strip()[:_MAX_SESSION_NAME_LENGTH]},
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseError(f"the database is not to be reached: {error}") from error
    return Database(pool, url, server)


async def _reset(connection: Any) -> None:
    """Spares the round trip of asyncpg's reset: sessions here carry no state but a transaction left open."""
    if connection.is_in_transaction():
        await connection.reset()


async def load_clock(connection: Connection, rate: float) -> Clock:
    """The clock that all processes of this database share; the first start lays its origin down."""
    await connection.execute("INSERT INTO clock DEFAULT VALUES ON CONFLICT DO NOTHING")
    return Clock(await connection.fetchval("SELECT origin FROM clock"), rate)


class Migration(NamedTuple):
    name: str  # of the file, without .sql: 0001_gateway
    sql: str
    checksum: str


def migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """All migrations of the folder in order; raises DatabaseError unless they count 0001, 0002 and so on."""
    found = []
    for number, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        if not re.fullmatch(rf"{number:04}_[a-z0-9_]+", path.stem):
            raise DatabaseError(f"the migration {path.name} is out of turn: {number:04}_… must come there")
        sql = path.read_text(encoding="utf-8")
        found.append(Migration(path.stem, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return found


async def pending(connection: Connection, directory: Path = MIGRATIONS) -> list[Migration]:
    """Migrations that the database has not had; raises DatabaseError when its past is not the folder's."""
    known = migrations(directory)
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return known
    rows = await connection.fetch("SELECT name, checksum FROM schema_migrations ORDER BY name")
    applied = {row["name"]: row["checksum"] for row in rows}
    if strange := applied.keys() - {migration.name for migration in known}:
        raise DatabaseError(
            f"the database has had {min(strange)}, which this version does not know: start a newer one"
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise DatabaseError(
                f"{migration.name}.sql was changed after the database had it: restore it, add a new migration"
            )
    return [migration for migration in known if migration.name not in applied]


async def migrate(connection: Connection, directory: Path = MIGRATIONS) -> list[str]:
    """Applies what is pending, each migration in a transaction; the names of those applied, in order.

    Processes that start at once take turns: the second finds nothing to do. Raises DatabaseError.
    """
    await connection.execute("SET lock_timeout = 0")  # another process may take its time over them
    await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATING)
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
                    await connection.execute(sql)
                    await connection.execute(
                        "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", name, checksum
                    )
            except asyncpg.PostgresError as error:
                raise DatabaseError(f"the migration {name} failed and left no trace: {error}") from error
            log.info(Event.MIGRATED, migration=name)
            applied.append(name)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATING)
        await connection.execute("RESET lock_timeout")
