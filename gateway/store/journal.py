"""The journal: append-only, totally ordered, hash-chained.

Transactions append to ``journal_pending``. Sealing gives each entry its ``seq`` and chains it: hash =
SHA-256(hash of the previous entry || entry), the entry's octets being those of `digests.journal_entry`. A reader
that follows ``seq`` misses nothing: an entry gets its number after its transaction has committed.

Sealed entries are rows of ``journal`` until ENTRIES of them make a block. Where more are pending at once, whole
blocks are written without rows.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from gateway import metrics
from gateway.consent.events import STATUSES, Event
from gateway.evidence import digests, merkle
from gateway.ids import new_ulid
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store import journal_blocks, journal_tree, locks, sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import ENTRIES, Block, JournalIncompleteError, SealedEntry
from gateway.store.locks import Lock
from gateway.store.rows import reader
from gateway.store.sealed import Run
from gateway.time_slice import TimeSlice

log = get_logger()

_APPEND = "INSERT INTO journal_pending (at, size, entries, cases) VALUES ($1, $2, $3, $4)"
_APPEND_LIST = """
INSERT INTO journal_pending (at, size, list_id, event, after)
SELECT received_at, accepted, list_id, $2, '' FROM lists WHERE list_id = $1
"""
# The sums are over a bounded number of rows, each with an entry at least.
_CLAIM = """
SELECT id, at, size, entries, list_id, event, after FROM (
    SELECT *, sum(size) OVER (ORDER BY id) - size AS before FROM (
        SELECT * FROM journal_pending ORDER BY id LIMIT $1) AS first) AS summed
WHERE before < $1 ORDER BY id
"""
_SEALED = "DELETE FROM journal_pending WHERE id = ANY($1::bigint[])"
_SEALED_IN_PART = "UPDATE journal_pending SET size = size - $2, after = $3 WHERE id = $1"
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
_BLOCK = "SELECT * FROM journal_blocks WHERE position = $1"
_COLUMNS = ("seq", "at", "case_id", "event", "event_id", "detail", "version", "hash")
_OLDEST_ROW = "SELECT seq FROM journal WHERE seq > $1 ORDER BY seq LIMIT 1"

# The journal must reach at least as far as the cursors of the feeds and the nodes of the Merkle tree.
_MIN_LENGTH = """
SELECT greatest((SELECT max(seq) FROM feeds), (SELECT max((position + 1) << level) FROM journal_tree), 0)
"""


_BEGIN_ROUND = """
UPDATE journal_check AS c SET seq = 0, hash = '', version = 1, since = clock_timestamp() FROM journal_check AS last
RETURNING extract(epoch FROM c.since - last.since)::float8
"""


class Entry(NamedTuple):
    """An entry that is appended."""

    at: datetime  # business time
    case_id: str | None
    event: str
    event_id: str | None  # of a status, else None
    detail: str  # JSON object


class ChainPosition(NamedTuple):
    """A position in the chain: the seq of an entry and its hash."""

    seq: int
    hash: bytes
    version: int = 1  # of the entry's hash


CHAIN_START = ChainPosition(0, b"")

_read_position = reader(ChainPosition)


@dataclass(frozen=True, slots=True)
class JournalFault:
    """The first entry of the journal that does not verify, and why."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class JournalCheck:
    """The result of `verify`: how many entries verify, the chain hash and tree root there (hex), the fault."""

    entries: int
    head: str
    root: str
    fault: JournalFault | None


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
    """As `seal`, in the caller's transaction; 0 at once while another process seals."""
    # A statement of its own: the head of the journal is read by the next one's snapshot, with the lock in hand.
    if not await locks.try_lock_transaction(connection, Lock.SEAL):
        return 0
    return await _seal(connection, limit)


async def _claim(connection: Connection, limit: int) -> list[tuple[Any, ...]]:
    """The entries that are sealed next, each its instant in microseconds and its fields."""
    claimed: list[tuple[Any, ...]] = []
    sealed_: list[int] = []
    time_slice = TimeSlice()
    for row in await connection.fetch(_CLAIM, limit):
        if row["entries"] is not None:
            claimed += journal_blocks.unpacked(row["entries"])
            sealed_.append(row["id"])
        else:
            at_us = journal_blocks.microseconds(row["at"])
            most = limit - len(claimed)
            cases = await connection.fetch(_CASES_OF_LIST, row["list_id"], row["after"], most)
            claimed += [(at_us, *_first_entry(row["at"], case["case_id"], row["event"])[1:]) for case in cases]
            if len(cases) == most < row["size"]:
                await connection.execute(_SEALED_IN_PART, row["id"], len(cases), cases[-1]["record_id"])
                break
            sealed_.append(row["id"])
        await time_slice.yield_if_spent()
    if sealed_:
        await connection.execute(_SEALED, sealed_)
    return claimed


async def _seal(connection: Connection, limit: int) -> int:
    claimed = await _claim(connection, limit)
    if not claimed:
        return 0
    last = await sealed.last(connection)
    entries = [
        SealedEntry._make((seq, *fields, digests.HASH_VERSION)) for seq, fields in enumerate(claimed, last.seq + 1)
    ]
    chain, time_slice = [last.hash], TimeSlice()
    for hash_ in journal_blocks.hashes(last.hash, entries):
        chain.append(hash_)
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
    return len(entries)


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


async def walked(connection: Connection) -> ChainPosition:
    """How far the check has come in its round over the whole journal."""
    row = await connection.fetchrow("SELECT seq, hash, version FROM journal_check")
    return _read_position(row) if row is not None else CHAIN_START


async def keep_walked(connection: Connection, position: ChainPosition) -> None:
    """Notes how far the check has come."""
    await connection.execute("UPDATE journal_check SET seq = $1, hash = $2, version = $3", *position)


async def begin_round(connection: Connection) -> float:
    """Begins the next round of the check; the seconds that the last one took."""
    seconds: float = await connection.fetchval(_BEGIN_ROUND)
    return seconds


async def verify(connection: Connection, anchors: Sequence[digests.Anchor] = ()) -> JournalCheck:
    """The check of the whole chain; the fault is the first entry that was changed, removed, inserted or moved.

    The chain has no secret. Without `anchors`, logged earlier and kept elsewhere, it cannot show that entries
    after SDU's cursor were cut off, or that the whole chain was recomputed.
    """
    min_length: int = await connection.fetchval(_MIN_LENGTH)  # before the walk: the journal grows meanwhile
    position, fault, tree = CHAIN_START, None, merkle.Frontier()
    ahead = sorted(anchors, reverse=True)
    while fault is None:
        if ahead and ahead[-1].seq == position.seq:
            if ahead.pop().root != tree.root():
                fault = JournalFault(position.seq, "the entries up to it are not those of the anchor")
            continue
        before, limit = position, min(10_000, ahead[-1].seq - position.seq) if ahead else 10_000
        position, fault = await walk(connection, before, limit, tree)
        if position == before:
            break
    if fault is None and ahead:
        fault = JournalFault(ahead[-1].seq, "missing, though an anchor covers it")
    if fault is None and min_length > position.seq:
        fault = JournalFault(position.seq + 1, f"missing, though the journal had {min_length} entries")
    if fault is None and (wrong := await journal_tree.fault(connection, tree)) is not None:
        fault = JournalFault(wrong, "the stored Merkle tree does not match the journal from there on")
    return JournalCheck(position.seq, position.hash.hex(), tree.root().hex(), fault)


async def walk(
    connection: Connection, position: ChainPosition, limit: int, tree: merkle.Frontier | None = None
) -> tuple[ChainPosition, JournalFault | None]:
    """The last position that verifies within `limit` entries after `position`, and the fault after it, if any.

    The hashes of verified entries are appended to `tree`.
    """
    try:
        here = (await sealed.hashes_at(connection, [position.seq])).get(position.seq)
        if (here or b"") != position.hash:
            return position, JournalFault(position.seq, "missing" if here is None else "its hash has changed")
        left = limit
        async for run in sealed.runs_after(connection, position.seq, limit):
            chain, reason = [run.hash], None
            if run.before is not None:
                chain, reason = await _chain_of_block(connection, run, position)
            if reason is not None:
                return position, JournalFault(max(run.entries[0].seq, position.seq + 1), reason)
            for entry, hash_ in zip(run.entries, chain, strict=True):
                if entry.seq <= position.seq:
                    continue
                if not left:
                    return position, None
                if entry.seq != position.seq + 1:
                    return position, JournalFault(position.seq + 1, f"missing: the next entry is {entry.seq}")
                if (reason := _fault_of(entry, position, hash_ if run.before is None else None)) is not None:
                    return position, JournalFault(entry.seq, reason)
                position, left = ChainPosition(entry.seq, hash_, entry.version), left - 1
                if tree is not None:
                    tree.append(hash_)
    except JournalIncompleteError as error:
        return position, JournalFault(max(error.seq, position.seq + 1), "its block cannot be read")
    return position, None


async def _chain_of_block(
    connection: Connection, run: Run, position: ChainPosition
) -> tuple[list[bytes], str | None]:
    """The hashes of a block's entries; and why its row is not what follows from them, None: it is."""
    first = run.entries[0].seq
    before = position.hash if first == position.seq + 1 else run.before or b""
    row = await connection.fetchrow(_BLOCK, journal_blocks.position_of(first))
    try:
        chain = list(journal_blocks.hashes(before, run.entries))
        block = journal_blocks.block_of(run.entries, before, chain, octets=b"")
    except (TypeError, ValueError, AttributeError, OverflowError):
        return [], "its block has fields that no entry has"
    for name, value in block._asdict().items():
        if name != "entries" and (row is None or row[name] != value):
            return [], f"{name} of its block does not follow from the entries"
    return chain, None


def _fault_of(entry: SealedEntry, before: ChainPosition, hash_: bytes | None) -> str | None:
    """Why the entry does not follow from the one before it; None: it does. `hash_` is that of a row."""
    if entry.version < before.version:
        return "has an older version of the hash than the entry before"
    if entry.at_us is None:
        return "its instant is infinite"
    if hash_ is not None and hash_ != entry.hash_after(before.hash):
        return "its hash does not match its fields"
    # Version 1 has one hash for NULL and ''.
    if entry.case_id == "" or entry.event_id == "":
        return "has an empty id"
    if (entry.event_id is not None) is not (entry.event in STATUSES):
        return "has an event_id and is no status, or the reverse"
    return None


async def head(connection: Connection) -> tuple[int, str, datetime]:
    """(seq, hash in hex, at) of the latest sealed entry; (0, "", 1970-01-01) when there is none."""
    last = await sealed.last(connection)
    return last.seq, last.hash.hex(), last.at
