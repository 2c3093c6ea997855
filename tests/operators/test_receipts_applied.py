"""Receipts in every form, order and number: the delivery of a text is reported once, with the right state."""

import asyncio

import pytest

from gateway.simulators.receipts import Receipts
from tests.harness import SEGMENTS, Family, Harness, eventually, metric, set_due


async def test_delivery_of_request_and_repeat_is_reported_and_of_texts_2_and_3_only_journaled(
    harness: Harness,
) -> None:
    harness.smsc.receipts = [Receipts(outcome="delivered")]
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert (await harness.status(family, "delivered"))["detail"] == {"text": "request"}
    await set_due(harness.connection, "now() - interval '1 s'")
    await harness.status(family, "reminded")
    await harness.sdu.wait_for(lambda: harness.sdu.statuses(family.record_id).count("delivered") == 2)
    assert harness.sdu.of(family.record_id)[-1]["detail"] == {"text": "repeat"}
    await harness.smsc.reply(family.number, "3#1")
    assert (await harness.journaled(family, "text_delivered"))["text"] == "agreed"
    assert harness.sdu.statuses(family.record_id).count("delivered") == 2


@pytest.mark.parametrize("policy", ["delivered times=2", "delivered intermediate=yes", "delivered form=tlvs"])
async def test_receipts_of_one_text_report_its_delivery_once(harness: Harness, policy: str) -> None:
    harness.smsc.receipts = [Receipts.parse(policy)]
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.status(family, "delivered")
    await harness.smsc.reply(family.number, "3#2")
    await harness.journaled(family, "text_delivered")
    assert harness.sdu.statuses(family.record_id).count("delivered") == 1


@pytest.mark.parametrize("form", ["text", "both"])
async def test_a_receipt_before_the_response_is_unmatched_and_applied_later(harness: Harness, form: str) -> None:
    harness.smsc.receipts = [Receipts(outcome="delivered", before_response=True, form=form)]
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.status(family, "delivered")
    assert harness.sdu.statuses(family.record_id)[-2:] == ["asked", "delivered"]
    assert await harness.connection.fetchval("SELECT count(*) FROM receipts_unmatched") == 0


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
async def test_a_receipts_message_id_is_matched_in_every_form_of_operators(
    harness: Harness, message_ids: str, id_form: str, relation: str
) -> None:
    harness.smsc.message_ids = message_ids
    harness.smsc.receipts = [Receipts(outcome="delivered", id_form=id_form)]
    await harness.start(link={"message_id": relation})
    family = Family(n=1)
    await harness.ask(family)
    await harness.status(family, "delivered")


async def test_with_receipts_for_all_segments_one_failed_segment_makes_the_text_undeliverable(
    harness: Harness,
) -> None:
    await harness.start(link={"receipts": "all"})
    delivered, failed = Family(n=1), Family(n=2)
    await harness.ask(delivered, failed)
    for submit in harness.smsc.submitted:
        outcome = "undeliverable" if submit.destination == failed.number and submit.number == 7 else "delivered"
        assert submit.registered_delivery == 1
        await harness.smsc.receipt(submit, outcome)
    await harness.status(delivered, "delivered")
    assert (await harness.journaled(failed, "text_undeliverable"))["state"] == "undeliverable"
    assert "delivered" not in await harness.events(failed)
    assert (await harness.events(delivered)).count("delivered") == 1


async def test_a_final_delivery_state_is_never_overwritten(harness: Harness) -> None:
    await harness.start()
    arrived, failed = Family(n=1), Family(n=2)
    await harness.ask(arrived, failed)
    last = {submit.destination: submit for submit in harness.smsc.submitted if submit.number == SEGMENTS}
    await harness.smsc.receipt(last[arrived.number], "delivered")
    await harness.smsc.receipt(last[arrived.number], "undeliverable")
    await harness.smsc.receipt(last[failed.number], "expired")
    await harness.smsc.receipt(last[failed.number], "delivered")
    assert (await harness.events(arrived)).count("text_undeliverable") == 0
    assert (await harness.events(failed)).count("delivered") == 0
    states = await harness.connection.fetch("SELECT state FROM sms ORDER BY sms_id")
    assert {row["state"] for row in states} == {"delivered", "undeliverable"}


@pytest.mark.parametrize("outcome", ["enroute", "accepted"])
async def test_a_receipt_whose_state_is_not_final_changes_nothing(harness: Harness, outcome: str) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    before = metric("receipts_not_final_total", link="kcell", state=outcome)
    assert await harness.smsc.receipt(harness.smsc.submitted[-1], outcome) == 0
    assert await harness.connection.fetchval("SELECT state FROM sms") == "accepted"
    await eventually(lambda: metric("receipts_not_final_total", link="kcell", state=outcome) == before + 1)
    _, overview = await harness.request("GET", "/v1/overview")
    assert overview["links"][0]["not_final"][outcome] == before + 1
    await harness.smsc.receipt(harness.smsc.submitted[-1], "delivered")
    await harness.status(family, "delivered")


async def test_a_receipt_without_a_state_is_counted(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    before = metric("receipts_not_final_total", link="kcell", state="unstated")
    text = f"id:{last.message_id} sub:001".encode()
    assert await harness.smsc.receipt(last, form="text", short_message=text) == 0
    await eventually(lambda: metric("receipts_not_final_total", link="kcell", state="unstated") == before + 1)


async def test_a_receipt_with_an_unknown_message_id_is_accepted_and_kept_as_unmatched(harness: Harness) -> None:
    before = metric("receipts_total", link="kcell", state="delivered")
    await harness.start()
    assert await harness.smsc.receipt("unknown-id", "delivered", source="77010000001") == 0
    assert await harness.connection.fetchval("SELECT count(*) FROM receipts_unmatched") == 1
    assert metric("receipts_total", link="kcell", state="delivered") == before + 1
    assert await harness.events(None) == []


async def test_a_receipt_is_never_read_as_a_reply_nor_a_reply_as_a_receipt(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    receipt = f"id:{last.message_id} sub:001 dlvrd:000 stat:ENROUTE err:000 text:3#1"
    await harness.smsc.receipt(last, "enroute", form="text", short_message=receipt.encode())
    await harness.smsc.receipt(last, "enroute", form="text", short_message=b"3#1")
    assert "reply_read" not in await harness.events(family)
    await harness.smsc.reply(family.number, f"id:{last.message_id} stat:DELIVRD, my answer is 3#1")
    assert await harness.connection.fetchval("SELECT state FROM sms WHERE kind = 'request'") == "accepted"
    assert (await harness.journaled(family, "reply_read"))["verdict"] == "unclear"


async def test_receipts_are_recognised_as_data_sm_by_another_bind_and_with_esm_class_0(harness: Harness) -> None:
    await harness.start(link={"sessions": 2})
    await harness.smsc.bound(2)
    families = [Family(n=n) for n in (1, 2, 3)]
    await harness.ask(*families)
    last = {submit.destination: submit for submit in harness.smsc.submitted if submit.number == SEGMENTS}
    first, second = harness.smsc.sessions
    other = {first.number: second, second.number: first}
    await asyncio.gather(
        harness.smsc.receipt(last[families[0].number], as_data_sm=True, form="tlvs"),
        harness.smsc.receipt(last[families[1].number], via=other[last[families[1].number].session]),
        harness.smsc.receipt(last[families[2].number], form="tlvs", esm_class=0),
    )
    for family in families:
        await harness.status(family, "delivered")
