"""The way most cases travel."""

from world import Family, World


async def test_a_consent_becomes_a_voucher(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    assert await world.smsc.reply(family.number, "3#1") == 0
    await world.text(family, "socwallet")
    await world.status(family, "voucher_issued")
    assert world.sdu.statuses(family.record_id) == [
        "received",
        "number_found",
        "asked",
        "consented",
        "voucher_issued",
    ]
    world.no_complaints()
