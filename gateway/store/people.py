"""The cases of a person or a number: found by an index, however many cases there are.

The recipients of a new list come into the index after its intake (`index`); until then its records are searched.
"""

from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader


class FoundCase(NamedTuple):
    """A case that was found; `relation` and `msisdn` are those of the recipient whose number is known."""

    case_id: str
    list_id: str
    record_id: str
    service: str
    state: str
    opened_at: datetime  # business time
    relation: str | None
    msisdn: str | None


_FOUND = """
SELECT c.case_id, c.list_id, c.record_id, c.service, c.state, c.opened_at, c.msisdn,
       coalesce(r.record, c.record) -> 'recipients' -> c.position::integer ->> 'relation' AS relation
FROM ({case_ids}) AS found JOIN cases c USING (case_id) LEFT JOIN records r USING (case_id)
WHERE c.erased_at IS NULL AND ($2::text IS NULL OR c.service = $2)
ORDER BY c.opened_at DESC, c.case_id DESC LIMIT $3
"""
# The records that are not in the index yet are searched as text first, which is cheap.
_BY_IIN = _FOUND.format(
    case_ids="""
    SELECT case_id FROM case_people WHERE iin = $1::text::bigint
    UNION SELECT case_id FROM cases WHERE pupil_iin = $1
    UNION SELECT cases.case_id FROM case_people_due AS due
        JOIN cases ON cases.list_id = due.list_id AND cases.record_id > due.record_id
        JOIN records ON records.case_id = cases.case_id
        WHERE strpos(records.record::text, $1) > 0 AND EXISTS (
            SELECT FROM json_array_elements(records.record -> 'recipients') AS people (person)
            WHERE people.person ->> 'iin' = $1)
    """
)
# A case whose text is not queued yet waits, or has the question of the number.
_BY_NUMBER = _FOUND.format(
    case_ids="""
    SELECT case_id FROM sms WHERE msisdn = $1 AND kind = 'request'
    UNION SELECT case_id FROM waiting_cases WHERE msisdn = $1
    UNION SELECT unnest(ARRAY[case_id, previous_case_id]) FROM questions WHERE msisdn = $1
    """
)
_IS_DUE = "SELECT EXISTS (SELECT FROM case_people_due)"
_CLAIM = "SELECT list_id, record_id FROM case_people_due ORDER BY list_id LIMIT 1 FOR UPDATE SKIP LOCKED"
_ADD = """
WITH batch AS MATERIALIZED (
    SELECT record_id, case_id, record FROM (
        SELECT record_id, case_id FROM cases WHERE list_id = $1 AND record_id > $2 ORDER BY record_id LIMIT $3
    ) AS following LEFT JOIN records USING (case_id)
), added AS (
    INSERT INTO case_people (iin, case_id)
    SELECT (people.person ->> 'iin')::bigint AS iin, case_id
    FROM batch, json_array_elements(record -> 'recipients') AS people (person) ORDER BY iin
)
SELECT count(*) AS cases, max(record_id) AS last FROM batch
"""
_ADVANCE = "UPDATE case_people_due SET record_id = $2 WHERE list_id = $1"
_FINISH = "DELETE FROM case_people_due WHERE list_id = $1"

_read = reader(FoundCase)


async def by_iin(connection: Connection, iin: str, service: str | None, limit: int) -> list[FoundCase]:
    """The latest `limit` cases in whose record the IIN is anybody's, the newest first; never erased ones."""
    return [_read(row) for row in await connection.fetch(_BY_IIN, iin, service, limit)]


async def by_number(connection: Connection, msisdn: str, service: str | None, limit: int) -> list[FoundCase]:
    """The latest `limit` cases that ask at the number, or did; the newest first; never erased ones."""
    return [_read(row) for row in await connection.fetch(_BY_NUMBER, msisdn, service, limit)]


async def is_due(connection: Connection) -> bool:
    """Whether a list has records whose recipients are not in the index yet."""
    due: bool = await connection.fetchval(_IS_DUE)
    return due


async def index(connection: Connection, limit: int) -> bool:
    """Takes up to `limit` further records of one list into the index; False when no list is left.

    One transaction; lists that another process has locked are left to it.
    """
    due = await connection.fetchrow(_CLAIM)
    if due is None:
        return False
    (added,) = await connection.fetch(_ADD, due["list_id"], due["record_id"], limit)
    if added["cases"] == limit:
        await connection.execute(_ADVANCE, due["list_id"], added["last"])
    else:
        await connection.execute(_FINISH, due["list_id"])
    return True
