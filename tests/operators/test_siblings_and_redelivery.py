"""A reply that the SMSC delivers again must not answer the sibling's question that it made room for."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from smpplib.consts import SMPP_ESME_RX_T_APPN

from gateway.operators.receiver import Receiver
from gateway.simulators.smsc_session import Session
from gateway.usecases.replies import Replies
from gateway.usecases.unit_of_work import UnitOfWork
from tests.harness import Family, Harness


@pytest.fixture
def siblings() -> tuple[Family, Family]:
    return Family(n=1, mother="77010000001"), Family(n=2, mother="77010000001")


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the gateway has committed a reply; its acknowledgement never leaves."""
    committed, respond = asyncio.Event(), Receiver._respond

    def die(*_: object) -> None:
        monkeypatch.setattr(Receiver, "_respond", respond)
        committed.set()

    monkeypatch.setattr(Receiver, "_respond", die)
    return committed


async def _lose_an_acknowledgement(
    harness: Harness, family: Family, answer: str, via: Session | None = None
) -> None:
    """The family's answer is stored, and the connection breaks before the SMSC hears of it."""
    respond = Receiver._respond

    def lose(receiver: Receiver, batch: Any, _: int) -> None:
        Receiver._respond = respond  # type: ignore[method-assign]
        for arrival in batch:
            arrival.bind.abort()

    Receiver._respond = lose  # type: ignore[method-assign]
    with suppress(ConnectionError):
        await harness.smsc.reply(family.number, answer, via=via)
    await harness.status(family, "consented" if answer == "3#1" else "refused")
    await harness.smsc.bound(within=10.0)


@pytest.mark.parametrize("answer", ["3#1", "3#2"])
async def test_a_reply_delivered_again_after_a_kill_answers_the_same_question(
    harness: Harness,
    siblings: tuple[Family, Family],
    dying: asyncio.Event,
    answer: str,
) -> None:
    first, second = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    replying = asyncio.create_task(harness.smsc.reply(first.number, answer, until_accepted=True))
    await dying.wait()
    await process.kill()
    harness.running.remove(process)
    await harness.let_replies_age()
    await harness.start()
    assert await replying == 0
    await harness.journaled(first, "reply_repeated")
    assert (await harness.case(second))["answered_at"] is None


@pytest.mark.parametrize("answer", ["3#1", "3#2"])
async def test_a_copy_that_comes_when_the_sibling_is_asked_is_not_guessed_to_be_the_answer(
    harness: Harness, siblings: tuple[Family, Family], answer: str
) -> None:
    """It is asked to be clear; what it says then counts."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    await _lose_an_acknowledgement(harness, first, answer)
    await harness.status(second, "asked")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, answer) == 0  # the copy
    await harness.journaled(second, "reply_unclear")
    await harness.text(second, "түсініксіз")
    assert (await harness.case(second))["answered_at"] is None
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, answer) == 0
    await harness.status(second, "consented" if answer == "3#1" else "refused")


async def test_a_copy_that_comes_before_the_sibling_is_asked_repeats_the_first_answer(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    await harness.start(link={"response_timeout": "500ms"})
    await harness.push(*siblings)
    await harness.status(first, "asked")
    holding = harness.smsc.add("no_answer")  # the sibling's question is not known to have left
    await _lose_an_acknowledgement(harness, first, "3#1")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(first, "reply_repeated")
    harness.smsc.rules.remove(holding)
    await harness.status(second, "asked")
    assert (await harness.case(second))["answered_at"] is None


async def test_a_parent_who_says_it_twice_leaves_room_for_the_copy(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """What came again was no copy: that is still with the SMSC, and comes when the sibling is asked."""
    first, second = siblings
    await harness.start(link={"response_timeout": "500ms"})
    await harness.push(*siblings)
    await harness.status(first, "asked")
    holding = harness.smsc.add("no_answer")
    await _lose_an_acknowledgement(harness, first, "3#1")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(first, "reply_repeated")
    harness.smsc.rules.remove(holding)
    await harness.status(second, "asked")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "consented")


async def test_an_acknowledgement_that_was_heard_leaves_no_doubt(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    await process.stop()  # in good order: the SMSC has answered our unbind
    harness.running.remove(process)
    await harness.let_replies_age()
    await harness.start()
    assert await harness.smsc.reply(first.number, "3#1", until_accepted=True) == 0
    await harness.status(second, "consented")


@pytest.mark.parametrize("committed", [True, False])
async def test_a_reply_of_which_we_do_not_know_whether_it_is_stored_counts_once(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The SMSC is asked to keep it, and delivers it again."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    receive = Replies.receive

    async def receive_and_end(replies: Replies, uow: UnitOfWork, *batch: Any) -> None:
        await receive(replies, uow, *batch)
        await uow.write_journal()
        if committed:
            await uow.connection.execute("COMMIT")
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Replies, "receive", receive_and_end)
    assert await harness.smsc.reply(first.number, "3#1") == SMPP_ESME_RX_T_APPN
    monkeypatch.setattr(Replies, "receive", receive)
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    assert (await harness.events(first)).count("consented") == 1
    assert (await harness.case(second))["answered_at"] is None


async def test_a_reply_whose_acknowledgement_was_lost_with_the_connection_answers_the_same_question(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sibling's question was in memory already, and none of it had been answered."""
    first, second = siblings
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    harness.smsc.silence()  # it hears nothing of what follows
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


async def test_another_reply_after_a_lost_connection_answers_the_siblings_question(
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


async def test_a_reply_acknowledged_late_may_come_again(harness: Harness, siblings: tuple[Family, Family]) -> None:
    """The SMSC may have given up waiting, and delivers it again on the same connection."""
    first, second = siblings
    harness.set_policy(receiver={"ack_timeout_seconds": 0.0})
    await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    async with asyncio.timeout(10):
        while not await harness.connection.fetchval("SELECT count(*) FROM unacknowledged_periods"):
            await harness.connection.execute("SELECT pg_sleep(0.02)")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")


async def test_a_sibling_is_asked_once_more_whatever_the_bind_by_which_the_copy_comes(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """Of two binds one breaks, with the acknowledgement under way; the question leaves by the other one."""
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


async def test_a_question_in_memory_of_which_nothing_has_left_is_not_open(
    harness: Harness, siblings: tuple[Family, Family]
) -> None:
    """The window is full: the sibling's question has been taken for sending, and waits."""
    first, second = siblings
    await harness.start(link={"bind": "transmitter+receiver", "window": 1})
    await harness.smsc.bound(2)
    await harness.push(*siblings)
    await harness.status(first, "asked")
    before = len(harness.smsc.submitted)
    holding = harness.smsc.add("no_answer")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > before)  # text 3
    assert await harness.smsc.reply(first.number, "3#1.") == 0
    await harness.journaled(first, "reply_repeated")
    assert (await harness.case(second))["answered_at"] is None
    harness.smsc.rules.remove(holding)


@pytest.mark.parametrize("whose", ["the gateway's", "the SMSC's"])
async def test_a_reply_that_is_committed_after_a_goodbye_may_come_again(
    harness: Harness, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """Its acknowledgement follows an unbind, or an unbind_resp, behind which nobody need read."""
    first, _ = siblings
    process = await harness.start()
    await harness.push(*siblings)
    await harness.status(first, "asked")
    (session,) = harness.smsc.sessions
    async with harness.connection.transaction():
        await harness.connection.execute("SELECT FROM cases FOR UPDATE")
        reply = asyncio.create_task(harness.smsc.reply(first.number, "3#1"))
        for _ in range(3):  # it has been read
            await harness.smsc.enquire()
        if whose == "the SMSC's":
            await session.unbind()
        else:
            stopping = asyncio.create_task(process.stop())
            await harness.smsc.wait_for(lambda: session.closed, within=10.0)
    with suppress(ConnectionError):
        await reply
    if whose == "the SMSC's":
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
