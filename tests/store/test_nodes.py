"""Eviction of expired nodes: by their lock, by their heartbeat, and none right after a restart of the database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.store import nodes, queues
from gateway.store.database import Connection, Database

LINKS = ["kcell"]
EXPIRED_AT_ONCE_SECONDS = 1e-6  # every heartbeat is older, and the server has been up for longer
LESS_THAN_UPTIME_SECONDS = 0.001


async def evict(
    connection: Connection, expired_after: float = 10.0, *, restart_grace: float = 0.0, unlocked: bool = True
) -> tuple[list[str], dict[str, int]]:
    """(evicted nodes, segments of unknown outcome by link), by a node called survivor."""
    return await nodes.evict_expired(
        connection, "survivor", expired_after_seconds=expired_after, restart_grace_seconds=restart_grace,
        loss_detection_seconds=60.0, unlocked=unlocked,
    )  # fmt: skip


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that stands for another process."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def keep_heartbeat_fresh(connection: Connection, node: str) -> None:
    await connection.execute("UPDATE nodes SET seen_at = 'infinity' WHERE node = $1", node)


async def evict_until_one_has_expired(connection: Connection) -> tuple[list[str], dict[str, int]]:
    async with asyncio.timeout(10):
        while not (found := await evict(connection))[0]:
            pass
    return found


async def test_a_node_with_its_lock_and_a_fresh_heartbeat_is_not_evicted(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "alive", "alive", LINKS)
    await keep_heartbeat_fresh(other, "alive")
    async with database.acquire() as connection:
        assert await evict(connection, LESS_THAN_UPTIME_SECONDS) == ([], {})


async def test_a_killed_node_is_evicted_once_its_connection_has_ended(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "killed", "killed", LINKS)
    await keep_heartbeat_fresh(other, "killed")
    other.terminate()
    async with database.acquire() as connection:
        evicted, _ = await evict_until_one_has_expired(connection)
        assert evicted == ["killed"]
        with pytest.raises(nodes.FencedError):
            await nodes.heartbeat(connection, "killed", datetime.now(UTC))


async def test_a_node_is_evicted_by_its_free_lock_only_if_unlocked_is_set(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await other.execute("INSERT INTO nodes (node, name, seen_at) VALUES ('unheld', 'unheld', 'infinity')")
    async with database.acquire() as connection:
        assert (await evict(connection, LESS_THAN_UPTIME_SECONDS, unlocked=False))[0] == []
        assert (await evict(connection, LESS_THAN_UPTIME_SECONDS))[0] == ["unheld"]


async def test_a_paused_node_that_holds_its_lock_is_evicted_by_its_heartbeat(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "paused", "paused", LINKS)
    async with database.acquire() as connection:
        assert await nodes.claim_links(other, "paused", LINKS) == LINKS
        assert (await evict(connection, EXPIRED_AT_ONCE_SECONDS))[0] == ["paused"]
        await nodes.join(connection, "survivor", "survivor", LINKS)
        assert await nodes.claim_links(connection, "survivor", LINKS) == LINKS


async def test_no_node_is_evicted_within_the_restart_grace(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await other.execute("INSERT INTO nodes (node, name, seen_at) VALUES ('old', 'old', '-infinity')")
    async with database.acquire() as connection:
        assert (await evict(connection, restart_grace=86_400.0))[0] == []


async def test_a_node_is_evicted_only_after_its_open_transaction(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "slow", "slow", LINKS)
    async with database.acquire() as connection:
        async with other.transaction():
            await nodes.fence(other, "slow")
            assert (await evict(connection, EXPIRED_AT_ONCE_SECONDS))[0] == []
        assert (await evict(connection, EXPIRED_AT_ONCE_SECONDS))[0] == ["slow"]
        with pytest.raises(nodes.FencedError):
            await nodes.fence(other, "slow")


async def test_a_node_stopped_in_mid_copy_is_evicted_and_delays_no_other_eviction(
    database: Database, database_url: str
) -> None:
    """Its transaction would stay open forever, with all rows that it has locked."""
    stuck = await asyncpg.connect(database_url, server_settings={"application_name": "gateway stuck here"})
    await nodes.join(stuck, "stuck", "stuck", LINKS)
    copying = asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        copying.set()
        await asyncio.Event().wait()
        yield b""

    async def copy() -> None:
        async with stuck.transaction():
            await nodes.fence(stuck, "stuck")
            await stuck.copy_to_table("journal_pending", source=rows())

    task = asyncio.create_task(copy())
    await copying.wait()
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO nodes (node, name) VALUES ('also expired', 'also expired')")
        evicted, _ = await evict(connection, EXPIRED_AT_ONCE_SECONDS)
        assert "also expired" in evicted
        async with asyncio.timeout(10):
            while "stuck" not in evicted:
                evicted += (await evict(connection, EXPIRED_AT_ONCE_SECONDS))[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stuck.terminate()


async def test_a_session_of_another_role_named_like_an_expired_node_prevents_no_eviction(
    database: Database, database_url: str
) -> None:
    foreign = await asyncpg.connect(database_url, server_settings={"application_name": "gateway expired here"})
    await nodes.join(foreign, "expired", "expired", LINKS)
    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE ROLE less")
        await connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO less")
        await connection.execute("SET LOCAL ROLE less")
        assert (await evict(connection, EXPIRED_AT_ONCE_SECONDS))[0] == ["expired"]
        await transaction.rollback()
    assert await foreign.fetchval("SELECT true")
    await foreign.close()


async def test_a_request_to_bind_reaches_the_holder_of_the_link_once(database: Database) -> None:
    async with database.acquire() as connection:
        await nodes.join(connection, "holder", "holder", LINKS)
        await nodes.join(connection, "other", "other", LINKS)
        await nodes.request_bind(connection, "kcell")
        assert await nodes.claim_links(connection, "holder", LINKS) == LINKS
        assert await nodes.claim_bind_requests(connection, "holder") == []
        await nodes.request_bind(connection, "kcell")
        assert await nodes.claim_bind_requests(connection, "other") == []
        assert await nodes.claim_bind_requests(connection, "holder") == LINKS
        assert await nodes.claim_bind_requests(connection, "holder") == []


async def test_a_failed_bind_is_shown_until_it_succeeds_or_another_process_claims_the_link(
    database: Database,
) -> None:
    async def shown() -> list[str | None]:
        return [link.bind_failure for link in await queues.links(connection)]

    async with database.acquire() as connection:
        await nodes.join(connection, "holder", "holder", LINKS)
        await nodes.join(connection, "other", "other", LINKS)
        await nodes.claim_links(connection, "holder", LINKS)
        await nodes.note_bind_failure(connection, "other", "kcell", "unreachable", 1.0)
        assert await shown() == [None]
        await nodes.note_bind_failure(connection, "holder", "kcell", "ESME_RBINDFAIL", 60.0)
        assert await shown() == ["ESME_RBINDFAIL"]
        await nodes.note_bind_failure(connection, "holder", "kcell", None, None)
        assert await shown() == [None]
        await nodes.note_bind_failure(connection, "holder", "kcell", "ESME_RBINDFAIL", 60.0)
        await nodes.leave(connection, "holder")
        assert await nodes.claim_links(connection, "other", LINKS) == LINKS
        assert await shown() == [None]
