"""Whose turn it is: one open question per number and service."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.store.database import Connection

A_MOMENT = 600.0
"""Seconds (real) within which an SMSC that has no acknowledgement of a reply has surely delivered it again."""

_TAKE = """
INSERT INTO questions AS q (service, msisdn, case_id, waiting)
SELECT service, msisdn, case_id, behind FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[])
    AS asking (service, msisdn, case_id, behind) ORDER BY msisdn, service
ON CONFLICT (msisdn, service) DO UPDATE SET
    before = CASE WHEN q.open THEN q.before ELSE q.case_id END,
    case_id = CASE WHEN q.open THEN q.case_id ELSE excluded.case_id END,
    waiting = q.waiting + excluded.waiting + q.open::integer,
    open = true
RETURNING case_id, CASE WHEN before IS NULL THEN false ELSE EXISTS (
    SELECT FROM replies r
    WHERE r.source_addr = q.msisdn AND r.arrived_at > clock_timestamp() - make_interval(secs => $5)
) END AS follows_reply
"""

_LOCK = """
SELECT q.service, q.msisdn, q.waiting FROM questions q
JOIN unnest($1::text[], $2::text[], $3::text[]) AS closing (service, msisdn, case_id)
  ON q.service = closing.service AND q.msisdn = closing.msisdn AND q.case_id = closing.case_id
WHERE q.open ORDER BY q.msisdn, q.service FOR UPDATE OF q
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
UPDATE questions q SET before = q.case_id, case_id = c.case_id, waiting = greatest(q.waiting - 1, 0)
FROM cases c WHERE c.case_id = ANY($1::text[]) AND q.service = c.service AND q.msisdn = c.msisdn
RETURNING q.service, q.msisdn, q.case_id, EXISTS (
    SELECT FROM replies r
    WHERE r.source_addr = q.msisdn AND r.arrived_at > clock_timestamp() - make_interval(secs => $2)
) AS follows_reply
"""

_ASKED = """
SELECT q.msisdn, q.service, q.case_id, q.before, q.open,
       EXISTS (SELECT FROM sms s WHERE s.case_id = q.case_id AND s.msisdn = q.msisdn AND s.attempts > 0
                 AND s.tlvs IS NULL) AS handed,
       EXISTS (SELECT FROM sms s WHERE s.case_id = q.case_id AND s.msisdn = q.msisdn AND s.attempts > 0
                 AND s.tlvs IS NULL AND NOT (s.follows_reply AND s.state = 'queued' AND s.answered = 0)) AS proven
FROM questions q WHERE q.msisdn = ANY($1::text[])
"""


@dataclass(frozen=True, slots=True)
class Question:
    """The latest question of a service at a number."""

    case_id: str
    before: str | None  # the case asked there before
    open: bool
    handed: bool  # the text was taken for sending: an answer to it is possible
    proven: bool  # and has not come back since, with the connection lost and no segment answered

    def answered_by(self, *, repeated: bool) -> str:
        """The case that a reply from there speaks to: not one whose question nobody can have seen yet.

        `repeated`: the case before has had this reply. Then it speaks to that one again unless the new question
        is proven to have left: after a lost connection the SMSC delivers what it has no acknowledgement of.
        """
        if self.before is None or self.proven or (self.handed and not repeated):
            return self.case_id
        return self.before


Turn = tuple[str, str, str]
"""service, msisdn, case_id"""


async def take_turns(connection: Connection, asking: Sequence[Turn]) -> dict[str, bool]:
    """Ids of the cases that have the number's turn now; the others have been noted as waiting behind it.

    True beside those whose number has had another question, and has replied a moment ago.
    """
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
        A_MOMENT,
    )
    ours = set(first.values())
    return {row["case_id"]: row["follows_reply"] for row in rows if row["case_id"] in ours}


async def give_turns(
    connection: Connection, closing: Collection[Turn], decided: Collection[str]
) -> dict[str, bool]:
    """Frees the numbers of closed questions; ids of the cases, now locked, whose turn has come.

    True beside those whose number has replied a moment ago.
    `decided` are cases that this transaction has moved on already, though their rows do not say so yet.

    The row of the number is locked before the waiting are looked for, and whoever begins to wait has locked
    it too: nobody is overlooked. `waiting` may count some that were cancelled meanwhile, never too few.
    """
    rows = await connection.fetch(_LOCK, [c[0] for c in closing], [c[1] for c in closing], [c[2] for c in closing])
    freed = {(row["service"], row["msisdn"]) for row in rows}
    crowded = [(row["service"], row["msisdn"]) for row in rows if row["waiting"]]
    following: dict[str, bool] = {}
    if crowded:
        waiting = await connection.fetch(_NEXT, [s for s, _ in crowded], [m for _, m in crowded], list(decided))
        handed_over = await connection.fetch(_HAND_OVER, [row["case_id"] for row in waiting], A_MOMENT)
        following = {row["case_id"]: row["follows_reply"] for row in handed_over}
        freed -= {(row["service"], row["msisdn"]) for row in handed_over}
    if freed:
        await connection.execute(_CLOSE, [s for s, _ in freed], [m for _, m in freed])
    return following


async def asked_there(connection: Connection, msisdns: Collection[str]) -> dict[tuple[str, str], Question]:
    """The questions ever asked at these numbers, by (msisdn, service)."""
    rows = await connection.fetch(_ASKED, list(msisdns))
    return {
        (row["msisdn"], row["service"]): Question(
            row["case_id"], row["before"], row["open"], row["handed"], row["proven"]
        )
        for row in rows
    }
