"""Whose number is asked, and what becomes of those who can't be reached."""

import pytest
from world import SEGMENTS, Family, World, metric


async def test_mother_then_father_then_representatives(world: World) -> None:
    await world.start()
    families = [
        Family(n=1),
        Family(n=2, mother=None, father="77020000002"),
        Family(n=3, mother=None, father=None, representatives=(None, "77050000003")),
        Family(n=4, representatives=("77050000004",)),
    ]
    await world.ask(*families)
    told = [(await world.status(family, "asked"))["detail"]["relation"] for family in families]
    assert told == ["mother", "father", "representative", "representative"]
    assert "Ахметова Айгүл Серікқызы" in world.smsc.inbox("77020000002")[0].text


async def test_nobodys_number_ends_as_no_number_and_says_who_was_checked(world: World) -> None:
    await world.start()
    family = Family(n=1, mother=None, father=None, representatives=(None, None))
    await world.push(family)
    event = await world.status(family, "no_number")
    assert event["detail"] == {"checked": ["mother", "father", "representative", "representative"]}
    assert world.sdu.statuses(family.record_id) == ["received", "no_number"]
    assert (await world.events(family)).count("number_missing") == 4


@pytest.mark.parametrize("number", ["79161234567", "77271234567", "12345", "+1 212 555 0100", ""])
async def test_a_number_that_is_no_kazakh_mobile_number_counts_as_none(world: World, number: str) -> None:
    await world.start()
    family = Family(n=1, mother="77010000001", father="77020000001")
    world.know([family])
    world.mcb.odd[family.people[0][1]] = {"found": True, "msisdn": number}
    await world.push(family, known=False)
    assert (await world.status(family, "asked"))["detail"] == {"relation": "father"}
    assert await world.journaled(family, "number_invalid") == {"relation": "mother"}


async def test_a_number_in_any_spelling_is_one_number(world: World) -> None:
    await world.start()
    spellings = ["8 (701) 123-45-67", "8-10-7-701-1234567", "87011234567", "7011234567"]
    families = [Family(n=n, mother=spelling) for n, spelling in enumerate(spellings, start=1)]
    await world.push(*families)
    for family in families:
        await world.journaled(family, "number_found")
    numbers = await world.connection.fetch("SELECT DISTINCT msisdn FROM cases")
    assert [row["msisdn"] for row in numbers] == ["77011234567"]


async def test_the_mcbs_operator_beats_the_prefix(world: World) -> None:
    await world.start(link={"operators": ["Beeline KZ"], "prefixes": ["705"], "default": False})
    named, prefixed, ported = (
        Family(n=1, mother=("77470000001", "beeline kz")),
        Family(n=2, mother="77050000002"),
        Family(n=3, mother=("77050000003", "nobody's")),
    )
    stray = Family(n=4, mother="77470000004")
    await world.ask(named, prefixed, ported)
    await world.push(stray)
    assert await world.journaled(stray, "parked") == {"reason": "no_route"}


async def test_refused_for_good_at_once_ends_as_undeliverable(world: World) -> None:
    world.smsc.add("refuse to=77010000001")
    before = metric("segments_total", link="kcell", outcome="refused")
    await world.start()
    family = Family(n=1)
    await world.push(family)
    await world.status(family, "undeliverable")
    assert world.sdu.statuses(family.record_id) == ["received", "number_found", "undeliverable"]
    refused = await world.journaled(family, "text_refused")
    assert (refused["command_status"], refused["name"]) == (11, "ESME_RINVDSTADR")
    assert metric("segments_total", link="kcell", outcome="refused") > before
    assert world.smsc.inbox(family.number) == []


async def test_with_the_switch_a_refused_mother_leads_to_the_father(world: World) -> None:
    world.smsc.add("refuse to=77010000001")
    await world.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father="77020000001")
    await world.push(family)
    assert (await world.status(family, "asked"))["detail"] == {"relation": "father"}
    await world.smsc.message("77020000001", containing="3#1")
    await world.smsc.reply("77020000001", "3#1")
    await world.status(family, "voucher_issued")
    assert world.wallet.calls[0].body["recipient"]["relation"] == "father"


async def test_undeliverable_by_receipt_is_repeated_and_ends_as_undeliverable(world: World) -> None:
    await world.start()
    family = Family(n=1)
    for repeat in range(2):
        await (world.ask(family) if not repeat else world.status(family, "reminded"))
        last = world.smsc.submitted[-1]
        assert (last.number, last.registered_delivery) == (SEGMENTS, 1)
        assert await world.smsc.receipt(last, "undeliverable") == 0
        assert "text_undeliverable" in await world.events(family)
        assert (await world.case(family))["undelivered"] == (0b1, 0b11)[repeat]
        await world.connection.execute("UPDATE cases SET due_at = now() - interval '1 s'")
    await world.status(family, "undeliverable")
    assert world.sdu.statuses(family.record_id)[-3:] == ["asked", "reminded", "undeliverable"]


async def test_with_the_switch_an_undeliverable_receipt_leads_to_the_father(world: World) -> None:
    await world.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father="77020000001")
    await world.ask(family)
    await world.smsc.receipt(world.smsc.submitted[-1], "undeliverable")
    await world.smsc.message("77020000001", containing="3#1")
    assert await world.journaled(family, "recipient_unreachable") == {"relation": "mother"}
    await world.smsc.reply("77010000001", "3#1")  # the mother's question is closed
    await world.status(family, "late_reply")
    await world.smsc.reply("77020000001", "3#2")
    await world.status(family, "refused")


async def test_with_the_switch_nobody_left_is_undeliverable(world: World) -> None:
    await world.start(journey={"fallback_on_undeliverable": True})
    family = Family(n=1, mother="77010000001", father=None)
    await world.ask(family)
    await world.smsc.receipt(world.smsc.submitted[-1], "expired")
    await world.status(family, "undeliverable")
