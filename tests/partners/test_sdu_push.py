"""Statuses are pushed to SDU signed, in order, at least once, and none is lost."""

import asyncio

import pytest

from gateway.simulators.sdu import new_secret, signature_fault
from tests.harness import Family, Harness


async def test_all_statuses_arrive_in_order_after_an_outage_of_sdu(harness: Harness) -> None:
    harness.sdu.down()
    await harness.start(sdu={"batch": 7})
    harness.sdu.batch = 7
    families = [Family(n=n) for n in range(1, 6)]
    await harness.push(*families)
    for family in families:
        await harness.text(family, "3#1")
    await harness.sdu.wait_for(lambda: harness.sdu.failed >= 2)
    await asyncio.gather(*(harness.smsc.reply(family.number, "3#1") for family in families))
    await harness.sdu.stop()
    for family in families:
        await harness.text(family, "socwallet")
    harness.sdu.up()
    await harness.sdu.start()
    for family in families:
        await harness.status(family, "voucher_issued")
        assert harness.sdu.statuses(family.record_id) == [
            "received",
            "number_found",
            "asked",
            "consented",
            "voucher_issued",
        ]
    harness.no_complaints()  # of seq going back, of a signature, of a field


async def test_lost_response_repeats_the_same_events_under_the_same_id(harness: Harness) -> None:
    harness.sdu.fail(2, cut=True, after=True)
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.sdu.wait_for(lambda: harness.sdu.repeated)
    assert harness.sdu.statuses(family.record_id) == ["received", "number_found", "asked"]
    first, second = harness.sdu.calls[:2]
    assert first.raw == second.raw
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_signature_covers_the_exact_octets(harness: Harness) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    call = harness.sdu.calls[0]
    sent_at = float(call.headers["webhook-timestamp"])
    assert signature_fault(call.headers, call.raw, new_secret(), sent_at) is None
    assert signature_fault(call.headers, call.raw + b" ", new_secret(), sent_at) is not None
    assert signature_fault(call.headers, call.raw, new_secret(b"another"), sent_at) is not None


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 413, 425, 302, 500])
async def test_statuses_are_pushed_until_sdu_responds_with_2xx(harness: Harness, status: int) -> None:
    harness.sdu.fail(2, status=status)
    await harness.start()
    await harness.ask(Family(n=1))
    assert harness.sdu.called >= 3


async def test_sdu_is_pushed_to_again_after_retry_after(harness: Harness) -> None:
    harness.sdu.fail(status=429, retry_after=1)
    await harness.start()
    await harness.ask(Family(n=1))
    first, second = harness.sdu.calls[:2]
    assert second.at - (first.responded_at or 0) >= 0.95


async def test_restart_pushes_only_statuses_that_sdu_has_not_accepted(harness: Harness) -> None:
    process = await harness.start()
    first, second = Family(n=1), Family(n=2)
    await harness.ask(first)
    taken = int(harness.sdu.events[-1]["seq"])
    await harness.connection.execute(
        f"""DO $$ BEGIN
            WHILE (SELECT seq FROM feeds WHERE feed = 'sdu') < {taken} LOOP PERFORM pg_sleep(0.01); END LOOP;
        END $$"""
    )
    await process.stop()
    await harness.start()
    await harness.ask(second)
    assert harness.sdu.repeated == 0
    sequence = [event["seq"] for event in harness.sdu.events]
    assert sequence == sorted(sequence)


async def test_pulled_statuses_equal_the_pushed_ones(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#2")
    await harness.status(family, "refused")
    pulled, after = [], 0
    while True:
        _, page = await harness.request("GET", f"/v1/statuses?after={after}&limit=2", role="sdu")
        if not page["events"]:
            break
        pulled += page["events"]
        after = page["next"]
    assert pulled == harness.sdu.events
