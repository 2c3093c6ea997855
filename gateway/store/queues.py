"""How much waits in the database, and for how long: counted when somebody asks, for metrics and readiness."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader

ALIVE_WITHIN_SECONDS = 15.0
"""Seconds (real) since its last heartbeat within which a process counts as living."""
FAILING_FROM = 3
"""Attempts in vain from which on a call counts as failing: one or two may be a passing moment."""


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
    """A link and who holds it; `node` is None when nobody does, or nobody living. Instants are real time."""

    link: str
    node: str | None
    bound: int
    taken_at: datetime
    changed_at: datetime  # when `bound` last changed


class Node(NamedTuple):
    """A process that has entered and has not been buried. Instants are real time."""

    node: str
    name: str
    started_at: datetime
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    queues: list[Queue]
    sms: list[SmsQueue]
    cases: list[tuple[str, str, int]]  # service, state, how many


# Beyond a million rows of a queue are counted no further. A look-up waits since its case was opened, and ids of
# cases sort by their birth; a voucher since its consent, the oldest of ten thousand standing for all.
_CALLS = """
(SELECT count(*) FROM (SELECT FROM calls WHERE kind = {kind} AND node IS NULL LIMIT 1000000) AS ready)
 + (SELECT count(*) FROM calls WHERE kind = {kind} AND node IS NOT NULL) AS depth
"""
_LOOKUPS = f"""
SELECT {_CALLS.format(kind="'lookup'")}, (SELECT opened_at FROM cases WHERE case_id = (
    SELECT case_id FROM calls WHERE kind = 'lookup' ORDER BY case_id LIMIT 1)) AS since
"""  # noqa: S608
_VOUCHERS = f"""
SELECT {_CALLS.format(kind="'voucher'")}, (SELECT min(answered_at) FROM cases WHERE case_id IN (
    (SELECT case_id FROM calls WHERE kind = 'voucher' AND node IS NULL LIMIT 10000)
    UNION ALL SELECT case_id FROM calls WHERE kind = 'voucher' AND node IS NOT NULL)) AS since
"""  # noqa: S608
_JOURNAL = """
SELECT count(*) AS depth, (SELECT at FROM journal_pending ORDER BY id LIMIT 1) AS since FROM journal_pending
"""
# Of the push alone: who pulls keeps its own cursor.
_STATUSES = """
WITH cursor AS (SELECT seq FROM feeds WHERE feed = 'sdu')
SELECT (SELECT count(*) FROM (SELECT FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
                              LIMIT 1000000) AS waiting) AS depth,
       (SELECT at FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
        ORDER BY journal.seq LIMIT 1) AS since
"""
_SMS = """
SELECT links.link, priorities.priority, queued.depth, sms.created_at AS since
FROM links, (VALUES (0::smallint), (1::smallint)) AS priorities (priority),
LATERAL (SELECT count(*) AS depth, min(sms_id) AS first FROM (
    SELECT sms_id FROM sms WHERE state = 'queued' AND sms.link = links.link AND sms.priority = priorities.priority
    ORDER BY sms_id LIMIT 1000000) AS waiting) AS queued
JOIN sms ON sms.sms_id = queued.first
"""
# Long texts and short ones stand mixed; the next thousand tell how many segments a text has.
_SEGMENTS = """
SELECT links.link, first.mean FROM links,
LATERAL (SELECT avg(segments)::float8 AS mean FROM (
    SELECT segments FROM sms WHERE state = 'queued' AND sms.link = links.link
    ORDER BY priority, sms_id LIMIT 1000) AS waiting) AS first
WHERE first.mean IS NOT NULL
"""
# What has failed is put off: it stands at the end.
_FAILING = """
SELECT kinds.kind, last.failing FROM (VALUES ('lookup'), ('voucher')) AS kinds (kind),
LATERAL (SELECT count(*) FILTER (WHERE attempts >= $1) AS failing FROM (
    SELECT attempts FROM calls WHERE calls.kind = kinds.kind AND node IS NULL
    ORDER BY next_at DESC LIMIT 1000) AS waiting) AS last
"""
_CASES = """
SELECT lists.service, progress.state, sum(progress.cases)::integer AS cases
FROM progress JOIN lists USING (list_id) GROUP BY lists.service, progress.state
"""
_LINKS = """
SELECT link, nodes.node, CASE WHEN nodes.node IS NULL THEN 0 ELSE bound END AS bound, taken_at,
       changed_at
FROM links LEFT JOIN nodes
  ON nodes.node = links.node AND nodes.seen_at > clock_timestamp() - make_interval(secs => $1)
ORDER BY link
"""
_NODES = """
SELECT node, name, started_at, seen_at, seen_at > clock_timestamp() - make_interval(secs => $1) AS alive
FROM nodes ORDER BY started_at, node
"""


_read_sms_queue = reader(SmsQueue)
_read_link = reader(HeldLink)
_read_node = reader(Node)


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
    return [_read_sms_queue(row) for row in await connection.fetch(_SMS)]


async def links(connection: Connection) -> list[HeldLink]:
    """All links ever configured on this database and who, alive, holds them."""
    return [_read_link(row) for row in await connection.fetch(_LINKS, ALIVE_WITHIN_SECONDS)]


async def nodes(connection: Connection) -> list[Node]:
    """The processes of the cluster, the longest-running first."""
    return [_read_node(row) for row in await connection.fetch(_NODES, ALIVE_WITHIN_SECONDS)]


async def mean_segments(connection: Connection) -> dict[str, float]:
    """How many segments a text has, by link, among those that go next; links with an empty queue are left out."""
    return {row["link"]: row["mean"] for row in await connection.fetch(_SEGMENTS)}


async def failing(connection: Connection) -> dict[str, int]:
    """By kind, how many calls have failed FAILING_FROM times or more, as far as a thousand of them tell."""
    return {row["kind"]: row["failing"] for row in await connection.fetch(_FAILING, FAILING_FROM)}
