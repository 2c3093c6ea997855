"""Statuses on their way to SDU: signed, in order, at least once, and never lost."""

import asyncio

import pytest
from fakes.sdu import new_secret, signature_fault
from world import Family, World


async def test_sdu_down_and_back_hears_of_everything_in_order(world: World) -> None:
    world.sdu.down()
    await world.start(sdu={"batch": 7})
    world.sdu.batch = 7
    families = [Family(n=n) for n in range(1, 6)]
    await world.push(*families)
    for family in families:
        await world.text(family, "3#1")
    await world.sdu.wait_for(lambda: world.sdu.failed >= 2)
    await asyncio.gather(*(world.smsc.reply(family.number, "3#1") for family in families))
    await world.sdu.stop()
    for family in families:
        await world.text(family, "socwallet")
    world.sdu.up()
    await world.sdu.start()
    for family in families:
        await world.status(family, "voucher_issued")
        assert world.sdu.statuses(family.record_id) == [
            "received",
            "number_found",
            "asked",
            "consented",
            "voucher_issued",
        ]
    world.no_complaints()  # of seq going back, of a signature, of a field


async def test_an_answer_that_is_lost_brings_the_same_events_again(world: World) -> None:
    world.sdu.fail(2, cut=True, after=True)
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.sdu.wait_for(lambda: world.sdu.repeated)
    assert world.sdu.statuses(family.record_id) == ["received", "number_found", "asked"]
    first, second = world.sdu.calls[:2]
    assert first.raw == second.raw
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_the_signature_holds_for_the_very_octets(world: World) -> None:
    await world.start()
    await world.ask(Family(n=1))
    call = world.sdu.calls[0]
    sent_at = float(call.headers["webhook-timestamp"])
    assert signature_fault(call.headers, call.raw, new_secret(), sent_at) is None
    assert signature_fault(call.headers, call.raw + b" ", new_secret(), sent_at) is not None
    assert signature_fault(call.headers, call.raw, new_secret(b"another"), sent_at) is not None


@pytest.mark.parametrize("status", [400, 401, 409, 302, 500])
async def test_sdu_is_told_again_until_it_takes_whatever_it_says(world: World, status: int) -> None:
    world.sdu.fail(2, status=status)
    await world.start()
    await world.ask(Family(n=1))
    assert world.sdu.called >= 3


async def test_retry_after_is_honoured(world: World) -> None:
    world.sdu.fail(status=429, retry_after=1)
    await world.start()
    await world.ask(Family(n=1))
    first, second = world.sdu.calls[:2]
    assert second.at - (first.answered_at or 0) >= 0.95


async def test_a_restart_goes_on_where_sdu_has_taken_everything(world: World) -> None:
    process = await world.start()
    first, second = Family(n=1), Family(n=2)
    await world.ask(first)
    taken = int(world.sdu.events[-1]["seq"])
    await world.connection.execute(
        f"""DO $$ BEGIN
            WHILE (SELECT seq FROM feeds WHERE feed = 'sdu') < {taken} LOOP PERFORM pg_sleep(0.01); END LOOP;
        END $$"""
    )
    await process.stop()
    await world.start()
    await world.ask(second)
    assert world.sdu.repeated == 0
    sequence = [event["seq"] for event in world.sdu.events]
    assert sequence == sorted(sequence)


async def test_who_pulls_hears_what_is_pushed(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#2")
    await world.status(family, "refused")
    pulled, after = [], 0
    while True:
        _, page = await world.request("GET", f"/v1/statuses?after={after}&limit=2", role="sdu")
        if not page["events"]:
            break
        pulled += page["events"]
        after = page["next"]
    assert pulled == world.sdu.events
