"""Cases as rows: locked, loaded and saved many at a time."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import asyncpg
import orjson

from gateway.consent.case import Case, State
from gateway.consent.reply import Verdict
from gateway.consent.texts import Name
from gateway.store import case_entries
from gateway.store.database import Connection
from gateway.store.writes import Write

_JOURNEY = tuple(field for field in Case._fields if field != "relations")
"""The columns of `Case`, in the order of the type `case_row`; `relations` are derived from the record."""
_DESCRIPTIVE = ("list_id", "record_id", "service", "category", "language", "pupil_iin", "opened_at")

_COLUMNS = ", ".join(f"c.{column}" for column in ("case_id", *_DESCRIPTIVE, *_JOURNEY))
_FETCH = f"""
SELECT {_COLUMNS}, coalesce(r.record, c.record) AS record
FROM cases c LEFT JOIN records r USING (case_id) WHERE c.case_id = ANY($1::text[])
"""  # noqa: S608
_LOCK = f"{_FETCH} ORDER BY c.case_id FOR UPDATE OF c"

_SAVE = f"""saved AS (
    UPDATE cases SET {", ".join(f"{column} = saved.{column}" for column in _JOURNEY)}
    FROM unnest($1::case_row[]) AS saved WHERE cases.case_id = saved.case_id
)"""  # noqa: S608
_COUNT = """counted AS (
    INSERT INTO progress (list_id, state, cases) SELECT list_id, state, cases FROM unnest($1::progress_row[])
)"""

_FOLD = """
WITH folded AS (DELETE FROM progress WHERE list_id = $1 RETURNING state, cases)
INSERT INTO progress SELECT $1, state, sum(cases) FROM folded GROUP BY state HAVING sum(cases) <> 0
"""


class StoredCase(NamedTuple):
    """A row of `cases`: its list and record, the state of its journey, and the record as SDU pushed it."""

    case_id: str
    list_id: str
    record_id: str
    service: str
    category: int
    language: str
    pupil_iin: str
    record: Mapping[str, Any] | None  # None once erased
    opened_at: datetime
    case: Case

    def with_case(self, case: Case) -> "StoredCase":
        """The same row with another state of the journey."""
        return StoredCase(*self[:-1], case)

    @property
    def recipient(self) -> Mapping[str, Any]:
        """The recipient at the case's position: relation, iin, surname, given_name, patronymic."""
        assert self.record is not None, "no text is sent for an erased case"
        recipient: Mapping[str, Any] = self.record["recipients"][self.case.position]
        return recipient

    @property
    def pupil(self) -> Mapping[str, Any]:
        """The pupil: iin, surname, given_name, patronymic."""
        assert self.record is not None, "no text is sent for an erased case"
        pupil: Mapping[str, Any] = self.record["pupil"]
        return pupil


def name_of(person: Mapping[str, Any]) -> Name:
    """The name of a recipient or pupil."""
    return Name(person["surname"], person["given_name"], person.get("patronymic"))


async def lock(connection: Connection, case_ids: Collection[str]) -> dict[str, StoredCase]:
    """The cases by case_id, unknown ids left out; their rows are locked in id order until the transaction ends."""
    return {row["case_id"]: _from_row(row) for row in await connection.fetch(_LOCK, list(case_ids))}


async def fetch(connection: Connection, case_ids: Collection[str]) -> dict[str, StoredCase]:
    """The cases by case_id, not locked; unknown ids are left out."""
    return {row["case_id"]: _from_row(row) for row in await connection.fetch(_FETCH, list(case_ids))}


def saving(
    stored: Sequence[StoredCase],
    before: Mapping[str, Case],
    state_counts: Mapping[tuple[str, State], int],
) -> list[Write]:
    """The cases' states, and by (list_id, state) the number of cases that entered (+) or left (-) it.

    `before` are the states that the rows have, by case_id.
    """
    writes = [Write(_SAVE, ([(s.case_id, *_journey(s.case)) for s in stored],))]
    if deltas := [(list_id, state, n) for (list_id, state), n in state_counts.items() if n]:
        writes.append(Write(_COUNT, (deltas,)))
    return writes + case_entries.writes(case_entries.changes(stored, before))


async def fold_progress(connection: Connection) -> int:
    """The number of lists whose deltas were summed up: those with more than 64."""
    lists = await connection.fetch("SELECT list_id FROM progress GROUP BY list_id HAVING count(*) > 64")
    for row in lists:
        await connection.execute(_FOLD, row["list_id"])
    return len(lists)


_journey: Callable[[Case], tuple[Any, ...]] = attrgetter(*_JOURNEY)
_journey_columns: Callable[[Any], tuple[Any, ...]] = itemgetter(*_JOURNEY)
_stored_columns: Callable[[Any], tuple[Any, ...]] = itemgetter(*(f for f in StoredCase._fields if f != "case"))
_RECORD = StoredCase._fields.index("record")
_RELATIONS = Case._fields.index("relations")
_ENUMS: tuple[tuple[int, Mapping[str, Any]], ...] = tuple(
    (_JOURNEY.index(column), {member.value: member for member in kind})
    for column, kind in (("state", State), ("resume", State), ("held", Verdict))
)


def _from_row(row: asyncpg.Record) -> StoredCase:
    stored, journey = list(_stored_columns(row)), list(_journey_columns(row))
    record = stored[_RECORD] = orjson.loads(stored[_RECORD]) if stored[_RECORD] is not None else None
    for place, members in _ENUMS:
        if journey[place] is not None:
            journey[place] = members[journey[place]]
    journey.insert(_RELATIONS, tuple(r["relation"] for r in record["recipients"]) if record is not None else ())
    return StoredCase._make([*stored, Case._make(journey)])
