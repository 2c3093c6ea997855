"""Held replies, from the deliver_sm by another operator's link to the decision of ops."""

import pytest

from gateway.evidence import verification
from gateway.simulators.smsc import SmscSimulator
from tests.evidence.records import recorded
from tests.harness import WITHIN, Family, Harness, set_due

MOVED = ("77010000001", "kcell")
"""A number that has moved to tele2, while the MCB still assigns it to kcell."""


@pytest.fixture
def family() -> Family:
    return Family(n=1, mother=MOVED)


async def hold(harness: Harness, tele2: SmscSimulator, family: Family, text: str = "3#1") -> None:
    """Asks the family, and lets its reply come by the link that its number has moved to."""
    await harness.ask(family)
    assert await tele2.reply(family.number, text) == 0
    await harness.status(family, "reply_held")


async def pass_the_last_deadline(harness: Harness, family: Family) -> None:
    """Lets the days to reply pass, for the request and for the repeat."""
    for status in ("reminded", "no_answer"):
        case_id = await harness.case_id(family)
        await set_due(harness.connection, "now() - interval '1 s'", f"case_id = '{case_id}'")
        await harness.status(family, status)


async def test_ops_count_a_held_agreement_and_the_journal_says_who(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await hold(harness, tele2, family)
    status, case = await harness.act(family, "accept-reply")
    assert (status, case["state"], "held" in case) == (200, "consented", False)
    accepted = await harness.journaled(family, "reply_accepted")
    read = await harness.journaled(family, "reply_read")
    assert accepted == {"by": "ops", "link": "tele2", "reply": read["reply"]}
    await harness.status(family, "voucher_issued")
    await tele2.message(family.number, containing="socwallet", within=10.0)
    assert harness.sdu.statuses(family.record_id)[-3:] == ["reply_held", "consented", "voucher_issued"]


async def test_ops_count_a_held_refusal(harness: Harness, tele2: SmscSimulator, family: Family) -> None:
    await hold(harness, tele2, family, "3#2")
    status, case = await harness.act(family, "accept-reply")
    assert (status, case["state"]) == (200, "refused")
    await harness.status(family, "refused")
    await tele2.message(family.number, containing="бас тарттыңыз", within=10.0)
    assert harness.wallet.called == 0


async def test_a_held_reply_counts_after_the_case_has_ended_without_an_answer(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    sibling = Family(n=2, mother=MOVED)
    await harness.push(family, sibling)
    await harness.status(family, "asked")
    assert await tele2.reply(family.number, "3#1") == 0
    came_at = (await harness.status(family, "reply_held"))["at"]
    await pass_the_last_deadline(harness, family)
    await harness.status(sibling, "asked")
    status, case = await harness.act(family, "accept-reply")
    assert (status, case["state"], case["ended_at"]) == (200, "consented", None)
    assert (await harness.status(family, "consented"))["detail"]["reply_at"] == came_at
    await harness.status(family, "voucher_issued")
    assert (await harness.case(sibling))["state"] == "asked"


async def test_a_held_reply_to_a_text_without_a_response_counts_after_the_case_has_ended(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    harness.smsc.add(f"no_answer to={family.number}")
    await harness.push(family)
    await harness.smsc.wait_for(lambda: harness.smsc.submitted or None, within=WITHIN)
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "reply_held")
    await set_due(harness.connection, "now() - interval '1 s'")
    await harness.status(family, "undeliverable")
    assert (await harness.act(family, "accept-reply"))[1]["state"] == "consented"
    await harness.status(family, "voucher_issued")
    told = harness.sdu.statuses(family.record_id)
    assert told[-5:] == ["reply_held", "undeliverable", "asked", "consented", "voucher_issued"]
    assert verification.check(await recorded(harness, family)) == []


async def test_a_reply_by_another_link_after_the_end_is_not_held(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await harness.ask(family)
    await pass_the_last_deadline(harness, family)
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.journaled(family, "reply_ignored")
    assert (await harness.act(family, "accept-reply"))[0] == 409


async def test_a_reply_by_the_right_link_counts_and_the_held_one_lapses(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await hold(harness, tele2, family, "3#1")
    assert await harness.smsc.reply(family.number, "3#2") == 0
    await harness.status(family, "refused")
    status, problem = await harness.act(family, "accept-reply")
    assert (status, problem["detail"]) == (409, "The case has its refusal: a reply was counted already.")
    assert (await harness.request("GET", "/v1/cases?state=held"))[1]["cases"] == []


async def test_a_held_reply_is_counted_once(harness: Harness, tele2: SmscSimulator, family: Family) -> None:
    await hold(harness, tele2, family)
    assert (await harness.act(family, "accept-reply"))[0] == 200
    status, problem = await harness.act(family, "accept-reply")
    assert (status, problem["detail"]) == (409, "The case has its consent: a reply was counted already.")
    await harness.status(family, "voucher_issued")
    assert harness.wallet.called == 1


async def test_the_held_reply_of_a_cancelled_case_does_not_count(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await hold(harness, tele2, family)
    assert (await harness.act(family, "cancel", {"reason": "moved away"}))[0] == 200
    status, problem = await harness.act(family, "accept-reply")
    assert (status, problem["detail"]) == (409, "The case was cancelled.")


async def test_a_held_agreement_that_was_followed_by_a_refusal_counts_as_the_refusal(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await hold(harness, tele2, family, "3#1")
    assert await tele2.reply(family.number, "3#2") == 0
    await harness.journaled(family, "reply_held", nth=2)
    assert (await harness.act(family, "accept-reply"))[1]["state"] == "refused"


async def test_a_withdrawal_by_another_link_is_held_and_reported_once_ops_have_counted_it(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await harness.ask(family)
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
    assert await tele2.reply(family.number, "3#2") == 0
    assert (await harness.status(family, "reply_held"))["detail"] == {"link": "tele2", "operator": "kcell"}
    _, overview = await harness.request("GET", "/v1/overview")
    assert "replies_held" in {alert["code"] for alert in overview["alerts"]}
    assert (await harness.case(family))["held"] == "refuse"
    assert (await harness.act(family, "accept-reply"))[1]["state"] == "voucher_issued"
    withdrawal = await harness.status(family, "withdrawal_requested")
    read = await harness.journaled(family, "reply_read", nth=2)
    assert (await harness.journaled(family, "reply_accepted"))["reply"] == read["reply"]
    assert withdrawal["detail"]["reply_at"]
    assert (await harness.act(family, "accept-reply"))[0] == 409


async def test_a_held_withdrawal_that_nobody_counts_leaves_the_list_when_its_time_has_passed(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await harness.ask(family)
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
    assert await tele2.reply(family.number, "3#2") == 0
    await harness.status(family, "reply_held")
    await set_due(harness.connection, "now() - interval '1 s'")
    assert (await harness.journaled(family, "reply_ignored"))["reason"] == "held, and not counted"
    _, found = await harness.request("GET", "/v1/cases?state=held")
    assert found["cases"] == []
    assert (await harness.case(family))["state"] == "voucher_issued"
    assert (await harness.act(family, "accept-reply"))[0] == 409


async def test_a_held_reply_in_two_segments_is_counted(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await harness.ask(family)
    assert await tele2.reply(family.number, ["3#", "1"], reference=7) == 0
    await harness.status(family, "reply_held")
    assert (await harness.act(family, "accept-reply"))[1]["state"] == "consented"


async def test_a_held_reply_by_a_link_that_is_not_configured_any_more_is_counted(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    await hold(harness, tele2, family)
    await harness.stop()
    await harness.start(link={"operators": ["Activ"]})
    assert (await harness.act(family, "accept-reply"))[1]["state"] == "consented"
    await harness.text(family, "socwallet")


async def test_an_accepted_reply_that_is_delivered_again_does_not_consent_for_the_sibling(
    harness: Harness, tele2: SmscSimulator, family: Family
) -> None:
    sibling = Family(n=2, mother=MOVED)
    await harness.push(family, sibling)
    await harness.status(family, "asked")
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "reply_held")
    await harness.connection.execute(
        "INSERT INTO unacknowledged_periods VALUES ('tele2', '-infinity', clock_timestamp())"
    )
    await harness.let_replies_age()
    assert (await harness.act(family, "accept-reply"))[0] == 200
    await harness.status(sibling, "asked")
    await harness.let_replies_age()
    assert await tele2.reply(family.number, "3#1") == 0
    assert (await harness.journaled(sibling, "reply_ignored"))["reason"] == "may be a copy"
    assert (await harness.act(sibling, "accept-reply"))[0] == 409
    await harness.let_replies_age()
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(sibling, "reply_held")  # of two equal replies one at least is for the sibling
    assert (await harness.act(sibling, "accept-reply"))[1]["state"] == "consented"


async def test_several_held_replies_by_one_link_are_one_alert(harness: Harness, tele2: SmscSimulator) -> None:
    moved = [Family(n=n, mother=(f"7701000000{n}", "kcell")) for n in (1, 2)]
    await harness.ask(*moved)
    for number, text in ((moved[0].number, "3#1"), (moved[0].number, "3#1."), (moved[1].number, "3#2")):
        assert await tele2.reply(number, text) == 0
    await harness.journaled(moved[0], "reply_held", nth=2)
    await harness.status(moved[1], "reply_held")
    _, overview = await harness.request("GET", "/v1/overview")
    (alert,) = [alert for alert in overview["alerts"] if alert["code"] == "replies_held"]
    assert alert["text"] == (
        "tele2: replies of numbers that the MCB assigns to kcell are held: the base may lag. "
        "Replies: 3, 3 of the last day; numbers: 2. Somebody has to decide."
    )
    (held,) = overview["held"]
    assert (held["link"], held["operator"]) == ("tele2", "kcell")
    assert (held["cases"], held["numbers"], held["replies"]) == (2, 2, 3)
    for family in moved:
        assert (await harness.act(family, "accept-reply"))[0] == 200
    _, overview = await harness.request("GET", "/v1/overview")
    assert (overview["held"], "replies_held" in str(overview["alerts"])) == ([], False)
