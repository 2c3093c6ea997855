"""Erasure of personal data: numbers and IINs are replaced by keyed hashes, names and texts are deleted."""

from collections.abc import Callable
from datetime import datetime

from gateway.store.case_entries import ForOps
from gateway.store.database import Connection

_CLAIM = """
SELECT case_id, pupil_iin, msisdn FROM cases
WHERE case_id = ANY(ARRAY(SELECT case_id FROM ended_cases WHERE at < $1 ORDER BY at, case_id LIMIT $2))
  AND ended_at < $1 AND erased_at IS NULL
FOR UPDATE SKIP LOCKED
"""

_CASES = """
WITH gone AS (DELETE FROM records WHERE case_id = ANY($3::text[])),
     found AS (DELETE FROM ended_cases e USING cases c
               WHERE c.case_id = ANY($3::text[]) AND e.at = c.ended_at AND e.case_id = c.case_id),
     decided AS (DELETE FROM cases_for_ops o USING cases c
                 WHERE c.case_id = ANY($3::text[]) AND o.list_id = c.list_id AND o.case_id = c.case_id
                   AND o.reason = ANY($4::text[]))
UPDATE cases SET record = NULL, pupil_iin = u.pupil_iin, msisdn = u.msisdn, held = NULL, erased_at = $2
FROM unnest($1::erased_case_row[]) AS u WHERE cases.case_id = u.case_id
"""

_NUMBERS = """
SELECT DISTINCT msisdn FROM (
    SELECT msisdn FROM sms WHERE case_id = ANY($1::text[])
    UNION ALL SELECT source_addr FROM replies WHERE case_id = ANY($1::text[]) AND source_addr IS NOT NULL
    UNION ALL SELECT msisdn FROM cases WHERE case_id = ANY($1::text[]) AND msisdn IS NOT NULL
) AS known (msisdn)
"""

# A text still queued has lost its body: it is cancelled.
_OUTBOX = """
DELETE FROM outbox o USING sms s
WHERE s.case_id = ANY($1::text[]) AND o.link = s.link AND o.priority = s.priority AND o.sms_id = s.sms_id
"""
_SMS = """
UPDATE sms SET body = NULL, fields = NULL, msisdn = u.hash,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
FROM unnest($2::erased_number_row[]) AS u
WHERE sms.case_id = ANY($1::text[]) AND sms.msisdn = u.msisdn
"""

_REPLIES = """
UPDATE replies SET octets = NULL, source_addr = u.hash, received_addr = NULL
FROM unnest($2::erased_number_row[]) AS u
WHERE replies.case_id = ANY($1::text[]) AND replies.source_addr = u.msisdn
"""

_QUESTIONS = "DELETE FROM questions WHERE msisdn = ANY($2::text[]) AND case_id = ANY($1::text[]) AND NOT open"
_SUBSCRIBERS = """
DELETE FROM subscribers s WHERE msisdn = ANY($1::text[])
  AND NOT EXISTS (SELECT FROM questions q WHERE q.msisdn = s.msisdn)
"""
_REASONS = "DELETE FROM case_reasons WHERE case_id = ANY($1::text[])"
# The index of people may be taking the same records in: it comes before or after.
_LOCK_PEOPLE = """
SELECT FROM case_people_due WHERE list_id IN (SELECT list_id FROM cases WHERE case_id = ANY($1::text[]))
ORDER BY list_id FOR UPDATE
"""
_PEOPLE = """
DELETE FROM case_people
USING cases LEFT JOIN records USING (case_id),
      json_array_elements(coalesce(records.record, cases.record) -> 'recipients') AS people (person)
WHERE cases.case_id = ANY($1::text[])
  AND case_people.iin = (people.person ->> 'iin')::bigint AND case_people.case_id = cases.case_id
"""
_UNASSIGNED_REPLIES = "DELETE FROM replies WHERE case_id IS NULL AND received_at < $1"
_UNASSIGNED_SCREENS = "DELETE FROM sms WHERE case_id IS NULL AND created_at < $1"


async def erase_ended(
    connection: Connection, before: datetime, now: datetime, keyed_hash: Callable[[bytes], str], limit: int
) -> list[str]:
    """The case_ids of up to `limit` cases that ended before `before` and whose personal data was erased.

    `before` and `now` are business time. Consent evidence keeps hashes by `keyed_hash`: with the key, a given
    number can still be matched with its hash.
    """

    def hashed(value: str | None) -> str | None:
        return None if value is None else keyed_hash(value.encode())

    rows = await connection.fetch(_CLAIM, before, limit)
    case_ids = [row["case_id"] for row in rows]
    if case_ids:
        numbers = [row["msisdn"] for row in await connection.fetch(_NUMBERS, case_ids)]
        hashes = [(number, hashed(number)) for number in numbers]
        await connection.execute(_OUTBOX, case_ids)
        await connection.execute(_SMS, case_ids, hashes)
        await connection.execute(_REPLIES, case_ids, hashes)
        await connection.execute(_QUESTIONS, case_ids, numbers)
        await connection.execute(_REASONS, case_ids)
        await connection.execute(_SUBSCRIBERS, numbers)
        await connection.execute(_LOCK_PEOPLE, case_ids)
        await connection.execute(_PEOPLE, case_ids)
        await connection.execute(
            _CASES,
            [(r["case_id"], hashed(r["pupil_iin"]), hashed(r["msisdn"])) for r in rows],
            now,
            case_ids,
            list(ForOps),
        )
    return case_ids


async def erase_unassigned_replies(connection: Connection, before: datetime) -> int:
    """The number of deleted replies that belong to no case and came before `before` (business time).

    Such screens are deleted as well.
    """
    await connection.execute(_UNASSIGNED_SCREENS, before)
    return int((await connection.execute(_UNASSIGNED_REPLIES, before)).split()[1])
