"""Reading of sealed entries: the same answers however they are sealed, and whatever the rows and blocks are."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway.consent.events import Event, EventType
from gateway.store import journal, journal_blocks, journal_check, rewinds, sealed
from gateway.store.database import Connection, Database
from gateway.store.journal import Entry
from gateway.store.journal_blocks import ENTRIES, SealedEntry
from gateway.store.journal_check import JournalFault
from gateway.store.nodes import RewoundError
from gateway.store.rewinds import Committed, JournalMemory
from tests.store.test_journal_blocks import entry, fill, unfold

AT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
ALIKE = ("01KAN000000000000009685295", "01KAN000000000000012060020")
"""Two ids with one CRC-32."""
CASES = (*ALIKE, *(f"01KBN{n:021}" for n in range(12)))
_BLOCKS = """
INSERT INTO journal_blocks (position, entries, before, hash, version, node, ended_at, statuses, cases)
SELECT position, '', '', '', 2, '', now(), 0, ARRAY(SELECT position * 256 + n FROM generate_series(0, 255) AS n)
FROM generate_series(0, 999) AS position
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        yield connection


def some_entry(chance: random.Random, n: int) -> Entry:
    is_status = chance.random() < 0.2
    at = AT + timedelta(microseconds=chance.randrange(-(10**9), 10**9))
    case_id = chance.choice([None, *CASES])
    return Entry(at, case_id, "asked" if is_status else "text_queued", f"id-{n}" if is_status else None, "{}")


async def seal_some(connection: Connection, chance: random.Random, *, undone: bool) -> int:
    """The number of entries that are sealed for good; 0 when the transaction is rolled back."""
    before = (await sealed.last(connection)).seq
    transaction = connection.transaction()
    await transaction.start()
    seal = chance.choice([journal.seal, journal.seal_if_free])
    await seal(connection, chance.choice([1, 10, ENTRIES, 300, 5000]))
    await (transaction.rollback() if undone else transaction.commit())
    return (await sealed.last(connection)).seq - before


async def journal_at_random(connection: Connection, chance: random.Random) -> list[Entry]:
    """The sealed entries, after appending, sealing, unfolding and folding at random; others are pending."""
    expected: list[Entry] = []
    pending: list[Entry] = []
    for _ in range(30):
        entries = [some_entry(chance, n) for n in range(chance.choice([1, 50, ENTRIES - 1, ENTRIES, 700]))]
        await journal.append(connection, entries)
        pending += entries
        assert await seal_some(connection, chance, undone=True) == 0
        for _ in range(chance.randrange(3)):
            n = await seal_some(connection, chance, undone=False)
            assert bool(n) == bool(pending)
            expected, pending = expected + pending[:n], pending[n:]
        positions = [row["position"] for row in await connection.fetch("SELECT position FROM journal_blocks")]
        for position in chance.sample(positions, min(len(positions), chance.randrange(3))):
            await unfold(connection, position)
        async with connection.transaction():
            await journal.fold(connection, chance.randrange(len(expected) + 1))
    found = await journal.pending_of(connection, CASES)
    assert found == {c: of_it for c in CASES if (of_it := [e for e in pending if e.case_id == c])}
    return expected


@pytest.mark.parametrize("seed", range(4))
async def test_readers_see_one_list_whatever_is_sealed_folded_and_rolled_back(
    connection: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    expected = await journal_at_random(connection, chance)
    size = len(expected)
    entries = await sealed.after(connection, 0, 1_000_000)
    assert [Entry(e.at, e.case_id, e.event, e.event_id, e.detail) for e in entries] == expected
    assert [e.seq for e in entries] == list(range(1, size + 1))
    assert (await journal_check.verify(connection)).fault is None
    for _ in range(40):
        seq, limit = chance.randrange(size + 3), chance.choice([1, 2, 100, ENTRIES, 300, 1000, 20_000])
        assert await sealed.after(connection, seq, limit) == entries[seq : seq + limit]
        statuses = [e for e in entries[seq:] if e.event_id is not None]
        assert await sealed.statuses_after(connection, seq, limit) == statuses[:limit]
        walked, fault = await journal_check.walk(connection, await chained_at(connection, seq, size), limit)
        assert fault is None
        assert walked.seq == min(size, seq + limit) or walked.seq > seq + 9000
    found, chained = await sealed.of_cases(connection, CASES), await sealed.chained_of_cases(connection, CASES)
    hashes = await sealed.hashes_at(connection, range(1, size + 1))
    for case_id in CASES:
        of_it = [e for e in entries if e.case_id == case_id]
        assert found[case_id] == of_it
        assert chained[case_id] == [(e, hashes.get(e.seq - 1, b""), hashes[e.seq]) for e in of_it]


async def chained_at(connection: Connection, seq: int, size: int) -> journal_check.ChainPosition:
    seq = min(seq, size)
    hash_ = (await sealed.hashes_at(connection, [seq])).get(seq, b"")
    return journal_check.ChainPosition(seq, hash_, 2 if seq else 1)


async def test_cases_with_one_key_are_told_apart(connection: Connection) -> None:
    assert len(journal_blocks.case_keys(ALIKE)) == 1
    await journal.append(connection, [Entry(AT, ALIKE[n % 2], "released", None, "{}") for n in range(300)])
    first, second = ALIKE
    assert len((await journal.pending_of(connection, [first]))[first]) == 150
    await journal.seal(connection)
    for case_ids in ([first], [second], ALIKE):
        found = await sealed.of_cases(connection, case_ids)
        assert {case_id: {e.seq % 2 for e in entries} for case_id, entries in found.items()} == {
            case_id: {1 if case_id == first else 0} for case_id in case_ids
        }


async def test_many_cases_at_once_are_searched_by_the_index(connection: Connection) -> None:
    """Else each block is compared with each of the cases: 500 of them take 30 s in a journal of 30,000,000."""
    await connection.execute(_BLOCKS)
    await connection.execute("ANALYZE journal_blocks")
    explain = f"EXPLAIN {sealed._OF_CASES}"
    plan = [row[0] for row in await connection.fetch(explain, ["case"], list(range(-500, 0)))]
    assert any("journal_blocks_of_case" in line for line in plan)
    assert not any("Seq Scan on journal_blocks" in line for line in plan)


async def test_blocks_of_a_case_are_read_a_few_at_a_time(connection: Connection) -> None:
    await fill(connection, 3 * ENTRIES + 20)
    await unfold(connection, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "_MAX_BLOCKS", 2)
        found: list[SealedEntry] = (await sealed.of_cases(connection, ["case"])).get("case", [])
        assert found == []
        case_id = entry(3).case_id
        assert case_id is not None
        seqs = [e.seq for e in (await sealed.of_cases(connection, [case_id]))[case_id]]
    assert seqs == [n + 1 for n in range(3 * ENTRIES + 20) if entry(n).case_id == case_id]


async def test_a_block_that_cannot_be_read_does_not_hide_what_this_process_has_committed(
    connection: Connection,
) -> None:
    """Else no connection could be opened any more."""
    await fill(connection, ENTRIES)
    case_id = entry(3).case_id
    assert case_id is not None
    await journal.append(connection, [journal.entry(AT, case_id, Event(EventType.RELEASED))])
    await journal.seal(connection)
    memory = JournalMemory()
    memory.note(await rewinds.head(connection))
    memory.committed(Committed(case_id, AT, EventType.RELEASED))
    await connection.execute("ALTER TABLE journal_blocks DISABLE TRIGGER USER")
    await connection.execute("UPDATE journal_blocks SET entries = 'x'")
    await memory.check(connection, is_new=True)
    memory.committed(Committed(case_id, AT, EventType.PARKED))
    with pytest.raises(RewoundError):
        await memory.check(connection, is_new=True)


@pytest.mark.parametrize("at", ["20000-01-01", "0044-03-15 BC"])
async def test_a_row_with_an_instant_that_python_does_not_know_is_named_and_does_not_stop_the_sealing(
    connection: Connection, at: str
) -> None:
    await fill(connection, 200)
    await connection.execute("ALTER TABLE journal DISABLE TRIGGER USER")
    await connection.execute(f"UPDATE journal SET at = '{at}' WHERE seq = 7")
    await connection.execute("ALTER TABLE journal ENABLE TRIGGER USER")
    await journal.append(connection, [entry(n) for n in range(200, 300)])
    assert await journal.seal(connection) == 100
    fault = (await journal_check.verify(connection)).fault
    assert fault == JournalFault(7, "its hash does not match its fields")
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute("DELETE FROM journal WHERE seq = 7")
