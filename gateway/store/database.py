"""The pool of connections to PostgreSQL, and the embedded server behind it if one is configured."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from gateway import metrics
from gateway.clock import Clock, SteadyTime
from gateway.config import Config
from gateway.config.policy import DatabasePolicy
from gateway.logs.log import Event, get_logger
from gateway.store.connecting import CONNECT_ERRORS, Connector, Session
from gateway.store.embedded import SETTINGS, EmbeddedError, EmbeddedServer
from gateway.store.session_checks import DatabaseError, check_server, check_session_is_kept

__all__ = ["Connection", "Database", "DatabaseError", "connect", "load_clock", "open_pool"]

log = get_logger()

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

ConnectionCheck: TypeAlias = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]
"""Raises when a new connection must not be used."""

ACQUIRE_TIMEOUT_SECONDS = 10.0
"""The longest wait for a free connection of the pool; the default of `Policy.acquire_timeout_seconds`."""
_MAX_APPLICATION_NAME_BYTES = 63  # PostgreSQL's NAMEDATALEN - 1
_CLOSE_TIMEOUT_SECONDS = 5.0


class Database:
    """A pool of connections to one database, and the embedded server behind it, if any."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        url: str,
        connector: Connector,
        server: EmbeddedServer | None,
        acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
        close_timeout_seconds: float = _CLOSE_TIMEOUT_SECONDS,
    ) -> None:
        self.pool = pool
        self.url = url
        self.exhausted = False
        """Whether no connection became free in the time-out, and none since."""
        self._connector = connector
        self._server = server
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._close_timeout_seconds = close_timeout_seconds
        self._waited_for_since: float | None = None  # monotonic; the first attempt after the last success
        self._disk_full_at: float | None = None  # monotonic; of the last statement that failed by it

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection for an `async with` block; raises TimeoutError when none becomes free in time.

        A server that turns out to be a standby takes all connections with it: they have the same server.
        """
        try:
            connection = await self._acquire()
            try:
                yield connection
            finally:
                await self.pool.release(connection)
        except asyncpg.ReadOnlySQLTransactionError:
            self.drop_connections("read_only")
            raise
        except Exception as error:
            if isinstance(error, asyncpg.DiskFullError):
                self._disk_full_at = time.monotonic()
            if _hides_cancellation(error):
                raise asyncio.CancelledError from error
            raise

    def disk_was_full(self, within_seconds: float) -> bool:
        """Whether the server had no free space for a statement in the last seconds."""
        at = self._disk_full_at
        return at is not None and time.monotonic() - at <= within_seconds

    def drop_connections(self, reason: str, older_than_seconds: float = 0.0) -> None:
        """Ends all connections of this age at once: what uses them fails with a transient error."""
        if connections := self._connector.terminate(older_than_seconds):
            log.error(Event.DATABASE_CONNECTIONS_DROPPED, reason=reason, connections=connections)

    async def close(self) -> None:
        """Closes all connections, after the time-out by force, and releases the embedded server."""
        try:
            async with asyncio.timeout(self._close_timeout_seconds):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()
        if self._server is not None:
            await asyncio.to_thread(self._server.release)

    async def check(self, schema: str | None) -> None:
        """Raises DatabaseError when the server, or a proxy before it, is not what the gateway needs."""
        async with self.acquire() as connection:
            if await check_server(connection, schema):
                await check_session_is_kept(connection, self._connector.connect)

    async def _acquire(self) -> "PoolConnectionProxy[asyncpg.Record]":
        began = time.monotonic()
        if self._waited_for_since is None:
            self._waited_for_since = began
        try:
            connection = await self.pool.acquire(timeout=self._acquire_timeout_seconds)
        except BaseException:
            self._note_exhausted()
            raise
        self._waited_for_since, self.exhausted = None, False
        return connection

    def _note_exhausted(self) -> None:
        """Notes an attempt that found no connection, whether it has had its whole time or not."""
        since = self._waited_for_since
        if since is None or time.monotonic() - since < self._acquire_timeout_seconds:
            return
        metrics.DATABASE_POOL_EXHAUSTED.inc()
        if not self.exhausted:
            self.exhausted = True
            log.error(Event.DATABASE_POOL_EXHAUSTED, connected=self.pool.get_size(), size=self.pool.get_max_size())


async def open_pool(
    config: Config,
    *,
    size: int = 8,
    node: str = "",
    acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
    policy: DatabasePolicy | None = None,
    check: ConnectionCheck | None = None,
) -> Database:
    """The configured database, connected; raises DatabaseError when it cannot be reached or used.

    `node` is the process's id in `nodes`. It is part of the application_name of all its sessions, so that other
    processes can terminate them when they evict this one.
    """
    url, server = config.gateway.database, None
    if config.gateway.embedded:
        settings = policy.embedded_settings if policy is not None else {}
        server = EmbeddedServer(config.gateway.data_dir, {**SETTINGS, **settings})
        try:
            url = await server.ensure()
        except EmbeddedError as error:
            raise DatabaseError(str(error)) from error
    return await connect(
        url,
        size=size,
        node=f"{node} {config.gateway.node}".strip(),
        server=server,
        schema=config.gateway.schema,
        acquire_timeout_seconds=acquire_timeout_seconds,
        policy=policy,
        check=check,
    )


async def connect(
    url: str,
    *,
    size: int = 8,
    node: str = "",
    server: EmbeddedServer | None = None,
    schema: str | None = None,
    acquire_timeout_seconds: float = ACQUIRE_TIMEOUT_SECONDS,
    close_timeout_seconds: float = _CLOSE_TIMEOUT_SECONDS,
    policy: DatabasePolicy | None = None,
    check: ConnectionCheck | None = None,
) -> Database:
    """The database at the URL, connected; raises DatabaseError when it cannot be reached or used.

    `schema` may be missing until migrations create it.
    """
    name = f"gateway {node}".strip()[:_MAX_APPLICATION_NAME_BYTES]
    try:
        connector = Connector(
            url, application_name=name, policy=policy or DatabasePolicy(), server=server, schema=schema
        )
    except ValueError as error:
        raise DatabaseError(f"the database cannot be reached: {error}") from error

    async def connect_session(*_arguments: Any, **_pools: Any) -> Session:
        session = await connector.connect()
        if check is not None:
            try:
                await check(session)
            except BaseException:
                session.terminate()
                raise
        return session

    # It would log a traceback with every attempt to replace an idle connection while the database is away.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
    pool = asyncpg.create_pool(
        url,
        min_size=size,
        max_size=size,
        max_inactive_connection_lifetime=0,
        connect=connect_session,
        connection_class=Session,
        reset=_keep_session,
    )
    database = Database(pool, url, connector, server, acquire_timeout_seconds, close_timeout_seconds)
    try:
        await pool
        await database.check(schema)
    except BaseException as error:
        await database.close()
        if isinstance(error, (*CONNECT_ERRORS, ValueError)):
            raise DatabaseError(f"the database cannot be reached: {connector.reason(error)}") from error
        raise
    return database


async def _keep_session(_connection: Any) -> None:
    """Resets no more of a connection than asyncpg has by then: an open transaction, without a round trip else."""


def _hides_cancellation(error: BaseException | None) -> bool:
    """Whether the current task is being cancelled, and a lost connection has made another error of it.

    asyncpg's ROLLBACK fails then. A task that took the error for the database's would go on for ever.
    """
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    while error is not None:
        if isinstance(error, asyncio.CancelledError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def load_clock(connection: Connection, rate: float) -> Clock:
    """The business clock shared by all processes of this database; the first start stores its origin."""
    await connection.execute("INSERT INTO clock DEFAULT VALUES ON CONFLICT DO NOTHING")
    row = await connection.fetchrow("SELECT origin, latest, clock_timestamp() AS now FROM clock")
    assert row is not None
    return Clock(row["origin"], rate, SteadyTime(row["now"], row["latest"]))
