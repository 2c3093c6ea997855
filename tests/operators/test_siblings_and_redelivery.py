"""A redelivery must not count for the sibling, whose question was sent because of the first delivery."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from smpplib.consts import SMPP_ESME_RX_T_APPN

from gateway.operators.connection import SmppConnection
from gateway.operators.receiver import Receiver, _Delivery
from gateway.simulators.smsc_session import Session
from gateway.usecases.replies import Replies
from gateway.usecases.unit_of_work import UnitOfWork
from tests.harness import Family, Harness

_PERIOD_OF_A_REPLY = """SELECT EXISTS (SELECT FROM replies JOIN unacknowledged_periods
    ON arrived_at BETWEEN began_at AND ended_at)"""


@pytest.fixture
def siblings() -> tuple[Family, Family]:
    return Family(n=1, mother="77010000001"), Family(n=2, mother="77010000001")


@pytest.fixture
def committed_unacknowledged(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the gateway has committed a reply; its deliver_sm_resp is not sent."""
    committed, respond = asyncio.Event(), Receiver._respond

    def drop_response(*_: object, **__: object) -> None:
        monkeypatch.setattr(Receiver, "_respond", respond)
        committed.set()

    monkeypatch.setattr(Receiver, "_respond", drop_response)
    return committed


async def _lose_an_acknowledgement(
    harness: Harness, family: Family, reply: str, via: Session | None = None
) -> None:
    """The family's reply is stored, and the connection ends before the SMSC has its deliver_sm_resp."""
    respond = Receiver._respond

    def abort(self: Receiver, deliveries: Sequence[_Delivery], *, stored: bool) -> None:
        Receiver._respond = respond  # type: ignore[method-assign]
        for delivery in deliveries:
            assert isinstance(delivery.bind, SmppConnection)
            delivery.bind.abort()

    Receiver._respond = abort  # type: ignore[method-assign]
    with suppress(ConnectionError):
        await harness.smsc.reply(family.number, reply, via=via)
    await harness.status(family, "consented" if reply == "3#1" else "refused")
    await harness.smsc.bound(within=10.0)


@pytest.mark.parametrize("reply", ["3#1", "3#2"])
async def test_a_reply_redelivered_after_a_kill_counts_for_the_same_case(
    harness: Harness,
    siblings: tuple[Family, Family],
    committed_unacknowledged: asyncio.Event,
    reply: str,
) -> None:
    first, second = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    replying = asyncio.create_task(harness.smsc.reply(first.number, reply, until_accepted=True))
    await committed_unacknowledged.wait()
    await process.kill()
    harness.running.remove(process)
    await harness.let_replies_age()
    await harness.start()
    assert await replying == 0
    await harness.journaled(first, "reply_repeated")
    assert (await harness.case(second))["answered_at"] is None


@pytest.mark.parametrize("reply", ["3#1", "3#2"])
async def test_a_redelivery_after_the_sibling_was_asked_is_unclear(
    harness: Harness, siblings: tuple[Family, Family], reply: str
) -> None:
    """The parent gets a clarification; the reply to it counts."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    await _lose_an_acknowledgement(harness, first, reply)
    await harness.status(second, "asked")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, reply) == 0  # the redelivery
    await harness.journaled(second, "reply_unclear")
    await harness.text(second, "түсініксіз")
    assert (await harness.case(second))["answered_at"] is None
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, reply) == 0
    await harness.status(second, "consented" if reply == "3#1" else "refused")


async def test_a_redelivery_before_the_sibling_was_asked_repeats_the_first_reply(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    await harness.start(link={"response_timeout": "500ms"})
    await harness.push(*siblings)
    await harness.status(first, "asked")
    unanswered = harness.smsc.add("no_answer")  # the sibling's question is not known to have left
    await _lose_an_acknowledgement(harness, first, "3#1")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(first, "reply_repeated")
    harness.smsc.rules.remove(unanswered)
    await harness.status(second, "asked")
    assert (await harness.case(second))["answered_at"] is None


async def test_a_redelivery_is_still_possible_after_the_parent_repeated_the_reply(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """The second reply was no redelivery: that one comes from the SMSC after the sibling was asked."""
    first, second = siblings
    await harness.start(link={"response_timeout": "500ms"})
    await harness.push(*siblings)
    await harness.status(first, "asked")
    unanswered = harness.smsc.add("no_answer")
    await _lose_an_acknowledgement(harness, first, "3#1")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(first, "reply_repeated")
    harness.smsc.rules.remove(unanswered)
    await harness.status(second, "asked")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "consented")


async def test_after_an_orderly_unbind_no_redelivery_is_expected(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    await process.stop()  # orderly: the SMSC has responded to our unbind
    harness.running.remove(process)
    await harness.let_replies_age()
    await harness.start()
    assert await harness.smsc.reply(first.number, "3#1", until_accepted=True) == 0
    await harness.status(second, "consented")


@pytest.mark.parametrize("committed", [True, False])
async def test_a_reply_with_an_unseen_commit_counts_once(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """Its deliver_sm_resp asks the SMSC for a redelivery."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    receive = Replies.receive

    async def receive_and_disconnect(replies: Replies, uow: UnitOfWork, *batch: Any) -> None:
        await receive(replies, uow, *batch)
        await uow.write_journal()
        if committed:
            await uow.connection.execute("COMMIT")
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Replies, "receive", receive_and_disconnect)
    assert await harness.smsc.reply(first.number, "3#1") == SMPP_ESME_RX_T_APPN
    monkeypatch.setattr(Replies, "receive", receive)
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    assert (await harness.events(first)).count("consented") == 1
    assert (await harness.case(second))["answered_at"] is None


async def test_a_reply_whose_deliver_sm_resp_was_lost_counts_for_the_same_case(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sibling's question was claimed already, and none of its segments had a response."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    harness.smsc.silence()  # it receives nothing of what follows
    dropping = harness.smsc.add("drop_before", first=True)
    reply = asyncio.create_task(harness.smsc.reply(first.number, "3#1"))
    await harness.smsc.wait_for(lambda: dropping.fired)
    await reply
    harness.smsc.rules.remove(dropping)
    harness.smsc.silence(False)
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(first, "reply_repeated")
    assert (await harness.case(second))["answered_at"] is None


async def test_a_different_reply_after_a_lost_connection_counts_for_the_sibling(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    dropping = harness.smsc.add("drop_before text=3#1", first=True)
    await harness.smsc.reply(first.number, "3#1")
    await harness.smsc.wait_for(lambda: dropping.fired)
    harness.smsc.rules.remove(dropping)
    assert await harness.smsc.reply(first.number, "3#2") == 0
    await harness.status(second, "refused")


async def test_a_reply_acknowledged_after_the_ack_timeout_is_a_possible_redelivery(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """The SMSC's own timer may have ended before, and it delivers the reply again on the same connection."""
    first, second = siblings
    harness.set_policy(receiver={"ack_timeout_seconds": 0.0})
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    async with asyncio.timeout(10):
        while not await harness.connection.fetchval(_PERIOD_OF_A_REPLY):  # receipts have periods too
            await harness.connection.execute("SELECT pg_sleep(0.02)")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")


async def test_a_redelivery_by_another_bind_is_unclear_for_the_sibling(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """Of two binds one ends with the deliver_sm_resp in flight; the question is sent by the other one."""
    first, second = siblings
    await harness.start(link={"sessions": 2})
    one, other = await harness.smsc.bound(2)
    await harness.push(*siblings)
    await harness.status(first, "asked")
    await _lose_an_acknowledgement(harness, first, "3#1", via=one)
    await harness.status(second, "asked")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1", via=other) == 0
    await harness.journaled(second, "reply_unclear")


async def test_a_claimed_question_without_a_submitted_segment_is_not_open(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """The window is full: the sibling's question is claimed and waits in memory."""
    first, second = siblings
    await harness.start(link={"bind": "transmitter+receiver", "window": 1})
    await harness.smsc.bound(2)
    await harness.push(*siblings)
    await harness.status(first, "asked")
    before = len(harness.smsc.submitted)
    unanswered = harness.smsc.add("no_answer")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > before)  # text 3
    assert await harness.smsc.reply(first.number, "3#1.") == 0
    await harness.journaled(first, "reply_repeated")
    assert (await harness.case(second))["answered_at"] is None
    harness.smsc.rules.remove(unanswered)


@pytest.mark.parametrize("unbound_by", ["the gateway's", "the SMSC's"])
async def test_a_reply_committed_after_an_unbind_is_a_possible_redelivery(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch, unbound_by: str
) -> None:
    """Its deliver_sm_resp follows an unbind or unbind_resp, after which a peer need not read."""
    first, _ = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    (session,) = harness.smsc.sessions
    async with harness.connection.transaction():
        await harness.connection.execute("SELECT FROM cases FOR UPDATE")
        reply = asyncio.create_task(harness.smsc.reply(first.number, "3#1"))
        for _ in range(3):  # the reply has been read
            await harness.smsc.enquire()
        if unbound_by == "the SMSC's":
            await session.unbind()
        else:
            stopping = asyncio.create_task(process.stop())
            await harness.smsc.wait_for(lambda: session.closed, within=10.0)
    with suppress(ConnectionError):
        await reply
    if unbound_by == "the SMSC's":
        await harness.status(first, "consented")
    else:
        await stopping
        harness.running.remove(process)
    covered = (
        """SELECT count(*) FROM replies JOIN unacknowledged_periods ON arrived_at BETWEEN began_at AND ended_at"""
    )
    stored = await harness.connection.fetchval("SELECT count(*) FROM replies")
    async with asyncio.timeout(10):
        while await harness.connection.fetchval(covered) < stored:
            await harness.connection.execute("SELECT pg_sleep(0.05)")
