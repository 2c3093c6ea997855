"""Depth and age of the queues in the database, counted on request for metrics, readiness and the console."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.store import held_replies
from gateway.store.database import Connection
from gateway.store.held_replies import HeldByLink
from gateway.store.rows import reader

ALIVE_WITHIN_SECONDS = 15.0
"""Maximum age (real time) of the last heartbeat of a process that is alive; not one from the future."""
MAX_COUNTED = 1_000_000
"""Rows of a queue that are counted; beyond, it has at least as many."""
FAILING_FROM = 3
"""Failed attempts from which on a call counts as failing: one or two failures may be transient."""


class Queue(NamedTuple):
    """Depth of one queue, and since when its oldest entry has waited (business time; None: it is empty)."""

    name: str  # lookup, voucher, journal, statuses
    depth: int
    since: datetime | None


class SmsQueue(NamedTuple):
    """Queued texts of one link and priority, and since when the oldest one has waited (business time)."""

    link: str
    priority: int  # store.sms.Priority
    depth: int
    since: datetime


class HeldLink(NamedTuple):
    """A link and the process that holds it. Instants are real time."""

    link: str
    node: str | None  # None: no live process holds it
    bound: int  # sessions
    changed_at: datetime  # when `bound` last changed
    send_window: int | None  # segments that may be under way at once
    stopped_status: int | None  # with which the SMSC refuses whatever is sent
    stopped_at: datetime | None
    unaccepted_since: datetime | None  # the first submit_sm after which nothing was accepted
    needed_timeout_seconds: float | None  # the response_timeout that late responses would have needed
    bind_failure: str | None  # why the last attempt to bind failed, or the session ended; None: all are bound
    next_bind_at: datetime | None  # in the past: the attempt is under way


class Node(NamedTuple):
    """A process that has joined the cluster and was not evicted. Instants are real time."""

    node: str
    name: str
    started_at: datetime
    seen_at: datetime
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """All queues, the number of cases in each state, and the held replies."""

    queues: list[Queue]
    sms: list[SmsQueue]
    cases: list[tuple[str, str, int]]  # service, state, number of cases
    held: list[HeldByLink]


# Counting stops at $1 rows. A look-up waits since its case was opened, and case_ids (ULIDs) sort by that
# time. A voucher waits since the consent; the oldest of ten thousand is an estimate for all.
_CALLS = """
(SELECT count(*) FROM (SELECT FROM calls WHERE kind = {kind} AND node IS NULL LIMIT $1) AS ready)
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
# Of the push only: a reader that pulls keeps its cursor itself.
_STATUSES = """
WITH cursor AS (SELECT seq FROM feeds WHERE feed = 'sdu')
SELECT (SELECT count(*) FROM (SELECT FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
                              LIMIT $1) AS waiting) AS depth,
       (SELECT at FROM journal, cursor WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
        ORDER BY journal.seq LIMIT 1) AS since
"""
_SMS = """
SELECT links.link, priorities.priority, queued.depth, sms.created_at AS since
FROM links, (VALUES (0::smallint), (1::smallint)) AS priorities (priority),
LATERAL (SELECT count(*) AS depth, min(sms_id) AS first FROM (
    SELECT sms_id FROM outbox WHERE outbox.link = links.link AND outbox.priority = priorities.priority
    ORDER BY sms_id LIMIT $1) AS waiting) AS queued
JOIN sms ON sms.sms_id = queued.first
"""
# The queue mixes long and short texts: the mean is taken over the thousand texts to be sent next.
_SEGMENTS = """
SELECT links.link, first.mean FROM links,
LATERAL (SELECT avg(segments)::float8 AS mean FROM (
    SELECT segments FROM (SELECT sms_id FROM outbox WHERE outbox.link = links.link
                          ORDER BY priority, sms_id LIMIT 1000) AS next
    JOIN sms USING (sms_id)) AS waiting) AS first
WHERE first.mean IS NOT NULL
"""
# Failed calls are postponed, so they have the latest `next_at`.
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
SELECT link, nodes.node, CASE WHEN nodes.node IS NULL THEN 0 ELSE bound END AS bound, changed_at,
       send_window, stopped_status, stopped_at, unaccepted_since, needed_timeout_seconds,
       CASE WHEN nodes.node IS NOT NULL THEN bind_failure END AS bind_failure,
       CASE WHEN nodes.node IS NOT NULL THEN next_bind_at END AS next_bind_at
FROM links LEFT JOIN nodes
  ON nodes.node = links.node
 AND nodes.seen_at BETWEEN clock_timestamp() - make_interval(secs => $1)
                       AND clock_timestamp() + make_interval(secs => $1)
ORDER BY link
"""
_NODES = """
SELECT node, name, started_at, seen_at, seen_at BETWEEN clock_timestamp() - make_interval(secs => $1)
                                                    AND clock_timestamp() + make_interval(secs => $1) AS alive
FROM nodes ORDER BY started_at, node
"""


_read_sms_queue = reader(SmsQueue)
_read_link = reader(HeldLink)
_read_node = reader(Node)


async def waiting(connection: Connection, most: int = MAX_COUNTED) -> Waiting:
    """Depth and age of every queue, the number of cases in each state, and the held replies.

    At most `most` rows of a queue are counted.
    """
    queues = []
    for name, query in (
        ("lookup", _LOOKUPS),
        ("voucher", _VOUCHERS),
        ("journal", _JOURNAL),
        ("statuses", _STATUSES),
    ):
        (row,) = await connection.fetch(query, *([most] if "$1" in query else []))
        queues.append(Queue(name, row["depth"], row["since"]))
    return Waiting(
        queues=queues,
        sms=await waiting_texts(connection, most),
        cases=[(row["service"], row["state"], row["cases"]) for row in await connection.fetch(_CASES)],
        held=await held_replies.by_link(connection),
    )


async def waiting_texts(connection: Connection, most: int = MAX_COUNTED) -> list[SmsQueue]:
    """Depth and age of each link's queues, of which `most` rows are counted; empty ones are left out."""
    return [_read_sms_queue(row) for row in await connection.fetch(_SMS, most)]


async def links(connection: Connection) -> list[HeldLink]:
    """All links ever configured on this database, and the live process that holds each."""
    return [_read_link(row) for row in await connection.fetch(_LINKS, ALIVE_WITHIN_SECONDS)]


async def nodes(connection: Connection) -> list[Node]:
    """The processes of the cluster, in the order of their start."""
    return [_read_node(row) for row in await connection.fetch(_NODES, ALIVE_WITHIN_SECONDS)]


async def mean_segments(connection: Connection) -> dict[str, float]:
    """By link, the mean number of segments of the texts to be sent next; links with empty queues are left out."""
    return {row["link"]: row["mean"] for row in await connection.fetch(_SEGMENTS)}


async def failing(connection: Connection) -> dict[str, int]:
    """By kind, the calls that failed FAILING_FROM times or more, among the thousand to be tried last."""
    return {row["kind"]: row["failing"] for row in await connection.fetch(_FAILING, FAILING_FROM)}
