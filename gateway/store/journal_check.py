"""The check of the journal's chain: of all of it, and step by step around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.consent.events import STATUSES
from gateway.evidence import digests, merkle
from gateway.store import journal_blocks, journal_tree, sealed
from gateway.store.database import Connection
from gateway.store.journal_blocks import JournalIncompleteError, SealedEntry
from gateway.store.rows import reader
from gateway.store.sealed import Run

_BLOCK = "SELECT * FROM journal_blocks WHERE position = $1"
# The journal must reach at least as far as the cursors of the feeds and the nodes of the Merkle tree.
_MIN_LENGTH = """
SELECT greatest((SELECT max(seq) FROM feeds), (SELECT max((position + 1) << level) FROM journal_tree), 0)
"""


_BEGIN_ROUND = """
UPDATE journal_check AS c SET seq = 0, hash = '', version = 1, since = clock_timestamp() FROM journal_check AS last
RETURNING extract(epoch FROM c.since - last.since)::float8
"""


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
