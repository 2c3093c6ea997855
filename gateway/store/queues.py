"""Depth and age of the queues in the database, and what the processes say of themselves and of the links.

A queue is counted up to a limit each time somebody asks. How long a longer one is, a job counts (`count_all`) and
keeps: its depth is then as old as that count.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from gateway.store.database import Connection
from gateway.store.journal_blocks import ENTRIES, JournalIncompleteError, entries_of
from gateway.store.rows import reader

ALIVE_WITHIN_SECONDS = 15.0
"""Maximum age (real time) of the last heartbeat of a process that is alive; not one from the future."""
MAX_COUNTED = 1_000_000
"""Rows of a queue that are ever counted; beyond, it has at least as many."""
MAX_COUNTED_AT_ONCE = 1_000
"""Rows of a queue that are counted for whoever asks without a token."""
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
    priority: int  # store.outbox.Priority
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
    """All queues, the number of cases in each state, and of those with a held reply."""

    queues: list[Queue]
    sms: list[SmsQueue]
    cases: list[tuple[str, str, int]]  # service, state, number of cases
    held: list[tuple[str, int]]  # link, number of cases: as of the last count


# Counting stops at $1 rows. A look-up waits since its case was opened, and case_ids (ULIDs) sort by that time.
# A voucher waits since the consent; the oldest of ten thousand at most is an estimate for all.
_CALLS = "SELECT case_id FROM calls WHERE kind = '{kind}' ORDER BY next_at LIMIT {limit}"
_LOOKUPS = f"""
SELECT called.depth, (SELECT opened_at FROM cases WHERE case_id = called.first) AS since
FROM (SELECT count(*) AS depth, min(case_id) AS first
      FROM ({_CALLS.format(kind="lookup", limit="$1")}) AS calls) AS called
"""  # noqa: S608
_VOUCHERS = f"""
SELECT (SELECT count(*) FROM ({_CALLS.format(kind="voucher", limit="$1")}) AS calls) AS depth,
       (SELECT min(answered_at) FROM ({_CALLS.format(kind="voucher", limit="least($1, 10000)")}) AS calls
        CROSS JOIN LATERAL (SELECT answered_at FROM cases
                            WHERE cases.case_id = calls.case_id) AS answered) AS since
"""  # noqa: S608
_JOURNAL = """
SELECT (SELECT coalesce(sum(size), 0) FROM (SELECT size FROM journal_pending LIMIT $1) AS waiting) AS depth,
       (SELECT at FROM journal_pending ORDER BY id LIMIT 1) AS since
"""
# Of the push only: a reader that pulls keeps its cursor itself.
# Of a block that is pushed in part, all statuses count: `_left_to_push` takes the pushed ones away.
_STATUSES = f"""
SELECT (SELECT count(*) FROM (SELECT FROM journal WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
                              LIMIT $1) AS waiting)
       + (SELECT coalesce(sum(statuses), 0) FROM (
              SELECT statuses FROM journal_blocks
              WHERE position >= cursor.seq / {ENTRIES} AND last_status > cursor.seq
              ORDER BY position LIMIT $1 / {ENTRIES} + 1) AS waiting) AS depth,
       least((SELECT at FROM journal WHERE event_id IS NOT NULL AND journal.seq > cursor.seq
              ORDER BY journal.seq LIMIT 1),
             (SELECT status_since FROM journal_blocks
              WHERE position >= cursor.seq / {ENTRIES} AND last_status > cursor.seq
              ORDER BY position LIMIT 1)) AS since
FROM (SELECT (SELECT seq FROM feeds WHERE feed = 'sdu') AS seq) AS cursor
"""  # noqa: S608
_PUSHED_IN_PART = f"""
SELECT position, seq, entries FROM feeds JOIN journal_blocks ON position = seq / {ENTRIES}
WHERE feed = 'sdu' AND seq % {ENTRIES} > 0 AND last_status > seq
"""  # noqa: S608
_SMS = """
SELECT links.link, priorities.priority, queued.depth, sms.created_at AS since
FROM links, (VALUES (0::smallint), (1::smallint)) AS priorities (priority),
LATERAL (SELECT count(*) AS depth, min(sms_id) AS first FROM (
    SELECT sms_id FROM outbox WHERE outbox.link = links.link AND outbox.priority = priorities.priority
    ORDER BY sms_id LIMIT $1) AS waiting) AS queued
JOIN sms ON sms.sms_id = queued.first
"""
_CASES = """
SELECT lists.service, progress.state, sum(progress.cases)::integer AS cases
FROM progress JOIN lists USING (list_id) GROUP BY lists.service, progress.state
"""
_HELD = """
SELECT r.link, count(DISTINCT r.case_id) AS depth
FROM (SELECT case_id FROM cases_for_ops WHERE reason = 'held' LIMIT $1) AS held JOIN cases c USING (case_id)
JOIN replies r ON r.case_id = c.case_id AND r.held AND r.source_addr = c.msisdn GROUP BY r.link
"""
_COUNTED = f"""
SELECT 'lookup' AS queue, '' AS link, 0 AS priority, depth, since FROM ({_LOOKUPS}) AS lookups
UNION ALL SELECT 'voucher', '', 0, depth, since FROM ({_VOUCHERS}) AS vouchers
UNION ALL SELECT 'journal', '', 0, depth, since FROM ({_JOURNAL}) AS journal
UNION ALL SELECT 'statuses', '', 0, depth, since FROM ({_STATUSES}) AS statuses
UNION ALL SELECT 'sms', link, priority, depth, since FROM ({_SMS}) AS sms
"""  # noqa: S608
# A queue that is longer than $1 is as long and as old as when it was counted last, or longer and older.
WAITING = f"""
SELECT queue AS name, link, priority::text AS label,
       CASE WHEN counted.depth < $1 THEN counted.depth ELSE greatest(counted.depth, kept.depth) END AS depth,
       CASE WHEN counted.depth < $1 THEN counted.since ELSE least(counted.since, kept.since) END AS since,
       NULL::bytea AS entries
FROM ({_COUNTED}) AS counted LEFT JOIN queue_figures AS kept USING (queue, link, priority)
UNION ALL SELECT 'held', link, '', depth, NULL, NULL FROM queue_figures WHERE queue = 'held'
UNION ALL SELECT 'cases', service, state, cases, NULL, NULL FROM ({_CASES}) AS cases
UNION ALL SELECT 'block', position::text, '', seq, NULL, entries FROM ({_PUSHED_IN_PART}) AS pushed
"""  # noqa: S608
_FORGET = "DELETE FROM queue_figures"
_COUNT = f"""
INSERT INTO queue_figures (queue, link, priority, depth, since)
SELECT queue, link, priority, depth, since FROM ({_COUNTED}) AS counted
UNION ALL SELECT 'held', link, 0, depth, NULL FROM ({_HELD}) AS held
"""  # noqa: S608
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
LINKS = """
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
QUEUES = ("lookup", "voucher", "journal", "statuses")

_read_sms_queue = reader(SmsQueue)
_read_link = reader(HeldLink)
_read_node = reader(Node)


async def waiting(connection: Connection, most: int = MAX_COUNTED) -> Waiting:
    """Depth and age of every queue, and the number of cases in each state and with a held reply, by one statement.

    Of a queue `most` rows are counted: one with more has the depth that `count_all` kept.
    """
    rows = await connection.fetch(WAITING, most)
    queues = [Queue(row["name"], row["depth"], row["since"]) for row in rows if row["name"] in QUEUES]
    block = next((row for row in rows if row["name"] == "block"), None)
    return Waiting(
        queues=[_left_to_push(one, block) if block and one.name == "statuses" else one for one in queues],
        sms=[
            SmsQueue(row["link"], int(row["label"]), row["depth"], row["since"])
            for row in rows
            if row["name"] == "sms"
        ],
        cases=[(row["link"], row["label"], row["depth"]) for row in rows if row["name"] == "cases"],
        held=[(row["link"], row["depth"]) for row in rows if row["name"] == "held"],
    )


def _left_to_push(statuses: Queue, pushed_in_part: asyncpg.Record) -> Queue:
    """The queue without the statuses that were pushed with the first entries of this block."""
    try:
        entries = entries_of(int(pushed_in_part["link"]), pushed_in_part["entries"])
    except JournalIncompleteError:  # the check names it
        return statuses
    block = [entry for entry in entries if entry.event_id is not None]
    left = [entry for entry in block if entry.seq > pushed_in_part["depth"]]
    depth = max(statuses.depth - (len(block) - len(left)), len(left))
    return statuses._replace(depth=depth, since=left[0].at if left else statuses.since)


async def count_all(connection: Connection, most: int = MAX_COUNTED) -> None:
    """Keeps how long each queue is, in the caller's transaction; of each `most` rows are counted."""
    await connection.execute(_FORGET)
    await connection.execute(_COUNT, most)


async def waiting_texts(connection: Connection, most: int = MAX_COUNTED) -> list[SmsQueue]:
    """Depth and age of each link's queues, of which `most` rows are counted; empty ones are left out."""
    return [_read_sms_queue(row) for row in await connection.fetch(_SMS, most)]


async def links(connection: Connection) -> list[HeldLink]:
    """All links ever configured on this database, and the live process that holds each."""
    return [_read_link(row) for row in await connection.fetch(LINKS, ALIVE_WITHIN_SECONDS)]


async def nodes(connection: Connection) -> list[Node]:
    """The processes of the cluster, in the order of their start."""
    return [_read_node(row) for row in await connection.fetch(_NODES, ALIVE_WITHIN_SECONDS)]


async def mean_segments(connection: Connection) -> dict[str, float]:
    """By link, the mean number of segments of the texts to be sent next; links with empty queues are left out."""
    return {row["link"]: row["mean"] for row in await connection.fetch(_SEGMENTS)}


async def failing(connection: Connection) -> dict[str, int]:
    """By kind, the calls that failed FAILING_FROM times or more, among the thousand to be tried last."""
    return {row["kind"]: row["failing"] for row in await connection.fetch(_FAILING, FAILING_FROM)}
