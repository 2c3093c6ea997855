"""Receipts: in whatever form, order and number they come, a text is reported once and rightly."""

import asyncio

import pytest
from fakes.receipts import Receipts
from world import SEGMENTS, Family, World, metric


async def test_a_delivered_request_and_repeat_are_told_and_answers_are_only_journaled(world: World) -> None:
    world.smsc.receipts = [Receipts(outcome="delivered")]
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    assert (await world.status(family, "delivered"))["detail"] == {"text": "request"}
    await world.connection.execute("UPDATE cases SET due_at = now() - interval '1 s'")
    await world.status(family, "reminded")
    await world.sdu.wait_for(lambda: world.sdu.statuses(family.record_id).count("delivered") == 2)
    assert world.sdu.of(family.record_id)[-1]["detail"] == {"text": "repeat"}
    await world.smsc.reply(family.number, "3#1")
    assert (await world.journaled(family, "text_delivered"))["text"] == "agreed"
    assert world.sdu.statuses(family.record_id).count("delivered") == 2


@pytest.mark.parametrize("policy", ["delivered times=2", "delivered intermediate=yes", "delivered form=tlvs"])
async def test_a_receipt_counts_once(world: World, policy: str) -> None:
    world.smsc.receipts = [Receipts.parse(policy)]
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.status(family, "delivered")
    await world.smsc.reply(family.number, "3#2")
    await world.journaled(family, "text_delivered")
    assert world.sdu.statuses(family.record_id).count("delivered") == 1


@pytest.mark.parametrize("form", ["text", "both"])
async def test_a_receipt_before_the_response_is_parked_and_applied_later(world: World, form: str) -> None:
    world.smsc.receipts = [Receipts(outcome="delivered", before_response=True, form=form)]
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.status(family, "delivered")
    assert world.sdu.statuses(family.record_id)[-2:] == ["asked", "delivered"]
    assert await world.connection.fetchval("SELECT count(*) FROM receipts_parked") == 0


@pytest.mark.parametrize(
    ("message_ids", "id_form", "relation"),
    [
        ("hex", "dec", "auto"),
        ("hex", "dec", "hex-to-dec"),
        ("hex", "upper", "exact"),
        ("hex", "padded", "auto"),
        ("decimal", "hex", "auto"),
        ("decimal", "hex", "dec-to-hex"),
        ("decimal", "upper", "auto"),
        ("decimal", "padded", "exact"),
        ("uuid", "same", "auto"),
    ],
)
async def test_a_receipts_id_is_found_however_the_operator_writes_it(
    world: World, message_ids: str, id_form: str, relation: str
) -> None:
    world.smsc.message_ids = message_ids
    world.smsc.receipts = [Receipts(outcome="delivered", id_form=id_form)]
    await world.start(link={"message_id": relation})
    family = Family(n=1)
    await world.ask(family)
    await world.status(family, "delivered")


async def test_with_receipts_for_all_segments_one_that_failed_makes_the_text_undeliverable(world: World) -> None:
    await world.start(link={"receipts": "all"})
    whole, torn = Family(n=1), Family(n=2)
    await world.ask(whole, torn)
    for submit in world.smsc.submitted:
        outcome = "undeliverable" if submit.destination == torn.number and submit.number == 7 else "delivered"
        assert submit.registered_delivery == 1
        await world.smsc.receipt(submit, outcome)
    await world.status(whole, "delivered")
    assert (await world.journaled(torn, "text_undeliverable"))["state"] == "undeliverable"
    assert "delivered" not in await world.events(torn)
    assert (await world.events(whole)).count("delivered") == 1


async def test_a_final_state_is_never_overwritten(world: World) -> None:
    await world.start()
    arrived, failed = Family(n=1), Family(n=2)
    await world.ask(arrived, failed)
    last = {submit.destination: submit for submit in world.smsc.submitted if submit.number == SEGMENTS}
    await world.smsc.receipt(last[arrived.number], "delivered")
    await world.smsc.receipt(last[arrived.number], "undeliverable")
    await world.smsc.receipt(last[failed.number], "expired")
    await world.smsc.receipt(last[failed.number], "delivered")
    assert (await world.events(arrived)).count("text_undeliverable") == 0
    assert (await world.events(failed)).count("delivered") == 0
    states = await world.connection.fetch("SELECT state FROM sms ORDER BY sms_id")
    assert {row["state"] for row in states} == {"delivered", "undeliverable"}


@pytest.mark.parametrize("outcome", ["enroute", "accepted"])
async def test_what_is_not_final_changes_nothing(world: World, outcome: str) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    assert await world.smsc.receipt(world.smsc.submitted[-1], outcome) == 0
    assert await world.connection.fetchval("SELECT state FROM sms") == "accepted"
    await world.smsc.receipt(world.smsc.submitted[-1], "delivered")
    await world.status(family, "delivered")


async def test_a_receipt_nobody_knows_is_taken_and_kept_for_a_day(world: World) -> None:
    before = metric("receipts_total", link="kcell", state="delivered")
    await world.start()
    assert await world.smsc.receipt("never-heard-of", "delivered", source="77010000001") == 0
    assert await world.connection.fetchval("SELECT count(*) FROM receipts_parked") == 1
    assert metric("receipts_total", link="kcell", state="delivered") == before + 1
    assert await world.events(None) == []


async def test_a_receipt_is_never_read_as_a_reply_nor_a_reply_as_a_receipt(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    last = world.smsc.submitted[-1]
    receipt = f"id:{last.message_id} sub:001 dlvrd:000 stat:ENROUTE err:000 text:3#1"
    await world.smsc.receipt(last, "enroute", form="text", short_message=receipt.encode())
    await world.smsc.receipt(last, "enroute", form="text", short_message=b"3#1")
    assert "reply_read" not in await world.events(family)
    await world.smsc.reply(family.number, f"id:{last.message_id} stat:DELIVRD")
    assert await world.connection.fetchval("SELECT state FROM sms WHERE kind = 'request'") == "accepted"
    assert (await world.journaled(family, "reply_read"))["verdict"] == "unclear"


async def test_receipts_come_as_data_sm_by_another_bind_and_with_a_false_esm_class(world: World) -> None:
    await world.start(link={"sessions": 2})
    await world.smsc.bound(2)
    families = [Family(n=n) for n in (1, 2, 3)]
    await world.ask(*families)
    last = {submit.destination: submit for submit in world.smsc.submitted if submit.number == SEGMENTS}
    first, second = world.smsc.sessions
    other = {first.number: second, second.number: first}
    await asyncio.gather(
        world.smsc.receipt(last[families[0].number], as_data_sm=True, form="tlvs"),
        world.smsc.receipt(last[families[1].number], via=other[last[families[1].number].session]),
        world.smsc.receipt(last[families[2].number], form="tlvs", esm_class=0),
    )
    for family in families:
        await world.status(family, "delivered")
