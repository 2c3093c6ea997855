"""A reply that the SMSC delivers again must not answer the sibling's question that it made room for."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from smpplib.consts import SMPP_ESME_RX_T_APPN
from world import Family, World

from gateway.journeys import Step
from gateway.operators.receiving import Receiver
from gateway.store import sms


@pytest.fixture
def siblings() -> tuple[Family, Family]:
    return Family(n=1, mother="77010000001"), Family(n=2, mother="77010000001")


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when the gateway has committed a reply; its acknowledgement never leaves."""
    committed = asyncio.Event()

    def die(*_: object) -> bool:
        committed.set()
        return False

    monkeypatch.setattr(Receiver, "_respond", die)
    return committed


@pytest.mark.parametrize("answer", ["3#1", "3#2"])
async def test_a_reply_delivered_again_after_a_kill_answers_the_same_question(
    world: World,
    siblings: tuple[Family, Family],
    dying: asyncio.Event,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    first, second = siblings
    process = await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    replying = asyncio.create_task(world.smsc.reply(first.number, answer, insist=True))
    await dying.wait()
    await process.kill()
    world.running.remove(process)
    await world.let_replies_age()
    monkeypatch.undo()
    await world.start()
    assert await replying == 0
    await world.journaled(first, "reply_repeated")
    assert (await world.case(second))["answered_at"] is None


async def test_the_siblings_question_goes_out_once_the_smsc_has_had_its_chance(
    world: World, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = siblings
    monkeypatch.setattr(sms, "HELD_FOR", timedelta(seconds=0.3))
    await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    dropping = world.smsc.add("drop_before times=1", first=True)
    await world.smsc.reply(first.number, "3#1")
    await world.smsc.wait_for(lambda: dropping.fired)
    await world.status(second, "asked")


async def test_an_acknowledged_reply_lets_the_siblings_question_go_at_once(
    world: World, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = siblings
    monkeypatch.setattr(sms, "HELD_FOR", timedelta(days=1))
    await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    assert await world.smsc.reply(first.number, "3#2") == 0
    await world.status(second, "asked")


@pytest.mark.parametrize("committed", [True, False])
async def test_a_reply_of_which_we_do_not_know_whether_it_is_stored_counts_once(
    world: World, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The SMSC is asked to keep it; until it has delivered it again, the sibling's question waits."""
    first, second = siblings
    await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    store = Receiver._store

    async def store_and_end(receiver: Receiver, step: Step, batch: Any) -> None:
        await store(receiver, step, batch)
        if committed:
            await step.connection.execute("COMMIT")
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(Receiver, "_store", store_and_end)
    assert await world.smsc.reply(first.number, "3#1") == SMPP_ESME_RX_T_APPN
    monkeypatch.setattr(Receiver, "_store", store)
    assert await world.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'sending'") == 0
    await world.let_replies_age()
    assert await world.smsc.reply(first.number, "3#1") == 0
    await world.status(second, "asked")
    assert [event for event in await world.events(first) if event in ("reply_read", "consented")] == [
        "reply_read",
        "consented",
    ]
    assert (await world.case(second))["answered_at"] is None


async def test_a_reply_whose_acknowledgement_was_lost_with_the_connection_answers_the_same_question(
    world: World, siblings: tuple[Family, Family], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sibling's question was in memory already, and none of it had been answered."""
    first, second = siblings
    await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    world.smsc.silence()  # it hears nothing of what follows
    dropping = world.smsc.add("drop_before", first=True)
    reply = asyncio.create_task(world.smsc.reply(first.number, "3#1"))
    await world.smsc.wait_for(lambda: dropping.fired)
    await reply
    world.smsc.rules.remove(dropping)
    world.smsc.silence(False)
    await world.let_replies_age()
    assert await world.smsc.reply(first.number, "3#1") == 0
    await world.journaled(first, "reply_repeated")
    assert (await world.case(second))["answered_at"] is None


async def test_another_reply_after_a_lost_connection_answers_the_siblings_question(
    world: World, siblings: tuple[Family, Family]
) -> None:
    first, second = siblings
    await world.start()
    await world.push(*siblings)
    await world.status(first, "asked")
    dropping = world.smsc.add("drop_before text=3#1", first=True)
    await world.smsc.reply(first.number, "3#1")
    await world.smsc.wait_for(lambda: dropping.fired)
    world.smsc.rules.remove(dropping)
    assert await world.smsc.reply(first.number, "3#2") == 0
    await world.status(second, "refused")
