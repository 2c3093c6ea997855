"""A process that is to stop hears its neighbours out: the next one asks nobody a second time."""

import asyncio
from typing import Any

import pytest
from world import WITHIN, Family, World

from gateway import app
from gateway.partners import sdu

SLOW = 0.4
"""Seconds that a neighbour takes to answer."""


async def test_a_voucher_that_is_being_formed_is_waited_for(world: World) -> None:
    process = await world.start()
    family = Family(n=1)
    await world.ask(family)
    world.wallet.latency = SLOW
    await world.smsc.reply(family.number, "3#1")
    await world.wallet.wait_for(lambda: world.wallet.under_way == 1)
    assert await process.stop() == 0
    assert await world.connection.fetchval("SELECT voucher_id FROM cases") is not None
    await world.start()
    await world.status(family, "voucher_issued")
    assert world.wallet.called == 1


async def test_a_look_up_under_way_is_waited_for_and_the_others_are_the_next_processes(world: World) -> None:
    world.mcb.latency = SLOW
    process = await world.start(mcb={"concurrency": 1})
    families = [Family(n=n) for n in range(1, 6)]
    await world.push(*families)
    await world.mcb.wait_for(lambda: world.mcb.under_way == 1)
    assert await process.stop() == 0
    assert world.mcb.called == 1
    assert (
        await world.connection.fetchval("SELECT count(*) FROM calls WHERE kind = 'lookup' AND node IS NULL") == 4
    )
    world.mcb.latency = 0.0
    await world.start()
    for family in families:
        await world.status(family, "asked")
    assert world.mcb.called == 5


async def test_statuses_under_way_are_told_once(world: World) -> None:
    world.sdu.latency = SLOW
    process = await world.start()
    await world.push(Family(n=1))
    await world.sdu.wait_for(lambda: world.sdu.under_way == 1)
    assert await process.stop() == 0
    assert await world.connection.fetchval("SELECT seq FROM feeds") == int(world.sdu.events[-1]["seq"])
    world.sdu.latency = 0.0
    await world.start()
    await world.status(Family(n=1), "asked")
    assert world.sdu.repeated == 0


async def test_a_rest_after_a_failed_push_is_not_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdu, "BACKOFF", (60.0, 60.0))
    world.sdu.down()
    process = await world.start()
    await world.push(Family(n=1))
    await world.sdu.wait_for(lambda: world.sdu.failed == 1)
    async with asyncio.timeout(app.STOP_WITHIN / 2):
        assert await process.stop() == 0


@pytest.mark.parametrize(("partner", "status"), [("wallet", "voucher_issued"), ("sdu", "asked")])
async def test_a_neighbour_that_hangs_is_given_up_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch, partner: str, status: str
) -> None:
    monkeypatch.setattr(app, "STOP_WITHIN", 0.2)
    asked: Any = getattr(world, partner)
    asked.fail(hang=True, after=True)
    process = await world.start(wallet={"timeout": "60s"})
    family = Family(n=1)
    await world.push(family)
    if partner == "wallet":
        await world.status(family, "asked")
        await world.smsc.reply(family.number, "3#1")
    await asked.wait_for(lambda: asked.under_way == 1, within=WITHIN)
    assert await process.stop() == 0
    await world.start()
    await world.status(family, status)
    assert len(set(world.wallet.keys)) == len(world.wallet.vouchers)
