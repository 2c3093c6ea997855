"""Who lives and who is dead: by lock, by heartbeat, and never by mistake after the database was away."""

import asyncio

import asyncpg
import pytest

from gateway.store import nodes
from gateway.store.database import Database

LINKS = ["kcell"]
AN_INSTANT = 1e-6  # seconds: every heartbeat is older, and the server has been up for longer
UP_FOR_LONGER_THAN = 0.001


async def evict(connection, expired_after=10.0, *, restart_grace=0.0, unlocked=True):
    """(evicted, segments of unknown outcome by link), by a process called survivor."""
    return await nodes.evict_expired(
        connection, "survivor", expired_after_seconds=expired_after, restart_grace_seconds=restart_grace,
        loss_detection_seconds=60.0, unlocked=unlocked,
    )  # fmt: skip


@pytest.fixture
async def other(database_url):
    """A connection that stands for another process."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def beats_for_ever(connection, node):
    await connection.execute("UPDATE nodes SET seen_at = 'infinity' WHERE node = $1", node)


async def bury_until_somebody_is_dead(connection):
    async with asyncio.timeout(10):
        while not (found := await evict(connection))[0]:
            pass
    return found


async def test_a_process_that_holds_its_lock_and_beats_is_left_alone(database: Database, other):
    await nodes.join(other, "living", "living", LINKS)
    await beats_for_ever(other, "living")
    async with database.acquire() as connection:
        assert await evict(connection, UP_FOR_LONGER_THAN) == ([], {})


async def test_a_killed_process_is_dead_as_soon_as_its_connection_is(database: Database, other):
    await nodes.join(other, "killed", "killed", LINKS)
    await beats_for_ever(other, "killed")
    other.terminate()
    async with database.acquire() as connection:
        dead, _ = await bury_until_somebody_is_dead(connection)
        assert dead == ["killed"]
        with pytest.raises(nodes.FencedError):
            await nodes.heartbeat(connection, "killed")


async def test_free_locks_bury_nobody_where_connections_have_just_been_lost(database: Database, other):
    await other.execute("INSERT INTO nodes (node, name, seen_at) VALUES ('unheld', 'unheld', 'infinity')")
    async with database.acquire() as connection:
        assert (await evict(connection, UP_FOR_LONGER_THAN, unlocked=False))[0] == []
        assert (await evict(connection, UP_FOR_LONGER_THAN))[0] == ["unheld"]


async def test_a_paused_process_is_dead_by_its_heartbeat_though_it_holds(database: Database, other):
    await nodes.join(other, "paused", "paused", LINKS)
    async with database.acquire() as connection:
        assert await nodes.claim_links(other, "paused", LINKS) == LINKS
        assert (await evict(connection, AN_INSTANT))[0] == ["paused"]
        await nodes.join(connection, "survivor", "survivor", LINKS)
        assert await nodes.claim_links(connection, "survivor", LINKS) == LINKS


async def test_nobody_is_buried_while_the_database_has_only_just_come_back(database: Database, other):
    await other.execute("INSERT INTO nodes (node, name, seen_at) VALUES ('old', 'old', '-infinity')")
    async with database.acquire() as connection:
        assert (await evict(connection, restart_grace=86_400.0))[0] == []


async def test_a_transaction_under_way_ends_before_its_process_is_buried(database: Database, other):
    await nodes.join(other, "slow", "slow", LINKS)
    async with database.acquire() as connection:
        async with other.transaction():
            await nodes.fence(other, "slow")
            assert (await evict(connection, AN_INSTANT))[0] == []
        assert (await evict(connection, AN_INSTANT))[0] == ["slow"]
        with pytest.raises(nodes.FencedError):
            await nodes.fence(other, "slow")


async def test_one_stopped_in_the_middle_of_a_copy_is_buried_and_keeps_nobody_from_it(
    database: Database, database_url
):
    """Its transaction would stand open for ever, with all that it has locked."""
    stuck = await asyncpg.connect(database_url, server_settings={"application_name": "gateway stuck here"})
    await nodes.join(stuck, "stuck", "stuck", LINKS)
    copying = asyncio.Event()

    async def rows():
        copying.set()
        await asyncio.Event().wait()
        yield b""

    async def copy():
        async with stuck.transaction():
            await nodes.fence(stuck, "stuck")
            await stuck.copy_to_table("journal_pending", source=rows())

    task = asyncio.create_task(copy())
    await copying.wait()
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO nodes (node, name) VALUES ('also dead', 'also dead')")
        dead, _ = await evict(connection, AN_INSTANT)
        assert "also dead" in dead
        async with asyncio.timeout(10):
            while "stuck" not in dead:
                dead += (await evict(connection, AN_INSTANT))[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    stuck.terminate()


async def test_a_session_of_another_role_under_the_name_of_a_dead_process_stops_no_burial(
    database: Database, database_url
):
    foreign = await asyncpg.connect(database_url, server_settings={"application_name": "gateway dead here"})
    await nodes.join(foreign, "dead", "dead", LINKS)
    async with database.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("CREATE ROLE less")
        await connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO less")
        await connection.execute("SET LOCAL ROLE less")
        assert (await evict(connection, AN_INSTANT))[0] == ["dead"]
        await transaction.rollback()
    assert await foreign.fetchval("SELECT true")
    await foreign.close()
