"""A Merkle tree over a log that grows (RFC 9162 §2.1): proves without the log that an entry was in it.

The tree of the first `size` leaves has one root; the path of a leaf, some 20 hashes among a million leaves, leads
from it to that root. A root that was noted at its time proves an entry without trust in the log's present holder.
Of the inner nodes only those of every STEP-th level are stored, as in the tiles of Go's checksum database; the
others are computed from them.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import reduce

STEP = 8
TILE = 1 << STEP
"""Leaves under a node of the first stored level, and nodes of each stored level under one of the next."""

Lookup = Callable[[int, int], bytes | None]
"""The hash of the complete subtree of `level` at `position`; None: it is computed from those below.

Called only with levels that are multiples of STEP; level 0, the leaves, is always there."""


def leaf(entry: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(lookup: Lookup, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return _over(lookup, 0, size) if size else hashlib.sha256().digest()


def path(lookup: Lookup, index: int, size: int) -> list[bytes]:
    """The hashes that lead from leaf `index` (from 0 on) to the root of the first `size`, from below."""
    return [_over(lookup, start, end) for _, start, end in reversed(_descent(index, size))]


def climb(leaf_hash: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes | None:
    """The root to which a path leads; None when leaf `index` of `size` has no path of that length."""
    if not 0 <= index < size:
        return None
    descent = _descent(index, size)
    if len(descent) != len(hashes):
        return None
    here = leaf_hash
    for (left, _, _), other in zip(reversed(descent), hashes, strict=True):
        here = node(here, other) if left else node(other, here)
    return here


def tile(hashes: Sequence[bytes]) -> bytes:
    """The node over a power of two of leaves or nodes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


class Frontier:
    """A tree that leaves are appended to; it keeps one hash for each complete subtree on its right edge.

    `tiles` are the nodes of the stored levels, by level and position.
    """

    def __init__(self) -> None:
        self.size = 0
        self.tiles: dict[tuple[int, int], bytes] = {}
        self._subtrees: list[bytes] = []

    def append(self, entry: bytes) -> None:
        here, level, size = leaf(entry), 0, self.size
        while size & 1:
            here = node(self._subtrees.pop(), here)
            level, size = level + 1, size >> 1
            if level % STEP == 0:
                self.tiles[level, size] = here
        self._subtrees.append(here)
        self.size += 1

    def root(self) -> bytes:
        """The root of what was appended so far."""
        if not self._subtrees:
            return hashlib.sha256().digest()
        return reduce(lambda right, left: node(left, right), reversed(self._subtrees))


def _descent(index: int, size: int) -> list[tuple[bool, int, int]]:
    """The way from the root down to a leaf: whether it goes left, and the leaves from start to end passed by."""
    ways = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _left(end - start)
        if index < middle:
            ways.append((True, middle, end))
            end = middle
        else:
            ways.append((False, start, middle))
            start = middle
    return ways


def _left(size: int) -> int:
    """How many of so many leaves stand under the left branch: the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _over(lookup: Lookup, start: int, end: int) -> bytes:
    size = end - start
    level = size.bit_length() - 1
    if size == 1 << level and level % STEP == 0:
        found = lookup(level, start >> level)
        if found is not None:
            return found
    middle = start + _left(size)
    return node(_over(lookup, start, middle), _over(lookup, middle, end))
