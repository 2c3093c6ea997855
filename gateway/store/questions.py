"""Whose turn it is: one open question per number and service."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from gateway.consent.redelivery import EarlierReply, may_be_redelivery
from gateway.store.database import Connection

_TAKE = """
INSERT INTO questions AS q (service, msisdn, case_id, waiting)
SELECT service, msisdn, case_id, behind FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[])
    AS asking (service, msisdn, case_id, behind) ORDER BY msisdn, service
ON CONFLICT (msisdn, service) DO UPDATE SET
    previous_case_id = CASE WHEN q.open THEN q.previous_case_id ELSE q.case_id END,
    case_id = CASE WHEN q.open THEN q.case_id ELSE excluded.case_id END,
    waiting = q.waiting + excluded.waiting + q.open::integer,
    open = true
RETURNING case_id
"""

_CLOSE_LONELY = """
WITH freed AS (
    SELECT q.service, q.msisdn, q.waiting FROM questions q
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS closing (service, msisdn, case_id)
      ON q.service = closing.service AND q.msisdn = closing.msisdn AND q.case_id = closing.case_id
    WHERE q.open ORDER BY q.msisdn, q.service FOR UPDATE OF q
), closed AS (
    UPDATE questions q SET open = false FROM freed
    WHERE q.service = freed.service AND q.msisdn = freed.msisdn AND freed.waiting = 0
)
SELECT service, msisdn FROM freed WHERE waiting > 0
"""

_CLOSE = """
UPDATE questions q SET open = false, waiting = 0
FROM unnest($1::text[], $2::text[]) AS closing (service, msisdn)
WHERE q.service = closing.service AND q.msisdn = closing.msisdn
"""

_NEXT = """
SELECT n.case_id FROM unnest($1::text[], $2::text[]) AS freed (service, msisdn)
CROSS JOIN LATERAL (
    SELECT case_id FROM cases
    WHERE state = 'waiting' AND service = freed.service AND msisdn = freed.msisdn AND case_id <> ALL($3::text[])
    ORDER BY case_id LIMIT 1 FOR UPDATE
) AS n
"""

_HAND_OVER = """
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


@dataclass(frozen=True, slots=True)
class Question:
    """The latest question of a service at a number."""

    case_id: str
    previous_case_id: str | None  # the case asked there before
    open: bool
    operator: str | None  # of the number, as the MCB names it
    links: frozenset[str]  # by which its texts were taken for sending
    accepted_by_smsc: bool  # the SMSC has accepted a segment of it

    @property
    def submitted(self) -> bool:
        """An answer to it is possible."""
        return bool(self.links)

    def not_submitted(self) -> "Question":
        """The same, when nothing of its text has left after all."""
        return replace(self, links=frozenset())

    def answered_by(self, earlier: Sequence[EarlierReply]) -> tuple[str | None, bool]:
        """The case to which a reply from there speaks, and whether it may be the copy of one to another case.

        `earlier` are the replies like it. One that comes before the question can have been read speaks to the
        case before, None if there is none; so does what that one has had already, or what may be a copy, as long
        as it is not accepted_by_smsc that the question has left.
        """
        possible_redelivery = may_be_redelivery(self.case_id, earlier)
        again = any(reply.case_id == self.previous_case_id for reply in earlier)
        if self.submitted and (self.accepted_by_smsc or not (again or possible_redelivery)):
            return self.case_id, possible_redelivery
        if self.previous_case_id is None:
            return None, False
        return self.previous_case_id, may_be_redelivery(self.previous_case_id, earlier)


Turn = tuple[str, str, str]
"""service, msisdn, case_id"""


async def acquire_numbers(connection: Connection, asking: Sequence[Turn]) -> list[str]:
    """Ids of the cases that have the number's turn now; the others have been noted as waiting behind it."""
    first: dict[tuple[str, str], str] = {}
    behind: dict[tuple[str, str], int] = {}
    for service, msisdn, case_id in asking:
        key = (service, msisdn)
        if key in first:
            behind[key] += 1
        else:
            first[key], behind[key] = case_id, 0
    rows = await connection.fetch(
        _TAKE,
        [service for service, _ in first],
        [msisdn for _, msisdn in first],
        list(first.values()),
        list(behind.values()),
    )
    ours = set(first.values())
    return [row["case_id"] for row in rows if row["case_id"] in ours]


async def release_numbers(
    connection: Connection, closing: Collection[Turn], decided: Collection[str]
) -> list[str]:
    """Frees the numbers of closed questions; ids of the cases, now locked, whose turn has come.

    `decided` are cases that this transaction has moved on already, though their rows do not say so yet.

    The row of the number is locked before the waiting are looked for, and whoever begins to wait has locked
    it too: nobody is overlooked. `waiting` may count some that were cancelled meanwhile, never too few.
    """
    columns = [c[0] for c in closing], [c[1] for c in closing], [c[2] for c in closing]
    crowded = {(row["service"], row["msisdn"]) for row in await connection.fetch(_CLOSE_LONELY, *columns)}
    if not crowded:
        return []
    waiting = await connection.fetch(_NEXT, [s for s, _ in crowded], [m for _, m in crowded], list(decided))
    handed_over = await connection.fetch(_HAND_OVER, [row["case_id"] for row in waiting])
    if deserted := crowded - {(row["service"], row["msisdn"]) for row in handed_over}:
        await connection.execute(_CLOSE, [s for s, _ in deserted], [m for _, m in deserted])
    return [row["case_id"] for row in handed_over]


async def asked_there(connection: Connection, msisdns: Collection[str]) -> dict[tuple[str, str], Question]:
    """The questions ever asked at these numbers, by (msisdn, service)."""
    rows = await connection.fetch(_ASKED, list(msisdns))
    return {
        (row["msisdn"], row["service"]): Question(
            row["case_id"],
            row["previous_case_id"],
            row["open"],
            row["operator"],
            frozenset(row["links"]),
            row["accepted_by_smsc"],
        )
        for row in rows
    }
