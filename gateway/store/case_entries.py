"""The narrow rows by which cases are found by state or instant: they follow from what a transaction changes.

`cases` itself has no index with a column that a step of the journey changes, so that its updates are HOT.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from gateway.consent.case import Case, State
from gateway.store.database import Connection
from gateway.store.questions import NumberClaim
from gateway.store.rows import reader
from gateway.store.writes import Write

_DUE_LATER = """due AS (
    INSERT INTO deadlines (at, case_id) SELECT at, case_id FROM unnest($1::case_instant_row[])
)"""
_ENDED = """ended AS (
    INSERT INTO ended_cases (at, case_id) SELECT at, case_id FROM unnest($1::case_instant_row[])
)"""
_ENDED_NO_MORE = """ended_no_more AS (
    DELETE FROM ended_cases e USING unnest($1::case_instant_row[]) AS gone
    WHERE e.at = gone.at AND e.case_id = gone.case_id
)"""
_WAIT = """waiting AS (
    INSERT INTO waiting_cases (service, msisdn, case_id)
    SELECT service, msisdn, case_id FROM unnest($1::number_row[]) ON CONFLICT DO NOTHING
)"""
_WAIT_NO_MORE = """waiting_no_more AS (
    DELETE FROM waiting_cases w USING unnest($1::number_row[]) AS gone
    WHERE w.msisdn = gone.msisdn AND w.service = gone.service AND w.case_id = gone.case_id
)"""
_NEED_OPS = """for_ops AS (
    INSERT INTO cases_for_ops (reason, list_id, case_id)
    SELECT reason, list_id, case_id FROM unnest($1::case_for_ops_row[]) ON CONFLICT DO NOTHING
)"""
_NEED_OPS_NO_MORE = """for_ops_no_more AS (
    DELETE FROM cases_for_ops o USING unnest($1::case_for_ops_row[]) AS gone
    WHERE o.reason = gone.reason AND o.list_id = gone.list_id AND o.case_id = gone.case_id
)"""

_DUE = "SELECT at, case_id FROM deadlines WHERE at <= $1 ORDER BY at, case_id LIMIT $2"
_LOCK_DUE = """
SELECT case_id, coalesce(due_at <= $2, false) AS is_due FROM cases WHERE case_id = ANY($1::text[])
ORDER BY due_at FOR UPDATE SKIP LOCKED
"""
_DROP_DEADLINES = """
DELETE FROM deadlines d USING unnest($1::case_instant_row[]) AS seen JOIN cases c USING (case_id)
WHERE d.at = seen.at AND d.case_id = seen.case_id AND c.due_at IS DISTINCT FROM d.at
"""


class ForOps(StrEnum):
    """Why ops have to decide on a case."""

    PARKED = "parked"
    HELD = "held"


class CaseInstant(NamedTuple):
    """A case and an instant of it (business time): its deadline, or its end."""

    at: datetime
    case_id: str


class CaseForOps(NamedTuple):
    """A case on which ops have to decide."""

    reason: ForOps
    list_id: str
    case_id: str


class Stored(Protocol):
    """What is read of a stored case."""

    @property
    def case_id(self) -> str: ...
    @property
    def list_id(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def case(self) -> Case: ...


@dataclass(slots=True)
class Changes:
    """The rows to add and to remove."""

    due: list[CaseInstant] = field(default_factory=list)  # past deadlines are removed when their time comes
    ended: list[CaseInstant] = field(default_factory=list)
    ended_no_more: list[CaseInstant] = field(default_factory=list)
    wait: set[NumberClaim] = field(default_factory=set)
    wait_no_more: set[NumberClaim] = field(default_factory=set)
    need_ops: set[CaseForOps] = field(default_factory=set)
    need_ops_no_more: set[CaseForOps] = field(default_factory=set)


_read_instant = reader(CaseInstant)


def changes(stored: Sequence[Stored], before: Mapping[str, Case]) -> Changes:
    """The rows that follow from the cases' states; `before` are the states before, by case_id."""
    found = Changes()
    for one in stored:
        old, new = before[one.case_id], one.case
        if new.due_at is not None and new.due_at != old.due_at:
            found.due.append(CaseInstant(new.due_at, one.case_id))
        if new.ended_at != old.ended_at:
            if new.ended_at is not None:
                found.ended.append(CaseInstant(new.ended_at, one.case_id))
            if old.ended_at is not None:
                found.ended_no_more.append(CaseInstant(old.ended_at, one.case_id))
        if (old.state is State.WAITING) is not (new.state is State.WAITING):
            waited, waits = set(_waits(one, old)), set(_waits(one, new))
            found.wait |= waits - waited
            found.wait_no_more |= waited - waits
        if new.held is not old.held or (old.state is State.PARKED) is not (new.state is State.PARKED):
            needed, needs = set(_needs_ops(one, old)), set(_needs_ops(one, new))
            found.need_ops |= needs - needed
            found.need_ops_no_more |= needed - needs
    return found


def _waits(stored: Stored, case: Case) -> Iterator[NumberClaim]:
    if case.state is State.WAITING and case.msisdn is not None:
        yield NumberClaim(stored.service, case.msisdn, stored.case_id)


def _needs_ops(stored: Stored, case: Case) -> Iterator[CaseForOps]:
    if case.state is State.PARKED:
        yield CaseForOps(ForOps.PARKED, stored.list_id, stored.case_id)
    if case.held is not None:
        yield CaseForOps(ForOps.HELD, stored.list_id, stored.case_id)


def writes(found: Changes) -> list[Write]:
    """The rows to add and to remove, as they are written with the cases' own."""
    given: Sequence[tuple[str, Collection[NamedTuple]]] = (
        (_DUE_LATER, found.due),
        (_ENDED, found.ended),
        (_ENDED_NO_MORE, found.ended_no_more),
        (_WAIT, found.wait),
        (_WAIT_NO_MORE, found.wait_no_more),
        (_NEED_OPS, found.need_ops),
        (_NEED_OPS_NO_MORE, found.need_ops_no_more),
    )
    return [Write(sql, (list(rows),)) for sql, rows in given if rows]


async def due(connection: Connection, now: datetime, limit: int) -> list[CaseInstant]:
    """Up to `limit` deadlines that are past, the earliest first; `now` is business time."""
    return [_read_instant(row) for row in await connection.fetch(_DUE, now, limit)]


async def lock_due(connection: Connection, case_ids: Collection[str], now: datetime) -> dict[str, bool]:
    """By case_id, whether the case is due, the earliest first.

    Their rows are locked; those that are locked elsewhere are left out.
    """
    return {row["case_id"]: row["is_due"] for row in await connection.fetch(_LOCK_DUE, list(case_ids), now)}


async def drop_deadlines(connection: Connection, deadlines: Collection[CaseInstant]) -> None:
    """Deletes those of the rows that are no longer the deadline of their case; the cases must be locked."""
    await connection.execute(_DROP_DEADLINES, list(deadlines))
