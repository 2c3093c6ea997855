"""The tree that is kept over the journal: the same whatever of it is kept, and soon read."""

import asyncio

import asyncpg
import pytest

from gateway.evidence import merkle
from gateway.store import journal_tree
from gateway.store.database import Connection, Database

SIZE = merkle.TILE * merkle.TILE + 3 * merkle.TILE + 5
"""So many that the second level that is kept has a node."""

_ENTRIES = """
INSERT INTO journal (seq, at, event, detail, hash)
SELECT n, clock_timestamp(), 'asked', '{}', sha256(n::text::bytea)
FROM generate_series($1::integer, $2::integer) AS n
"""


async def appended(connection: Connection, first: int, last: int) -> None:
    await connection.execute(_ENTRIES, first, last)


async def root_of(connection: Connection, size: int) -> bytes:
    """The root of the first entries, made from all of them."""
    tree = merkle.Frontier()
    for row in await connection.fetch("SELECT hash FROM journal WHERE seq <= $1 ORDER BY seq", size):
        tree.append(row["hash"])
    return tree.root()


async def grown(connection: Connection, limit: int = 16) -> dict[int, int]:
    """How many nodes each level has, once all are added that can be."""
    while await journal_tree.grow(connection, limit):
        pass
    rows = await connection.fetch(
        "SELECT level, count(*) AS n, max(position) AS top FROM journal_tree GROUP BY level"
    )
    assert all(row["n"] == row["top"] + 1 for row in rows)
    return {row["level"]: row["n"] for row in rows}


async def test_root_and_paths_are_the_same_before_and_after_it_has_grown(database: Database) -> None:
    async with database.acquire() as connection:
        await appended(connection, 1, SIZE)
        sizes = [0, 1, 256, 257, 65_536, SIZE - 1, SIZE]
        roots = [await root_of(connection, size) for size in sizes]
        seqs = [1, 256, 257, 40_000, 65_536, 65_537, SIZE]
        paths = await journal_tree.paths(connection, seqs, SIZE)
        assert [await journal_tree.root(connection, size) for size in sizes] == roots
        assert await grown(connection) == {8: 259, 16: 1}
        assert [await journal_tree.root(connection, size) for size in sizes] == roots
        assert await journal_tree.paths(connection, seqs, SIZE) == paths
        for seq, path in zip(seqs, paths, strict=True):
            leaf = merkle.leaf(await connection.fetchval("SELECT hash FROM journal WHERE seq = $1", seq))
            assert merkle.climb(leaf, seq - 1, SIZE, path) == roots[-1]


async def test_it_grows_with_the_journal_by_whole_tiles(database: Database) -> None:
    async with database.acquire() as connection:
        assert await grown(connection) == {}
        await appended(connection, 1, 255)
        assert await grown(connection) == {}
        await appended(connection, 256, 256)
        assert await grown(connection) == {8: 1}
        await appended(connection, 257, 2000)
        assert await grown(connection, limit=2) == {8: 7}
        assert await journal_tree.root(connection, 2000) == await root_of(connection, 2000)


async def test_a_root_is_soon_made_of_all_or_of_what_the_tree_has_come_to(
    database: Database,
) -> None:
    """Over a journal of years that has no tree yet, all entries would have to be read at once."""
    async with database.acquire() as connection:
        assert await journal_tree.reach(connection) == 0
        await appended(connection, 1, SIZE)
        assert await journal_tree.reach(connection) == merkle.TILE * merkle.TILE
        await journal_tree.grow(connection, 2)
        assert await journal_tree.reach(connection) == (merkle.TILE + 2) * merkle.TILE
        await journal_tree.grow(connection, 2)
        assert await journal_tree.reach(connection) == SIZE


async def test_several_may_let_it_grow_at_once(database: Database) -> None:
    async with database.acquire() as connection:
        await appended(connection, 1, 5000)

    async def grow() -> None:
        async with database.acquire() as connection:
            await grown(connection, limit=1)

    await asyncio.gather(*(grow() for _ in range(3)))
    async with database.acquire() as connection:
        assert await grown(connection) == {8: 19}
        assert await journal_tree.root(connection, 5000) == await root_of(connection, 5000)


@pytest.mark.parametrize("after", [False, True])
async def test_over_a_gap_nothing_is_built_and_nothing_proved(database: Database, *, after: bool) -> None:
    async with database.acquire() as connection:
        await appended(connection, 1, 600)
        if after:
            await grown(connection)
        await connection.execute("ALTER TABLE journal DISABLE TRIGGER journal_append_only")
        await connection.execute("DELETE FROM journal WHERE seq = 300")
        if not after:
            with pytest.raises(journal_tree.JournalIncompleteError):
                await grown(connection)
        with pytest.raises(journal_tree.JournalIncompleteError):
            await journal_tree.paths(connection, [299], 600)


async def test_what_it_keeps_is_never_changed(database: Database) -> None:
    async with database.acquire() as connection:
        await appended(connection, 1, 256)
        await grown(connection)
        for statement in ("UPDATE {} SET hash = ''", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(asyncpg.RaiseError, match="append-only"):
                await connection.execute(statement.format("journal_tree"))
