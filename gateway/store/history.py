"""What the journal says of one case, for people and programs that ask."""

from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.store import journal
from gateway.store.database import Connection

_SEALS_WAITED_FOR = 10
"""Batches sealed for one question: behind more than that, the case's latest entries are not shown yet."""

_PENDING = "SELECT EXISTS (SELECT FROM journal_pending WHERE case_id = $1)"
_OF_CASE = "SELECT seq, at, event, detail FROM journal WHERE case_id = $1 ORDER BY seq"
_FIND = "SELECT case_id FROM cases WHERE list_id = $1 AND record_id = $2"


class HistoryEntry(NamedTuple):
    seq: int
    at: datetime
    event: str
    detail: dict[str, Any]


async def of_case(connection: Connection, case_id: str) -> list[HistoryEntry]:
    """The case's entries, oldest first. Seals what is pending first: an entry is shown with its place."""
    for _ in range(_SEALS_WAITED_FOR):
        if not await connection.fetchval(_PENDING, case_id) or not await journal.seal(connection):
            break
    return [
        HistoryEntry(row["seq"], row["at"], row["event"], orjson.loads(row["detail"]))
        for row in await connection.fetch(_OF_CASE, case_id)
    ]


async def case_of_record(connection: Connection, list_id: str, record_id: str) -> str | None:
    """The id of the case that a record has become."""
    case_id: str | None = await connection.fetchval(_FIND, list_id, record_id)
    return case_id
