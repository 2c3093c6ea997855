"""A process that is to stop hears its partners out: the next one asks nobody a second time."""

import asyncio
from typing import Any

import pytest

from gateway import app
from gateway.partners import sdu
from tests.harness import WITHIN, Family, Harness

SLOW = 0.4
"""Seconds that a partner takes to answer."""


async def test_a_voucher_that_is_being_formed_is_waited_for(harness: Harness) -> None:
    process = await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    harness.wallet.latency = SLOW
    await harness.smsc.reply(family.number, "3#1")
    await harness.wallet.wait_for(lambda: harness.wallet.under_way == 1)
    assert await process.stop() == 0
    assert await harness.connection.fetchval("SELECT voucher_id FROM cases") is not None
    await harness.start()
    await harness.status(family, "voucher_issued")
    assert harness.wallet.called == 1


async def test_a_look_up_under_way_is_waited_for_and_the_others_are_the_next_processes(harness: Harness) -> None:
    harness.mcb.latency = SLOW
    process = await harness.start(mcb={"concurrency": 1})
    families = [Family(n=n) for n in range(1, 6)]
    await harness.push(*families)
    await harness.mcb.wait_for(lambda: harness.mcb.under_way == 1)
    assert await process.stop() == 0
    assert harness.mcb.called == 1
    assert (
        await harness.connection.fetchval("SELECT count(*) FROM calls WHERE kind = 'lookup' AND node IS NULL") == 4
    )
    harness.mcb.latency = 0.0
    await harness.start()
    for family in families:
        await harness.status(family, "asked")
    assert harness.mcb.called == 5


async def test_statuses_under_way_are_told_once(harness: Harness) -> None:
    harness.sdu.latency = SLOW
    process = await harness.start()
    await harness.push(Family(n=1))
    await harness.sdu.wait_for(lambda: harness.sdu.under_way == 1)
    assert await process.stop() == 0
    assert await harness.connection.fetchval("SELECT seq FROM feeds") == int(harness.sdu.events[-1]["seq"])
    harness.sdu.latency = 0.0
    await harness.start()
    await harness.status(Family(n=1), "asked")
    assert harness.sdu.repeated == 0


async def test_a_rest_after_a_failed_push_is_not_waited_out(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdu, "BACKOFF", (60.0, 60.0))
    harness.sdu.down()
    process = await harness.start()
    await harness.push(Family(n=1))
    await harness.sdu.wait_for(lambda: harness.sdu.failed == 1)
    async with asyncio.timeout(app.STOP_WITHIN / 2):
        assert await process.stop() == 0


@pytest.mark.parametrize(("partner", "status"), [("wallet", "voucher_issued"), ("sdu", "asked")])
async def test_a_neighbour_that_hangs_is_given_up_and_asked_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, partner: str, status: str
) -> None:
    monkeypatch.setattr(app, "STOP_WITHIN", 0.2)
    asked: Any = getattr(harness, partner)
    asked.fail(hang=True, after=True)
    process = await harness.start(wallet={"timeout": "60s"})
    family = Family(n=1)
    await harness.push(family)
    if partner == "wallet":
        await harness.status(family, "asked")
        await harness.smsc.reply(family.number, "3#1")
    await asked.wait_for(lambda: asked.under_way == 1, within=WITHIN)
    assert await process.stop() == 0
    await harness.start()
    await harness.status(family, status)
    assert len(set(harness.wallet.keys)) == len(harness.wallet.vouchers)
