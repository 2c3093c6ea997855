"""The journal: append-only, totally ordered, hash-chained.

Transactions append to ``journal_pending``. Sealing gives each entry its ``seq`` and chains it: hash =
SHA-256(hash of the previous entry || entry), the entry's octets being those of `digests.journal_entry`. A reader
that follows ``seq`` misses nothing: an entry gets its number after its transaction has committed.

Sealed entries are rows of ``journal`` until ENTRIES of them make a block. Where more are pending at once, whole
blocks are written without rows.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from gateway import metrics
from gateway.consent.events import STATUSES, Event
from gateway.evidence import digests
from gateway.ids import new_ulid
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import journal_blocks, locks, sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import ENTRIES, Block, SealedEntry
from gateway.store.locks import Lock
from gateway.time_slice import TimeSlice

log = get_logger()

_APPEND = "INSERT INTO journal_pending (at, size, entries, cases) VALUES ($1, $2, $3, $4)"
_APPEND_LIST = """
INSERT INTO journal_pending (at, size, list_id, event, after)
SELECT received_at, accepted, list_id, $2, '' FROM lists WHERE list_id = $1
"""
# The sums are over a bounded number of rows, each with an entry at least.
_CLAIM = """
SELECT id, at, size, entries, list_id, event, after, before FROM (
    SELECT *, sum(size) OVER (ORDER BY id) - size AS before FROM (
        SELECT * FROM journal_pending ORDER BY id LIMIT $1) AS first) AS summed
WHERE before < $1 ORDER BY id
"""
_SEALED = "DELETE FROM journal_pending WHERE id = ANY($1::bigint[])"
_SEALED_IN_PART = "UPDATE journal_pending SET size = size - $2, entries = $3, cases = $4 WHERE id = $1"
_SEALED_OF_LIST = "UPDATE journal_pending SET size = size - $2, after = $3 WHERE id = $1"
_CASES_OF_LIST = """
SELECT record_id, case_id FROM cases WHERE list_id = $1 AND record_id > $2 ORDER BY record_id LIMIT $3
"""
_OF_CASES = """
SELECT id, at, entries, event, NULL AS case_id FROM journal_pending WHERE cases && $2::integer[]
UNION ALL
SELECT p.id, p.at, NULL, p.event, c.case_id FROM cases c
JOIN journal_pending p ON p.list_id = c.list_id AND p.after < c.record_id WHERE c.case_id = ANY($1::text[])
ORDER BY id
"""
_ADD_BLOCK = f"""
INSERT INTO journal_blocks ({", ".join(Block._fields)})
VALUES ({", ".join(f"${n}" for n, _ in enumerate(Block._fields, 1))})
"""  # noqa: S608
_HASH_BEFORE = f"""
SELECT hash FROM journal WHERE seq = $1::bigint * {ENTRIES}
UNION ALL SELECT hash FROM journal_blocks WHERE position = $1::bigint - 1
"""  # noqa: S608
_FOLD = "DELETE FROM journal WHERE seq BETWEEN $1 AND $2"
_COLUMNS = ("seq", "at", "case_id", "event", "event_id", "detail", "version", "hash")
_OLDEST_ROW = "SELECT seq FROM journal WHERE seq > $1 ORDER BY seq LIMIT 1"


class Entry(NamedTuple):
    """An entry that is appended."""

    at: datetime  # business time
    case_id: str | None
    event: str
    event_id: str | None  # of a status, else None
    detail: str  # JSON object


def report(seq: int, reason: str) -> None:
    """Logs and counts a fault of the journal, which begins at entry `seq`."""
    log.critical(LogEvent.JOURNAL_BROKEN, seq=seq, reason=reason)
    metrics.JOURNAL_FAULTS.inc()


def entry(at: datetime, case_id: str | None, event: Event) -> Entry:
    """The journal's entry for an event; a status gets its event_id here."""
    event_id = new_ulid(at) if event.name in STATUSES else None
    return Entry(at, case_id, event.name, event_id, event.detail_json())


async def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Appends entries, in order, within the caller's transaction."""
    if entries:
        instants, case_ids, *others = zip(*entries, strict=True)
        octets = journal_blocks.packed([journal_blocks.microseconds(at) for at in instants], [case_ids, *others])
        await connection.execute(_APPEND, instants[0], len(entries), octets, journal_blocks.case_keys(case_ids))


async def append_list(connection: Connection, list_id: str, event: str) -> None:
    """Appends an entry with this event, a status, for each case of a list, within the transaction that stores it.

    The event_id of the entry is the case's id: both are ULIDs of the same instant.
    """
    await connection.execute(_APPEND_LIST, list_id, event)


async def pending_of(connection: Connection, case_ids: Collection[str]) -> dict[str, list[Entry]]:
    """By case_id, the pending entries of these cases, in order; cases without any are left out."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    wanted = set(case_ids)
    for row in await connection.fetch(_OF_CASES, list(wanted), journal_blocks.case_keys(wanted)):
        if row["entries"] is None:
            found[row["case_id"]].append(_first_entry(row["at"], row["case_id"], row["event"]))
            continue
        for at_us, case_id, *others in journal_blocks.unpacked(row["entries"]):
            if case_id in wanted:
                found[case_id].append(Entry(journal_blocks.instant(at_us), case_id, *others))
    return dict(found)


def _first_entry(at: datetime, case_id: str, event: str) -> Entry:
    """The entry of a case that a list's row stands for."""
    return Entry(at, case_id, event, case_id, "{}")


async def is_pending(connection: Connection) -> bool:
    """Whether entries wait to be sealed."""
    pending: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM journal_pending)")
    return pending


async def seal(connection: Connection, limit: int = 5000) -> int:
    """The number of pending entries that were sealed: `limit`, or as many more as go with the last of them.

    One process seals at a time. The others wait for its lock: everything that was pending at the call is sealed
    when fewer than `limit` are returned.
    """
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.SEAL)
        return await _seal(connection, limit)


async def seal_if_free(connection: Connection, limit: int) -> int:
    """As `seal`, in the caller's transaction; 0 at once while another process seals.

    Where blocks become full, those that would begin the next one may wait: less than a block, and not until others
    come. They are counted as well.
    """
    # A statement of its own: the head of the journal is read by the next one's snapshot, with the lock in hand.
    if not await locks.try_lock_transaction(connection, Lock.SEAL):
        return 0
    return await _seal(connection, limit, whole_blocks=True)


class _Claimed(NamedTuple):
    """Entries of a pending row, each its instant in microseconds and its fields."""

    row: asyncpg.Record
    entries: Sequence[tuple[Any, ...]]
    records: Sequence[str] | None  # of the entries of a list; None: they are of a transaction


async def _claim(connection: Connection, limit: int) -> list[_Claimed]:
    """The entries that are sealed next, by their rows."""
    claimed: list[_Claimed] = []
    time_slice = TimeSlice()
    for row in await connection.fetch(_CLAIM, limit):
        if row["entries"] is not None:
            claimed.append(_Claimed(row, list(journal_blocks.unpacked(row["entries"])), None))
        else:
            most = limit - row["before"]
            cases = await connection.fetch(_CASES_OF_LIST, row["list_id"], row["after"], most)
            at_us = journal_blocks.microseconds(row["at"])
            entries = [(at_us, *_first_entry(row["at"], case["case_id"], row["event"])[1:]) for case in cases]
            claimed.append(_Claimed(row, entries, [case["record_id"] for case in cases]))
        await time_slice.yield_if_spent()
    return claimed


async def _remove(connection: Connection, claimed: Sequence[_Claimed], left: int) -> None:
    """Removes the first `left` of the claimed entries from their rows."""
    gone = []
    for row, entries, records in claimed:
        n = min(left, len(entries))
        left -= n
        if n == len(entries) and (records is None or n == row["size"] or not n):
            gone.append(row["id"])
        elif n and records is not None:
            await connection.execute(_SEALED_OF_LIST, row["id"], n, records[n - 1])
        elif n:
            instants, *columns = zip(*entries[n:], strict=True)
            keys = journal_blocks.case_keys(columns[0])
            rest = journal_blocks.packed(instants, columns)
            await connection.execute(_SEALED_IN_PART, row["id"], n, rest, keys)
    await connection.execute(_SEALED, gone)


async def _seal(connection: Connection, limit: int, *, whole_blocks: bool = False) -> int:
    claimed = await _claim(connection, limit)
    if not claimed:
        return 0
    last = await sealed.last(connection)
    fields = [entry for one in claimed for entry in one.entries]
    end = last.seq + len(fields)
    if whole_blocks and end // ENTRIES > last.seq // ENTRIES:
        end -= end % ENTRIES
    await _remove(connection, claimed, end - last.seq)
    await _append_sealed(connection, last, fields[: end - last.seq])
    return len(fields)


async def _append_sealed(connection: Connection, last: sealed.Last, fields: Sequence[tuple[Any, ...]]) -> None:
    """Chains these entries after `last`, and writes them as blocks, and as rows where they fill none."""
    entries = [SealedEntry._make((last.seq + n, *one, digests.HASH_VERSION)) for n, one in enumerate(fields, 1)]
    chain, time_slice = [last.hash], TimeSlice()
    for begin in range(0, len(entries), ENTRIES):
        chain += journal_blocks.hashes(chain[-1], entries[begin : begin + ENTRIES])
        await time_slice.yield_if_spent()
    n = min(-last.seq % ENTRIES, len(entries))  # the rows of the block that has begun
    await _add_rows(connection, entries[:n], chain[1 : n + 1])
    if n and entries[n - 1].seq % ENTRIES == 0:
        await _fold(connection, journal_blocks.position_of(entries[n - 1].seq))
    while len(entries) - n >= ENTRIES:
        block = journal_blocks.block_of(entries[n : n + ENTRIES], chain[n], chain[n + 1 : n + 1 + ENTRIES])
        await connection.execute(_ADD_BLOCK, *block)
        n += ENTRIES
        await time_slice.yield_if_spent()
    await _add_rows(connection, entries[n:], chain[n + 1 :])


async def _add_rows(connection: Connection, entries: Sequence[SealedEntry], chain: Sequence[bytes]) -> None:
    if entries:
        rows = [
            (e.seq, e.at, e.case_id, e.event, e.event_id, e.detail, e.version, hash_)
            for e, hash_ in zip(entries, chain, strict=True)
        ]
        await connection.copy_records_to_table("journal", records=rows, columns=_COLUMNS)


async def fold(connection: Connection, seq: int) -> int | None:
    """The last entry of the oldest rows after `seq` that may be a block, which they are made if they verify.

    None: there are none, or another process seals. Rows from before blocks are folded so; runs in the caller's
    transaction.
    """
    if not await locks.try_lock_transaction(connection, Lock.SEAL):
        return None
    oldest = await connection.fetchval(_OLDEST_ROW, seq)
    if oldest is None:
        return None
    position = journal_blocks.position_of(oldest)
    end: int = (position + 1) * ENTRIES
    if end > (await sealed.last(connection)).seq:
        return None
    await _fold(connection, position)
    return end


async def _fold(connection: Connection, position: int) -> None:
    """Makes rows a block; they stay rows where one is missing or does not verify: then the check names it."""
    first, end = position * ENTRIES + 1, (position + 1) * ENTRIES
    rows = await sealed.rows_between(connection, first, end)
    entries, chain = [run.entries[0] for run in rows], [run.hash for run in rows]
    before: bytes = await connection.fetchval(_HASH_BEFORE, position) or b""
    complete = [e.seq for e in entries] == list(range(first, end + 1)) and None not in (e.at_us for e in entries)
    if complete and list(journal_blocks.hashes(before, entries)) == chain:
        await connection.execute(_ADD_BLOCK, *journal_blocks.block_of(entries, before, chain))
        await connection.execute(_FOLD, first, end)


async def head(connection: Connection) -> tuple[int, str, datetime]:
    """(seq, hash in hex, at) of the latest sealed entry; (0, "", 1970-01-01) when there is none."""
    last = await sealed.last(connection)
    return last.seq, last.hash.hex(), last.at
