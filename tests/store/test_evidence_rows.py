"""The record of a case is of one instant, whatever goes on meanwhile."""

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


async def test_what_happens_while_the_journal_is_being_sealed_is_in_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would show a text, or a reply, that the journal does not know of."""
    seal, happened = journal.seal, False

    async def sealing(connection: Connection, limit: int = 5000) -> int:
        nonlocal happened
        sealed = await seal(connection, limit)
        if not sealed and not happened:
            happened = True
            async with database.acquire() as other, other.transaction():
                await add_case(other, "case")
                await journal.append(other, [journal.entry(MONDAY, "case", Event(EventType.RECEIVED))])
        return sealed

    monkeypatch.setattr(journal, "seal", sealing)
    async with database.acquire() as connection:
        record = await record_of(connection)
    assert [entry["event"] for entry in record["journal"]] == ["received"]


async def test_a_case_whose_entries_were_taken_away_has_a_record_that_does_not_hold(database: Database) -> None:
    async with database.acquire() as connection:
        await add_case(connection, "case")
        record = await record_of(connection)
    assert record["journal"] == []
