"""Rows that were changed beside the journal do not fit its digests, states and instants."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from gateway.store import journal, journal_rows
from gateway.store.database import Connection
from gateway.store.journal_rows import RowFault
from gateway.store.migrations import migrate

CAMPAIGN = Path(__file__).parents[1] / "fixtures" / "v0_1_0" / "database.sql.gz"
ISSUED = "01M2SN7EJJ2SGM2TH56F76A411"
"""A case of the campaign: the request, an unclear reply, a clarification, a consent, text 3, the voucher."""


TABLES = ("cases", "sms", "replies", "journal")


@pytest.fixture
async def connection(bare_database_url: str) -> AsyncIterator[Connection]:
    """A campaign of 0.1.0 at the moment of a kill, migrated; a superuser may change any row."""
    connection = await asyncpg.connect(bare_database_url)
    await connection.execute(gzip.decompress(CAMPAIGN.read_bytes()).decode())
    await connection.execute("SET search_path = public")
    await migrate(connection)
    await connection.execute("SET session_replication_role = replica")
    while await journal.seal(connection):
        pass
    for table in TABLES:
        await connection.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")
    yield connection
    await connection.close()


async def restore(connection: Connection) -> None:
    """Puts all rows back."""
    for table in TABLES:
        await connection.execute(
            f"DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}"
        )


CHANGES = [
    # (table, what is set in the rows of the case, where the case then differs from its journal)
    ("sms", "body = body || '.'", "/texts/0/body"),
    ("sms", "body = NULL, fields = '{}'", "/texts/0/body"),
    ("sms", "body = NULL, template = 'unknown', fields = '{}'", "/texts/0/body"),
    ("sms", "segments = segments + 1", "/texts/0"),
    ("sms", "msisdn = '77010000099'", "/replies/1"),
    ("sms", "created_at = created_at + interval '1 ms'", "/texts/0/created_at"),
    ("sms", "created_at = '-infinity'", ""),
    ("sms", "message_ids = '[]'", "/texts/0/message_ids"),
    ("sms", "case_id = NULL", "/texts"),
    ("replies", "octets = octets || '\\x00'", "/replies/0/octets"),
    ("replies", "link = 'tele2'", "/replies/0"),
    ("replies", "source_addr = '77010000099'", "/replies/0/octets"),
    ("replies", "case_id = NULL", "/replies"),
    ("cases", "state = 'voucher_rejected'", "/case/state"),
    ("cases", "evidence = 'sha256:' || repeat('0', 64)", "/case/evidence"),
    ("cases", "answered_at = answered_at - interval '1 s'", "/case/answered_at"),
    ("cases", "voucher_id = voucher_id || '0'", "/case/voucher_id"),
    ("cases", "opened_at = 'infinity'", ""),
    ("journal", "at = 'infinity'", "/case/opened_at"),
    ("journal", "detail = '[]'", "/journal/0"),
    ("journal", "detail = '{}'", "/journal/1"),
    ("journal", "event = 'no_such_event'", "/journal/0"),
]


async def test_rows_that_nobody_changed_are_what_the_journal_says(connection: Connection) -> None:
    cases = await connection.fetchval("SELECT count(*) FROM cases")
    assert await journal_rows.compare(connection, {}) == (cases, [])
    assert await connection.fetchval("SELECT count(*) FROM journal_pending") == 0


async def test_every_changed_row_is_found_with_its_case(connection: Connection) -> None:
    for table, change, pointer in CHANGES:
        await connection.execute(f"UPDATE {table} SET {change} WHERE case_id = '{ISSUED}'")
        _, faults = await journal_rows.compare(connection, {})
        assert [(fault.case_id, fault.pointer) for fault in faults] == [(ISSUED, pointer)], change
        assert "\n" not in faults[0].reason
        await restore(connection)
    assert (await journal_rows.compare(connection, {})).faults == []


async def test_a_case_that_only_the_journal_has_is_found(connection: Connection) -> None:
    await connection.execute("DELETE FROM cases WHERE case_id = $1", ISSUED)
    _, faults = await journal_rows.compare(connection, {})
    assert faults == [RowFault(ISSUED, "/case", "is missing")]
