"""The history of cases for the HTTP API: the journal of one case, and pages of cases by list and state."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from gateway.consent.case import State
from gateway.consent.events import EventType
from gateway.store import journal, reasons, sealed
from gateway.store.case_entries import ForOps
from gateway.store.database import Connection

_MAX_SEALED_BATCHES = 10
"""Batches sealed per request; with more pending entries, the latest ones of the case are not shown yet."""

_FIND = "SELECT case_id FROM cases WHERE list_id = $1 AND record_id = $2"

_POSITION = "SELECT list_id, record_id FROM cases WHERE case_id = $1"
_OF_LIST = """
SELECT case_id, state FROM cases WHERE list_id = $1 AND record_id > $2 ORDER BY record_id LIMIT $3
"""
_FOR_OPS = """
SELECT case_id FROM cases_for_ops WHERE reason = $1 AND (list_id, case_id) > ($2, $3)
ORDER BY list_id, case_id LIMIT $4
"""
_FOR_OPS_OF_LIST = """
SELECT case_id FROM cases_for_ops WHERE reason = $1 AND list_id = $2 AND case_id > $3 ORDER BY case_id LIMIT $4
"""


class HistoryEntry(NamedTuple):
    """One sealed entry of a case's journal; `at` is business time."""

    seq: int
    at: datetime
    event: str
    detail: dict[str, Any]


class PagePosition(NamedTuple):
    """A case as the position after which a page begins."""

    list_id: str
    record_id: str
    case_id: str


class Page(NamedTuple):
    """Ids of cases, in order, and the case after which the next page begins; None: this is the last page."""

    case_ids: list[str]
    next: str | None


class Parking(NamedTuple):
    """When a case was parked (business time), and why."""

    at: datetime
    reason: str


async def of_case(connection: Connection, case_id: str) -> list[HistoryEntry]:
    """The case's entries, oldest first. Pending ones are sealed before, because they have no seq yet."""
    for _ in range(_MAX_SEALED_BATCHES):
        if not await journal.pending_of(connection, [case_id]) or not await journal.seal(connection):
            break
    entries = (await sealed.of_cases(connection, [case_id])).get(case_id, [])
    details = await reasons.shown(connection, [(case_id, entry.detail) for entry in entries])
    return [
        HistoryEntry(entry.seq, entry.at, entry.event, detail)
        for entry, detail in zip(entries, details, strict=True)
    ]


async def case_of_record(connection: Connection, list_id: str, record_id: str) -> str | None:
    """The case_id of a record; None when it was rejected or is unknown."""
    case_id: str | None = await connection.fetchval(_FIND, list_id, record_id)
    return case_id


async def position(connection: Connection, case_id: str) -> PagePosition | None:
    """The position of a page that begins after this case; None when there is no such case."""
    row = await connection.fetchrow(_POSITION, case_id)
    return PagePosition(row["list_id"], row["record_id"], case_id) if row is not None else None


async def of_list(
    connection: Connection,
    list_id: str,
    states: Collection[State] | None,
    after: PagePosition | None,
    limit: int,
    max_scanned: int,
) -> Page:
    """A page of the list's cases in these states (None: in any), by record_id.

    A page with fewer than `limit` cases, or none, may still have a next one: it scans `max_scanned` cases.
    """
    if states is None:
        max_scanned = limit
    scanned = await connection.fetch(_OF_LIST, list_id, after.record_id if after else "", max_scanned)
    found = [row["case_id"] for row in scanned if states is None or row["state"] in states]
    if len(found) >= limit:
        return Page(found[:limit], found[limit - 1])
    return Page(found, scanned[-1]["case_id"] if len(scanned) == max_scanned else None)


async def for_ops(
    connection: Connection, which: ForOps, list_id: str | None, after: PagePosition | None, limit: int
) -> Page:
    """A page of the cases of one list (None: of all) on which ops have to decide, by list_id and case_id."""
    if list_id is not None:
        rows = await connection.fetch(_FOR_OPS_OF_LIST, which, list_id, after.case_id if after else "", limit)
    else:
        begins_after = (after.list_id, after.case_id) if after else ("", "")
        rows = await connection.fetch(_FOR_OPS, which, *begins_after, limit)
    case_ids = [row["case_id"] for row in rows]
    return Page(case_ids, case_ids[-1] if len(case_ids) == limit else None)


async def parkings(connection: Connection, case_ids: Collection[str]) -> dict[str, Parking]:
    """By case_id, the latest parking; a case whose entry is not sealed yet is left out."""
    found: dict[str, Parking] = {}
    for case_id, entries in (await sealed.of_cases(connection, case_ids)).items():
        for entry in entries:
            if entry.event == EventType.PARKED:
                found[case_id] = Parking(entry.at, orjson.loads(entry.detail)["reason"])
    return found
