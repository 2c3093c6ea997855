"""What people do about a case: cancel, release, resend."""

import pytest
from world import Family, World


async def test_a_case_that_is_cancelled_before_its_text_left_sends_nothing(world: World) -> None:
    await world.start(journey={"send_window": "00:00-00:01"})
    family, sibling = Family(n=1), Family(n=2, mother="77010000001")
    await world.push(family, sibling)
    await world.journaled(family, "text_queued")
    status, case = await world.act(family, "cancel", {"reason": "moved to another school"})
    assert (status, case["state"]) == (200, "cancelled")
    assert case["journal"][-1]["detail"] == {"reason": "moved to another school"}
    assert await world.connection.fetchval(
        "SELECT state FROM sms WHERE case_id = $1", await world.case_id(family)
    ) == ("cancelled")
    await world.status(family, "cancelled")
    await world.journaled(sibling, "text_queued")
    assert (await world.case(sibling))["state"] == "queued"


async def test_a_case_that_is_cancelled_after_asking_takes_no_answer(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    assert (await world.act(family, "cancel", {"reason": "moved away"}))[0] == 200
    await world.smsc.reply(family.number, "3#1")
    await world.status(family, "late_reply")
    assert world.sdu.statuses(family.record_id)[-2:] == ["cancelled", "late_reply"]
    assert world.wallet.called == 0
    assert len(world.smsc.inbox(family.number)) == 1


async def test_a_case_that_has_ended_is_not_cancelled(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#2")
    await world.status(family, "refused")
    status, problem = await world.act(family, "cancel", {"reason": "too late"})
    assert (status, problem["status"]) == (409, 409)
    assert (await world.case(family))["state"] == "refused"


async def test_a_look_up_of_a_cancelled_case_changes_nothing(world: World) -> None:
    world.mcb.down(hang=True)
    await world.start(mcb={"timeout": "60s"})
    family = Family(n=1)
    await world.push(family)
    await world.mcb.wait_for(lambda: world.mcb.failed)
    assert (await world.act(family, "cancel", {"reason": "moved away"}))[0] == 200
    assert await world.connection.fetchval("SELECT count(*) FROM calls") == 0
    await world.status(family, "cancelled")


async def test_a_resent_question_comes_again_and_its_deadline_stays(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    due_at = (await world.case(family))["due_at"]
    status, case = await world.act(family, "resend")
    assert (status, case["state"]) == (200, "asked")
    await world.text(family, "3#1", nth=2)
    await world.journaled(family, "text_accepted", nth=2)
    assert (await world.case(family))["due_at"] == due_at
    assert world.sdu.statuses(family.record_id).count("asked") == 1


@pytest.mark.parametrize(("reply", "words"), [("3#1", "socwallet"), ("3#2", "бас тарттыңыз")])
async def test_a_resent_answer_comes_again(world: World, reply: str, words: str) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, reply)
    await world.text(family, words)
    assert (await world.act(family, "resend"))[0] == 200
    await world.text(family, words, nth=2)


async def test_a_parked_case_without_a_link_goes_on_when_a_link_takes_it(world: World) -> None:
    process = await world.start(link={"default": False})
    family, sibling = (Family(n=n, mother="77470000001") for n in (1, 2))
    await world.push(family, sibling)
    await world.journaled(family, "parked")
    await world.journaled(sibling, "parked")  # it had waited behind the other in the same step
    assert (await world.act(family, "cancel", {"reason": "asked by letter"}))[0] == 200
    await process.stop()
    await world.start()
    assert (await world.act(sibling, "release"))[0] == 200
    await world.status(sibling, "asked")
    assert (await world.act(sibling, "release"))[0] == 409


async def test_a_repeat_that_no_link_carries_any_more_still_has_its_end(world: World) -> None:
    process = await world.start()
    family = Family(n=1, mother="77470000001")
    await world.ask(family)
    await process.stop()
    await world.start(link={"default": False})
    await world.connection.execute("UPDATE cases SET due_at = now() - interval '1 s'")
    assert (await world.journaled(family, "text_refused"))["reason"] == "no_route"
    case = await world.case(family)
    assert (case["state"], case["undelivered"]) == ("asked", 0b10)
    assert case["due_at"] is not None


async def test_a_case_whose_personal_data_is_erased_has_nothing_to_send_again(world: World) -> None:
    await world.start(privacy={"keep_days": 0})
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, "3#2")
    await world.text(family, "бас тарттыңыз")
    await world.connection.execute("UPDATE cases SET record = NULL, erased_at = now()")
    assert (await world.act(family, "resend"))[0] == 409
