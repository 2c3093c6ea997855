"""Which case asks its question at a number: at most one open question per number and service."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from gateway.consent.question import Question
from gateway.store.database import Connection
from gateway.store.rows import reader

# Of several claims of one number, the first one is inserted and the others are counted in `waiting`.
_ACQUIRE = """
WITH claims AS (
    SELECT service, msisdn, case_id, row_number() OVER (PARTITION BY msisdn, service ORDER BY ordinal) AS place,
           count(*) OVER (PARTITION BY msisdn, service) - 1 AS behind
    FROM unnest($1::number_row[]) WITH ORDINALITY AS c (service, msisdn, case_id, ordinal)
)
INSERT INTO questions AS q (service, msisdn, case_id, waiting)
SELECT service, msisdn, case_id, behind FROM claims WHERE place = 1 ORDER BY msisdn, service
ON CONFLICT (msisdn, service) DO UPDATE SET
    previous_case_id = CASE WHEN q.open THEN q.previous_case_id ELSE q.case_id END,
    case_id = CASE WHEN q.open THEN q.case_id ELSE excluded.case_id END,
    waiting = q.waiting + excluded.waiting + q.open::integer,
    open = true
RETURNING case_id
"""

_CLOSE_UNCONTENDED = """
WITH freed AS (
    SELECT q.service, q.msisdn, q.waiting FROM questions q
    JOIN unnest($1::number_row[]) AS closing
      ON q.service = closing.service AND q.msisdn = closing.msisdn AND q.case_id = closing.case_id
    WHERE q.open ORDER BY q.msisdn, q.service FOR UPDATE OF q
), closed AS (
    UPDATE questions q SET open = false FROM freed
    WHERE q.service = freed.service AND q.msisdn = freed.msisdn AND freed.waiting = 0
)
SELECT service, msisdn, '' AS case_id FROM freed WHERE waiting > 0
"""

_CLOSE = """
UPDATE questions q SET open = false, waiting = 0 FROM unnest($1::number_row[]) AS closing
WHERE q.service = closing.service AND q.msisdn = closing.msisdn
"""

_NEXT = """
SELECT n.case_id FROM unnest($1::number_row[]) AS freed
CROSS JOIN LATERAL (
    SELECT c.case_id FROM waiting_cases w JOIN cases c USING (case_id)
    WHERE w.msisdn = freed.msisdn AND w.service = freed.service AND c.state = 'waiting'
      AND w.case_id <> ALL($2::text[])
    ORDER BY w.case_id LIMIT 1 FOR UPDATE OF c
) AS n
"""

_ASSIGN_NEXT = """
UPDATE questions q SET previous_case_id = q.case_id, case_id = c.case_id, waiting = greatest(q.waiting - 1, 0)
FROM cases c WHERE c.case_id = ANY($1::text[]) AND q.service = c.service AND q.msisdn = c.msisdn
RETURNING q.service, q.msisdn, q.case_id
"""

_ASKED = """
SELECT q.msisdn, q.service, q.case_id, q.previous_case_id, q.open, c.operator, coalesce(s.links, '{}') AS links,
       coalesce(s.accepted_by_smsc, false) AS accepted_by_smsc
FROM questions q JOIN cases c USING (case_id) CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT link) AS links, bool_or(accepted_segments <> 0) AS accepted_by_smsc FROM sms
    WHERE sms.case_id = q.case_id AND sms.msisdn = q.msisdn AND attempts > 0 AND tlvs IS NULL
) AS s
WHERE q.msisdn = ANY($1::text[])
"""


class NumberClaim(NamedTuple):
    """A case that asks, or waits to ask, the service's question at the number."""

    service: str
    msisdn: str
    case_id: str


_read_claim = reader(NumberClaim)


async def acquire_numbers(connection: Connection, claims: Sequence[NumberClaim]) -> list[str]:
    """The case_ids that acquired their number; the other cases are counted as waiting for it."""
    claimed = {claim.case_id for claim in claims}
    return [row["case_id"] for row in await connection.fetch(_ACQUIRE, claims) if row["case_id"] in claimed]


async def release_numbers(
    connection: Connection, closing: Collection[NumberClaim], decided: Collection[str]
) -> list[str]:
    """The case_ids that acquire the numbers of the closed questions next; their rows are locked.

    `decided` are the cases that left the state `waiting` in this transaction but are not written yet.

    The number's row is locked before its waiting cases are read, and a case that starts to wait locks the same row
    first: none is missed. `waiting` is an upper bound: it may include cases that were cancelled meanwhile.
    """
    contended = [_read_claim(row) for row in await connection.fetch(_CLOSE_UNCONTENDED, list(closing))]
    if not contended:
        return []
    following = await connection.fetch(_NEXT, contended, list(decided))
    assigned = await connection.fetch(_ASSIGN_NEXT, [row["case_id"] for row in following])
    numbers = {(row["service"], row["msisdn"]) for row in assigned}
    if unassigned := [claim for claim in contended if (claim.service, claim.msisdn) not in numbers]:
        await connection.execute(_CLOSE, unassigned)
    return [row["case_id"] for row in assigned]


async def asked_at(connection: Connection, msisdns: Collection[str]) -> dict[tuple[str, str], Question]:
    """The latest question asked at each of these numbers, by (msisdn, service)."""
    rows = await connection.fetch(_ASKED, list(msisdns))
    return {
        (row["msisdn"], row["service"]): Question(
            case_id=row["case_id"],
            previous_case_id=row["previous_case_id"],
            open=row["open"],
            operator=row["operator"],
            links=frozenset(row["links"]),
            accepted_by_smsc=row["accepted_by_smsc"],
        )
        for row in rows
    }
