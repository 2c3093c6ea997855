"""The record of a case is a consistent snapshot, also during concurrent writes."""

from typing import Any

import pytest

from gateway.consent.events import Event, EventType
from gateway.store import evidence, journal
from gateway.store.database import Connection, Database
from tests.store.rows import MONDAY, add_case


async def record_of(connection: Connection) -> dict[str, Any]:
    record = await evidence.record_of(connection, "case", made_at=MONDAY, rules={"3": {}}, alphabets={})
    assert record is not None
    return record


async def test_a_record_contains_entries_committed_while_the_journal_is_being_sealed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would show a text or a reply without its journal entry."""
    seal, written = journal.seal, False

    async def sealing(connection: Connection, limit: int = 5000) -> int:
        nonlocal written
        sealed = await seal(connection, limit)
        if not sealed and not written:
            written = True
            async with database.acquire() as other, other.transaction():
                await add_case(other, "case")
                await journal.append(other, [journal.entry(MONDAY, "case", Event(EventType.RECEIVED))])
        return sealed

    monkeypatch.setattr(journal, "seal", sealing)
    async with database.acquire() as connection:
        record = await record_of(connection)
    assert [entry["event"] for entry in record["journal"]] == ["received"]


async def test_the_record_of_a_case_without_entries_has_an_empty_journal(database: Database) -> None:
    async with database.acquire() as connection:
        await add_case(connection, "case")
        record = await record_of(connection)
    assert record["journal"] == []
