"""The stored Merkle tree over the journal's chain: its roots are the anchors, its paths prove single entries."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.evidence import merkle
from gateway.store import locks
from gateway.store.database import Connection
from gateway.store.locks import Lock

T = TypeVar("T")

_SIZES = "SELECT level, max(position) + 1 AS size FROM journal_tree GROUP BY level"
_ENTRIES = "SELECT hash FROM journal WHERE seq > $1 AND seq <= $2 ORDER BY seq"
_NODES = "SELECT hash FROM journal_tree WHERE level = $3 AND position >= $1 AND position < $2 ORDER BY position"
_ALL = "SELECT level, position, hash FROM journal_tree ORDER BY level, position"
_ADD = """
INSERT INTO journal_tree (level, position, hash)
SELECT $1, $2 + n - 1, hash FROM unnest($3::bytea[]) WITH ORDINALITY AS added (hash, n)
"""
_LOOK_UP = """
SELECT 0 AS level, seq - 1 AS position, hash FROM journal WHERE seq = ANY($1::bigint[])
UNION ALL
SELECT level, position, hash FROM journal_tree
JOIN unnest($2::tree_place_row[]) AS wanted USING (level, position)
"""


class JournalIncompleteError(Exception):
    """Entries from `seq` on, or tree nodes over them, are missing: ``gateway verify-journal`` names the first."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"something is missing from entry {seq} on")
        self.seq = seq


async def grow(connection: Connection, limit: int = 4) -> bool:
    """Whether there may be more nodes to add, after adding up to `limit` complete ones to each stored level.

    A node of the lowest level, over 256 entries, costs half a millisecond. Waits while another process adds nodes.
    """
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.GROW)
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
    """The largest size whose root is cheap to compute: the whole journal, unless the tree is far behind it."""
    stored = (await _sizes(connection)).get(merkle.STEP, 0)
    last: int = await connection.fetchval("SELECT coalesce(max(seq), 0) FROM journal")
    return min(last, (stored + merkle.TILE) << merkle.STEP)


async def root(connection: Connection, size: int) -> bytes:
    """The root over the first `size` entries; raises JournalIncompleteError when some are missing."""
    return await _with_hashes(connection, lambda look_up: merkle.root(look_up, size))


async def paths(connection: Connection, seqs: Sequence[int], size: int) -> list[list[bytes]]:
    """The paths from these entries to the root over the first `size`; raises JournalIncompleteError."""
    return await _with_hashes(connection, lambda look_up: [merkle.path(look_up, seq - 1, size) for seq in seqs])


async def fault(connection: Connection, tree: merkle.Frontier) -> int | None:
    """The seq of the first entry over which a stored node is missing or differs from `tree`; None: no fault."""
    stored = {(level, position): hash_ for level, position, hash_ in await connection.fetch(_ALL)}
    sizes = {level: position + 1 for level, position in stored}
    wrong = [
        (position << level) + 1
        for (level, position), hash_ in tree.tiles.items()
        if position < sizes.get(level, 0) and stored.get((level, position)) != hash_
    ]
    return min(wrong, default=None)


async def _with_hashes(connection: Connection, compute: Callable[[merkle.Lookup], T]) -> T:
    """The result of `compute`, called twice: first to learn which hashes it needs.

    The second call gets them from one query.
    """
    sizes = await _sizes(connection)
    wanted: set[tuple[int, int]] = set()
    found: dict[tuple[int, int], bytes] = {}

    def stored(level: int, position: int) -> bool:
        return level == 0 or position < sizes.get(level, 0)

    def note(level: int, position: int) -> bytes | None:
        if not stored(level, position):
            return None
        wanted.add((level, position))
        return b""

    compute(note)
    leaves = [position + 1 for level, position in wanted if level == 0]
    nodes = [(level, position) for level, position in wanted if level]
    for row in await connection.fetch(_LOOK_UP, leaves, nodes):
        found[row["level"], row["position"]] = row["hash"] if row["level"] else merkle.leaf(row["hash"])
    if missing := wanted - found.keys():
        raise JournalIncompleteError(min((position << level) + 1 for level, position in missing))
    return compute(lambda level, position: found[level, position] if stored(level, position) else None)


async def _below(connection: Connection, level: int, start: int, end: int) -> list[bytes]:
    """The hashes of a level at positions `start` to `end` (excluded); level 0 are the leaves."""
    if level:
        hashes = [row["hash"] for row in await connection.fetch(_NODES, start, end, level)]
    else:
        hashes = [merkle.leaf(row["hash"]) for row in await connection.fetch(_ENTRIES, start, end)]
    if len(hashes) != end - start:
        raise JournalIncompleteError((start << level) + 1)
    return hashes


async def _sizes(connection: Connection) -> dict[int, int]:
    """By level, the number of stored nodes."""
    return {row["level"]: row["size"] for row in await connection.fetch(_SIZES)}
