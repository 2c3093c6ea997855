"""Advisory locks. They belong to the whole database, so the keys say for which schema: every schema has its own.

In `public` the keys are those of earlier versions, whose processes may run beside this one during an upgrade. They
depend on where the tables are, not on how that was configured: processes that share tables share locks.
"""

from enum import IntEnum

from gateway.store.database import Connection

_SCHEMA = "CASE current_schema() WHEN 'public' THEN 0 ELSE hashtext(current_schema()) END"
_KEY = f"$1::bigint # (({_SCHEMA})::bigint << 32)"


class Lock(IntEnum):
    """What one session at a time does; the value is four letters."""

    ACCESS = 0x61636373
    """"accs": writes a row of the access log, so that rows become visible in their order."""
    ACCEPT = 0x6C697374
    """"list": accepts a list, because its pupils are compared with all cases."""
    GROW = 0x74726565
    """"tree": adds nodes to the Merkle tree."""
    MIGRATE = 0x67617465
    """"gate": migrates."""
    SEAL = 0x6A6F7572
    """"jour": seals entries of the journal."""


_NODE = 0x6E6F6465  # "node"


def node_keys(node: str) -> str:
    """The two keys of a process's lock as SQL; `node` is the expression of its id."""
    return f"{_NODE}, hashtext({node}) # ({_SCHEMA})"


async def lock_transaction(connection: Connection, lock: Lock) -> None:
    """Waits for the lock, which is held until the transaction ends."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_KEY})", lock)


async def try_lock_transaction(connection: Connection, lock: Lock) -> bool:
    """Whether the lock was free, and is held now until the transaction ends."""
    acquired: bool = await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_KEY})", lock)
    return acquired


async def lock_session(connection: Connection, lock: Lock) -> None:
    """Waits for the lock, which is held until `unlock_session`, or until the connection ends."""
    await connection.execute(f"SELECT pg_advisory_lock({_KEY})", lock)


async def unlock_session(connection: Connection, lock: Lock) -> None:
    """Releases a lock of `lock_session`."""
    await connection.execute(f"SELECT pg_advisory_unlock({_KEY})", lock)


async def hold_node(connection: Connection, node: str) -> None:
    """Acquires a process's shared lock, held until the connection ends; several connections may hold it."""
    await connection.execute(f"SELECT pg_advisory_lock_shared({node_keys('$1::text')})", node)
