"""The way to PostgreSQL: a pool of connections, the embedded server where one is asked for."""

import asyncio
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from gateway.clock import Clock
from gateway.config import Config
from gateway.store.embedded import EmbeddedError, EmbeddedServer

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
"""For a connection while all are in use, unless a Policy says otherwise."""
_MAX_SESSION_NAME_LENGTH = 63  # of a session, in PostgreSQL
_STATEMENTS_CACHED = 512
_CLOSE_TIMEOUT_SECONDS = 5.0


class DatabaseError(Exception):
    """The database cannot be used as it is. The message is one line that says what to do."""


class Database:
    """A pool of connections to one database, and the embedded server behind it, if any."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        url: str,
        server: EmbeddedServer | None,
        acquire_timeout: float = ACQUIRE_TIMEOUT_SECONDS,
        close_timeout: float = _CLOSE_TIMEOUT_SECONDS,
    ) -> None:
        """`acquire_timeout` and `close_timeout` are seconds."""
        self.pool = pool
        self.url = url
        self._server = server
        self._acquire_timeout = acquire_timeout
        self._close_timeout = close_timeout

    def acquire(self) -> "PoolAcquireContext[asyncpg.Record]":
        """A connection for an `async with` block; raises TimeoutError while all are in use for too long."""
        return self.pool.acquire(timeout=self._acquire_timeout)

    async def close(self) -> None:
        """Closes all connections, those in use after a while by force, and gives the embedded server up."""
        try:
            async with asyncio.timeout(self._close_timeout):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()
        if self._server is not None:
            await asyncio.to_thread(self._server.release)


async def open_pool(
    config: Config, *, size: int = 8, node: str = "", acquire_timeout: float = ACQUIRE_TIMEOUT_SECONDS
) -> Database:
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
        return await connect(url, size=size, node=name, server=server, acquire_timeout=acquire_timeout)
    return await connect(config.gateway.database, size=size, node=name, acquire_timeout=acquire_timeout)


async def connect(
    url: str,
    *,
    size: int = 8,
    node: str = "",
    server: EmbeddedServer | None = None,
    acquire_timeout: float = ACQUIRE_TIMEOUT_SECONDS,
    close_timeout: float = _CLOSE_TIMEOUT_SECONDS,
) -> Database:
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
    return Database(pool, url, server, acquire_timeout, close_timeout)


async def _reset(connection: Any) -> None:
    """Spares the round trip of asyncpg's reset: sessions here carry no state but a transaction left open."""
    if connection.is_in_transaction():
        await connection.reset()


async def load_clock(connection: Connection, rate: float) -> Clock:
    """The clock that all processes of this database share; the first start lays its origin down."""
    await connection.execute("INSERT INTO clock DEFAULT VALUES ON CONFLICT DO NOTHING")
    return Clock(await connection.fetchval("SELECT origin FROM clock"), rate)
