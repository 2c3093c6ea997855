"""Manual actions of operators on a case: cancel, release, resend."""

import pytest

from tests.harness import Family, Harness, set_due


async def test_a_case_cancelled_before_its_text_was_sent_sends_nothing(harness: Harness) -> None:
    await harness.start(journey={"send_window": "00:00-00:01"})
    family, sibling = Family(n=1), Family(n=2, mother="77010000001")
    await harness.push(family, sibling)
    await harness.journaled(family, "text_queued")
    status, case = await harness.act(family, "cancel", {"reason": "moved to another school"})
    assert (status, case["state"]) == (200, "cancelled")
    assert case["journal"][-1]["detail"] == {"reason": "moved to another school", "by": "ops"}
    assert await harness.connection.fetchval(
        "SELECT state FROM sms WHERE case_id = $1", await harness.case_id(family)
    ) == ("cancelled")
    await harness.status(family, "cancelled")
    await harness.journaled(sibling, "text_queued")
    assert (await harness.case(sibling))["state"] == "queued"


async def test_a_reply_to_a_cancelled_case_is_late(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert (await harness.act(family, "cancel", {"reason": "moved away"}))[0] == 200
    await harness.smsc.reply(family.number, "3#1")
    await harness.status(family, "late_reply")
    assert harness.sdu.statuses(family.record_id)[-2:] == ["cancelled", "late_reply"]
    assert harness.wallet.called == 0
    assert len(harness.smsc.inbox(family.number)) == 1


async def test_a_case_that_has_ended_cannot_be_cancelled(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#2")
    await harness.status(family, "refused")
    status, problem = await harness.act(family, "cancel", {"reason": "too late"})
    assert (status, problem["status"]) == (409, 409)
    assert (await harness.case(family))["state"] == "refused"


async def test_cancelling_a_case_removes_its_look_up(harness: Harness) -> None:
    harness.mcb.down(hang=True)
    await harness.start(mcb={"timeout": "60s"})
    family = Family(n=1)
    await harness.push(family)
    await harness.mcb.wait_for(lambda: harness.mcb.failed)
    assert (await harness.act(family, "cancel", {"reason": "moved away"}))[0] == 200
    assert await harness.connection.fetchval("SELECT count(*) FROM calls") == 0
    await harness.status(family, "cancelled")


async def test_a_resent_question_is_sent_again_and_keeps_its_deadline(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    due_at = (await harness.case(family))["due_at"]
    status, case = await harness.act(family, "resend")
    assert (status, case["state"]) == (200, "asked")
    await harness.text(family, "3#1", nth=2)
    await harness.journaled(family, "text_accepted", nth=2)
    assert (await harness.case(family))["due_at"] == due_at
    assert harness.sdu.statuses(family.record_id).count("asked") == 1


@pytest.mark.parametrize(("reply", "words"), [("3#1", "socwallet"), ("3#2", "бас тарттыңыз")])
async def test_a_resent_text_2_or_3_is_sent_again(harness: Harness, reply: str, words: str) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, reply)
    await harness.text(family, words)
    assert (await harness.act(family, "resend"))[0] == 200
    await harness.text(family, words, nth=2)


async def test_a_case_parked_without_a_route_is_asked_once_released_with_a_route(harness: Harness) -> None:
    process = await harness.start(link={"default": False})
    family, sibling = (Family(n=n, mother="77470000001") for n in (1, 2))
    await harness.push(family, sibling)
    await harness.journaled(family, "parked")
    await harness.journaled(sibling, "parked")  # it had waited for the other one's number in the same unit of work
    assert (await harness.act(family, "cancel", {"reason": "asked by letter"}))[0] == 200
    await process.stop()
    await harness.start()
    assert (await harness.act(sibling, "release"))[0] == 200
    await harness.status(sibling, "asked")
    assert (await harness.act(sibling, "release"))[0] == 409


async def test_a_case_whose_repeat_has_no_route_still_has_a_deadline(harness: Harness) -> None:
    process = await harness.start()
    family = Family(n=1, mother="77470000001")
    await harness.ask(family)
    await process.stop()
    await harness.start(link={"default": False})
    await set_due(harness.connection, "now() - interval '1 s'")
    assert (await harness.journaled(family, "text_refused"))["reason"] == "no_route"
    case = await harness.case(family)
    assert (case["state"], case["undelivered"]) == ("asked", 0b10)
    assert case["due_at"] is not None


async def test_a_case_whose_personal_data_is_erased_cannot_be_resent(harness: Harness) -> None:
    await harness.start(privacy={"keep_days": 1})
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, "3#2")
    await harness.text(family, "бас тарттыңыз")
    await harness.connection.execute("DELETE FROM records; UPDATE cases SET erased_at = now()")
    assert (await harness.act(family, "resend"))[0] == 409
