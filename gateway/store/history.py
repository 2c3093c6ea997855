"""What became of cases, for people and programs that ask: a case's journal, and cases by list and state."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.consent.case import State
from gateway.store import journal
from gateway.store.database import Connection

_SEALS_WAITED_FOR = 10
"""Batches sealed for one question: behind more than that, the case's latest entries are not shown yet."""
LOOKED_THROUGH = 5000
"""Cases of a list that one page looks at, at most, for those in the states asked for."""

_PENDING = "SELECT EXISTS (SELECT FROM journal_pending WHERE case_id = $1)"
_OF_CASE = "SELECT seq, at, event, detail FROM journal WHERE case_id = $1 ORDER BY seq"
_FIND = "SELECT case_id FROM cases WHERE list_id = $1 AND record_id = $2"

_PLACE = "SELECT list_id, record_id FROM cases WHERE case_id = $1"
_OF_LIST = """
SELECT case_id, state FROM cases WHERE list_id = $1 AND record_id > $2 ORDER BY record_id LIMIT $3
"""
# The state stands here as the index cases_parked has it.
_PARKED = """
SELECT case_id FROM cases WHERE state = 'parked' AND (list_id, case_id) > ($1, $2)
ORDER BY list_id, case_id LIMIT $3
"""
_PARKED_OF_LIST = """
SELECT case_id FROM cases WHERE state = 'parked' AND list_id = $1 AND case_id > $2
ORDER BY list_id, case_id LIMIT $3
"""
_PARKINGS = """
SELECT wanted.case_id, latest.at, latest.reason FROM unnest($1::text[]) AS wanted (case_id),
LATERAL (SELECT at, detail ->> 'reason' AS reason FROM journal
         WHERE case_id = wanted.case_id AND event = 'parked' ORDER BY seq DESC LIMIT 1) AS latest
"""


class HistoryEntry(NamedTuple):
    seq: int
    at: datetime
    event: str
    detail: dict[str, Any]


class Place(NamedTuple):
    """Where a case stands among those of all lists."""

    list_id: str
    record_id: str
    case_id: str


class Page(NamedTuple):
    """Ids of cases in their order, and the case behind which the next page begins; None: there is none."""

    case_ids: list[str]
    next: str | None


class Parking(NamedTuple):
    """When a case was parked, and why."""

    at: datetime
    reason: str


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


async def place(connection: Connection, case_id: str) -> Place | None:
    """Where a page that begins behind this case begins."""
    row = await connection.fetchrow(_PLACE, case_id)
    return Place(row["list_id"], row["record_id"], case_id) if row is not None else None


async def of_list(
    connection: Connection, list_id: str, states: Collection[State] | None, after: Place | None, limit: int
) -> Page:
    """A page of the list's cases in these states, or in any, by record_id.

    It may hold fewer than `limit`, or none, and yet have a next one: a page looks at LOOKED_THROUGH cases.
    """
    most = limit if states is None else LOOKED_THROUGH
    looked = await connection.fetch(_OF_LIST, list_id, after.record_id if after else "", most)
    found = [row["case_id"] for row in looked if states is None or row["state"] in states]
    if len(found) >= limit:
        return Page(found[:limit], found[limit - 1])
    return Page(found, looked[-1]["case_id"] if len(looked) == most else None)


async def parked(connection: Connection, list_id: str | None, after: Place | None, limit: int) -> Page:
    """A page of the parked cases, of one list or of all, by list and case_id."""
    if list_id is not None:
        rows = await connection.fetch(_PARKED_OF_LIST, list_id, after.case_id if after else "", limit)
    else:
        rows = await connection.fetch(_PARKED, *((after.list_id, after.case_id) if after else ("", "")), limit)
    case_ids = [row["case_id"] for row in rows]
    return Page(case_ids, case_ids[-1] if len(case_ids) == limit else None)


async def parkings(connection: Connection, case_ids: Collection[str]) -> dict[str, Parking]:
    """How each of the cases was parked last; one whose entry is not sealed yet is left out."""
    rows = await connection.fetch(_PARKINGS, list(case_ids))
    return {row["case_id"]: Parking(row["at"], row["reason"]) for row in rows}
