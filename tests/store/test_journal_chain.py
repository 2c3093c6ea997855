"""The hash chain: verification finds sealed entries that were changed, removed, inserted or moved."""

import asyncio

import asyncpg
import pytest

from gateway.consent.details import Reason, Voucher
from gateway.consent.events import Event, EventType
from gateway.evidence import digests, merkle
from gateway.evidence.digests import Anchor
from gateway.store import journal, journal_check, journal_tree
from gateway.store.database import Connection, Database
from tests.store.rows import MONDAY

ENTRIES = [
    journal.entry(MONDAY, f"case-{n}", Event(EventType.VOUCHER_ISSUED, Voucher(f"V-{n}"))) for n in range(1, 11)
]


async def append_and_seal_all(connection: Connection, limit: int = 5000) -> None:
    await journal.append(connection, ENTRIES)
    await journal.append(
        connection, [journal.entry(MONDAY, None, Event(EventType.REPLY_IGNORED, Reason("ә\x1f\\u0000")))]
    )
    while await journal.seal(connection, limit):
        pass


async def tamper(connection: Connection, statement: str) -> journal_check.JournalCheck:
    """The result of verification after a superuser has executed the statement."""
    for table in ("journal", "journal_blocks"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await connection.execute(statement)
    return await journal_check.verify(connection)


@pytest.mark.parametrize("limit", [1, 3, 5000])
async def test_a_journal_sealed_in_batches_of_any_size_verifies(database: Database, limit: int) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection, limit)
        check = await journal_check.verify(connection)
        assert (check.entries, check.fault) == (11, None)
        assert (await journal.head(connection))[:2] == (11, check.head)
        rows = await connection.fetch("SELECT seq, case_id FROM journal ORDER BY seq")
        assert [row["seq"] for row in rows] == list(range(1, 12))
        assert [row["case_id"] for row in rows] == [entry.case_id for entry in ENTRIES] + [None]
        assert await connection.fetchval("SELECT count(*) FROM journal_pending") == 0


async def test_the_journal_head_does_not_depend_on_the_batch_size(database: Database) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection, 2)
        by_twos = (await journal_check.verify(connection)).head
        await tamper(connection, "TRUNCATE journal")
        await append_and_seal_all(connection)
        assert (await journal_check.verify(connection)).head == by_twos


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE journal SET detail = '{\"relation\": \"father\", \"n\": 4}' WHERE seq = 4", 4),
        ("UPDATE journal SET detail = (detail::text || ' ')::json WHERE seq = 11", 11),
        ("UPDATE journal SET at = at + interval '1 microsecond' WHERE seq = 2", 2),
        ("UPDATE journal SET case_id = 'case-9' WHERE seq = 3", 3),
        ("UPDATE journal SET case_id = '' WHERE seq = 3", 3),
        ("UPDATE journal SET event = 'refused' WHERE seq = 5", 5),
        ("UPDATE journal SET event_id = NULL WHERE seq = 6", 6),
        ("UPDATE journal SET event_id = '' WHERE seq = 11", 11),
        ("UPDATE journal SET case_id = '' WHERE seq = 11", 11),
        ("UPDATE journal SET version = 1 WHERE seq = 10", 10),
        ("UPDATE journal SET at = 'infinity' WHERE seq = 9", 9),
        ("UPDATE journal SET at = '-infinity' WHERE seq = 9", 9),
        ("UPDATE journal SET case_id = concat(case_id, chr(31), event), event = event_id WHERE seq = 2", 2),
        ("UPDATE journal SET hash = sha256(hash) WHERE seq = 7", 7),
        ("DELETE FROM journal WHERE seq = 1", 1),
        ("DELETE FROM journal WHERE seq = 8", 8),
        ("DELETE FROM journal WHERE seq BETWEEN 3 AND 6", 3),
        ("INSERT INTO journal SELECT 12, at, case_id, event, event_id, detail, hash FROM journal LIMIT 1", 12),
        (
            "DELETE FROM journal WHERE seq = 9;"
            "INSERT INTO journal SELECT 9, at, case_id, event, event_id, detail, hash FROM journal WHERE seq = 10",
            9,
        ),
        (
            "UPDATE journal SET seq = -seq WHERE seq IN (5, 6);"
            "UPDATE journal SET seq = 11 + seq WHERE seq < 0",
            5,
        ),
    ],
)  # fmt: skip
async def test_verification_of_a_changed_journal_names_the_first_wrong_entry(
    database: Database, statement: str, seq: int
) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection)
        check = await tamper(connection, statement)
        assert check.fault is not None
        assert (check.fault.seq, check.entries) == (seq, seq - 1)


async def seal_as_0_1_0(connection: Connection) -> None:
    """What `append_and_seal_all` does, with version 1 of the hash."""
    position = journal_check.CHAIN_START
    entries = [*ENTRIES, journal.entry(MONDAY, None, Event(EventType.REPLY_IGNORED, Reason("empty")))]
    at_us = int(MONDAY.timestamp()) * 1_000_000
    for seq, entry in enumerate(entries, start=1):
        octets = digests.journal_entry(
            seq, at_us, entry.case_id, entry.event, entry.event_id, entry.detail, version=1
        )
        position = journal_check.ChainPosition(seq, digests.journal_hash(position.hash, octets))
        await connection.execute(
            """INSERT INTO journal (seq, at, case_id, event, event_id, detail, version, hash)
               VALUES ($1, $2, $3, $4, $5, $6, 1, $7)""",
            seq, *entry, position.hash,
        )  # fmt: skip


async def test_entries_sealed_by_0_1_0_verify_and_new_ones_follow_from_them(database: Database) -> None:
    async with database.acquire() as connection:
        await seal_as_0_1_0(connection)
        await append_and_seal_all(connection)
        check = await journal_check.verify(connection)
        assert (check.entries, check.fault) == (22, None)
        versions = await connection.fetch("SELECT version, count(*) AS n FROM journal GROUP BY version")
        assert {row["version"]: row["n"] for row in versions} == {1: 11, 2: 11}


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE journal SET event_id = '' WHERE seq = 11", 11),
        ("UPDATE journal SET case_id = '' WHERE seq = 11", 11),
        ("UPDATE journal SET version = 2 WHERE seq = 3", 3),
    ],
)
async def test_an_empty_string_in_place_of_null_is_found_in_an_entry_of_0_1_0(
    database: Database, statement: str, seq: int
) -> None:
    """Version 1 has the same hash for both; version 2 has not."""
    async with database.acquire() as connection:
        await seal_as_0_1_0(connection)
        check = await tamper(connection, statement)
        assert check.fault is not None
        assert check.fault.seq == seq


async def test_an_entry_with_the_old_hash_does_not_follow_one_with_the_new(database: Database) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection)
        seq, head, _ = await journal.head(connection)
        octets = digests.journal_entry(seq + 1, 0, None, "received", "", "{}", version=1)
        await connection.execute(
            "INSERT INTO journal (seq, at, event, event_id, detail, version, hash)"
            " VALUES ($1, 'epoch', 'received', '', '{}', 1, $2)",
            seq + 1,
            digests.journal_hash(bytes.fromhex(head), octets),
        )
        fault = (await journal_check.verify(connection)).fault
        assert fault == journal_check.JournalFault(12, "has an older version of the hash than the entry before")


@pytest.mark.parametrize(
    "statement", ["UPDATE journal SET event = 'x'", "DELETE FROM journal", "TRUNCATE journal"]
)
async def test_the_journal_table_is_append_only(database: Database, statement: str) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection)
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)


async def test_concurrent_sealers_make_one_chain(database: Database) -> None:
    async def append_and_seal(n: int) -> None:
        for _ in range(5):
            async with database.acquire() as connection:
                await journal.append(connection, ENTRIES)
                await journal.seal(connection, 7 + n)

    await asyncio.gather(*(append_and_seal(n) for n in range(4)))
    async with database.acquire() as connection:
        while await journal.seal(connection):
            pass
        check = await journal_check.verify(connection)
    assert (check.entries, check.fault) == (200, None)


async def test_an_entry_committed_later_gets_a_higher_seq(database: Database) -> None:
    """A reader that follows seq then misses no entry."""
    async with database.acquire() as slow, database.acquire() as quick:
        transaction = slow.transaction()
        await transaction.start()
        await journal.append(slow, ENTRIES[:1])
        await journal.append(quick, ENTRIES[1:2])
        await journal.seal(quick)
        assert (await journal.head(quick))[0] == 1
        await transaction.commit()
        await journal.seal(quick)
        rows = await quick.fetch("SELECT case_id FROM journal ORDER BY seq")
        assert [row["case_id"] for row in rows] == ["case-2", "case-1"]


async def make_anchor(connection: Connection) -> Anchor:
    """The anchor that journal_anchor would log now."""
    seq, _, _ = await journal.head(connection)
    return Anchor(seq, await journal_tree.root(connection, seq))


async def test_deleted_last_entries_are_found_by_an_anchor(database: Database) -> None:
    async with database.acquire() as connection:
        empty = await make_anchor(connection)
        await append_and_seal_all(connection)
        anchor = await make_anchor(connection)
        await append_and_seal_all(connection)
        assert (
            await journal_check.verify(connection, [anchor, empty, await make_anchor(connection)])
        ).fault is None
        assert (await tamper(connection, "DELETE FROM journal WHERE seq > 8")).fault is None
        check = await journal_check.verify(connection, [empty, anchor])
        assert (check.entries, check.fault) == (
            8,
            journal_check.JournalFault(11, "missing, though an anchor covers it"),
        )


async def test_a_deleted_last_entry_is_found_by_the_position_of_the_feed(database: Database) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection)
        await connection.execute("INSERT INTO feeds (feed, seq) VALUES ('sdu', 11)")
        assert (await journal_check.verify(connection)).fault is None
        check = await tamper(connection, "DELETE FROM journal WHERE seq = 11")
        assert (check.entries, check.fault) == (
            10,
            journal_check.JournalFault(11, "missing, though the journal had 11 entries"),
        )


async def test_deleted_last_entries_are_found_by_the_journal_tree(database: Database) -> None:
    async with database.acquire() as connection:
        for _ in range(24):
            await append_and_seal_all(connection)
        await journal_tree.grow(connection)
        check = await tamper(connection, "DELETE FROM journal; DELETE FROM journal_blocks")
        assert (check.entries, check.fault) == (
            0,
            journal_check.JournalFault(1, "missing, though the journal had 256 entries"),
        )


async def test_a_rewritten_chain_is_found_by_an_anchor(database: Database) -> None:
    async with database.acquire() as connection:
        await append_and_seal_all(connection)
        anchor = await make_anchor(connection)
        await tamper(connection, "TRUNCATE journal")
        await journal.append(connection, [journal.entry(MONDAY, "another", Event(EventType.RECEIVED))])
        await append_and_seal_all(connection)
        assert (await journal_check.verify(connection)).fault is None
        fault = (await journal_check.verify(connection, [anchor])).fault
        assert fault == journal_check.JournalFault(11, "the entries up to it are not those of the anchor")


@pytest.mark.parametrize(
    "statement", ["UPDATE journal_tree SET hash = sha256(hash)", "DELETE FROM journal_tree WHERE position = 0"]
)
async def test_a_journal_tree_over_other_entries_is_found(database: Database, statement: str) -> None:
    """Its paths would not prove the entries of the journal."""
    async with database.acquire() as connection:
        for _ in range(50):
            await append_and_seal_all(connection)
        await journal_tree.grow(connection)
        assert (await journal_check.verify(connection)).fault is None
        await connection.execute("ALTER TABLE journal_tree DISABLE TRIGGER journal_append_only")
        await connection.execute(statement)
        fault = (await journal_check.verify(connection)).fault
        assert fault == journal_check.JournalFault(
            1, "the stored Merkle tree does not match the journal from there on"
        )


@pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines
async def test_every_stored_level_of_the_journal_tree_is_verified(database: Database) -> None:
    """The root can be computed without that node; paths cannot."""
    changes = ("UPDATE journal_tree SET hash = sha256(hash)", "DELETE FROM journal_tree")
    async with database.acquire() as connection:
        others = [journal.entry(MONDAY, None, Event(EventType.REPLY_IGNORED))] * (merkle.TILE * merkle.TILE)
        await journal.append(connection, others)
        while await journal.seal(connection):
            pass
        while await journal_tree.grow(connection):
            pass
        assert (await journal_check.verify(connection)).fault is None
        await connection.execute("ALTER TABLE journal_tree DISABLE TRIGGER journal_append_only")
        for change in changes:
            await connection.execute(f"{change} WHERE (level, position) = (8, 3)")
            fault = (await journal_check.verify(connection)).fault
            assert fault is not None
            assert fault.seq == 3 * merkle.TILE + 1
