"""A USSD dialogue by a link that may not carry the number: its answer is held for ops, as an SMS is."""

import pytest

from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.ussd import USSR_CONFIRM
from tests.harness import Family, Harness

KCELL = "kcell"
NO_OPEN_QUESTION = "Сізге қойылған ашық сұрақ жоқ."
REPLY_BY_SMS = "Жауап түсініксіз. SMS жіберіңіз"


@pytest.mark.parametrize(
    ("operator", "answer", "verdict", "state"),
    [
        (KCELL, "1", "agree", "consented"),
        ("Activ", "3#1", "agree", "consented"),
        (KCELL, "2", "refuse", "refused"),
    ],
)
async def test_a_reply_by_ussd_by_another_operators_link_is_held_until_ops_count_it(
    harness: Harness, tele2: SmscSimulator, operator: str, answer: str, verdict: str, state: str
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    dialogue = await tele2.dial(family.number)
    assert "1 - " in await dialogue.screen()
    await dialogue.reply(answer)
    assert (await dialogue.screen()).startswith(REPLY_BY_SMS)
    assert dialogue.ended
    assert (await harness.status(family, "reply_held"))["detail"] == {"link": "tele2", "operator": operator}
    found = await harness.case(family)
    assert (found["state"], found["held"]) == ("asked", verdict)
    _, overview = await harness.request("GET", "/v1/overview")
    assert "replies_held" in {alert["code"] for alert in overview["alerts"]}
    read = await harness.journaled(family, "reply_read")
    assert read["may_come_by"] == ["kcell"]
    assert (await harness.act(family, "accept-reply"))[1]["state"] == state
    accepted = await harness.journaled(family, "reply_accepted")
    assert accepted == {"by": "ops", "link": "tele2", "reply": read["reply"]}


async def test_a_reply_by_the_right_link_counts_at_once_after_a_held_reply_by_ussd(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", KCELL))
    await harness.ask(family)
    wrong = await tele2.dial(family.number)
    await wrong.screen()
    await wrong.reply("2")
    await harness.status(family, "reply_held")
    own = await harness.smsc.dial(family.number)
    await own.screen()
    await own.reply("1")
    await harness.status(family, "consented")
    assert (await harness.act(family, "accept-reply"))[0] == 409


async def test_ussd_input_without_a_menu_by_another_operators_link_is_only_journaled(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", KCELL))
    await harness.ask(family)
    without_menu = await tele2.dial(family.number, "1", op=USSR_CONFIRM)
    assert await without_menu.screen() == NO_OPEN_QUESTION
    assert await harness.journaled(family, "reply_ignored") == {"reason": "not by a link of the number"}
    assert (await harness.case(family))["held"] is None


async def test_a_number_of_unknown_operator_is_shown_its_question_by_any_link(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", None))
    await harness.ask(family)
    dialogue = await tele2.dial(family.number)
    assert "1 - " in await dialogue.screen()
    await dialogue.reply("1")
    await harness.status(family, "consented")
