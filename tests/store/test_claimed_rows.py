"""Rows of the queues: claimed by one node each, in order, and free again once the node has left."""

import asyncio
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway import store
from gateway.consent.texts import Kind
from gateway.store import calls, nodes, outbox, sms
from gateway.store.calls import CallKind
from gateway.store.database import Database
from gateway.store.sms import SmsProgress, SmsState
from gateway.store.writes import execute
from tests.store.rows import AN_HOUR, MONDAY, NODE, add_node, new_sms

OTHER = "01M80000000000000000000NOD2"


async def test_two_nodes_claim_every_call_once(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await add_node(connection, OTHER)
        await execute(connection, [calls.adding([(f"case-{n}", CallKind.LOOKUP) for n in range(100)])])

    async def claim_all(node: str) -> list[str]:
        claimed: list[str] = []
        while True:
            async with database.acquire() as connection:
                batch = await calls.claim(connection, node, CallKind.LOOKUP, 7)
            if not batch:
                return claimed
            claimed += [call.case_id for call in batch]

    first, second = await asyncio.gather(claim_all(NODE), claim_all(OTHER))
    assert len(first) + len(second) == 100
    assert not set(first) & set(second)


async def test_a_claim_of_calls_keeps_its_limit_by_the_worst_plan(database: Database) -> None:
    """As it is chosen for a table that was empty when it was analysed, and is full now."""
    async with database.acquire() as connection:
        await add_node(connection)
        await execute(connection, [calls.adding([(f"case-{n:04}", CallKind.LOOKUP) for n in range(1000)])])
        async with connection.transaction():
            for method in ("hashjoin", "mergejoin", "indexscan", "indexonlyscan", "bitmapscan"):
                await connection.execute(f"SET LOCAL enable_{method} = off")
            await connection.execute("UPDATE pg_class SET reltuples = 0, relpages = 1 WHERE relname = 'calls'")
            assert len(await calls.claim(connection, NODE, CallKind.LOOKUP, 100)) == 100


def _statements() -> Iterator[tuple[str, str]]:
    """Name and text of each constant of the store that may be a statement."""
    for found in pkgutil.iter_modules(store.__path__, "gateway.store."):
        for name, text in vars(importlib.import_module(found.name)).items():
            if isinstance(text, str) and "SELECT" in text:
                yield f"{found.name}.{name}", text


def test_no_statement_locks_a_limited_number_of_rows_in_a_subquery_that_it_joins() -> None:
    """Such a subquery may be executed again for each row of the other side, and locks the next rows each time."""
    joined = re.compile(r"\b(FROM|JOIN|USING)\s*\(\s*SELECT\b[^;]*\bLIMIT\b[^()]*\bSKIP LOCKED\b")
    statements = dict(_statements())
    assert "SKIP LOCKED" in statements["gateway.store.calls._CLAIM"]
    assert [name for name, text in statements.items() if joined.search(text)] == []


async def test_a_call_being_claimed_is_skipped_without_waiting(database: Database) -> None:
    async with database.acquire() as one, database.acquire() as other:
        await add_node(one)
        await add_node(one, OTHER)
        await execute(one, [calls.adding([("case-1", CallKind.LOOKUP), ("case-2", CallKind.LOOKUP)])])
        async with one.transaction():
            assert len(await calls.claim(one, NODE, CallKind.LOOKUP, 1)) == 1
            assert len(await calls.claim(other, OTHER, CallKind.LOOKUP, 5)) == 1


async def test_only_the_node_that_holds_a_call_can_finish_it(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await execute(connection, [calls.adding([("case-1", CallKind.VOUCHER)])])
        (call,) = await calls.claim(connection, NODE, CallKind.VOUCHER, 1)
        assert await calls.finish(connection, OTHER, CallKind.VOUCHER, [call]) == set()
        assert await calls.finish(connection, NODE, CallKind.VOUCHER, [call]) == {call.serial}
        assert await calls.finish(connection, NODE, CallKind.VOUCHER, [call]) == set()


async def test_a_postponed_call_counts_its_attempts_and_is_not_claimed_before_its_time(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await execute(connection, [calls.adding([("case-1", CallKind.LOOKUP)])])
        for attempts in range(3):
            (call,) = await calls.claim(connection, NODE, CallKind.LOOKUP, 1)
            assert call.attempts == attempts
            await calls.postpone(connection, NODE, CallKind.LOOKUP, [(call, timedelta())])
        (call,) = await calls.claim(connection, NODE, CallKind.LOOKUP, 1)
        await calls.postpone(connection, NODE, CallKind.LOOKUP, [(call, timedelta(hours=1))])
        assert await calls.claim(connection, NODE, CallKind.LOOKUP, 1) == []


async def test_an_evicted_node_claims_no_rows_and_is_fenced(database: Database) -> None:
    async with database.acquire() as connection:
        await execute(connection, [calls.adding([("case-1", CallKind.LOOKUP)])])
        await execute(connection, [outbox.queueing([new_sms("case-1", "77010000001")], MONDAY)])
        assert await calls.claim(connection, NODE, CallKind.LOOKUP, 1) == []
        assert await sms.claim(connection, NODE, "kcell", bulk=True, limit=1) == []
        with pytest.raises(nodes.FencedError):
            await nodes.fence(connection, NODE)


async def test_urgent_texts_are_claimed_first_and_alone_outside_the_send_window(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        texts = [
            new_sms("case-1", "77010000001"),
            new_sms("case-2", "77010000002", Kind.REPEAT),
            new_sms("case-3", "77010000003", Kind.AGREED),
            new_sms("case-4", "77010000004", Kind.CLARIFY),
        ]
        await execute(connection, [outbox.queueing(texts, MONDAY)])
        urgent = await sms.claim(connection, NODE, "kcell", bulk=False, limit=10)
        assert [row.case_id for row in urgent] == ["case-3", "case-4"]
        await sms.release(connection, NODE, [sms.Released(row.sms_id, timedelta(), False, None) for row in urgent])
        everything = await sms.claim(connection, NODE, "kcell", bulk=True, limit=3)
        assert [row.case_id for row in everything] == ["case-3", "case-4", "case-1"]


async def test_a_text_claimed_by_the_next_node_keeps_its_accepted_segments(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await execute(connection, [outbox.queueing([new_sms("case-1", "77010000001")], MONDAY)])
        (claimed,) = await sms.claim(connection, NODE, "kcell", bulk=True, limit=1)
        progress = SmsProgress(claimed.sms_id, SmsState.SENDING, 0b101, 0b100, ("1", None, "3"), None)
        assert await sms.record(connection, NODE, [progress]) == {claimed.sms_id}
        await nodes.leave(connection, NODE, pause_after_copy=AN_HOUR)
        assert await sms.record(connection, NODE, [progress]) == set()
        await add_node(connection, OTHER)
        (again,) = await sms.claim(connection, OTHER, "kcell", bulk=True, limit=1)
        assert (again.accepted_segments, again.tracked_segments, again.attempts) == (0b101, 0b100, 2)
        assert again.reference == claimed.reference


@pytest.mark.parametrize(
    ("segments", "cut", "claims", "waits"),
    [
        (1, "udh8", 1, False),
        (1, "udh8", 2, True),
        (1, "udh8", 3, False),
        (3, "udh8", 2, False),
        (3, "payload", 2, True),
    ],
)
async def test_a_text_in_one_submit_sm_waits_after_each_second_claim_by_a_process_that_was_killed(
    database: Database, segments: int, cut: str, claims: int, waits: bool
) -> None:
    text = replace(new_sms("case-1", "77010000001"), segments=segments, long_messages=cut)
    async with database.acquire() as connection:
        await add_node(connection, OTHER)
        await execute(connection, [outbox.queueing([text], MONDAY)])
        for claim in range(claims):
            await add_node(connection)
            for table in ("sms", "outbox"):  # the pause is over
                await connection.execute(f"UPDATE {table} SET next_at = '-infinity'")
            (claimed,) = await sms.claim(connection, NODE, "kcell", bulk=True, limit=1)
            assert claimed.attempts == claim + 1
            await nodes.evict_expired(
                connection,
                [node for node in await nodes.others(connection, OTHER) if node.node == NODE],
                loss_detection_seconds=60.0,
                pause_after_copy=AN_HOUR,
            )
        assert (await sms.claim(connection, OTHER, "kcell", bulk=True, limit=1) == []) is waits


async def test_texts_queued_concurrently_for_one_number_have_distinct_references(database: Database) -> None:
    async def queue(n: int) -> None:
        async with database.acquire() as connection, connection.transaction():
            texts = [new_sms(f"case-{n}", f"7701000000{digit}") for digit in (1, 2, 1) for _ in range(2)]
            await execute(connection, [outbox.queueing(texts, MONDAY)])

    await asyncio.gather(*(queue(n) for n in range(20)))
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT msisdn, reference % 256 AS octet FROM sms")
    for number, texts in (("77010000001", 80), ("77010000002", 40)):
        octets = [row["octet"] for row in rows if row["msisdn"] == number]
        assert len(octets) == len(set(octets)) == texts


async def test_references_wrap_after_65535(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO subscribers VALUES ('77010000001', 65534)")
        texts = [new_sms(f"case-{n}", "77010000001") for n in range(4)]
        await execute(connection, [outbox.queueing(texts, MONDAY)])
        rows = await connection.fetch("SELECT reference FROM sms ORDER BY sms_id")
    assert [row["reference"] for row in rows] == [65535, 0, 1, 2]
