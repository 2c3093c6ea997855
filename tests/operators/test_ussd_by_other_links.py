"""A USSD dialogue shows a question only by a link whose replies count for the number."""

import pytest

from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.ussd import USSR_CONFIRM
from tests.harness import Family, Harness

KCELL = "kcell"
NO_OPEN_QUESTION = "Сізге қойылған ашық сұрақ жоқ."


@pytest.mark.parametrize("operator", [KCELL, "Activ"])
async def test_a_dialogue_by_another_operators_link_shows_no_question_and_cannot_consent(
    harness: Harness, tele2: SmscSimulator, operator: str
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    wrong_link = await tele2.dial(family.number)
    assert await wrong_link.screen() == NO_OPEN_QUESTION
    assert wrong_link.ended
    assert await harness.journaled(family, "reply_ignored") == {"reason": "not by a link of the number"}
    without_menu = await tele2.dial(family.number, "1", op=USSR_CONFIRM)
    assert await without_menu.screen() == NO_OPEN_QUESTION
    assert (await harness.case(family))["state"] == "asked"
    own = await harness.smsc.dial(family.number)
    assert "1 - " in await own.screen()
    await own.reply("1")
    await harness.status(family, "consented")


async def test_a_number_of_unknown_operator_is_shown_its_question_by_any_link(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", None))
    await harness.ask(family)
    dialogue = await tele2.dial(family.number)
    assert "1 - " in await dialogue.screen()
    await dialogue.reply("1")
    await harness.status(family, "consented")
