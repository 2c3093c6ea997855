"""The journal: append-only, totally ordered, hash-chained.

Transactions append to ``journal_pending``. Sealing moves entries to ``journal``, gives each its ``seq`` and chains
it: hash = SHA-256(hash of the previous entry || entry), the entry's octets being those of `digests.journal_entry`.
A reader that follows ``seq`` misses nothing: an entry gets its number after its transaction has committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from gateway.consent.events import STATUSES, Event
from gateway.evidence import digests, merkle
from gateway.ids import new_ulid
from gateway.store import journal_tree, locks
from gateway.store.database import Connection
from gateway.store.locks import Lock
from gateway.store.rows import reader

_SEAL = """
WITH head AS (
    SELECT coalesce(max(seq), 0) AS seq, coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '') AS hash
    FROM journal
), claimed AS (
    DELETE FROM journal_pending
    WHERE id <= (SELECT max(id) FROM (SELECT id FROM journal_pending ORDER BY id LIMIT $1) AS first) RETURNING *
), numbered AS (
    SELECT head.seq + row_number() OVER (ORDER BY id) AS seq, head.hash AS head, claimed.* FROM claimed, head
), sealed AS (
    INSERT INTO journal (seq, at, case_id, event, event_id, detail, hash)
    SELECT seq, at, case_id, event, event_id, detail,
           journal_chain(head, journal_entry(seq, at, case_id, event, event_id, detail)) OVER (ORDER BY seq)
    FROM numbered
    RETURNING 1
)
SELECT count(*) FROM sealed
"""

_WALK = """
SELECT seq, CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint END AS at,
       case_id, event, event_id, detail, version, hash
FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2
"""

# The journal must reach at least as far as the cursors of the feeds and the nodes of the Merkle tree.
_MIN_LENGTH = """
SELECT greatest((SELECT max(seq) FROM feeds), (SELECT max((position + 1) << level) FROM journal_tree), 0)
"""


_BEGIN_ROUND = """
UPDATE journal_check AS c SET seq = 0, hash = '', version = 1, since = clock_timestamp() FROM journal_check AS last
RETURNING extract(epoch FROM c.since - last.since)::float8
"""


class Entry(NamedTuple):
    """A row of ``journal_pending``."""

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


def entry(at: datetime, case_id: str | None, event: Event) -> Entry:
    """The journal's entry for an event; a status gets its event_id here."""
    event_id = new_ulid(at) if event.name in STATUSES else None
    return Entry(at, case_id, event.name, event_id, event.detail_json())


async def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Appends entries, in order, within the caller's transaction."""
    await connection.copy_records_to_table("journal_pending", records=entries, columns=Entry._fields)


async def is_pending(connection: Connection) -> bool:
    """Whether entries wait to be sealed."""
    pending: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM journal_pending)")
    return pending


async def seal(connection: Connection, limit: int = 5000) -> int:
    """The number of pending entries (at most `limit`) that were sealed.

    One process seals at a time. The others wait for its lock: everything that was pending at the call is sealed
    when fewer than `limit` are returned.
    """
    async with connection.transaction():
        await locks.lock_transaction(connection, Lock.SEAL)
        sealed: int = await connection.fetchval(_SEAL, limit)
    return sealed


async def seal_if_free(connection: Connection, limit: int) -> int:
    """As `seal`, in the caller's transaction; 0 at once while another process seals."""
    # A statement of its own: the head of the journal is read by the next one's snapshot, with the lock in hand.
    if not await locks.try_lock_transaction(connection, Lock.SEAL):
        return 0
    sealed: int = await connection.fetchval(_SEAL, limit)
    return sealed


_read_position = reader(ChainPosition)


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
    here = await connection.fetchval("SELECT hash FROM journal WHERE seq = $1", position.seq)
    if (here or b"") != position.hash:
        return position, JournalFault(position.seq, "missing" if here is None else "its hash has changed")
    for row in await connection.fetch(_WALK, position.seq, limit):
        if row["seq"] != position.seq + 1:
            return position, JournalFault(position.seq + 1, f"missing: the next entry is {row['seq']}")
        if (reason := _fault_of(row, position)) is not None:
            return position, JournalFault(row["seq"], reason)
        position = ChainPosition(row["seq"], row["hash"], row["version"])
        if tree is not None:
            tree.append(position.hash)
    return position, None


def _fault_of(row: asyncpg.Record, before: ChainPosition) -> str | None:
    """Why the entry does not follow from the one before it; None: it does."""
    if row["version"] < before.version:
        return "has an older version of the hash than the entry before"
    if row["at"] is None:
        return "its instant is infinite"
    octets = digests.journal_entry(
        row["seq"], row["at"], row["case_id"], row["event"], row["event_id"], row["detail"], row["version"]
    )
    if row["hash"] != digests.journal_hash(before.hash, octets):
        return "its hash does not match its fields"
    # Version 1 has one hash for NULL and ''.
    if row["case_id"] == "" or row["event_id"] == "":
        return "has an empty id"
    if (row["event_id"] is not None) is not (row["event"] in STATUSES):
        return "has an event_id and is no status, or the reverse"
    return None


async def head(connection: Connection) -> tuple[int, str, datetime]:
    """(seq, hash in hex, at) of the latest sealed entry; (0, "", 1970-01-01) when there is none."""
    row = await connection.fetchrow("SELECT seq, hash, at FROM journal ORDER BY seq DESC LIMIT 1")
    return (row["seq"], row["hash"].hex(), row["at"]) if row else (0, "", datetime.fromtimestamp(0, UTC))
