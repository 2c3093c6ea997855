"""Sealed entries of the journal, read from the rows and the blocks that have them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.store import journal_blocks
from gateway.store.database import Connection
from gateway.store.journal_blocks import ENTRIES, JournalIncompleteError, SealedEntry
from gateway.store.rows import reader
from gateway.time_slice import TimeSlice

_MAX_BLOCKS = 40
"""Blocks that one statement reads: some 10,000 entries."""

# The instant as a number: Python has no years after 9999.
_AT_US = "(CASE WHEN isfinite(at) THEN extract(epoch FROM at) * 1000000 END)::bigint AS at_us"
_ROW = f"seq, {_AT_US}, case_id, event, event_id, detail, version, hash"
_BLOCK = "position AS seq, NULL, NULL, NULL, NULL, NULL, version, hash, before, entries"
# Each statement reads both tables: an entry that is folded meanwhile is seen once.
_AFTER = f"""
(SELECT {_ROW}, NULL::bytea AS before, NULL::bytea AS entries FROM journal WHERE seq > $1 AND {{rows}}
 ORDER BY seq LIMIT $2)
UNION ALL
(SELECT {_BLOCK} FROM journal_blocks WHERE position >= $1 / {ENTRIES} AND {{blocks}} ORDER BY position LIMIT $3)
"""  # noqa: S608
_ALL = _AFTER.format(rows="true", blocks="true")
_STATUSES = _AFTER.format(rows="event_id IS NOT NULL", blocks="last_status > $1")
# One key at a time: of a search for many, the planner thinks that it finds most blocks, and reads them all.
_OF_CASES = f"""
SELECT {_ROW}, coalesce(
    (SELECT last.hash FROM journal last WHERE last.seq = j.seq - 1),
    (SELECT last.hash FROM journal_blocks last WHERE (last.position + 1) * {ENTRIES} = j.seq - 1
     AND last.position = (j.seq - 2) / {ENTRIES}), '') AS before, NULL::bytea AS entries, NULL::bigint[] AS blocks
FROM journal j WHERE case_id = ANY($1::text[])
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       ARRAY(SELECT position FROM journal_blocks WHERE cases @> ARRAY[wanted.key])
FROM unnest($2::integer[]) AS wanted (key)
"""  # noqa: S608
_BLOCKS = f"SELECT {_BLOCK} FROM journal_blocks WHERE position = ANY($1::bigint[])"  # noqa: S608
_AT = f"""
SELECT {_ROW}, NULL::bytea AS before, NULL::bytea AS entries FROM journal WHERE seq = ANY($1::bigint[])
UNION ALL
SELECT {_BLOCK} FROM journal_blocks
WHERE position = ANY(ARRAY(SELECT DISTINCT (seq - 1) / {ENTRIES} FROM unnest($1::bigint[]) AS wanted (seq)))
"""  # noqa: S608
_BETWEEN = f"""
SELECT {_ROW}, NULL::bytea AS before, NULL::bytea AS entries FROM journal WHERE seq BETWEEN $1 AND $2
"""  # noqa: S608
HEAD = f"""
SELECT seq, hash, version, at FROM (
    (SELECT seq, hash, version, at FROM journal ORDER BY seq DESC LIMIT 1)
    UNION ALL
    (SELECT (position + 1) * {ENTRIES}, hash, version, ended_at FROM journal_blocks ORDER BY position DESC LIMIT 1)
) AS last ORDER BY seq DESC LIMIT 1
"""  # noqa: S608
"""The last sealed entry; no row where there is none."""


class Chained(NamedTuple):
    """A sealed entry with its hash and that of the entry before; b"" for none."""

    entry: SealedEntry
    before: bytes
    hash: bytes


class Run(NamedTuple):
    """Consecutive entries as they are stored: those of a block, or one of a row."""

    entries: Sequence[SealedEntry]
    before: bytes | None  # hash of the entry before, as the block has it; None for a row
    hash: bytes  # of the last entry, as stored


class Last(NamedTuple):
    """The last sealed entry of the journal: its place, its hash and the version of that, its business time."""

    seq: int
    hash: bytes
    version: int
    at: datetime


NONE = Last(0, b"", 1, journal_blocks.instant(0))
"""Of an empty journal."""

_read_last = reader(Last)


async def last(connection: Connection) -> Last:
    """The last sealed entry; NONE where there is none."""
    row = await connection.fetchrow(HEAD)
    return _read_last(row) if row is not None else NONE


async def after(connection: Connection, seq: int, limit: int) -> list[SealedEntry]:
    """The first `limit` entries after `seq`, in order; fewer only at the end, or before an unreadable block.

    Raises JournalIncompleteError when that block has the first of them.
    """
    return await _entries_after(connection, _ALL, seq, limit)


async def statuses_after(connection: Connection, seq: int, limit: int) -> list[SealedEntry]:
    """As `after`, of the entries that are statuses."""
    return await _entries_after(connection, _STATUSES, seq, limit)


async def _entries_after(connection: Connection, statement: str, seq: int, limit: int) -> list[SealedEntry]:
    found: list[SealedEntry] = []
    while len(found) < limit:
        rows, until = await _rows_after(connection, statement, seq, limit - len(found))
        try:
            async for run in _runs(rows):
                found += [e for e in run.entries if e.seq > seq and (e.event_id is not None or statement is _ALL)]
        except JournalIncompleteError:
            if not found:
                raise
            break
        if until is None:
            break
        seq = until
    return found[:limit]


async def runs_after(connection: Connection, seq: int, limit: int) -> AsyncIterator[Run]:
    """Runs with at least `limit` entries after `seq`, in order, unless the journal has no more.

    The first run may begin before. Raises JournalIncompleteError for a block that cannot be read.
    """
    rows, _ = await _rows_after(connection, _ALL, seq, limit)
    async for run in _runs(rows):
        yield run


async def _rows_after(
    connection: Connection, statement: str, seq: int, limit: int
) -> tuple[list[asyncpg.Record], int | None]:
    """Rows and blocks, and the seq up to which there are no others; None: to the end."""
    most = min(limit // ENTRIES + 2, _MAX_BLOCKS)
    rows = await connection.fetch(statement, seq, limit, most)
    single = [row["seq"] for row in rows if row["entries"] is None]
    blocks = [row["seq"] for row in rows if row["entries"] is not None]
    ends = [single[-1]] if len(single) == limit else []
    if len(blocks) == most:
        ends.append((blocks[-1] + 1) * ENTRIES)
    until = min(ends, default=None)
    return [row for row in rows if until is None or _first(row) <= until], until


async def of_cases(
    connection: Connection, case_ids: Collection[str], *, readable: bool = False
) -> dict[str, list[SealedEntry]]:
    """By case_id, the entries of these cases, in order; cases without any are left out.

    Raises JournalIncompleteError, unless those in blocks that can be read are enough (`readable`).
    """
    wanted = set(case_ids)
    found: defaultdict[str, list[SealedEntry]] = defaultdict(list)
    async for run in _runs_of_cases(connection, wanted, readable=readable):
        for entry in run.entries:
            if entry.case_id in wanted:
                found[entry.case_id].append(entry)
    return dict(found)


async def chained_of_cases(connection: Connection, case_ids: Collection[str]) -> dict[str, list[Chained]]:
    """As `of_cases`, with the hashes: those within a block follow from its entries."""
    wanted = set(case_ids)
    found: defaultdict[str, list[Chained]] = defaultdict(list)
    async for run in _runs_of_cases(connection, wanted):
        before = run.before or b""
        chain = [run.hash] if len(run.entries) == 1 else list(journal_blocks.hashes(before, run.entries))
        for entry, last, hash_ in zip(run.entries, [before, *chain], chain, strict=False):
            if entry.case_id in wanted:
                found[entry.case_id].append(Chained(entry, last, hash_))
    return dict(found)


async def _runs_of_cases(
    connection: Connection, case_ids: Collection[str], *, readable: bool = False
) -> AsyncIterator[Run]:
    """The runs that may have entries of these cases, in order; a bounded number of blocks is in memory at once."""
    found = await connection.fetch(_OF_CASES, list(case_ids), journal_blocks.case_keys(case_ids))
    rows = {row["seq"]: row for row in found if row["blocks"] is None}
    blocks = {position for row in found for position in row["blocks"] or ()}
    firsts = sorted([*rows, *(position * ENTRIES + 1 for position in blocks)])
    for begin in range(0, len(firsts), _MAX_BLOCKS):
        some = firsts[begin : begin + _MAX_BLOCKS]
        positions = [journal_blocks.position_of(first) for first in some if first not in rows]
        read = await connection.fetch(_BLOCKS, positions) if positions else []
        async for run in _runs([*(rows[first] for first in some if first in rows), *read], readable=readable):
            yield run


async def hashes_at(connection: Connection, seqs: Collection[int]) -> dict[int, bytes]:
    """By seq, the hashes of those of the entries that exist. Raises JournalIncompleteError."""
    found: dict[int, bytes] = {}
    async for run in _runs(await connection.fetch(_AT, list(seqs))):
        chain = [run.hash] if run.before is None else journal_blocks.hashes(run.before, run.entries)
        found |= {entry.seq: hash_ for entry, hash_ in zip(run.entries, chain, strict=True)}
    return {seq: found[seq] for seq in seqs if seq in found}


async def rows_between(connection: Connection, first: int, last: int) -> list[Run]:
    """The entries from `first` to `last` that are rows, each a run, in order."""
    return [run async for run in _runs(await connection.fetch(_BETWEEN, first, last))]


async def entry_at(connection: Connection, seq: int) -> SealedEntry | None:
    """The entry with that seq; None: there is none. Raises JournalIncompleteError."""
    async for run in _runs(await connection.fetch(_AT, [seq])):
        for entry in run.entries:
            if entry.seq == seq:
                return entry
    return None


async def _runs(rows: Iterable[asyncpg.Record], *, readable: bool = False) -> AsyncIterator[Run]:
    """The runs in order, read one at a time; only those that can be read, or else JournalIncompleteError."""
    time_slice = TimeSlice()
    for row in sorted(rows, key=_first):
        if row["entries"] is not None:
            try:
                entries = journal_blocks.entries_of(row["seq"], row["entries"])
            except JournalIncompleteError:
                if readable:
                    continue
                raise
            yield Run(entries, row["before"], row["hash"])
        else:
            yield Run((_entry(row),), row["before"], row["hash"])
        await time_slice.yield_if_spent()


def _first(row: asyncpg.Record) -> int:
    """The seq of the first entry of a row or block."""
    seq: int = row["seq"]
    return seq if row["entries"] is None else seq * ENTRIES + 1


def _entry(row: asyncpg.Record) -> SealedEntry:
    fields = (row["case_id"], row["event"], row["event_id"], row["detail"], row["version"])
    return SealedEntry(row["seq"], row["at_us"], *fields)
