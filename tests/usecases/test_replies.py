"""Replies of parents: their order, repetitions and times, and the texts they get."""

import asyncio
import json

from tests.harness import SEGMENTS, WITHIN, Family, Harness


async def test_siblings_of_one_number_are_asked_one_after_another(harness: Harness) -> None:
    await harness.start()
    first, second, third = (Family(n=n, mother="77010000001") for n in (1, 2, 3))
    await harness.push(first, second, third)
    await harness.status(first, "asked")
    for sibling in (second, third):
        await harness.journaled(sibling, "number_found")
        assert (await harness.case(sibling))["state"] == "waiting"

    await harness.smsc.reply(first.number, "3#1")
    await harness.status(second, "asked")
    assert (await harness.case(third))["state"] == "waiting"
    await harness.smsc.reply(first.number, "3#2")
    await harness.status(third, "asked")

    assert harness.sdu.statuses(first.record_id)[-2:] != ["asked", "withdrawal_requested"]
    assert "consented" in harness.sdu.statuses(first.record_id)
    assert harness.sdu.statuses(second.record_id)[-1] == "refused"
    questions = [message for message in harness.smsc.inbox(first.number) if "3#1" in message.text]
    assert len(questions) == 3


async def test_texts_to_one_number_never_share_a_reference(harness: Harness) -> None:
    await harness.start()
    siblings = [Family(n=n, mother="77010000001") for n in (1, 2, 3)]
    await harness.push(*siblings)
    for sibling in siblings:
        await harness.status(sibling, "asked")
        await harness.smsc.reply(sibling.number, "3#1")
        await harness.let_replies_age()
    await harness.text(siblings[0], "socwallet", nth=3)
    references = [message.reference for message in harness.smsc.inbox(siblings[0].number)]
    assert len(set(references)) == len(references) == 6


async def test_a_repeated_reply_does_not_count_for_a_sibling_that_was_not_asked_yet(harness: Harness) -> None:
    """Before the sibling's question was submitted, no reply can belong to it."""
    await harness.start()
    first, second = (Family(n=n, mother="77010000001") for n in (1, 2))
    harness.smsc.silence()
    await harness.push(first, second)
    await harness.smsc.wait_for(lambda: harness.smsc.submitted)
    await harness.smsc.reply(first.number, "3#1")
    await harness.let_replies_age()
    await harness.smsc.reply(first.number, "3#1")
    assert "reply_repeated" in await harness.events(first)
    assert "consented" not in await harness.events(second)


async def test_a_reply_before_the_last_submit_sm_resp_counts_and_asked_is_reported_first(harness: Harness) -> None:
    last_unanswered = harness.smsc.add(f"no_answer nth={SEGMENTS}")
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: last_unanswered.fired)
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "voucher_issued")
    assert harness.sdu.statuses(family.record_id) == [
        "received",
        "number_found",
        "asked",
        "consented",
        "voucher_issued",
    ]


async def test_a_refusal_after_a_consent_is_reported_as_withdrawal_requested(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "voucher_issued")
    await harness.smsc.reply(family.number, "3#2, жоқ")
    event = await harness.status(family, "withdrawal_requested")
    assert event["detail"]["normalised"] is True
    assert (await harness.case(family))["state"] == "voucher_issued"
    assert len(harness.smsc.inbox(family.number)) == 2


async def test_a_consent_after_a_refusal_is_reported_as_late_reply(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#2")
    await harness.text(family, "бас тарттыңыз")
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "late_reply")
    assert (await harness.case(family))["state"] == "refused"
    assert harness.wallet.called == 0


async def test_a_reply_delivered_several_times_at_once_is_one_reply(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert await asyncio.gather(*(harness.smsc.reply(family.number, "3#1") for _ in range(3))) == [0, 0, 0]
    await harness.status(family, "voucher_issued")
    events = await harness.events(family)
    assert (events.count("reply_read"), events.count("consented"), events.count("reply_repeated")) == (1, 1, 0)


async def test_the_same_reply_after_2_s_is_journaled_as_repeated(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#1")
    await harness.let_replies_age()
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "voucher_issued")
    events = await harness.events(family)
    assert (events.count("reply_read"), events.count("consented"), events.count("reply_repeated")) == (2, 1, 1)
    assert len(harness.smsc.inbox(family.number)) == 2


async def test_an_unclear_reply_is_clarified_once(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    for text in ("иә", "кім бұл", "3#1?"):
        assert await harness.smsc.reply(family.number, text) == 0
    assert (await harness.events(family)).count("reply_unclear") == 3
    await harness.smsc.reply(family.number, "3#1")
    await harness.text(family, "socwallet")
    assert len(harness.smsc.inbox(family.number)) == 3
    clarification = harness.smsc.inbox(family.number)[1]
    assert clarification.total <= 2
    assert "3#1" in clarification.text
    assert "3#2" in clarification.text


async def test_with_clarify_off_an_unclear_reply_gets_no_text(harness: Harness) -> None:
    await harness.start(journey={"clarify": False})
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "иә")
    assert "reply_unclear" in await harness.events(family)
    assert "text_queued" not in (await harness.events(family))[3:]


async def test_the_texts_of_a_russian_record_are_in_russian(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1, language="ru")
    await harness.push(family)
    await harness.text(family, "Уважаемый(-ая) Ахметова Айгүл Серікқызы! Для Вашего ребёнка Ахметов Нұрлан")
    await harness.status(family, "asked")
    await harness.smsc.reply(family.number, "3#2")
    await harness.text(family, "Вы отказались от услуги.")


async def test_the_evidence_of_a_consent_is_complete(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "«3#1»", encoding="ucs2", schedule_delivery_time="261122101503020+")
    await harness.status(family, "voucher_issued")
    case_id = await harness.case_id(family)
    reply = await harness.connection.fetchrow("SELECT * FROM replies WHERE case_id = $1", case_id)
    assert reply is not None
    assert bytes(reply["octets"]) == "«3#1»".encode("utf-16-be")
    assert (reply["data_coding"], reply["smsc_time"]) == (8, "261122101503020+")
    assert (reply["verdict"], reply["normalised"], reply["rule_version"]) == ("agree", False, "1")
    sms = await harness.connection.fetchrow(
        "SELECT filled_template(template, fields) AS body, template, message_ids::text FROM sms "
        "WHERE case_id = $1 AND kind = 'request'",
        case_id,
    )
    assert sms is not None
    assert sms["body"] == harness.smsc.inbox(family.number)[0].text
    assert sms["template"] == await harness.connection.fetchval(
        "SELECT version FROM templates WHERE name = 'request' AND language = 'kk'"
    )
    assert len(json.loads(sms["message_ids"])) == SEGMENTS
    evidence = harness.wallet.calls[0].body["consent"]["evidence"]
    assert evidence == (await harness.case(family))["evidence"]
    read = await harness.journaled(family, "reply_read")
    assert read["reply"].rpartition(":")[2] == evidence.removeprefix("sha256:")


async def test_a_long_unclear_reply_in_many_segments_gets_one_clarification(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    long_text = "Сәлеметсіз бе! Бұл қандай қызмет, түсіндіріп беріңізші. " * 6
    order = [3, 1, 2, 5, 4, 6, 1, 3]
    assert await harness.smsc.reply(family.number, long_text, order=order, within=WITHIN) == 0
    events = await harness.events(family)
    assert (events.count("reply_read"), events.count("reply_unclear")) == (1, 1)
