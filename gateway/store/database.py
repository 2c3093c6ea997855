"""The pool of connections to PostgreSQL, and the embedded server behind it if one is configured."""

import asyncio
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from gateway.clock import Clock, SteadyTime
from gateway.config import Config
from gateway.store.embedded import EmbeddedError, EmbeddedServer

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_SESSION = {
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    # A transaction that stalls must not keep its rows locked.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
}
_ROW_TYPES = """
SELECT string_agg(format('NULL::%I[]', typname), ', ') FROM pg_type JOIN pg_class ON pg_class.oid = typrelid
WHERE relkind = 'c' AND typnamespace = current_schema()::regnamespace
"""
ACQUIRE_TIMEOUT_SECONDS = 10.0
"""For a free connection of the pool; the default of `Policy.acquire_timeout_seconds`."""
_MAX_APPLICATION_NAME_BYTES = 63  # PostgreSQL's NAMEDATALEN - 1
_MAX_CACHED_STATEMENTS = 512
_CLOSE_TIMEOUT_SECONDS = 5.0


class DatabaseError(Exception):
    """The database cannot be used as it is. The message is one line that names the remedy."""


class Database:
    """A pool of connections to one database, and the embedded server behind it, if any."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        url: str,
        server: EmbeddedServer | None,
        acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
        close_timeout_seconds: float = _CLOSE_TIMEOUT_SECONDS,
    ) -> None:
        self.pool = pool
        self.url = url
        self._server = server
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._close_timeout_seconds = close_timeout_seconds

    def acquire(self) -> "PoolAcquireContext[asyncpg.Record]":
        """A connection for an `async with` block; raises TimeoutError when none becomes free in time."""
        return self.pool.acquire(timeout=self._acquire_timeout_seconds)

    async def close(self) -> None:
        """Closes all connections, after the time-out by force, and releases the embedded server."""
        try:
            async with asyncio.timeout(self._close_timeout_seconds):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()
        if self._server is not None:
            await asyncio.to_thread(self._server.release)


async def open_pool(
    config: Config, *, size: int = 8, node: str = "", acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS
) -> Database:
    """The configured database, connected; raises DatabaseError when it cannot be reached.

    `node` is the process's id in `nodes`. It is part of the application_name of all its sessions, so that other
    processes can terminate them when they evict this one.
    """
    name = f"{node} {config.gateway.node}".strip()
    if config.gateway.embedded:
        server = EmbeddedServer(config.gateway.data_dir)
        try:
            url = await server.ensure()
        except EmbeddedError as error:
            raise DatabaseError(str(error)) from error
        return await connect(
            url, size=size, node=name, server=server, acquire_timeout_seconds=acquire_timeout_seconds
        )
    return await connect(
        config.gateway.database, size=size, node=name, acquire_timeout_seconds=acquire_timeout_seconds
    )


async def connect(
    url: str,
    *,
    size: int = 8,
    node: str = "",
    server: EmbeddedServer | None = None,
    acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
    close_timeout_seconds: float = _CLOSE_TIMEOUT_SECONDS,
) -> Database:
    """The database at the URL, connected; raises DatabaseError when it cannot be reached."""

    async def connect_or_restart(*args: Any, **kwargs: Any) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await asyncpg.connect(*args, **kwargs)
        except OSError:
            if server is None:
                raise
            try:
                await server.ensure()  # it was killed: only the gateway restarts it
            except EmbeddedError as error:
                raise ConnectionError(str(error)) from error  # a transient error, like any lost connection
            return await asyncpg.connect(*args, **kwargs)

    application_name = f"gateway {node}".strip()[:_MAX_APPLICATION_NAME_BYTES]
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=size,
            max_size=size,
            max_inactive_connection_lifetime=0,
            connect=connect_or_restart,
            init=_learn_row_types,
            reset=_reset,
            statement_cache_size=_MAX_CACHED_STATEMENTS,
            max_cached_statement_lifetime=0,
            server_settings={**_SESSION, "application_name": application_name},
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise DatabaseError(f"the database cannot be reached: {error}") from error
    return Database(pool, url, server, acquire_timeout_seconds, close_timeout_seconds)


async def _learn_row_types(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Has asyncpg look up all composite types at once: 10 ms a connection now, not 10 ms a type amid the work."""
    if arrays := await connection.fetchval(_ROW_TYPES):
        await connection.prepare(f"SELECT {arrays}")


async def _reset(connection: Any) -> None:
    """Resets a connection without asyncpg's round trip: the only session state here is an open transaction."""
    if connection.is_in_transaction():
        await connection.reset()


async def load_clock(connection: Connection, rate: float) -> Clock:
    """The business clock shared by all processes of this database; the first start stores its origin."""
    await connection.execute("INSERT INTO clock DEFAULT VALUES ON CONFLICT DO NOTHING")
    row = await connection.fetchrow("SELECT origin, latest, clock_timestamp() AS now FROM clock")
    assert row is not None
    return Clock(row["origin"], rate, SteadyTime(row["now"], row["latest"]))
