"""What is told of a server, a role or a proxy that does not fit, and what a session is set to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from gateway.store.database import Database, DatabaseError, connect
from gateway.store.migrations import migrate
from gateway.store.session_checks import Server, check_session_is_kept, check_tables, fault_of

FITTING = Server(
    version=140_000,
    encoding="UTF8",
    read_only=False,
    schema="public",
    role="gateway",
    process=1,
    may_stage=True,
    configured_schema=None,
    schema_is_missing=False,
)
ROLE = "gateway_restricted"


# The server


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 130_022}, "PostgreSQL 13 is too old: the gateway needs 14 or later"),
        ({"encoding": "LATIN1"}, "encoded in LATIN1: create one with ENCODING 'UTF8'"),
        ({"read_only": True}, "standby or read-only: name the primary"),
        ({"schema": None}, "may use no schema of its search_path: GRANT USAGE, CREATE ON SCHEMA public"),
        ({"schema": None, "configured_schema": '"user"'}, 'may not use the schema "user": GRANT USAGE, CREATE ON'),
        ({"may_stage": False}, "GRANT TEMPORARY ON DATABASE"),
    ],
)
def test_an_unsuitable_database_server_is_reported_in_one_line_with_the_remedy(
    change: dict[str, Any], message: str
) -> None:
    assert fault_of(FITTING) is None
    fault = fault_of(FITTING._replace(**change))
    assert fault is not None
    assert message in fault
    assert "\n" not in fault


def test_a_configured_schema_may_be_missing() -> None:
    """Migrations create it."""
    assert fault_of(FITTING._replace(schema=None, configured_schema="almaty", schema_is_missing=True)) is None


async def test_a_database_in_another_encoding_is_refused(database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    name = await admin.fetchval("SELECT current_database()")
    try:
        with pytest.raises(DatabaseError, match="encoded in LATIN1"):
            await connect(database_url.replace(f"/{name}?", "/latin?"), size=1)
    finally:
        await admin.execute("DROP DATABASE latin WITH (FORCE)")
        await admin.close()


async def test_a_read_only_database_is_refused(database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(DatabaseError, match=r"^the database cannot be reached: it is a standby or read-only, "):
        await connect(database_url, size=1)
    await admin.close()


async def test_a_role_without_privileges_is_told_what_it_lacks(database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"DROP ROLE IF EXISTS {ROLE}; CREATE ROLE {ROLE} LOGIN")
    restricted = await connect(database_url.replace("//postgres@", f"//{ROLE}@"), size=1)
    try:
        async with restricted.acquire() as connection:
            with pytest.raises(
                DatabaseError, match=rf"role {ROLE} may not use the tables \w+, \w+, \w+, …: GRANT "
            ):
                await check_tables(connection)
            with pytest.raises(DatabaseError, match="may not migrate: GRANT CREATE ON SCHEMA public"):
                await migrate(connection)
            await admin.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
            await admin.execute(f"REVOKE UPDATE, DELETE ON journal FROM {ROLE}; CREATE TABLE theirs (n integer)")
            await admin.execute(f"CREATE ROLE {ROLE}_other; ALTER TABLE theirs OWNER TO {ROLE}_other")
            await check_tables(connection)
            await admin.execute(f"REVOKE UPDATE ON cases FROM {ROLE}")
            with pytest.raises(DatabaseError, match="may not use the tables cases: GRANT"):
                await check_tables(connection)
            await admin.execute(f"GRANT CREATE ON SCHEMA public TO {ROLE}")
            with pytest.raises(DatabaseError, match="may not migrate: only the role that owns the tables may"):
                await migrate(connection)
    finally:
        await restricted.close()
        await admin.execute(
            f"DROP TABLE IF EXISTS theirs; DROP OWNED BY {ROLE}; DROP ROLE IF EXISTS {ROLE}, {ROLE}_other"
        )
        await admin.close()


async def test_a_role_that_has_migrated_may_use_all_tables(database: Database) -> None:
    async with database.acquire() as connection:
        await check_tables(connection)


# The session


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_session_is_read_committed_whatever_the_default_of_the_server_is(
    database_url: str, level: str
) -> None:
    admin = await asyncpg.connect(database_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    await admin.execute(f"ALTER DATABASE {name} SET lock_timeout = '1min'")
    await admin.close()
    database = await connect(database_url, size=1)
    async with database.acquire() as connection:
        async with connection.transaction():
            assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
        assert await migrate(connection) == []
        assert await connection.fetchval("SHOW lock_timeout") == "10s"
    await database.close()


# Proxies


class Pooled:
    """A connection by a proxy that pools transactions: each one gets a session that no other is using."""

    def __init__(self, idle: "deque[asyncpg.Connection]", take: Callable[[], Any]) -> None:
        self._idle = idle
        self._take = take
        self._held: Any = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._held = await self._taken()
        try:
            async with self._held.transaction():
                yield
        finally:
            self._idle.append(self._held)
            self._held = None

    async def fetchval(self, query: str) -> Any:
        if self._held is not None:
            return await self._held.fetchval(query)
        session = await self._taken()
        try:
            return await session.fetchval(query)
        finally:
            self._idle.append(session)

    def terminate(self) -> None:
        pass

    async def _taken(self) -> Any:
        if not self._idle:
            await asyncio.Event().wait()  # until the time-out
        return self._take()


@pytest.mark.parametrize("sessions", [1, 2, 3, 5])
@pytest.mark.parametrize("order", ["latest first", "in turn"])
async def test_a_proxy_that_pools_transactions_is_refused(database_url: str, sessions: int, order: str) -> None:
    idle = deque([await asyncpg.connect(database_url) for _ in range(sessions)])
    opened = [*idle]
    take = idle.pop if order == "latest first" else idle.popleft

    async def another() -> Pooled:
        return Pooled(idle, take)

    try:
        with pytest.raises(DatabaseError, match=r"transaction pooling.* session pooling, or connect to "):
            await check_session_is_kept(Pooled(idle, take), another, timeout_seconds=1.0)
    finally:
        for session in opened:
            await session.close()


async def test_database_connections_that_keep_their_session_are_accepted(database_url: str) -> None:
    first = await asyncpg.connect(database_url)
    await check_session_is_kept(first, lambda: asyncpg.connect(database_url))
    await first.close()
