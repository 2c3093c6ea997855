"""Held replies: those by a link that may not carry the number, which ops may count while their case has one."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from gateway.consent.events import EventType
from gateway.store import journal, sealed
from gateway.store.database import Connection
from gateway.store.rows import reader

MAX_COUNTED_CASES = 10_000
"""Cases with a held reply of which the summary is made; more are not counted."""


class HeldReply(NamedTuple):
    """The held reply of a case that ops may count."""

    case_id: str
    operator: str  # of the number, as the MCB names it
    link: str  # by which it came
    source_addr: str
    destination_addr: str
    octets: bytes
    smsc_time: str
    verdict: str
    normalised: bool
    received_at: datetime  # business time
    received_addr: str | None  # source_addr as received, with its TON and NPI
    source_ton: int | None
    source_npi: int | None
    session: str | None  # of its USSD dialogue


class HeldByLink(NamedTuple):
    """The held replies of one operator's numbers that came by one link."""

    link: str
    operator: str
    cases: int
    numbers: int
    replies: int
    open: int  # cases whose question is open
    recent: int  # replies of the last 24 hours, real time
    since: datetime  # of the oldest, real time


# The latest with the verdict that the case holds, from the number that it asks.
_OF_CASES = """
SELECT DISTINCT ON (r.case_id) r.case_id, c.operator, r.link, r.source_addr, r.destination_addr, r.octets,
       r.smsc_time, r.verdict, r.normalised, r.received_at, r.received_addr, r.source_ton, r.source_npi,
       r.session
FROM cases c JOIN replies r ON r.case_id = c.case_id AND r.held AND r.verdict = c.held AND r.source_addr = c.msisdn
WHERE c.case_id = ANY($1::text[]) ORDER BY r.case_id, r.reply_id DESC
"""
_BY_LINK = """
SELECT r.link, c.operator, count(DISTINCT c.case_id)::integer AS cases,
       count(DISTINCT c.msisdn)::integer AS numbers, count(*)::integer AS replies,
       (count(DISTINCT c.case_id) FILTER (WHERE c.ended_at IS NULL))::integer AS open,
       (count(*) FILTER (WHERE r.arrived_at BETWEEN clock_timestamp() - interval '24 hours'
                                                AND clock_timestamp()))::integer AS recent,
       min(r.arrived_at) AS since
FROM (SELECT case_id FROM cases_for_ops WHERE reason = 'held' LIMIT $1) AS held JOIN cases c USING (case_id)
JOIN replies r ON r.case_id = c.case_id AND r.held AND r.source_addr = c.msisdn
GROUP BY r.link, c.operator ORDER BY r.link, c.operator
"""

_read_held = reader(HeldReply)
_read_by_link = reader(HeldByLink)


async def of_cases(connection: Connection, case_ids: Collection[str]) -> dict[str, HeldReply]:
    """By case_id, the held reply that ops may count; cases without one are left out."""
    return {row["case_id"]: _read_held(row) for row in await connection.fetch(_OF_CASES, list(case_ids))}


async def is_asked(connection: Connection, case_id: str) -> bool:
    """Whether the journal says that the case's question was asked at its number."""
    pending = (await journal.pending_of(connection, [case_id])).get(case_id, ())  # before: none is missed
    entries = (await sealed.of_cases(connection, [case_id])).get(case_id, ())
    events = [*(entry.event for entry in entries), *(entry.event for entry in pending)]
    # `asked` comes after the `number_found` of the number that is asked now, unless it was not asked.
    questions = [event for event in events if event in (EventType.NUMBER_FOUND, EventType.ASKED)]
    return questions[-1:] == [EventType.ASKED]


async def by_link(connection: Connection) -> list[HeldByLink]:
    """What is held, by link and operator."""
    return [_read_by_link(row) for row in await connection.fetch(_BY_LINK, MAX_COUNTED_CASES)]
