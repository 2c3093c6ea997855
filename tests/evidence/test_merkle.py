"""The Merkle tree: roots by the test vectors of Certificate Transparency, and paths of every leaf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence import merkle

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines

ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Roots by the number of entries: the test vectors of the first implementation of RFC 6962."""
SIZES = st.integers(1, 3 * merkle.TILE)


def log(size: int) -> list[bytes]:
    return [n.to_bytes(4, "big") for n in range(size)]


def over(entries: list[bytes], *, kept: int = 0) -> merkle.Lookup:
    """A lookup of these leaves, and of the first `kept` nodes over whole tiles of them."""
    leaves = [merkle.leaf(entry) for entry in entries]

    def look(level: int, position: int) -> bytes | None:
        if level == 0:
            return leaves[position]
        start = position << level
        return merkle.tile(leaves[start : start + (1 << level)]) if position < kept else None

    return look


def frontier_of(entries: list[bytes]) -> merkle.Frontier:
    frontier = merkle.Frontier()
    for entry in entries:
        frontier.append(entry)
    return frontier


def test_merkle_roots_equal_the_vectors_of_certificate_transparency() -> None:
    entries = [bytes.fromhex(entry) for entry in ENTRIES]
    for size, expected in enumerate(ROOTS):
        assert merkle.root(over(entries), size).hex() == expected
        assert frontier_of(entries[:size]).root().hex() == expected


@given(SIZES, st.integers(0, 3))
def test_a_merkle_root_does_not_depend_on_the_stored_nodes(size: int, kept: int) -> None:
    entries = log(size)
    assert merkle.root(over(entries, kept=kept), size) == frontier_of(entries).root()


@given(st.data(), SIZES)
def test_only_the_merkle_path_of_a_leaf_leads_to_the_root(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    entries = log(size)
    look, root, leaf = over(entries, kept=2), frontier_of(entries).root(), merkle.leaf(entries[index])
    path = merkle.path(look, index, size)
    assert merkle.climb(leaf, index, size, path) == root
    assert merkle.climb(merkle.leaf(b"another"), index, size, path) != root
    assert merkle.climb(leaf, index, size, [*path, leaf]) is None
    assert merkle.climb(leaf, index + size, size, path) is None
    assert merkle.climb(leaf, -1, size, path) is None
    if path:
        n = data.draw(st.integers(0, len(path) - 1))
        assert merkle.climb(leaf, index, size, [*path[:n], leaf, *path[n + 1 :]]) != root
        assert merkle.climb(leaf, index, size, path[:-1]) is None


def test_every_leaf_of_small_merkle_trees_has_a_path_to_the_root() -> None:
    for size in range(1, 70):
        entries = log(size)
        look, root = over(entries), frontier_of(entries).root()
        for index, entry in enumerate(entries):
            assert merkle.climb(merkle.leaf(entry), index, size, merkle.path(look, index, size)) == root
