"""Connections to PostgreSQL: host by host, with our session settings, and ended when a server falls silent."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

import asyncpg

from gateway.config.policy import DatabasePolicy
from gateway.logs.log import Event, get_logger
from gateway.store.embedded import EmbeddedError, EmbeddedServer
from gateway.store.hosts import Host, HostOrder, hosts_of, target_of
from gateway.store.session_checks import POOLED

log = get_logger()

_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # A transaction that stalls must not keep its rows locked.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
}
# By statement, not as parameters of the start: a pooling proxy rejects those that it does not know. $1 is the
# schema; null leaves the search_path as it is. Temporary tables and pg_catalog are always found before it. The
# types of rows are for asyncpg to look up all at once: 10 ms a connection now, not 10 ms a type amid the work.
_BEGIN_SESSION = f"""
SELECT {", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items())},
    CASE WHEN $1::text IS NOT NULL THEN set_config('search_path', quote_ident($1), false) END,
    (SELECT string_agg(format('NULL::%I[]', typname), ', ')
     FROM pg_type JOIN pg_class ON pg_class.oid = typrelid JOIN pg_namespace ON pg_namespace.oid = typnamespace
     WHERE relkind = 'c' AND nspname = coalesce($1, current_schema())) AS row_types
"""  # noqa: S608

_MAX_CACHED_STATEMENTS = 512
_READ_WRITE = "read-write"
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
"""Seconds until the first probe of an idle connection, between probes, and probes without a response."""
_USER_TIMEOUT_MILLISECONDS = 10_000
"""The longest time for which sent octets may be unacknowledged by the other host."""
_CANCEL_TIMEOUT_SECONDS = 1.0
"""The time for a server to end a statement that was cancelled; until then its connection is of no use to anyone.
"""

_SHARED_SESSION_ERRORS = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
"""The errors of a new session in which prepared statements of another one exist, or its own are missing."""
CONNECT_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Session(asyncpg.Connection):
    """A connection that ends when the other host, or its server, does not respond."""

    __slots__ = ("made_at", "note_silent")

    def __init__(self, protocol: Any, transport: asyncio.Transport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self.made_at = time.monotonic()
        self.note_silent: Callable[[], None] | None = None
        end_without_acknowledgement(transport.get_extra_info("socket"))

    def end_silent(self) -> None:
        """Ends the connection at once, because its host does not respond: others are tried first now."""
        if self.note_silent is not None:
            self.note_silent()
        self.terminate()

    def _cancel_current_command(self, waiter: Any, cancel_waiter: "asyncio.Future[None] | None" = None) -> None:
        """Has a statement cancelled. asyncpg waits for it without limit: before a ROLLBACK, for one."""
        super()._cancel_current_command(waiter, cancel_waiter)  # type: ignore[misc]  # missing in the stubs

        def end_unless_cancelled() -> None:
            if cancel_waiter is not None and not cancel_waiter.done():
                self.end_silent()

        asyncio.get_running_loop().call_later(_CANCEL_TIMEOUT_SECONDS, end_unless_cancelled)


def end_without_acknowledgement(sock: socket.socket) -> None:
    """Has the system end a TCP connection whose other host is silent; it would wait for 15 minutes."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**_KEEPALIVE, "TCP_USER_TIMEOUT": _USER_TIMEOUT_MILLISECONDS}.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has all
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Connector:
    """Makes the connections to one address."""

    def __init__(
        self,
        url: str,
        *,
        application_name: str,
        policy: DatabasePolicy,
        server: EmbeddedServer | None,
        schema: str | None = None,
    ) -> None:
        """`server` runs at the address, and is started again when it was killed. Raises ValueError.

        `schema` is where all sessions find and create everything; None: in that of the role's own search_path.
        """
        self._url = url
        self._hosts = HostOrder([] if server else hosts_of(url))
        self._target: Any = target_of(url) or _READ_WRITE
        self._application_name = application_name
        self._policy = policy
        self._server = server
        self._schema = schema
        self._sessions: WeakSet[Session] = WeakSet()

    async def connect(self) -> Session:
        """A connection to the first host that serves.

        Raises one of CONNECT_ERRORS: that of the only host, or a ConnectionError that names them all.
        """
        hosts: Sequence[Host | None] = [*self._hosts] or [None]
        failures = []
        for host in hosts:
            try:
                session = await self._connect_or_restart(host)
            except CONNECT_ERRORS as error:
                if host is None or len(hosts) == 1:
                    raise
                if isinstance(error, OSError):
                    self._hosts.unresponsive(host)
                failures.append(f"{host}: {self.reason(error)}")
            else:
                if host is not None and self._hosts.good(host):
                    log.warning(Event.DATABASE_HOST_CHANGED, host=str(host))
                return session
        raise ConnectionError("; ".join(failures))

    def terminate(self, older_than_seconds: float) -> int:
        """Ends all connections of this age at once, whoever uses them, as silent; how many there were."""
        made_before = time.monotonic() - older_than_seconds
        sessions = [s for s in self._sessions if s.made_at <= made_before and not s.is_closed()]
        for session in sessions:
            session.end_silent()
        return len(sessions)

    def reason(self, error: BaseException) -> str:
        """Why a connection could not be made, in one line without secrets."""
        if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
            if self._target in (_READ_WRITE, "primary"):
                return "it is a standby or read-only, and the gateway writes: the address has to name the primary"
            return f"it is not {self._target}, as the address asks"
        if isinstance(error, _SHARED_SESSION_ERRORS):
            return POOLED
        if isinstance(error, TimeoutError):
            return f"no response within {self._timeout_seconds:g} s"
        lines = str(error).splitlines()
        return lines[0] if lines else type(error).__name__

    @property
    def _timeout_seconds(self) -> float:
        several = len([*self._hosts]) > 1
        return self._policy.host_timeout_seconds if several else self._policy.only_host_timeout_seconds

    async def _connect_or_restart(self, host: Host | None) -> Session:
        try:
            return await self._connect(host)
        except OSError:
            if self._server is None:
                raise
            try:
                await self._server.ensure()  # it was killed: only the gateway restarts it
            except EmbeddedError as error:
                raise ConnectionError(str(error)) from error  # a transient error, like any lost connection
            return await self._connect(host)

    async def _connect(self, host: Host | None) -> Session:
        """A session at this host; None: asyncpg knows which."""
        address: dict[str, Any] = {} if host is None else {"host": host.name, "port": host.port}
        async with asyncio.timeout(self._timeout_seconds):
            session: Session = await asyncpg.connect(
                self._url,
                **address,
                connection_class=Session,
                target_session_attrs=self._target,
                statement_cache_size=_MAX_CACHED_STATEMENTS,
                max_cached_statement_lifetime=0,
                server_settings={"application_name": self._application_name},
            )
            try:
                row = await session.fetchrow(_BEGIN_SESSION, self._schema)
                if row is not None and row["row_types"]:
                    await session.prepare(f"SELECT {row['row_types']}")
            except BaseException:
                session.terminate()
                raise
        if host is not None:
            session.note_silent = partial(self._hosts.unresponsive, host)
        self._sessions.add(session)
        return session
