"""A process that stops waits for the responses of its partners: the next one repeats no request."""

import asyncio
from typing import Any

import pytest

from gateway.backoff import Backoff
from tests.harness import WITHIN, Family, Harness

SLOW_SECONDS = 0.4
"""Time that a partner takes to respond."""


async def test_stop_waits_for_a_voucher_request_under_way(harness: Harness) -> None:
    process = await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    harness.wallet.latency = SLOW_SECONDS
    await harness.smsc.reply(family.number, "3#1")
    await harness.wallet.wait_for(lambda: harness.wallet.in_flight == 1)
    assert await process.stop() == 0
    assert await harness.connection.fetchval("SELECT voucher_id FROM cases") is not None
    await harness.start()
    await harness.status(family, "voucher_issued")
    assert harness.wallet.called == 1


async def test_stop_waits_for_a_lookup_under_way_and_leaves_the_others_to_the_next_process(
    harness: Harness,
) -> None:
    harness.mcb.latency = SLOW_SECONDS
    process = await harness.start(mcb={"concurrency": 1})
    families = [Family(n=n) for n in range(1, 6)]
    await harness.push(*families)
    await harness.mcb.wait_for(lambda: harness.mcb.in_flight == 1)
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


async def test_stop_waits_for_a_push_under_way_so_that_nothing_is_repeated(harness: Harness) -> None:
    harness.sdu.latency = SLOW_SECONDS
    process = await harness.start()
    await harness.push(Family(n=1))
    await harness.sdu.wait_for(lambda: harness.sdu.in_flight == 1)
    assert await process.stop() == 0
    assert await harness.connection.fetchval("SELECT seq FROM feeds") == int(harness.sdu.events[-1]["seq"])
    harness.sdu.latency = 0.0
    await harness.start()
    await harness.status(Family(n=1), "asked")
    assert harness.sdu.repeated == 0


async def test_stop_does_not_wait_for_the_backoff_after_a_failed_push(harness: Harness) -> None:
    harness.set_policy(partners={"push": Backoff(first_seconds=60.0, max_seconds=60.0)})
    harness.sdu.down()
    process = await harness.start()
    await harness.push(Family(n=1))
    await harness.sdu.wait_for(lambda: harness.sdu.failed == 1)
    async with asyncio.timeout(harness.policy.stop_timeout_seconds / 2):
        assert await process.stop() == 0


@pytest.mark.parametrize(("partner", "status"), [("wallet", "voucher_issued"), ("sdu", "asked")])
async def test_stop_abandons_a_partner_that_hangs_and_the_next_process_calls_it_again(
    harness: Harness, partner: str, status: str
) -> None:
    harness.set_policy(stop_timeout_seconds=0.2)
    asked: Any = getattr(harness, partner)
    asked.fail(hang=True, after=True)
    process = await harness.start(wallet={"timeout": "60s"})
    family = Family(n=1)
    await harness.push(family)
    if partner == "wallet":
        await harness.status(family, "asked")
        await harness.smsc.reply(family.number, "3#1")
    await asked.wait_for(lambda: asked.in_flight == 1, within=WITHIN)
    assert await process.stop() == 0
    await harness.start()
    await harness.status(family, status)
    assert len(set(harness.wallet.keys)) == len(harness.wallet.vouchers)
