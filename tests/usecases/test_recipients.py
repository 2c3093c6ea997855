"""The recipient whose number is asked, and cases whose recipients cannot be reached."""

import pytest

from tests.harness import SEGMENTS, Family, Harness, metric, set_due


async def test_recipients_are_mother_then_father_then_representatives(harness: Harness) -> None:
    await harness.start()
    families = [
        Family(n=1),
        Family(n=2, mother=None, father="77020000002"),
        Family(n=3, mother=None, father=None, representatives=(None, "77050000003")),
        Family(n=4, representatives=("77050000004",)),
    ]
    await harness.ask(*families)
    relations = [(await harness.status(family, "asked"))["detail"]["relation"] for family in families]
    assert relations == ["mother", "father", "representative", "representative"]
    assert "Ахметова Айгүл Серікқызы" in harness.smsc.inbox("77020000002")[0].text


async def test_a_case_without_any_number_ends_as_no_number_with_the_relations_checked(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1, mother=None, father=None, representatives=(None, None))
    await harness.push(family)
    event = await harness.status(family, "no_number")
    assert event["detail"] == {"checked": ["mother", "father", "representative", "representative"]}
    assert harness.sdu.statuses(family.record_id) == ["received", "no_number"]
    assert (await harness.events(family)).count("number_missing") == 4


@pytest.mark.parametrize("number", ["79161234567", "77271234567", "12345", "+1 212 555 0100", ""])
async def test_a_number_that_is_not_a_kazakh_mobile_number_counts_as_missing(
    harness: Harness, number: str
) -> None:
    await harness.start()
    family = Family(n=1, mother="77010000001", father="77020000001")
    harness.know([family])
    harness.mcb.overrides[family.people[0][1]] = {"found": True, "msisdn": number}
    await harness.push(family, known=False)
    assert (await harness.status(family, "asked"))["detail"] == {"relation": "father"}
    assert await harness.journaled(family, "number_invalid") == {"relation": "mother"}


async def test_every_spelling_of_a_number_is_one_msisdn(harness: Harness) -> None:
    await harness.start()
    spellings = ["8 (701) 123-45-67", "8-10-7-701-1234567", "87011234567", "7011234567"]
    families = [Family(n=n, mother=spelling) for n, spelling in enumerate(spellings, start=1)]
    await harness.push(*families)
    for family in families:
        await harness.journaled(family, "number_found")
    numbers = await harness.connection.fetch("SELECT DISTINCT msisdn FROM cases")
    assert [row["msisdn"] for row in numbers] == ["77011234567"]


async def test_routing_prefers_the_operator_of_the_mcb_to_the_prefix(harness: Harness) -> None:
    await harness.start(link={"operators": ["Beeline KZ"], "prefixes": ["705"], "default": False})
    by_operator, by_prefix, by_prefix_of_unlisted = (
        Family(n=1, mother=("77470000001", "beeline kz")),
        Family(n=2, mother="77050000002"),
        Family(n=3, mother=("77050000003", "unlisted")),
    )
    unroutable = Family(n=4, mother="77470000004")
    await harness.ask(by_operator, by_prefix, by_prefix_of_unlisted)
    await harness.push(unroutable)
    assert await harness.journaled(unroutable, "parked") == {"reason": "no_route"}


async def test_a_request_refused_permanently_ends_as_undeliverable(harness: Harness) -> None:
    harness.smsc.add("refuse to=77010000001")
    before = metric("segments_total", link="kcell", outcome="refused")
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "undeliverable")
    assert harness.sdu.statuses(family.record_id) == ["received", "number_found", "undeliverable"]
    refused = await harness.journaled(family, "text_refused")
    assert (refused["command_status"], refused["name"]) == (11, "ESME_RINVDSTADR")
    assert metric("segments_total", link="kcell", outcome="refused") > before
    assert harness.smsc.inbox(family.number) == []


async def test_with_fallback_on_undeliverable_a_refused_request_to_the_mother_goes_to_the_father(
    harness: Harness,
) -> None:
    harness.smsc.add("refuse to=77010000001")
    await harness.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father="77020000001")
    await harness.push(family)
    assert (await harness.status(family, "asked"))["detail"] == {"relation": "father"}
    await harness.smsc.message("77020000001", containing="3#1")
    await harness.smsc.reply("77020000001", "3#1")
    await harness.status(family, "voucher_issued")
    assert harness.wallet.calls[0].body["recipient"]["relation"] == "father"


async def test_a_request_undeliverable_by_receipt_is_repeated_and_ends_as_undeliverable(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    for repeat in range(2):
        await (harness.ask(family) if not repeat else harness.status(family, "reminded"))
        last = harness.smsc.submitted[-1]
        assert (last.number, last.registered_delivery) == (SEGMENTS, 1)
        assert await harness.smsc.receipt(last, "undeliverable") == 0
        assert "text_undeliverable" in await harness.events(family)
        assert (await harness.case(family))["undelivered"] == (0b1, 0b11)[repeat]
        await set_due(harness.connection, "now() - interval '1 s'")
    await harness.status(family, "undeliverable")
    assert harness.sdu.statuses(family.record_id)[-3:] == ["asked", "reminded", "undeliverable"]


async def test_with_fallback_on_undeliverable_a_failed_receipt_leads_to_the_father(harness: Harness) -> None:
    await harness.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father="77020000001")
    await harness.ask(family)
    await harness.smsc.receipt(harness.smsc.submitted[-1], "undeliverable")
    await harness.smsc.message("77020000001", containing="3#1")
    assert await harness.journaled(family, "recipient_unreachable") == {"relation": "mother"}
    await harness.smsc.reply("77010000001", "3#1")  # the mother's question is closed
    await harness.status(family, "late_reply")
    await harness.smsc.reply("77020000001", "3#2")
    await harness.status(family, "refused")


async def test_with_fallback_on_undeliverable_a_case_without_further_recipients_is_undeliverable(
    harness: Harness,
) -> None:
    await harness.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father=None)
    await harness.ask(family)
    await harness.smsc.receipt(harness.smsc.submitted[-1], "expired")
    await harness.status(family, "undeliverable")
