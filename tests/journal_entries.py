"""Entries of the journal, sealed or not, for tests that look at all of them."""

from typing import NamedTuple

import asyncpg

from gateway.store import journal_blocks, sealed
from gateway.store.database import Connection

_PENDING = """
SELECT p.id, p.entries, p.event, c.case_id FROM journal_pending p
LEFT JOIN cases c ON c.list_id = p.list_id AND c.record_id > p.after ORDER BY p.id, c.record_id
"""
_MOST = 1_000_000


class Entry(NamedTuple):
    """An entry; `seq` is 0 until it is sealed."""

    seq: int
    case_id: str | None
    event: str
    event_id: str | None
    detail: str


async def all_entries(connection: "asyncpg.Connection | Connection") -> list[Entry]:
    """All entries, oldest first."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        entries = await sealed.after(connection, 0, _MOST)
        rows = await connection.fetch(_PENDING)
    journal = [Entry(e.seq, e.case_id, e.event, e.event_id, e.detail) for e in entries]
    for row in rows:
        if row["entries"] is None:
            journal.append(Entry(0, row["case_id"], row["event"], row["case_id"], "{}"))
        else:
            journal += [Entry(0, *fields) for _, *fields in journal_blocks.unpacked(row["entries"])]
    return journal
