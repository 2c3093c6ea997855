"""Whether a session of PostgreSQL is what the gateway needs: asked once, at the start of a process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import asyncpg

MIN_VERSION = 14
"""The oldest PostgreSQL that has all that the statements use: bit_count() is the newest of it."""

_SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only,
    current_schema() AS schema, current_user AS role, pg_backend_pid() AS process,
    has_database_privilege(current_database(), 'TEMP') AS may_stage,
    quote_ident($1) AS configured_schema,
    $1 IS NOT NULL AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS schema_is_missing
"""

# Tables of the role that has migrated: others may keep theirs in the same schema. The journal is never changed.
_FORBIDDEN_TABLES = """
SELECT relname FROM pg_class AS t
WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
  AND relowner = (SELECT relowner FROM pg_class WHERE oid = to_regclass('schema_migrations'))
  AND NOT (has_table_privilege(oid, 'SELECT')
           AND (oid = to_regclass('schema_migrations') OR has_table_privilege(oid, 'INSERT')
                AND (has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
                     OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.oid AND tgname = 'journal_append_only'))))
ORDER BY relname
"""
_MAX_SHOWN_TABLES = 3
_POOLED_TIMEOUT_SECONDS = 5.0
_ROUNDS = 3

POOLED = (
    "a proxy before PostgreSQL gives each transaction another session (transaction pooling), and the gateway "
    "needs its own: set the proxy to session pooling, or connect to PostgreSQL directly"
)


class DatabaseError(Exception):
    """The database cannot be used as it is. The message is one line that names the remedy."""


class Server(NamedTuple):
    """What a session says about its server and its role."""

    version: int  # 140005: 14.5
    encoding: str
    read_only: bool
    schema: str | None  # in which tables are created and found first; None: the role may use none
    role: str
    process: int
    may_stage: bool
    configured_schema: str | None  # as SQL writes it
    schema_is_missing: bool  # the configured one: migrations create it


async def check_server(connection: Any, schema: str | None) -> bool:
    """Whether a proxy stands between; raises DatabaseError when the server or the role does not fit.

    `schema` is the configured one. It may be missing.
    """
    server = Server(**await connection.fetchrow(_SERVER, schema))
    if fault := fault_of(server):
        raise DatabaseError(fault)
    return bool(server.process != connection.get_server_pid())


def fault_of(server: Server) -> str | None:
    """Why the gateway cannot work with this server, and the remedy; None: it can."""
    if server.version < MIN_VERSION * 10_000:
        return f"PostgreSQL {server.version // 10_000} is too old: the gateway needs {MIN_VERSION} or later"
    if server.encoding != "UTF8":
        return f"the database is encoded in {server.encoding}: create one with ENCODING 'UTF8' TEMPLATE template0"
    if server.read_only:
        return (
            "the database is a standby or read-only: name the primary in gateway.database, or end its "
            "default_transaction_read_only"
        )
    if server.schema is None and not server.schema_is_missing:
        schema = server.configured_schema
        unused = "use no schema of its search_path" if schema is None else f"not use the schema {schema}"
        return f"role {server.role} may {unused}: GRANT USAGE, CREATE ON SCHEMA {schema or 'public'} to it"
    if not server.may_stage:
        return f"role {server.role} may create no temporary tables: GRANT TEMPORARY ON DATABASE to it"
    return None


async def check_tables(connection: Any) -> None:
    """Raises DatabaseError when the role may not use all tables that a migration has created."""
    if names := [row["relname"] for row in await connection.fetch(_FORBIDDEN_TABLES)]:
        shown = ", ".join(names[:_MAX_SHOWN_TABLES]) + (", …" if len(names) > _MAX_SHOWN_TABLES else "")
        role, schema = await connection.fetchrow("SELECT current_user, quote_ident(current_schema())")
        raise DatabaseError(
            f"role {role} may not use the tables {shown}: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN "
            f"SCHEMA {schema} to it, or connect as the role that has migrated"
        )


async def check_may_migrate(connection: Any) -> None:
    """Raises DatabaseError when the role may not create tables, or not change those that are there."""
    row = await connection.fetchrow(
        """SELECT current_user AS role, quote_ident(current_schema()) AS schema,
            has_schema_privilege(current_schema(), 'CREATE') AS may_create,
            pg_has_role((SELECT relowner FROM pg_class WHERE oid = to_regclass('schema_migrations')), 'USAGE')
                IS NOT FALSE AS may_change"""
    )
    if not row["may_create"]:
        raise DatabaseError(f"role {row['role']} may not migrate: GRANT CREATE ON SCHEMA {row['schema']} to it")
    if not row["may_change"]:
        raise DatabaseError(f"role {row['role']} may not migrate: only the role that owns the tables may")


async def check_session_is_kept(
    first: Any, connect: Callable[[], Awaitable[Any]], timeout_seconds: float = _POOLED_TIMEOUT_SECONDS
) -> None:
    """Raises DatabaseError when connections by a proxy share sessions of the server.

    One connection holds a transaction: its session is then its own in any case. The other one must have had, and
    still have, a session of its own too. Asked both ways a few times, because a proxy chooses from several.
    """
    second = await connect()
    seen: dict[int, set[int]] = {id(first): set(), id(second): set()}
    try:
        for one, other in [(first, second), (second, first)] * _ROUNDS:
            async with asyncio.timeout(timeout_seconds):
                seen[id(one)].add(await _process(one))
                async with other.transaction():
                    seen[id(other)].add(await _process(other))
                    seen[id(one)].add(await _process(one))
    except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # The only session is taken, or a transaction is not allowed (statement pooling).
        raise DatabaseError(POOLED) from error
    finally:
        second.terminate()
    (*firsts,), (*seconds,) = seen.values()
    if not len(firsts) == len(seconds) == 1 or firsts == seconds:
        raise DatabaseError(POOLED)


async def _process(connection: Any) -> int:
    process: int = await connection.fetchval("SELECT pg_backend_pid()")
    return process
