"""The Merkle tree over the journal's chain: its roots are the anchors, its paths the proofs of single entries."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.evidence import merkle
from gateway.store.database import Connection

T = TypeVar("T")

_GROWER = 0x74726565  # "tree": the advisory lock of whoever lets it grow

_SIZES = "SELECT level, max(position) + 1 AS size FROM journal_tree GROUP BY level"
_ENTRIES = "SELECT hash FROM journal WHERE seq > $1 AND seq <= $2 ORDER BY seq"
_NODES = "SELECT hash FROM journal_tree WHERE level = $3 AND position >= $1 AND position < $2 ORDER BY position"
_ALL = "SELECT level, position, hash FROM journal_tree ORDER BY level, position"
_ADD = """
INSERT INTO journal_tree (level, position, hash)
SELECT $1, $2 + n - 1, hash FROM unnest($3::bytea[]) WITH ORDINALITY AS added (hash, n)
"""
_LOOK = """
SELECT 0 AS level, seq - 1 AS position, hash FROM journal WHERE seq = ANY($1::bigint[])
UNION ALL
SELECT level, position, hash FROM journal_tree
JOIN unnest($2::smallint[], $3::bigint[]) AS wanted (level, position) USING (level, position)
"""


class JournalTornError(Exception):
    """Entries from `seq` on, or nodes over them, are missing: ``gateway verify-journal`` says which."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"something is missing from entry {seq} on")
        self.seq = seq


async def grow(connection: Connection, limit: int = 4) -> bool:
    """Adds up to `limit` complete nodes to each level that is kept; whether there may be more to add.

    A node of the first one, over 256 entries, costs half a millisecond. Others who let it grow are waited for.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _GROWER)
        sizes = await _sizes(connection)
        below = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM journal")
        more, level = False, 0
        while below >= merkle.TILE:
            above = level + merkle.STEP
            first = sizes.get(above, 0)
            last = min(first + limit, below >> merkle.STEP)
            if last > first:
                hashes = await _below(connection, level, first << merkle.STEP, last << merkle.STEP)
                tiles = [merkle.tile(hashes[n : n + merkle.TILE]) for n in range(0, len(hashes), merkle.TILE)]
                await connection.execute(_ADD, above, first, tiles)
            more = more or last == first + limit
            below, level = max(first, last), above
    return more


async def reach(connection: Connection) -> int:
    """The most entries whose root is soon made: all of the journal, unless the tree is far behind it."""
    kept = (await _sizes(connection)).get(merkle.STEP, 0)
    last: int = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM journal")
    return min(last, (kept + merkle.TILE) << merkle.STEP)


async def root(connection: Connection, size: int) -> bytes:
    """The root of the first `size` entries, which have to be there."""
    return await _looked_up(connection, lambda look: merkle.root(look, size))


async def paths(connection: Connection, seqs: Sequence[int], size: int) -> list[list[bytes]]:
    """The paths that lead from these entries to the root of the first `size`."""
    return await _looked_up(connection, lambda look: [merkle.path(look, seq - 1, size) for seq in seqs])


async def fault(connection: Connection, tree: merkle.Frontier) -> int | None:
    """The first entry over which a kept node is missing, or is not that of `tree`; None: all are."""
    kept = {(level, position): hash_ for level, position, hash_ in await connection.fetch(_ALL)}
    sizes = {level: position + 1 for level, position in kept}
    wrong = [
        (position << level) + 1
        for (level, position), hash_ in tree.tiles.items()
        if position < sizes.get(level, 0) and kept.get((level, position)) != hash_
    ]
    return min(wrong, default=None)


async def _looked_up(connection: Connection, ask: Callable[[merkle.Lookup], T]) -> T:
    """What `ask` answers. It is called twice: to learn which hashes it needs, and with these, fetched at once."""
    sizes = await _sizes(connection)
    wanted: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], bytes] = {}

    def kept(level: int, position: int) -> bool:
        return level == 0 or position < sizes.get(level, 0)

    def note(level: int, position: int) -> bytes | None:
        if not kept(level, position):
            return None
        wanted.add((level, position))
        return b""

    ask(note)
    leaves = [position + 1 for level, position in wanted if level == 0]
    nodes = [place for place in wanted if place[0]]
    for row in await connection.fetch(_LOOK, leaves, [place[0] for place in nodes], [place[1] for place in nodes]):
        found[row["level"], row["position"]] = row["hash"] if row["level"] else merkle.leaf(row["hash"])
    if missing := wanted - found.keys():
        raise JournalTornError(min((position << level) + 1 for level, position in missing))
    return ask(lambda level, position: found[level, position] if kept(level, position) else None)


async def _below(connection: Connection, level: int, start: int, end: int) -> list[bytes]:
    """The nodes of a level from position `start` up to `end`; of level 0 the leaves."""
    if level:
        hashes = [row["hash"] for row in await connection.fetch(_NODES, start, end, level)]
    else:
        hashes = [merkle.leaf(row["hash"]) for row in await connection.fetch(_ENTRIES, start, end)]
    if len(hashes) != end - start:
        raise JournalTornError((start << level) + 1)
    return hashes


async def _sizes(connection: Connection) -> dict[int, int]:
    """How many nodes of each level are kept."""
    return {row["level"]: row["size"] for row in await connection.fetch(_SIZES)}
