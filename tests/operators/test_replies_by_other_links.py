"""A reply counts only by a link that may carry it: nobody answers for another operator's subscriber."""

import pytest

from gateway.simulators.smsc import SmscSimulator
from tests.harness import Family, Harness

KCELL, TELE2 = "kcell", "tele2"


@pytest.mark.parametrize("operator", [KCELL, "Activ"])
async def test_a_reply_by_another_operators_link_is_journaled_and_does_not_count(
    harness: Harness, tele2: SmscSimulator, operator: str
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    assert await tele2.reply(family.number, "3#1") == 0
    ignored = await harness.journaled(family, "reply_ignored")
    assert ignored["reason"] == "not by a link of the number"
    assert ignored["reply"] == (await harness.journaled(family, "reply_read"))["reply"]
    assert (await harness.case(family))["state"] == "asked"
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "consented")


async def test_a_ported_number_answers_by_the_link_of_the_operator_that_the_mcb_names(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", TELE2))
    await harness.push(family)
    await tele2.message(family.number, containing="3#1", within=10.0)
    await harness.status(family, "asked")
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "consented")


@pytest.mark.parametrize("operator", [None, "unacknowledged of"])
async def test_a_number_whose_operator_nobody_knows_may_have_been_ported_to_any(
    harness: Harness, tele2: SmscSimulator, operator: str | None
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "consented")


async def test_a_forged_reply_takes_no_doubt_away(harness: Harness, tele2: SmscSimulator) -> None:
    """The copy of the first child's answer is still to come: nothing that counts for nobody stands in for it."""
    first, second = (Family(n=n, mother=("77010000001", KCELL)) for n in (1, 2))
    await harness.push(first, second)
    await harness.status(first, "asked")
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.status(second, "asked")
    await harness.connection.execute(
        "INSERT INTO unacknowledged_periods VALUES ('kcell', '-infinity', clock_timestamp())"
    )
    await harness.let_replies_age()
    assert await tele2.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_ignored")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")
