"""What parents answer, when, and how often."""

import asyncio
import json

from world import SEGMENTS, WITHIN, Family, World


async def test_siblings_are_asked_in_turn(world: World) -> None:
    await world.start()
    first, second, third = (Family(n=n, mother="77010000001") for n in (1, 2, 3))
    await world.push(first, second, third)
    await world.status(first, "asked")
    for sibling in (second, third):
        await world.journaled(sibling, "number_found")
        assert (await world.case(sibling))["state"] == "waiting"

    await world.smsc.reply(first.number, "3#1")
    await world.status(second, "asked")
    assert (await world.case(third))["state"] == "waiting"
    await world.smsc.reply(first.number, "3#2")
    await world.status(third, "asked")

    assert world.sdu.statuses(first.record_id)[-2:] != ["asked", "withdrawal_requested"]
    assert "consented" in world.sdu.statuses(first.record_id)
    assert world.sdu.statuses(second.record_id)[-1] == "refused"
    questions = [message for message in world.smsc.inbox(first.number) if "3#1" in message.text]
    assert len(questions) == 3


async def test_texts_to_one_number_never_share_a_reference(world: World) -> None:
    await world.start()
    siblings = [Family(n=n, mother="77010000001") for n in (1, 2, 3)]
    await world.push(*siblings)
    for sibling in siblings:
        await world.status(sibling, "asked")
        await world.smsc.reply(sibling.number, "3#1")
        await world.let_replies_age()
    await world.text(siblings[0], "socwallet", nth=3)
    references = [message.reference for message in world.smsc.inbox(siblings[0].number)]
    assert len(set(references)) == len(references) == 6


async def test_the_same_answer_typed_again_is_not_the_siblings(world: World) -> None:
    """Before the sibling's question has left, nobody can have answered it."""
    await world.start()
    first, second = (Family(n=n, mother="77010000001") for n in (1, 2))
    world.smsc.silence()
    await world.push(first, second)
    await world.smsc.wait_for(lambda: world.smsc.submitted)
    await world.smsc.reply(first.number, "3#1")
    await world.let_replies_age()
    await world.smsc.reply(first.number, "3#1")
    assert "reply_repeated" in await world.events(first)
    assert "consented" not in await world.events(second)


async def test_an_answer_before_the_last_response_counts_and_asked_is_told_first(world: World) -> None:
    last_is_held = world.smsc.add(f"no_answer nth={SEGMENTS}")
    await world.start()
    family = Family(n=1)
    await world.push(family)
    await world.smsc.wait_for(lambda: last_is_held.fired)
    await world.smsc.reply(family.number, "3#1")
    await world.status(family, "voucher_issued")
    assert world.sdu.statuses(family.record_id) == [
        "received",
        "number_found",
        "asked",
        "consented",
        "voucher_issued",
    ]


async def test_a_refusal_after_a_consent_is_told_as_a_request_to_withdraw(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#1")
    await world.status(family, "voucher_issued")
    await world.smsc.reply(family.number, "3#2, жоқ")
    event = await world.status(family, "withdrawal_requested")
    assert event["detail"]["normalised"] is True
    assert (await world.case(family))["state"] == "voucher_issued"
    assert len(world.smsc.inbox(family.number)) == 2


async def test_a_consent_after_a_refusal_is_told_as_late(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#2")
    await world.text(family, "бас тарттыңыз")
    await world.smsc.reply(family.number, "3#1")
    await world.status(family, "late_reply")
    assert (await world.case(family))["state"] == "refused"
    assert world.wallet.called == 0


async def test_a_reply_that_the_smsc_delivers_twice_is_one(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    assert await asyncio.gather(*(world.smsc.reply(family.number, "3#1") for _ in range(3))) == [0, 0, 0]
    await world.status(family, "voucher_issued")
    events = await world.events(family)
    assert (events.count("reply_read"), events.count("consented"), events.count("reply_repeated")) == (1, 1, 0)


async def test_the_same_answer_later_is_another_reply_and_the_same_answer(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#1")
    await world.let_replies_age()
    await world.smsc.reply(family.number, "3#1")
    await world.status(family, "voucher_issued")
    events = await world.events(family)
    assert (events.count("reply_read"), events.count("consented"), events.count("reply_repeated")) == (2, 1, 1)
    assert len(world.smsc.inbox(family.number)) == 2


async def test_an_unclear_reply_is_clarified_once(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    for text in ("иә", "кім бұл", "3#1?"):
        assert await world.smsc.reply(family.number, text) == 0
    assert (await world.events(family)).count("reply_unclear") == 3
    await world.smsc.reply(family.number, "3#1")
    await world.text(family, "socwallet")
    assert len(world.smsc.inbox(family.number)) == 3
    clarification = world.smsc.inbox(family.number)[1]
    assert clarification.total <= 2
    assert "3#1" in clarification.text
    assert "3#2" in clarification.text


async def test_without_the_switch_an_unclear_reply_gets_no_text(world: World) -> None:
    await world.start(journey={"clarify": False})
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "иә")
    assert "reply_unclear" in await world.events(family)
    assert "text_queued" not in (await world.events(family))[3:]


async def test_a_russian_record_is_asked_and_answered_in_russian(world: World) -> None:
    await world.start()
    family = Family(n=1, language="ru")
    await world.push(family)
    await world.text(family, "Уважаемый(-ая) Ахметова Айгүл Серікқызы! Для Вашего ребёнка Ахметов Нұрлан")
    await world.status(family, "asked")
    await world.smsc.reply(family.number, "3#2")
    await world.text(family, "Вы отказались от услуги.")


async def test_the_evidence_of_a_consent_is_all_there(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "«3#1»", encoding="ucs2", schedule_delivery_time="261122101503020+")
    await world.status(family, "voucher_issued")
    case_id = await world.case_id(family)
    reply = await world.connection.fetchrow("SELECT * FROM replies WHERE case_id = $1", case_id)
    assert reply is not None
    assert bytes(reply["octets"]) == "«3#1»".encode("utf-16-be")
    assert (reply["data_coding"], reply["smsc_time"]) == (8, "261122101503020+")
    assert (reply["verdict"], reply["normalised"], reply["rule_version"]) == ("agree", False, "1")
    sms = await world.connection.fetchrow(
        "SELECT body, template, message_ids::text FROM sms WHERE case_id = $1 AND kind = 'request'", case_id
    )
    assert sms is not None
    assert sms["body"] == world.smsc.inbox(family.number)[0].text
    assert sms["template"] == await world.connection.fetchval(
        "SELECT version FROM templates WHERE name = 'request' AND language = 'kk'"
    )
    assert len(json.loads(sms["message_ids"])) == SEGMENTS
    evidence = world.wallet.calls[0].body["consent"]["evidence"]
    assert evidence == (await world.case(family))["evidence"]
    told = await world.journaled(family, "reply_read")
    assert told["reply"].rpartition(":")[2] == evidence.removeprefix("sha256:")


async def test_a_long_letter_in_many_segments_is_unclear_and_costs_one_clarification(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    letter = "Сәлеметсіз бе! Бұл қандай қызмет, түсіндіріп беріңізші. " * 6
    order = [3, 1, 2, 5, 4, 6, 1, 3]
    assert await world.smsc.reply(family.number, letter, order=order, within=WITHIN) == 0
    events = await world.events(family)
    assert (events.count("reply_read"), events.count("reply_unclear")) == (1, 1)
