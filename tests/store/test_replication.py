"""Whether commits are on a second server: with a real primary and standby."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
from chaos.standby import Server

from gateway.store import replication
from gateway.store.database import Connection
from gateway.store.replication import Replication

WITHIN = 60.0


async def until(connection: Connection, holds: Callable[[Replication], bool]) -> Replication:
    """The state, once it is as expected."""
    async with asyncio.timeout(WITHIN):
        while not holds(state := await replication.state(connection)):
            await connection.execute("SELECT pg_sleep(0.02)")
        return state


async def test_the_state_says_whether_a_commit_waits_for_a_standby_that_is_there(data_dir: Path) -> None:
    primary = await asyncio.to_thread(Server.primary, data_dir / "primary")
    servers = [primary]
    try:
        connection = await asyncpg.connect(primary.url())
        assert await replication.state(connection) == Replication(0, 0, 0, waits=False)
        servers.append(await asyncio.to_thread(primary.standby))
        state = await until(connection, lambda state: state.standbys == 1)
        assert (state.synchronous, state.is_synchronous) == (0, False)
        await asyncio.to_thread(primary.set, synchronous_standby_names="standby")
        await asyncio.to_thread(primary.reload)
        assert (await until(connection, lambda state: state.is_synchronous)).shortfall == ""
        await connection.execute("SET synchronous_commit = local")  # of a session that does not wait
        assert not (await replication.state(connection)).waits
        await connection.execute("RESET synchronous_commit")
        await connection.execute("CREATE ROLE plain LOGIN")
        plain = await asyncpg.connect(primary.url().replace("postgres@", "plain@"))
        hidden = await replication.state(plain)
        assert (hidden.unreadable, "GRANT pg_monitor" in hidden.shortfall) == (1, True)
        await plain.close()
        await asyncio.to_thread(servers[1].kill)
        gone = await until(connection, lambda state: not state.standbys)
        assert (gone.waits, gone.is_synchronous) == (True, False)
        await connection.close()
    finally:
        for server in servers:
            await asyncio.to_thread(server.kill)
