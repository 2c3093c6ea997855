"""A database that lacks entries of the journal that this process has seen is not used."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.consent.events import Event, EventType
from gateway.store import journal, nodes, rewinds
from gateway.store.database import Connection, Database, connect
from gateway.store.nodes import FencedError, RewoundError
from gateway.store.rewinds import Committed, Head, JournalMemory

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def add(connection: Connection, entries: int, case_id: str = "case") -> Head:
    """The last entry, after so many more are sealed."""
    for _ in range(entries):
        await journal.append(connection, [journal.entry(NOW, case_id, Event(EventType.RELEASED))])
        await journal.seal(connection)
    return await rewinds.head(connection)


async def rewind(connection: Connection, seq: int) -> None:
    """Takes all entries after `seq` away, as a failover or an old backup does."""
    await connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM journal WHERE seq > $1", seq)
    await connection.execute("DELETE FROM journal_pending")


async def opened(database_url: str, memory: JournalMemory) -> Database:
    return await connect(database_url, size=1, node="test", check=memory.check_connection)


async def test_a_new_connection_is_used_while_the_database_has_the_entries_seen_before(
    connection: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    memory = JournalMemory()
    memory.note(await add(connection, 3))
    database = await opened(database_url, memory)
    await add(connection, 1)
    await database.pool.expire_connections()
    async with database.acquire() as again:
        await memory.check(again)
    assert await rewinds.unaccepted(connection) is None
    await database.close()


@pytest.mark.parametrize(("left", "added"), [(2, 0), (0, 0), (2, 1), (2, 9)])
async def test_a_new_connection_to_a_rewound_database_is_refused_and_the_database_is_marked(
    connection: "asyncpg.Connection[asyncpg.Record]", database_url: str, left: int, added: int
) -> None:
    memory = JournalMemory()
    database = await opened(database_url, memory)
    seen = await add(connection, 3)
    memory.note(seen)
    await rewind(connection, left)
    head = await add(connection, added, "another case")  # the journal may have gone on with other entries
    await database.pool.expire_connections()
    with pytest.raises(RewoundError):
        async with database.acquire():
            pass
    found = await rewinds.unaccepted(connection)
    assert found is not None
    assert (found.seq, found.hash, found.known_seq, found.known_hash) == (head.seq, head.hash, seen.seq, seen.hash)
    assert found.diverged == (left + added >= 3)
    await database.close()


@pytest.mark.parametrize("sealed", [False, True])
async def test_an_entry_that_was_committed_counts_whether_it_is_sealed_or_not(
    connection: "asyncpg.Connection[asyncpg.Record]", database_url: str, sealed: bool
) -> None:
    memory = JournalMemory()
    database = await opened(database_url, memory)
    memory.note(await add(connection, 2))
    await journal.append(connection, [journal.entry(NOW, "late case", Event(EventType.RELEASED))])
    memory.committed(Committed("late case", NOW, "released"))
    if sealed:
        await journal.seal(connection)
    await database.pool.expire_connections()
    async with database.acquire():
        pass
    await rewind(connection, 2)
    await database.pool.expire_connections()
    with pytest.raises(RewoundError):
        async with database.acquire():
            pass
    found = await rewinds.unaccepted(connection)
    assert found is not None
    assert (found.seq, found.known_seq, found.known_hash is not None) == (2, 3, sealed)
    await database.close()


async def test_no_transaction_of_any_process_begins_while_the_database_is_rewound(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await nodes.join(connection, "node", "node", [])
    async with connection.transaction():
        await nodes.fence(connection, "node")
    await rewinds.mark(connection, "gateway", Head(0, b""), Head(5, b"hash"))
    with pytest.raises(RewoundError):
        await nodes.fence(connection, "node")
    with pytest.raises(RewoundError):
        await JournalMemory().check(connection)  # of a process that remembers nothing
    with pytest.raises(FencedError):
        await nodes.fence(connection, "evicted")
    assert await rewinds.accept(connection) is not None
    await nodes.fence(connection, "node")


async def test_a_process_that_comes_later_with_the_same_memory_finds_the_rewind_accepted_and_a_new_one_not(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    seen = await add(connection, 5)
    first, late = JournalMemory(), JournalMemory()
    first.note(seen)
    late.note(seen)
    await rewind(connection, 3)
    with pytest.raises(RewoundError):
        await first.check(connection)
    await rewinds.accept(connection)
    for memory in (first, late):
        await memory.check(connection, is_new=True)
    head = await add(connection, 1)
    for memory in (first, late):
        await memory.check(connection)
    await rewind(connection, 3)  # the acceptance of the first one does not cover a second one
    assert head.seq == 4
    for memory in (first, late):
        with pytest.raises(RewoundError):
            await memory.check(connection)


async def test_the_process_with_the_latest_memory_says_what_is_known(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    memories = [JournalMemory() for _ in range(3)]
    memories[0].note(await add(connection, 3))
    memories[2].note(await add(connection, 1))
    memories[1].note(await add(connection, 1))
    await rewind(connection, 1)
    for memory in memories:
        with pytest.raises(RewoundError):
            await memory.check(connection)
    found = await rewinds.unaccepted(connection)
    assert found is not None
    assert (found.seq, found.known_seq) == (1, 5)
