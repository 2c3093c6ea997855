"""Work as rows: taken by one node each, in order, and free again when the node is gone."""

import asyncio
from datetime import timedelta

import pytest

from gateway.consent.texts import Kind
from gateway.store import calls, nodes, sms
from gateway.store.calls import CallKind
from gateway.store.database import Database
from gateway.store.sms import SmsProgress, SmsState
from tests.store.rows import MONDAY, NODE, add_node, new_sms

OTHER = "01M80000000000000000000NOD2"


async def test_two_nodes_share_the_calls_and_none_is_made_twice(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await add_node(connection, OTHER)
        await calls.add(connection, [(f"case-{n}", CallKind.LOOKUP) for n in range(100)])

    async def take(node: str) -> list[str]:
        taken: list[str] = []
        while True:
            async with database.acquire() as connection:
                batch = await calls.claim(connection, node, CallKind.LOOKUP, 7)
            if not batch:
                return taken
            taken += [call.case_id for call in batch]

    first, second = await asyncio.gather(take(NODE), take(OTHER))
    assert len(first) + len(second) == 100
    assert not set(first) & set(second)


async def test_a_row_that_somebody_is_taking_is_skipped_and_not_waited_for(database: Database) -> None:
    async with database.acquire() as one, database.acquire() as other:
        await add_node(one)
        await add_node(one, OTHER)
        await calls.add(one, [("case-1", CallKind.LOOKUP), ("case-2", CallKind.LOOKUP)])
        async with one.transaction():
            assert len(await calls.claim(one, NODE, CallKind.LOOKUP, 1)) == 1
            assert len(await calls.claim(other, OTHER, CallKind.LOOKUP, 5)) == 1


async def test_an_answer_counts_only_for_the_node_that_holds_the_call(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await calls.add(connection, [("case-1", CallKind.VOUCHER)])
        (call,) = await calls.claim(connection, NODE, CallKind.VOUCHER, 1)
        assert await calls.finish(connection, OTHER, CallKind.VOUCHER, [call]) == set()
        assert await calls.finish(connection, NODE, CallKind.VOUCHER, [call]) == {call.serial}
        assert await calls.finish(connection, NODE, CallKind.VOUCHER, [call]) == set()


async def test_a_postponed_call_is_not_due_and_counts_its_attempts(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await calls.add(connection, [("case-1", CallKind.LOOKUP)])
        for attempts in range(3):
            (call,) = await calls.claim(connection, NODE, CallKind.LOOKUP, 1)
            assert call.attempts == attempts
            await calls.postpone(connection, NODE, CallKind.LOOKUP, [(call, timedelta())])
        (call,) = await calls.claim(connection, NODE, CallKind.LOOKUP, 1)
        await calls.postpone(connection, NODE, CallKind.LOOKUP, [(call, timedelta(hours=1))])
        assert await calls.claim(connection, NODE, CallKind.LOOKUP, 1) == []


async def test_a_node_that_was_declared_dead_gets_nothing_and_writes_nothing(database: Database) -> None:
    async with database.acquire() as connection:
        await calls.add(connection, [("case-1", CallKind.LOOKUP)])
        await sms.queue(connection, [new_sms("case-1", "77010000001")], MONDAY)
        assert await calls.claim(connection, NODE, CallKind.LOOKUP, 1) == []
        assert await sms.claim(connection, NODE, "kcell", bulk=True, limit=1) == []
        with pytest.raises(nodes.FencedError):
            await nodes.fence(connection, NODE)


async def test_answers_are_taken_before_requests_and_alone_outside_the_window(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await sms.queue(
            connection,
            [
                new_sms("case-1", "77010000001"),
                new_sms("case-2", "77010000002", Kind.REPEAT),
                new_sms("case-3", "77010000003", Kind.AGREED),
                new_sms("case-4", "77010000004", Kind.CLARIFY),
            ],
            MONDAY,
        )
        answers = await sms.claim(connection, NODE, "kcell", bulk=False, limit=10)
        assert [row.case_id for row in answers] == ["case-3", "case-4"]
        await sms.release(connection, NODE, [row.sms_id for row in answers], timedelta())
        everything = await sms.claim(connection, NODE, "kcell", bulk=True, limit=3)
        assert [row.case_id for row in everything] == ["case-3", "case-4", "case-1"]


async def test_a_text_taken_over_goes_on_behind_its_last_durable_segment(database: Database) -> None:
    async with database.acquire() as connection:
        await add_node(connection)
        await sms.queue(connection, [new_sms("case-1", "77010000001")], MONDAY)
        (taken,) = await sms.claim(connection, NODE, "kcell", bulk=True, limit=1)
        progress = SmsProgress(taken.sms_id, SmsState.SENDING, 0b101, 0b100, ("1", None, "3"), None)
        assert await sms.record(connection, NODE, [progress]) == {taken.sms_id}
        await nodes.leave(connection, NODE)
        assert await sms.record(connection, NODE, [progress]) == set()
        await add_node(connection, OTHER)
        (again,) = await sms.claim(connection, OTHER, "kcell", bulk=True, limit=1)
        assert (again.accepted_segments, again.tracked_segments, again.attempts) == (0b101, 0b100, 2)
        assert again.reference == taken.reference


async def test_texts_to_one_number_never_share_a_reference_whoever_queues_them(database: Database) -> None:
    async def queue(n: int) -> None:
        async with database.acquire() as connection, connection.transaction():
            await sms.queue(
                connection,
                [new_sms(f"case-{n}", f"7701000000{digit}") for digit in (1, 2, 1) for _ in range(2)],
                MONDAY,
            )

    await asyncio.gather(*(queue(n) for n in range(20)))
    async with database.acquire() as connection:
        rows = await connection.fetch("SELECT msisdn, reference % 256 AS octet FROM sms")
    for number, texts in (("77010000001", 80), ("77010000002", 40)):
        octets = [row["octet"] for row in rows if row["msisdn"] == number]
        assert len(octets) == len(set(octets)) == texts


async def test_references_go_round_at_the_end_of_their_field(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO subscribers VALUES ('77010000001', 65534)")
        await sms.queue(connection, [new_sms(f"case-{n}", "77010000001") for n in range(4)], MONDAY)
        rows = await connection.fetch("SELECT reference FROM sms ORDER BY sms_id")
    assert [row["reference"] for row in rows] == [65535, 0, 1, 2]
