"""The rows of the processes: what others see of them, their eviction, and the links that they hold."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway.store import nodes, queues
from gateway.store.database import Connection, Database
from tests.store.rows import AN_HOUR

LINKS = ["kcell"]


async def evict(connection: Connection, *expired: str) -> tuple[list[str], dict[str, int]]:
    """(evicted nodes, segments of unknown outcome by link), with the rows as they are now."""
    others = await nodes.others(connection, "survivor")
    return await nodes.evict_expired(
        connection,
        [other for other in others if other.node in expired],
        loss_detection_seconds=60.0,
        pause_after_copy=AN_HOUR,
    )


async def seen(connection: Connection) -> dict[str, tuple[bool, bool]]:
    """By node, whether its last heartbeat went to this server, and whether its lock is free."""
    others = await nodes.others(connection, "survivor")
    return {other.node: (other.on_this_server, other.is_unlocked) for other in others}


async def give_heartbeat(connection: Connection, node: str) -> None:
    await nodes.heartbeat(connection, node, datetime.now(UTC), LINKS)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that stands for another process."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_a_node_is_seen_with_its_lock_its_links_and_the_server_of_its_heartbeat(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "other", "other", LINKS)
    async with database.acquire() as connection:
        assert await seen(connection) == {"other": (True, False)}
        await give_heartbeat(other, "other")
        assert await seen(connection) == {"other": (True, False)}
        assert [row.wanted for row in await nodes.others(connection, "survivor")] == [LINKS]
        assert await nodes.others(connection, "other") == []


async def test_the_lock_of_a_killed_node_is_free_once_its_connection_has_ended(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "killed", "killed", LINKS)
    await give_heartbeat(other, "killed")
    other.terminate()
    async with database.acquire() as connection:
        async with asyncio.timeout(10):
            while await seen(connection) != {"killed": (True, True)}:
                pass  # PostgreSQL has yet to notice
        assert await evict(connection, "killed") == (["killed"], {})
        with pytest.raises(nodes.FencedError):
            await give_heartbeat(connection, "killed")


async def test_a_heartbeat_to_a_server_that_started_at_another_time_was_not_on_this_server(
    database: Database,
) -> None:
    async with database.acquire() as connection:
        await nodes.join(connection, "other", "other", LINKS)
        await give_heartbeat(connection, "other")
        await connection.execute("UPDATE nodes SET server_started_at = server_started_at - interval '21 days'")
        assert await seen(connection) == {"other": (False, True)}


async def test_a_node_that_has_given_a_heartbeat_since_is_not_evicted_and_keeps_its_sessions(
    database: Database, database_url: str
) -> None:
    alive = await asyncpg.connect(database_url, server_settings={"application_name": "gateway alive here"})
    await nodes.join(alive, "alive", "alive", LINKS)
    async with database.acquire() as connection:
        before = await nodes.others(connection, "survivor")
        await give_heartbeat(alive, "alive")
        evicted, _ = await nodes.evict_expired(
            connection, before, loss_detection_seconds=60.0, pause_after_copy=AN_HOUR
        )
        assert evicted == []
        await give_heartbeat(alive, "alive")
    await alive.close()


async def test_the_links_of_an_evicted_node_are_claimed_by_another(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "paused", "paused", LINKS)
    async with database.acquire() as connection:
        assert await nodes.claim_links(other, "paused", LINKS) == LINKS
        assert await nodes.holders(connection) == {"kcell": "paused"}
        assert (await evict(connection, "paused"))[0] == ["paused"]
        await nodes.join(connection, "survivor", "survivor", LINKS)
        assert await nodes.claim_links(connection, "survivor", LINKS) == LINKS


async def test_a_released_link_is_claimed_by_another_and_by_its_holder_alone_released(database: Database) -> None:
    async with database.acquire() as connection:
        await nodes.join(connection, "holder", "holder", LINKS)
        await nodes.join(connection, "other", "other", LINKS)
        assert await nodes.claim_links(connection, "holder", LINKS) == LINKS
        await nodes.release_link(connection, "other", "kcell")
        assert await nodes.claim_links(connection, "other", LINKS) == []
        await nodes.release_link(connection, "holder", "kcell")
        assert await nodes.holders(connection) == {"kcell": None}
        assert await nodes.claim_links(connection, "other", LINKS) == LINKS


async def test_a_node_is_evicted_only_after_its_open_transaction(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await nodes.join(other, "slow", "slow", LINKS)
    async with database.acquire() as connection:
        async with other.transaction():
            await nodes.fence(other, "slow")
            assert (await evict(connection, "slow"))[0] == []
        assert (await evict(connection, "slow"))[0] == ["slow"]
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
        evicted, _ = await evict(connection, "stuck", "also expired")
        assert "also expired" in evicted
        async with asyncio.timeout(10):
            while "stuck" not in evicted:
                evicted += (await evict(connection, "stuck"))[0]
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
        assert (await evict(connection, "expired"))[0] == ["expired"]
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
        await nodes.leave(connection, "holder", pause_after_copy=AN_HOUR)
        assert await nodes.claim_links(connection, "other", LINKS) == LINKS
        assert await shown() == [None]


@pytest.mark.parametrize("off", [timedelta(hours=1), -timedelta(hours=1)])
async def test_a_heartbeat_of_another_time_shows_no_process_that_lives(database: Database, off: timedelta) -> None:
    async def alive(connection: Connection) -> tuple[list[bool], list[str | None]]:
        shown, held = await queues.nodes(connection), await queues.links(connection)
        return [one.alive for one in shown], [link.node for link in held]

    async with database.acquire() as connection:
        await nodes.join(connection, "node", "node", LINKS)
        await nodes.claim_links(connection, "node", LINKS)
        assert await alive(connection) == ([True], ["node"])
        await connection.execute("UPDATE nodes SET seen_at = seen_at + $1::interval", off)
        assert await alive(connection) == ([False], [None])
