"""The stored Merkle tree over the journal's chain: its roots are the anchors, its paths prove single entries."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.evidence import merkle
from gateway.store import locks, sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import JournalIncompleteError
from gateway.store.locks import Lock

T = TypeVar("T")

_SIZES = "SELECT level, max(position) + 1 AS size FROM journal_tree GROUP BY level"
_BLOCKS = "SELECT position, node FROM journal_blocks WHERE position >= $1 AND position < $2"
_NODES = "SELECT hash FROM journal_tree WHERE level = $3 AND position >= $1 AND position < $2 ORDER BY position"
_ALL = "SELECT level, position, hash FROM journal_tree ORDER BY level, position"
_ADD = """
INSERT INTO journal_tree (level, position, hash)
SELECT $1, $2 + n - 1, hash FROM unnest($3::bytea[]) WITH ORDINALITY AS added (hash, n)
"""
_LOOK_UP = """
SELECT level, position, hash FROM journal_tree
JOIN unnest($1::tree_place_row[]) AS wanted USING (level, position)
"""


async def grow(connection: Connection, limit: int = 4) -> bool:
    """Whether there may be more nodes to add, after adding up to `limit` complete ones to each stored level.

    A node of the lowest level, over 256 entries, costs half a millisecond. Waits while another process adds nodes.
    """
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.GROW)
        sizes = await _sizes(connection)
        below = (await sealed.last(connection)).seq
        more, level = False, 0
        while below >= merkle.TILE:
            above = level + merkle.STEP
            first = sizes.get(above, 0)
            last = min(first + limit, below >> merkle.STEP)
            if last > first:
                await connection.execute(_ADD, above, first, await _tiles(connection, level, first, last))
            more = more or last == first + limit
            below, level = max(first, last), above
    return more


async def reach(connection: Connection) -> int:
    """The largest size whose root is cheap to compute: the whole journal, unless the tree is far behind it."""
    stored = (await _sizes(connection)).get(merkle.STEP, 0)
    return min((await sealed.last(connection)).seq, (stored + merkle.TILE) << merkle.STEP)


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
    found |= {(row["level"], row["position"]): row["hash"] for row in await connection.fetch(_LOOK_UP, nodes)}
    for seq, hash_ in (await sealed.hashes_at(connection, leaves)).items():
        found[0, seq - 1] = merkle.leaf(hash_)
    if missing := wanted - found.keys():
        raise JournalIncompleteError(min((position << level) + 1 for level, position in missing))
    return compute(lambda level, position: found[level, position] if stored(level, position) else None)


async def _tiles(connection: Connection, level: int, first: int, last: int) -> list[bytes]:
    """The nodes over `level` at positions `first` to `last` (excluded) of the next stored one."""
    known: dict[int, bytes] = {}
    if level == 0:
        known = {row["position"]: row["node"] for row in await connection.fetch(_BLOCKS, first, last)}
    return [known.get(position) or await _tile(connection, level, position) for position in range(first, last)]


async def _tile(connection: Connection, level: int, position: int) -> bytes:
    start, end = position << merkle.STEP, (position + 1) << merkle.STEP
    if level:
        hashes = [row["hash"] for row in await connection.fetch(_NODES, start, end, level)]
    else:
        chain = await sealed.hashes_at(connection, range(start + 1, end + 1))
        hashes = [merkle.leaf(hash_) for hash_ in chain.values()]
    if len(hashes) != end - start:
        raise JournalIncompleteError((start << level) + 1)
    return merkle.tile(hashes)


async def _sizes(connection: Connection) -> dict[int, int]:
    """By level, the number of stored nodes."""
    return {row["level"]: row["size"] for row in await connection.fetch(_SIZES)}
