"""Depth and age of the queues: exact while they are short, as they were counted last when they are long."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.store import queues, readiness
from gateway.store.database import Connection, Database

LONG = 100_000
FEW = queues.MAX_COUNTED_AT_ONCE

# Each queue holds `LONG` rows, and so do the lists' counts.
_FILL = f"""
INSERT INTO links (link) VALUES ('kcell'), ('tele2');
INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, segments, reference,
                 created_at)
SELECT 'case', 'request', 0, 'kcell', '77010000000', 1, 'template', 'text', 'udh8', 1, 0,
       timestamptz '2026-11-23 09:00:00Z' + n * interval '1 second' FROM generate_series(1, {LONG}) AS n;
INSERT INTO outbox (link, priority, sms_id) SELECT link, priority, sms_id FROM sms;
INSERT INTO calls (case_id, kind) SELECT 'case-' || n, kind
FROM generate_series(1, {LONG}) AS n, (VALUES ('lookup'), ('voucher')) AS kinds (kind);
INSERT INTO journal_pending (at, size, entries, cases)
SELECT timestamptz '2026-11-23 09:00:00Z', 1, '[]', '{{}}' FROM generate_series(1, {LONG}) AS n;
INSERT INTO cases_for_ops (reason, list_id, case_id) SELECT 'held', 'list', 'case-' || n
FROM generate_series(1, {LONG}) AS n;
ANALYZE;
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        yield connection


async def test_a_long_queue_has_the_depth_that_was_counted_last(connection: Connection) -> None:
    await connection.execute(_FILL)
    before = await queues.waiting(connection, FEW)
    assert [(text.link, text.depth) for text in before.sms] == [("kcell", FEW)]
    await queues.count_all(connection)
    after = await queues.waiting(connection, FEW)
    assert [(text.link, text.priority, text.depth) for text in after.sms] == [("kcell", 1, LONG)]
    assert {queue.name: queue.depth for queue in after.queues} == {
        "lookup": LONG,
        "voucher": LONG,
        "journal": LONG,
        "statuses": 0,
    }


async def test_a_queue_that_has_become_short_has_its_own_depth_at_once(connection: Connection) -> None:
    await connection.execute(_FILL)
    await queues.count_all(connection)
    await connection.execute(f"DELETE FROM outbox WHERE sms_id <= {LONG - 3}")
    (texts,) = (await queues.waiting(connection, FEW)).sms
    assert texts.depth == 3
    assert texts.since == await connection.fetchval(f"SELECT created_at FROM sms WHERE sms_id = {LONG - 2}")


async def test_the_cost_of_metrics_does_not_grow_with_the_queues(connection: Connection) -> None:
    await connection.execute(_FILL)
    await queues.count_all(connection)
    (plan,) = json.loads(
        await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {queues.WAITING.replace('$1', str(FEW))}")
    )
    assert max(_rows_read(plan["Plan"])) <= FEW


def _rows_read(node: dict[str, Any]) -> list[float]:
    """The rows that each node of a plan has read or passed on at a time, those that a filter dropped included."""
    here = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return [here, *(rows for child in node.get("Plans", []) for rows in _rows_read(child))]


async def test_metrics_and_readiness_are_read_by_one_statement_each(connection: Connection) -> None:
    statements: list[str] = []
    with connection.query_logger(lambda record: statements.append(record.query)):
        await queues.waiting(connection, FEW)
        await readiness.state(connection)
        await asyncio.sleep(0)  # the logger is called by the loop
    assert len(statements) == 2
