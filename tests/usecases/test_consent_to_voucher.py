"""The most frequent course of a case: a consent, and its voucher."""

from tests.harness import Family, Harness


async def test_a_consent_becomes_a_voucher(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.text(family, "socwallet")
    await harness.status(family, "voucher_issued")
    assert harness.sdu.statuses(family.record_id) == [
        "received",
        "number_found",
        "asked",
        "consented",
        "voucher_issued",
    ]
    harness.no_complaints()
