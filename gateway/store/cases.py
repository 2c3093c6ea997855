"""Cases as rows: locked, loaded and saved many at a time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import orjson

from gateway.consent.case import Case, State
from gateway.consent.texts import Name
from gateway.store.database import Connection

_COLUMNS = """case_id, list_id, record_id, service, category, language, pupil_iin, record, state, resume, position,
    msisdn, operator, repeat, undelivered, unreachable, clarified, reasked, due_at, answered_at, evidence,
    voucher_id, activated_at, used_at, opened_at, ended_at"""

_LOCK = f"SELECT {_COLUMNS} FROM cases WHERE case_id = ANY($1::text[]) ORDER BY case_id FOR UPDATE"  # noqa: S608
_FETCH = f"SELECT {_COLUMNS} FROM cases WHERE case_id = ANY($1::text[])"  # noqa: S608

_SAVE = """
WITH counted AS (
    INSERT INTO progress (list_id, state, cases) SELECT * FROM unnest($19::text[], $20::text[], $21::integer[])
)
UPDATE cases SET state = u.state, resume = u.resume, position = u.position, msisdn = u.msisdn,
       operator = u.operator, repeat = u.repeat, undelivered = u.undelivered, unreachable = u.unreachable,
       clarified = u.clarified, reasked = u.reasked, due_at = u.due_at, answered_at = u.answered_at,
       evidence = u.evidence, voucher_id = u.voucher_id, activated_at = u.activated_at, used_at = u.used_at,
       ended_at = u.ended_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::smallint[],
            $8::smallint[], $9::smallint[], $10::smallint[], $11::smallint[], $12::timestamptz[],
            $13::timestamptz[], $14::text[], $15::text[], $16::timestamptz[], $17::timestamptz[],
            $18::timestamptz[])
  AS u (case_id, state, resume, position, msisdn, operator, repeat, undelivered, unreachable, clarified, reasked,
        due_at, answered_at, evidence, voucher_id, activated_at, used_at, ended_at)
WHERE cases.case_id = u.case_id
"""

_FOLD = """
WITH folded AS (DELETE FROM progress WHERE list_id = $1 RETURNING state, cases)
INSERT INTO progress SELECT $1, state, sum(cases) FROM folded GROUP BY state HAVING sum(cases) <> 0
"""

_DUE = """
SELECT case_id FROM cases WHERE due_at <= $1 ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""


class StoredCase(NamedTuple):
    """A case with what stands beside its journey: who, where from, and the record as SDU pushed it."""

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
        return self._replace(case=case)

    @property
    def recipient(self) -> Mapping[str, Any]:
        """The recipient at the case's position: relation, iin, surname, given_name, patronymic."""
        assert self.record is not None, "an erased case asks nobody"
        recipient: Mapping[str, Any] = self.record["recipients"][self.case.position]
        return recipient

    @property
    def pupil(self) -> Mapping[str, Any]:
        assert self.record is not None, "an erased case asks nobody"
        pupil: Mapping[str, Any] = self.record["pupil"]
        return pupil


def name_of(person: Mapping[str, Any]) -> Name:
    return Name(person["surname"], person["given_name"], person.get("patronymic"))


async def lock(connection: Connection, case_ids: Collection[str]) -> dict[str, StoredCase]:
    """The cases by id, their rows locked in id order until the transaction ends; unknown ids are left out."""
    return {row["case_id"]: _from_row(row) for row in await connection.fetch(_LOCK, list(case_ids))}


async def fetch(connection: Connection, case_ids: Collection[str]) -> dict[str, StoredCase]:
    """The cases by id, not locked."""
    return {row["case_id"]: _from_row(row) for row in await connection.fetch(_FETCH, list(case_ids))}


async def lock_due(connection: Connection, now: datetime, limit: int) -> list[str]:
    """Ids of cases whose deadline has come, oldest first, locked; those that others hold are left to them."""
    return [row["case_id"] for row in await connection.fetch(_DUE, now, limit)]


async def save(
    connection: Connection, stored: Sequence[StoredCase], moves: Mapping[tuple[str, State], int]
) -> None:
    """Writes the journeys back, and how many cases of a list have entered (+) or left (-) a state."""
    cases = [s.case for s in stored]
    moved = [(list_id, state, n) for (list_id, state), n in moves.items() if n]
    await connection.execute(
        _SAVE,
        [s.case_id for s in stored],
        [c.state for c in cases],
        [c.resume for c in cases],
        [c.position for c in cases],
        [c.msisdn for c in cases],
        [c.operator for c in cases],
        [c.repeat for c in cases],
        [c.undelivered for c in cases],
        [c.unreachable for c in cases],
        [c.clarified for c in cases],
        [c.reasked for c in cases],
        [c.due_at for c in cases],
        [c.answered_at for c in cases],
        [c.evidence for c in cases],
        [c.voucher_id for c in cases],
        [c.activated_at for c in cases],
        [c.used_at for c in cases],
        [c.ended_at for c in cases],
        [m[0] for m in moved],
        [m[1] for m in moved],
        [m[2] for m in moved],
    )


async def fold_progress(connection: Connection) -> int:
    """Sums up the deltas of lists that have gathered many; the number of lists folded."""
    lists = await connection.fetch("SELECT list_id FROM progress GROUP BY list_id HAVING count(*) > 64")
    for row in lists:
        await connection.execute(_FOLD, row["list_id"])
    return len(lists)


def _from_row(row: asyncpg.Record) -> StoredCase:
    record = orjson.loads(row["record"]) if row["record"] is not None else None
    case = Case(
        state=State(row["state"]),
        relations=tuple(r["relation"] for r in record["recipients"]) if record is not None else (),
        position=row["position"],
        msisdn=row["msisdn"],
        operator=row["operator"],
        repeat=row["repeat"],
        undelivered=row["undelivered"],
        unreachable=row["unreachable"],
        clarified=row["clarified"],
        reasked=row["reasked"],
        due_at=row["due_at"],
        answered_at=row["answered_at"],
        evidence=row["evidence"],
        voucher_id=row["voucher_id"],
        activated_at=row["activated_at"],
        used_at=row["used_at"],
        ended_at=row["ended_at"],
        resume=State(row["resume"]) if row["resume"] is not None else None,
    )
    return StoredCase(
        case_id=row["case_id"],
        list_id=row["list_id"],
        record_id=row["record_id"],
        service=row["service"],
        category=row["category"],
        language=row["language"],
        pupil_iin=row["pupil_iin"],
        record=record,
        opened_at=row["opened_at"],
        case=case,
    )
