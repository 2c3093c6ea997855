"""The stored Merkle tree of the journal: equal roots and paths with any part of it stored."""

import asyncio

import asyncpg
import pytest

from gateway.evidence import merkle
from gateway.store import journal_tree
from gateway.store.database import Connection, Database
from gateway.store.journal_blocks import JournalIncompleteError

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines

SIZE = merkle.TILE * merkle.TILE + 3 * merkle.TILE + 5
"""Entries for which the second stored level has a node."""

_ENTRIES = """
INSERT INTO journal (seq, at, event, detail, hash)
SELECT n, clock_timestamp(), 'asked', '{}', sha256(n::text::bytea)
FROM generate_series($1::integer, $2::integer) AS n
"""


async def append(connection: Connection, first: int, last: int) -> None:
    await connection.execute(_ENTRIES, first, last)


async def roots_of(connection: Connection, *sizes: int) -> list[bytes]:
    """The roots of so many first entries, computed from all of them."""
    tree, roots = merkle.Frontier(), {0: merkle.Frontier().root()}
    rows = await connection.fetch("SELECT hash FROM journal WHERE seq <= $1 ORDER BY seq", max(sizes))
    for size, row in enumerate(rows, start=1):
        tree.append(row["hash"])
        if size in sizes:
            roots[size] = tree.root()
    return [roots[size] for size in sizes]


async def paths_of(connection: Connection, *seqs: int) -> dict[int, list[bytes]]:
    """The paths from these entries to the root of all."""
    return dict(zip(seqs, await journal_tree.paths(connection, seqs, SIZE), strict=True))


async def grow_fully(connection: Connection, limit: int = 16) -> dict[int, int]:
    """The number of nodes of each level, once all possible ones are stored."""
    while await journal_tree.grow(connection, limit):
        pass
    rows = await connection.fetch(
        "SELECT level, count(*) AS n, max(position) AS top FROM journal_tree GROUP BY level"
    )
    assert all(row["n"] == row["top"] + 1 for row in rows)
    return {row["level"]: row["n"] for row in rows}


async def test_root_and_paths_of_the_journal_tree_do_not_depend_on_its_stored_nodes(database: Database) -> None:
    async with database.acquire() as connection:
        await append(connection, 1, SIZE)
        sizes = [0, 1, 256, 257, 65_536, SIZE - 1, SIZE]
        roots = await roots_of(connection, *sizes)
        # Without stored nodes each path takes all entries, and no boundary of tiles matters.
        some = await paths_of(connection, 1, 40_000, SIZE)
        assert [await journal_tree.root(connection, size) for size in sizes] == roots
        assert await grow_fully(connection) == {8: 259, 16: 1}
        assert [await journal_tree.root(connection, size) for size in sizes] == roots
        paths = await paths_of(connection, 1, 256, 257, 40_000, 65_536, 65_537, SIZE)
        assert some.items() <= paths.items()
        for seq, path in paths.items():
            leaf = merkle.leaf(await connection.fetchval("SELECT hash FROM journal WHERE seq = $1", seq))
            assert merkle.climb(leaf, seq - 1, SIZE, path) == roots[-1]


async def test_the_journal_tree_grows_by_whole_tiles(database: Database) -> None:
    async with database.acquire() as connection:
        assert await grow_fully(connection) == {}
        await append(connection, 1, 255)
        assert await grow_fully(connection) == {}
        await append(connection, 256, 256)
        assert await grow_fully(connection) == {8: 1}
        await append(connection, 257, 2000)
        assert await grow_fully(connection, limit=2) == {8: 7}
        assert [await journal_tree.root(connection, 2000)] == await roots_of(connection, 2000)


async def test_the_reach_of_the_journal_tree_is_limited_until_it_has_grown(
    database: Database,
) -> None:
    """For a long journal without a tree the root would need all entries in one read."""
    async with database.acquire() as connection:
        assert await journal_tree.reach(connection) == 0
        await append(connection, 1, SIZE)
        assert await journal_tree.reach(connection) == merkle.TILE * merkle.TILE
        await journal_tree.grow(connection, 2)
        assert await journal_tree.reach(connection) == (merkle.TILE + 2) * merkle.TILE
        await journal_tree.grow(connection, 2)
        assert await journal_tree.reach(connection) == SIZE


async def test_several_processes_may_grow_the_journal_tree_at_once(database: Database) -> None:
    async with database.acquire() as connection:
        await append(connection, 1, 5000)

    async def grow() -> None:
        async with database.acquire() as connection:
            await grow_fully(connection, limit=1)

    await asyncio.gather(*(grow() for _ in range(3)))
    async with database.acquire() as connection:
        assert await grow_fully(connection) == {8: 19}
        assert [await journal_tree.root(connection, 5000)] == await roots_of(connection, 5000)


@pytest.mark.parametrize("after", [False, True])
async def test_over_a_gap_in_the_journal_no_tree_node_and_no_path_is_made(
    database: Database, *, after: bool
) -> None:
    async with database.acquire() as connection:
        await append(connection, 1, 600)
        if after:
            await grow_fully(connection)
        await connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM journal WHERE seq = 300")
        if not after:
            with pytest.raises(JournalIncompleteError):
                await grow_fully(connection)
        with pytest.raises(JournalIncompleteError):
            await journal_tree.paths(connection, [299], 600)


async def test_the_journal_tree_is_append_only(database: Database) -> None:
    async with database.acquire() as connection:
        await append(connection, 1, 256)
        await grow_fully(connection)
        for statement in ("UPDATE {} SET hash = ''", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await connection.execute(statement.format("journal_tree"))
