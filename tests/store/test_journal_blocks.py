"""Blocks of the journal: what is sealed reads the same from rows and from blocks, and a changed block is found."""

import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence import merkle
from gateway.store import journal, journal_blocks, journal_check, journal_tree, queues, sealed
from gateway.store.database import Connection, Database
from gateway.store.journal import Entry
from gateway.store.journal_blocks import ENTRIES, JournalIncompleteError, SealedEntry
from gateway.store.journal_check import ChainPosition, JournalFault

BEGIN = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
_LIST = """
INSERT INTO lists (list_id, service, digest, records, accepted, duplicates, rejected, received_at)
VALUES ('list', '3', '', 600, 600, 0, 0, $1)
"""
_CASES = """
INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, state, opened_at)
SELECT '01KAN' || lpad(n::text, 21, '0'), 'list', 'r-' || lpad(n::text, 3, '0'), '3', 1, 'kk', '', 'looking_up', $1
FROM generate_series(0, 599) AS n
"""
STATUS, OTHER = "asked", "text_queued"


def head_of(entries: Sequence[Entry]) -> str:
    """The hash of the last of them, by what docs/evidence.md says."""

    def measured(text: str | None) -> str:
        return "-" if text is None else f"{len(text)}:{text}"

    head = b""
    for seq, (at, case_id, event, event_id, detail) in enumerate(entries, start=1):
        at_us = round(at.timestamp() * 1_000_000)
        fields = ("v2", seq, at_us, measured(case_id), measured(event), measured(event_id), detail)
        head = hashlib.sha256(head + "\x1f".join(map(str, fields)).encode()).digest()
    return head.hex()


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        yield connection


def entry(n: int) -> Entry:
    """The nth entry; every third is a status, and a case has every tenth."""
    at, case_id = BEGIN + timedelta(seconds=n // 2), f"01KAN00000000000000000000{n % 10}" if n % 7 else None
    is_status = n % 3 == 0
    return Entry(
        at,
        case_id,
        STATUS if is_status else OTHER,
        f"01KAN1000000000000000{n:05}" if is_status else None,
        orjson.dumps({"n": n}).decode(),
    )


async def fill(connection: Connection, entries: int, *, batch: int = 5000, first: int = 0) -> None:
    """Appends so many entries and seals them in batches."""
    await journal.append(connection, [entry(n) for n in range(first, first + entries)])
    while await journal.seal(connection, batch):
        pass


async def counted(connection: Connection) -> tuple[int, int]:
    """The numbers of rows and of blocks."""
    rows: int = await connection.fetchval("SELECT count(*) FROM journal")
    blocks: int = await connection.fetchval("SELECT count(*) FROM journal_blocks")
    return rows, blocks


async def read_back(connection: Connection) -> Sequence[SealedEntry]:
    return await sealed.after(connection, 0, 10_000)


async def unfold(connection: Connection, position: int) -> None:
    """Makes rows of a block again, as an earlier version has left them."""
    async with connection.transaction():
        await connection.execute("ALTER TABLE journal_blocks DISABLE TRIGGER USER")
        block = await connection.fetchrow("SELECT * FROM journal_blocks WHERE position = $1", position)
        assert block is not None
        entries = journal_blocks.entries_of(position, block["entries"])
        await connection.execute("DELETE FROM journal_blocks WHERE position = $1", position)
        columns = ("seq", "at", "case_id", "event", "event_id", "detail", "version", "hash")
        chain = journal_blocks.hashes(block["before"], entries)
        rows = [(e.seq, e.at, *e[2:], hash_) for e, hash_ in zip(entries, chain, strict=True)]
        await connection.copy_records_to_table("journal", records=rows, columns=columns)
        await connection.execute("ALTER TABLE journal_blocks ENABLE TRIGGER USER")


@pytest.mark.parametrize("batch", [1, 100, 256, 300, 5000])
async def test_the_journal_is_the_same_however_many_entries_are_sealed_at_once(
    connection: Connection, batch: int
) -> None:
    await fill(connection, 700, batch=batch)
    assert await counted(connection) == (700 - 2 * ENTRIES, 2)
    entries = await read_back(connection)
    assert [e.seq for e in entries] == list(range(1, 701))
    assert [(e.at, e.case_id, e.event, e.event_id, e.detail) for e in entries] == [entry(n) for n in range(700)]
    check = await journal_check.verify(connection)
    assert (check.entries, check.fault) == (700, None)
    assert check.head == head_of([entry(n) for n in range(700)])


async def test_a_page_of_the_journal_begins_and_ends_anywhere(connection: Connection) -> None:
    await fill(connection, 1100)
    await unfold(connection, 1)
    for after, limit in ((0, 1), (255, 2), (256, 256), (300, 700), (511, 1), (1023, 5), (1099, 9), (1100, 9)):
        page = await sealed.after(connection, after, limit)
        assert [e.seq for e in page] == list(range(after + 1, min(after + limit, 1100) + 1)), (after, limit)
        statuses = await sealed.statuses_after(connection, after, limit)
        due = [n + 1 for n in range(after, 1100) if n % 3 == 0][:limit]
        assert [e.seq for e in statuses] == due, (after, limit)


async def test_more_blocks_than_one_statement_reads_are_read(connection: Connection) -> None:
    await fill(connection, 45 * ENTRIES + 3)
    assert [e.seq for e in await sealed.after(connection, 100, 11_500)] == list(range(101, 45 * ENTRIES + 4))


async def test_the_entries_of_a_case_are_found_in_rows_and_blocks_with_their_hashes(
    connection: Connection,
) -> None:
    await fill(connection, 900)
    await unfold(connection, 0)
    entries = [e for e in await read_back(connection) if e.case_id is not None]
    case_ids = sorted({e.case_id for e in entries if e.case_id is not None})
    assert len(case_ids) == 10
    found = await sealed.of_cases(connection, [*case_ids, "unknown"])
    assert found == {case_id: [e for e in entries if e.case_id == case_id] for case_id in case_ids}
    chained = await sealed.chained_of_cases(connection, case_ids)
    for case_id in case_ids:
        assert [one.entry for one in chained[case_id]] == found[case_id]
        seqs = [one.entry.seq for one in chained[case_id]]
        hashes = await sealed.hashes_at(connection, [*seqs, *(seq - 1 for seq in seqs)])
        assert [(one.before, one.hash) for one in chained[case_id]] == [
            (hashes.get(seq - 1, b""), hashes[seq]) for seq in seqs
        ]


async def test_rows_of_an_earlier_version_are_folded_one_block_at_a_time(connection: Connection) -> None:
    await fill(connection, 1000)
    before, head = await read_back(connection), await journal.head(connection)
    for position in range(3):
        await unfold(connection, position)
    assert await counted(connection) == (1000, 0)
    seq, ends = 0, []
    while (end := await folded(connection, seq)) is not None:
        ends.append(end)
        seq = end
    assert ends == [256, 512, 768]
    assert await counted(connection) == (1000 - 768, 3)
    assert (await read_back(connection), await journal.head(connection)) == (before, head)
    assert (await journal_check.verify(connection)).fault is None


async def folded(connection: Connection, seq: int) -> int | None:
    async with connection.transaction():
        return await journal.fold(connection, seq)


async def test_rows_that_do_not_verify_stay_rows_and_are_named(connection: Connection) -> None:
    await fill(connection, 600)
    await unfold(connection, 0)
    await connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
    await connection.execute("UPDATE journal SET detail = '{}' WHERE seq = 7")
    await connection.execute("ALTER TABLE journal ENABLE TRIGGER USER")
    assert await folded(connection, 0) == 256
    assert await counted(connection) == (600 - 256, 1)
    check = await journal_check.verify(connection)
    assert check.fault == JournalFault(7, "its hash does not match its fields")


@pytest.mark.parametrize("statement", ["UPDATE journal_blocks SET statuses = 0", "DELETE FROM journal_blocks"])
async def test_blocks_are_append_only(connection: Connection, statement: str) -> None:
    await fill(connection, 300)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute(statement)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute("DELETE FROM journal WHERE seq = 300")


async def change(connection: Connection, **columns: object) -> JournalFault | None:
    """The fault that the check finds when the block at position 1 has these values instead of its own."""
    await connection.execute("ALTER TABLE journal_blocks DISABLE TRIGGER USER")
    for name, value in columns.items():
        await connection.execute(f"UPDATE journal_blocks SET {name} = $1 WHERE position = 1", value)
    return (await journal_check.verify(connection)).fault


def repacked(entries: Sequence[SealedEntry]) -> bytes:
    """The octets of a block with these entries."""
    columns = [*zip(*(entry[2:] for entry in entries), strict=True)]
    return journal_blocks.packed([entry.at_us or 0 for entry in entries], columns)


async def block(connection: Connection) -> list[SealedEntry]:
    octets = await connection.fetchval("SELECT entries FROM journal_blocks WHERE position = 1")
    return journal_blocks.entries_of(1, octets)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("before", b"x" * 32), ("hash", b"x" * 32), ("node", b"x" * 32), ("version", 1), ("ended_at", BEGIN),
        ("statuses", 3), ("last_status", 600), ("status_since", BEGIN), ("cases", [1, 2]),
    ],
)  # fmt: skip
async def test_a_changed_column_of_a_block_is_found(connection: Connection, column: str, value: object) -> None:
    await fill(connection, 800)
    fault = await change(connection, **{column: value})
    assert fault is not None
    assert (fault.seq, column in fault.reason or fault.reason.startswith("hash")) == (257, True)


@pytest.mark.parametrize("field", ["at_us", "case_id", "event", "event_id", "detail", "version"])
async def test_a_changed_field_of_an_entry_in_a_block_is_found(connection: Connection, field: str) -> None:
    await fill(connection, 800)
    entries = await block(connection)
    old = getattr(entries[100], field)
    changed: dict[str, Any] = {field: old + 1 if isinstance(old, int) else "x"}
    entries[100] = entries[100]._replace(**changed)
    fault = await change(connection, entries=repacked(entries))
    assert fault is not None
    assert fault.seq == 257


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"x", zlib.compress(b"[]"), zlib.compress(b"{}"), zlib.compress(b"[[1],[2],[3],[4],[5],[6]]"),
        zlib.compress(b"[" + b"[null]," * 5 + b"[null]]"),
    ],
)  # fmt: skip
async def test_a_block_that_cannot_be_read_is_found_and_is_no_traceback(
    connection: Connection, octets: bytes
) -> None:
    await fill(connection, 800)
    fault = await change(connection, entries=octets)
    assert fault == JournalFault(257, "its block cannot be read")
    with pytest.raises(JournalIncompleteError):
        await sealed.after(connection, 256, 1000)
    with pytest.raises(JournalIncompleteError):
        await journal_tree.paths(connection, [300], 800)


async def test_a_missing_block_is_found(connection: Connection) -> None:
    await fill(connection, 800)
    await connection.execute("ALTER TABLE journal_blocks DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM journal_blocks WHERE position = 1")
    assert (await journal_check.verify(connection)).fault == JournalFault(257, "missing: the next entry is 513")


async def test_a_walk_stops_and_goes_on_within_a_block(connection: Connection) -> None:
    await fill(connection, 600)
    position, steps = journal_check.CHAIN_START, []
    while True:
        following, fault = await journal_check.walk(connection, position, 100)
        assert fault is None
        if following == position:
            break
        position = following
        steps.append(position.seq)
    assert steps == [100, 200, 300, 400, 500, 600]
    _, fault = await journal_check.walk(connection, ChainPosition(300, b"x" * 32, 2), 100)
    assert fault == JournalFault(300, "its hash has changed")


async def test_the_tree_has_the_nodes_of_the_blocks(connection: Connection) -> None:
    await fill(connection, 1000)
    hashes = await sealed.hashes_at(connection, range(1, 1001))
    tree = merkle.Frontier()
    for seq in range(1, 1001):
        tree.append(hashes[seq])
    while await journal_tree.grow(connection):
        pass
    assert await journal_tree.root(connection, 1000) == tree.root()
    assert await connection.fetchval("SELECT count(*) FROM journal_tree") == 3


async def test_the_queue_of_statuses_counts_those_in_blocks(connection: Connection) -> None:
    await fill(connection, 700)
    await connection.execute(
        "INSERT INTO feeds (feed, seq) VALUES ('sdu', 0) ON CONFLICT (feed) DO UPDATE SET seq = 0"
    )
    depth = {q.name: (q.depth, q.since) for q in (await queues.waiting(connection)).queues}
    assert depth["statuses"] == (len([n for n in range(700) if n % 3 == 0]), BEGIN)
    await connection.execute("UPDATE feeds SET seq = 700")
    assert {q.name: q.depth for q in (await queues.waiting(connection)).queues}["statuses"] == 0


async def test_statuses_of_a_block_that_are_pushed_do_not_wait(connection: Connection) -> None:
    await fill(connection, 300)
    for pushed in (0, 100, 254, ENTRIES, 299):
        await connection.execute(
            "INSERT INTO feeds (feed, seq) VALUES ('sdu', $1) ON CONFLICT (feed) DO UPDATE SET seq = $1", pushed
        )
        waiting = [n for n in range(pushed, 300) if n % 3 == 0]
        (queue,) = [queue for queue in (await queues.waiting(connection)).queues if queue.name == "statuses"]
        assert (queue.depth, queue.since) == (len(waiting), entry(waiting[0]).at if waiting else None), pushed


@given(st.integers(0, 2**32 - 1), st.text(max_size=40), st.text(max_size=40), st.none() | st.text(max_size=30))
def test_a_block_gives_back_its_entries(position: int, case_id: str, detail: str, event_id: str | None) -> None:
    first = position * ENTRIES + 1
    entries = [
        SealedEntry(first + n, n * 7 - 900, case_id if n % 2 else None, "e", event_id, detail, 2)
        for n in range(ENTRIES)
    ]
    block = journal_blocks.block_of(entries, b"", list(journal_blocks.hashes(b"", entries)))
    assert block.position == position
    assert journal_blocks.entries_of(position, block.entries) == entries


async def test_the_job_leaves_the_beginning_of_a_block_pending_until_nothing_else_comes(
    connection: Connection,
) -> None:
    """Else each run would write rows that the next one makes a block of."""
    await journal.append(connection, [entry(n) for n in range(100)])
    await journal.append(connection, [entry(n) for n in range(100, 300)])
    await journal.append(connection, [entry(n) for n in range(300, 350)])
    sealed_by_job = []
    for _ in range(3):
        async with connection.transaction():
            sealed_by_job.append(await journal.seal_if_free(connection, 5000))
    assert sealed_by_job == [350, 350 - ENTRIES, 0]
    assert await counted(connection) == (350 - ENTRIES, 1)
    entries = await read_back(connection)
    assert [(e.at, e.case_id, e.event, e.event_id, e.detail) for e in entries] == [entry(n) for n in range(350)]
    assert (await journal_check.verify(connection)).fault is None


@pytest.mark.parametrize("limit", [1, 100, 300, 5000])
async def test_the_first_entries_of_a_list_are_sealed_in_parts_of_any_size(
    connection: Connection, limit: int
) -> None:
    await connection.execute(_LIST, BEGIN)
    await connection.execute(_CASES, BEGIN)
    await journal.append_list(connection, "list", "received")
    first = "01KAN000000000000000000000"
    assert await journal.pending_of(connection, [first, "unknown"]) == {
        first: [Entry(BEGIN, first, "received", first, "{}")]
    }
    while True:
        async with connection.transaction():
            if not await journal.seal_if_free(connection, limit):
                break
    entries = await read_back(connection)
    assert [e.case_id for e in entries] == [f"01KAN0000000000000000{n:05}" for n in range(600)]
    assert all((e.at, e.event, e.event_id, e.detail) == (BEGIN, "received", e.case_id, "{}") for e in entries)
    assert await journal.pending_of(connection, [first]) == {}
    assert not await journal.is_pending(connection)


async def test_pending_entries_of_a_case_are_found(connection: Connection) -> None:
    await journal.append(connection, [entry(n) for n in range(40)])
    await journal.append(connection, [entry(n) for n in range(40, 60)])
    case_id = entry(3).case_id
    assert case_id is not None
    of_it = [entry(n) for n in range(60) if entry(n).case_id == case_id]
    assert await journal.pending_of(connection, [case_id, "unknown"]) == {case_id: of_it}
