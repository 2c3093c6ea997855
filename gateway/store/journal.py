"""The journal: append-only, in one order, hash-chained.

Steps append to ``journal_pending``; the sealer moves entries to ``journal``, which gives each its ``seq`` and its
link in the chain: hash = SHA-256(hash of the entry before || entry), the entry being its fields joined by U+001F.
A reader that follows ``seq`` misses nothing: entries get their number when they are visible, not when they are
begun.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.consent.events import STATUSES, Event
from gateway.evidence import digests, merkle
from gateway.ids import new_ulid
from gateway.store import journal_tree
from gateway.store.database import Connection

_SEALER = 0x6A6F7572  # the advisory lock of whoever seals

_SEAL = """
WITH head AS (
    SELECT coalesce(max(seq), 0) AS seq, coalesce((SELECT hash FROM journal ORDER BY seq DESC LIMIT 1), '') AS hash
    FROM journal
), taken AS (
    DELETE FROM journal_pending
    WHERE id <= (SELECT max(id) FROM (SELECT id FROM journal_pending ORDER BY id LIMIT $1) AS first) RETURNING *
), numbered AS (
    SELECT head.seq + row_number() OVER (ORDER BY id) AS seq, head.hash AS head, taken.* FROM taken, head
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
SELECT seq, (extract(epoch FROM at) * 1000000)::bigint AS at, case_id, event, event_id, detail, hash
FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2
"""

# SDU has heard of no later entry than there was, and the tree stands over none.
_KNOWN = """
SELECT greatest((SELECT max(seq) FROM feeds), (SELECT max((position + 1) << level) FROM journal_tree), 0)
"""


class Entry(NamedTuple):
    """A row of ``journal_pending``."""

    at: datetime
    case_id: str | None
    event: str
    event_id: str | None
    detail: str


class Place(NamedTuple):
    """An entry of the chain, and the hash after it."""

    seq: int
    hash: bytes


BEGINNING = Place(0, b"")


@dataclass(frozen=True, slots=True)
class JournalFault:
    """The first entry of the journal that does not hold, and why."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class JournalCheck:
    """How many entries hold, the chain's head and the tree's root after them (hex), and the fault behind them."""

    entries: int
    head: str
    root: str
    fault: JournalFault | None


def entry(at: datetime, case_id: str | None, event: Event) -> Entry:
    """The journal's entry of an event; a status gets its event_id here, for good."""
    event_id = new_ulid(at) if event.name in STATUSES else None
    return Entry(at, case_id, event.name, event_id, event.detail_json())


async def append(connection: Connection, entries: Sequence[Entry]) -> None:
    """Appends entries, in order, with the transaction."""
    await connection.copy_records_to_table("journal_pending", records=entries, columns=Entry._fields)


async def seal(connection: Connection, limit: int = 5000) -> int:
    """Gives up to `limit` pending entries their place in the chain; how many.

    One process seals at a time; the others wait for it, so that what was pending when they came is then sealed.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SEALER)
        sealed: int = await connection.fetchval(_SEAL, limit)
    return sealed


async def verify(connection: Connection, anchors: Sequence[digests.Anchor] = ()) -> JournalCheck:
    """Walks the whole chain; the first entry that was changed, removed, inserted or moved is the fault.

    The chain has no secret: that its end was cut off behind what SDU has taken, or all of it made anew, only
    `anchors` show that were noted before and kept elsewhere.
    """
    known: int = await connection.fetchval(_KNOWN)  # before the walk: both go on meanwhile
    place, fault, tree = BEGINNING, None, merkle.Frontier()
    ahead = sorted(anchors, reverse=True)
    while fault is None:
        if ahead and ahead[-1].seq == place.seq:
            if ahead.pop().root != tree.root():
                fault = JournalFault(place.seq, "the entries up to it are not those of the anchor")
            continue
        before, limit = place, min(10_000, ahead[-1].seq - place.seq) if ahead else 10_000
        place, fault = await walk(connection, before, limit, tree)
        if place == before:
            break
    if fault is None and ahead:
        fault = JournalFault(ahead[-1].seq, "missing, though an anchor knows it")
    if fault is None and known > place.seq:
        fault = JournalFault(place.seq + 1, f"missing, though {known} has been there")
    if fault is None and (wrong := await journal_tree.fault(connection, tree)) is not None:
        fault = JournalFault(wrong, "the tree kept over the journal is not its own from there on")
    return JournalCheck(place.seq, place.hash.hex(), tree.root().hex(), fault)


async def walk(
    connection: Connection, place: Place, limit: int, tree: merkle.Frontier | None = None
) -> tuple[Place, JournalFault | None]:
    """The last place that holds within `limit` entries from `place` on, and the fault behind it, if any.

    What holds is appended to `tree`.
    """
    here = await connection.fetchval("SELECT hash FROM journal WHERE seq = $1", place.seq)
    if (here or b"") != place.hash:
        return place, JournalFault(place.seq, "missing" if here is None else "its hash is not what it was")
    for row in await connection.fetch(_WALK, place.seq, limit):
        if row["seq"] != place.seq + 1:
            return place, JournalFault(place.seq + 1, f"missing: the next entry is {row['seq']}")
        octets = digests.journal_entry(
            row["seq"], row["at"], row["case_id"], row["event"], row["event_id"], row["detail"]
        )
        expected = digests.journal_hash(place.hash, octets)
        if row["hash"] != expected:
            return place, JournalFault(row["seq"], "its hash does not fit its text")
        place = Place(row["seq"], expected)
        if tree is not None:
            tree.append(expected)
    return place, None


async def head(connection: Connection) -> tuple[int, str, datetime]:
    """(seq, hash, at) of the latest sealed entry."""
    row = await connection.fetchrow("SELECT seq, hash, at FROM journal ORDER BY seq DESC LIMIT 1")
    return (row["seq"], row["hash"].hex(), row["at"]) if row else (0, "", datetime.fromtimestamp(0, UTC))
