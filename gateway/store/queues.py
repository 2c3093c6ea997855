"""How much waits in the database, and for how long: counted when somebody asks, for metrics and readiness."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection

ALIVE_WITHIN = 15.0
"""Seconds (real) since its last heartbeat within which a process counts as living."""


class Queue(NamedTuple):
    """`since`: business time at which what has waited longest began to wait."""

    name: str
    depth: int
    since: datetime | None


class SmsQueue(NamedTuple):
    link: str
    priority: int
    depth: int
    since: datetime


class HeldLink(NamedTuple):
    """A link and who holds it; `node` is None when nobody does, or nobody living."""

    link: str
    node: str | None
    bound: int
    taken_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    queues: list[Queue]
    sms: list[SmsQueue]
    cases: list[tuple[str, str, int]]  # service, state, how many


# A look-up waits since its case was opened, a voucher since its consent. Ids of cases sort by their birth.
_LOOKUPS = """
SELECT count(*) AS depth, (SELECT opened_at FROM cases WHERE case_id = min(calls.case_id)) AS since
FROM calls WHERE kind = 'lookup'
"""
_VOUCHERS = """
SELECT count(*) AS depth, min(cases.answered_at) AS since
FROM calls JOIN cases USING (case_id) WHERE calls.kind = 'voucher'
"""
_JOURNAL = """
SELECT count(*) AS depth, (SELECT at FROM journal_pending ORDER BY id LIMIT 1) AS since FROM journal_pending
"""
# Of the push alone: who pulls keeps its own cursor. Beyond a million it is counted no further.
_STATUSES = """
WITH cursor AS (SELECT seq FROM feeds WHERE feed = 'sdu')
SELECT (SELECT count(*) FROM (SELECT FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
                              LIMIT 1000000) AS waiting) AS depth,
       (SELECT at FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
        ORDER BY journal.seq LIMIT 1) AS since
"""
_SMS = """
SELECT queued.link, queued.priority, queued.depth, sms.created_at FROM (
    SELECT link, priority, count(*) AS depth, min(sms_id) AS first FROM sms WHERE state = 'queued'
    GROUP BY link, priority) AS queued
JOIN sms ON sms.sms_id = queued.first
"""
_CASES = """
SELECT lists.service, progress.state, sum(progress.cases)::integer AS cases
FROM progress JOIN lists USING (list_id) GROUP BY lists.service, progress.state
"""
_LINKS = """
SELECT link, nodes.node, CASE WHEN nodes.node IS NULL THEN 0 ELSE bound END AS bound, taken_at
FROM links LEFT JOIN nodes
  ON nodes.node = links.node AND nodes.seen_at > clock_timestamp() - make_interval(secs => $1)
ORDER BY link
"""


async def waiting(connection: Connection) -> Waiting:
    """Depth and age of every queue, and the number of cases in each state."""
    queues = []
    for name, query in (
        ("lookup", _LOOKUPS),
        ("voucher", _VOUCHERS),
        ("journal", _JOURNAL),
        ("statuses", _STATUSES),
    ):
        (row,) = await connection.fetch(query)
        queues.append(Queue(name, row["depth"], row["since"]))
    return Waiting(
        queues=queues,
        sms=await waiting_texts(connection),
        cases=[(row["service"], row["state"], row["cases"]) for row in await connection.fetch(_CASES)],
    )


async def waiting_texts(connection: Connection) -> list[SmsQueue]:
    """Depth and age of each link's queues."""
    return [SmsQueue(*row.values()) for row in await connection.fetch(_SMS)]


async def links(connection: Connection) -> list[HeldLink]:
    """All links ever configured on this database and who, alive, holds them."""
    return [HeldLink(*row.values()) for row in await connection.fetch(_LINKS, ALIVE_WITHIN)]
