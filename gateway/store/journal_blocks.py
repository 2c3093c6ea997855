"""Blocks of 256 sealed entries of the journal: how they are made, and read.

A block is a tenth of the size of its entries' rows: it has their fields in columns, as JSON, compressed. Of the
hashes it has the one before its entries and that of the last. It covers one node of the Merkle tree.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import orjson

from gateway.evidence import digests, merkle

ENTRIES: Final = merkle.TILE
"""The number of entries of a block."""
_LEVEL: Final = 1
"""The level of zlib: the highest saves a tenth more and takes twice the time."""
_COMPRESSED_FROM: Final = 1000
"""Octets of JSON from which on compression is worth its time."""
_UNCOMPRESSED: Final = b"["
"""How JSON begins, and zlib's format never does."""
_MAX_OCTETS: Final = 256 << 20
"""The longest JSON: entries are bounded in length, and so is the number of those of a block or a transaction."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class JournalIncompleteError(Exception):
    """Entries from `seq` on, or tree nodes over them, are missing: ``gateway verify-journal`` names the first.

    The octets of a block that cannot be read are missing as well.
    """

    def __init__(self, seq: int) -> None:
        super().__init__(f"something is missing from entry {seq} on")
        self.seq = seq


class SealedEntry(NamedTuple):
    """A sealed entry of the journal."""

    seq: int
    at_us: int | None  # business time, in microseconds since 1970; None: infinite, which is a fault
    case_id: str | None
    event: str
    event_id: str | None  # of a status, else None
    detail: str  # JSON object
    version: int  # of its hash

    @property
    def at(self) -> datetime:
        """When it happened, in business time."""
        return instant(self.at_us or 0)

    def hash_after(self, before: bytes) -> bytes:
        """Its hash, given that of the entry before."""
        return next(hashes(before, (self,)))


class Block(NamedTuple):
    """A row of ``journal_blocks``."""

    position: int
    entries: bytes
    before: bytes
    hash: bytes
    version: int
    node: bytes
    ended_at: datetime
    statuses: int
    last_status: int | None
    status_since: datetime | None
    cases: list[int]


def microseconds(at: datetime) -> int:
    """The instant in microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def instant(at_us: int) -> datetime:
    """The instant so many microseconds after the begin of 1970."""
    return _EPOCH + timedelta(microseconds=at_us)


def position_of(seq: int) -> int:
    """The position of the block that has, or will have, the entry."""
    return (seq - 1) // ENTRIES


def case_key(case_id: str) -> int:
    """The key by which the blocks of a case are found: CRC-32, as PostgreSQL's signed integer."""
    key = zlib.crc32(case_id.encode())
    return key - (1 << 32) if key >> 31 else key


def case_keys(case_ids: Iterable[str | None]) -> list[int]:
    """The keys of the cases, each once, in order."""
    return sorted({case_key(case_id) for case_id in {*case_ids} if case_id is not None})


def hashes(before: bytes, entries: Iterable[SealedEntry]) -> Iterator[bytes]:
    """The hash of each of consecutive entries, given that of the one before them."""
    for seq, at_us, case_id, event, event_id, detail, version in entries:
        assert at_us is not None, "an infinite instant has no hash"
        octets = digests.journal_entry(seq, at_us, case_id, event, event_id, detail, version)
        before = digests.journal_hash(before, octets)
        yield before


def block_of(
    entries: Sequence[SealedEntry], before: bytes, chain: Sequence[bytes], octets: bytes | None = None
) -> Block:
    """The block of these ENTRIES consecutive entries; `chain` are their hashes, `before` the one before them.

    `octets` are those of the block, where they are known.
    """
    statuses = [entry for entry in entries if entry.event_id is not None]
    return Block(
        position=position_of(entries[0].seq),
        entries=_packed(entries) if octets is None else octets,
        before=before,
        hash=chain[-1],
        version=entries[-1].version,
        node=merkle.tile([merkle.leaf(hash_) for hash_ in chain]),
        ended_at=entries[-1].at,
        statuses=len(statuses),
        last_status=statuses[-1].seq if statuses else None,
        status_since=statuses[0].at if statuses else None,
        cases=case_keys(entry.case_id for entry in entries),
    )


def _packed(entries: Sequence[SealedEntry]) -> bytes:
    _, instants, *columns = zip(*entries, strict=True)
    return packed(instants, columns)


def packed(instants: Sequence[int], columns: Sequence[Sequence[object]]) -> bytes:
    """The entries with these instants, in microseconds, and these columns of fields."""
    text = orjson.dumps([[instants[0], *(later - earlier for earlier, later in pairwise(instants))], *columns])
    return text if len(text) < _COMPRESSED_FROM else zlib.compress(text, _LEVEL)


def unpacked(octets: bytes) -> Iterator[tuple[Any, ...]]:
    """The entries, each a tuple of its instant and its fields. Raises ValueError or TypeError for other octets."""
    if not octets.startswith(_UNCOMPRESSED):
        unzip = zlib.decompressobj()
        try:
            octets = unzip.decompress(octets, _MAX_OCTETS)
        except zlib.error:
            raise ValueError from None
        if not unzip.eof or unzip.unused_data:
            raise ValueError
    steps, *columns = orjson.loads(octets)
    return zip(accumulate(steps), *columns, strict=True)


def entries_of(position: int, octets: bytes) -> list[SealedEntry]:
    """The entries of the block; raises JournalIncompleteError for octets that are none."""
    first = position * ENTRIES + 1
    try:
        seqs = range(first, first + ENTRIES)
        return [SealedEntry(seq, *fields) for seq, fields in zip(seqs, unpacked(octets), strict=True)]
    except (ValueError, TypeError):
        raise JournalIncompleteError(first) from None
