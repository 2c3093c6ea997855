"""A dialogue shows a question only by a link that may carry its answer, as for replies."""

import pytest

from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.ussd import USSR_CONFIRM
from tests.harness import Family, Harness

KCELL = "kcell"
NOTHING = "Сізге қойылған ашық сұрақ жоқ."


@pytest.mark.parametrize("operator", [KCELL, "Activ"])
async def test_who_dials_by_another_operators_link_is_shown_no_question_and_cannot_agree(
    harness: Harness, tele2: SmscSimulator, operator: str
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    forged = await tele2.dial(family.number)
    assert await forged.screen() == NOTHING
    assert forged.ended
    assert await harness.journaled(family, "reply_ignored") == {"reason": "not by a link of the number"}
    unasked = await tele2.dial(family.number, "1", op=USSR_CONFIRM)
    assert await unasked.screen() == NOTHING
    assert (await harness.case(family))["state"] == "asked"
    own = await harness.smsc.dial(family.number)
    assert "1 - " in await own.screen()
    await own.reply("1")
    await harness.status(family, "consented")


async def test_a_number_whose_operator_nobody_knows_may_dial_by_any_link(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", None))
    await harness.ask(family)
    dialogue = await tele2.dial(family.number)
    assert "1 - " in await dialogue.screen()
    await dialogue.reply("1")
    await harness.status(family, "consented")
