"""A reply counts only by a link of its number, or once ops have accepted it: senders can be forged."""

import pytest

from gateway.simulators.smsc import SmscSimulator
from tests.harness import Family, Harness, metric

KCELL, TELE2 = "kcell", "tele2"


@pytest.mark.parametrize("operator", [KCELL, "Activ"])
async def test_a_clear_reply_by_another_operators_link_is_held_and_does_not_count(
    harness: Harness, tele2: SmscSimulator, operator: str
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    assert await tele2.reply(family.number, "3#1") == 0
    held = await harness.status(family, "reply_held")
    assert held["detail"] == {"link": "tele2", "operator": operator}
    assert (await harness.journaled(family, "reply_read"))["may_come_by"] == [KCELL]
    assert ((await harness.case(family))["state"], harness.wallet.called) == ("asked", 0)
    assert len(tele2.inbox(family.number)) == 0


async def test_an_unclear_reply_by_another_operators_link_is_journaled_and_counted(
    harness: Harness, tele2: SmscSimulator
) -> None:
    reason = {"link": TELE2, "reason": "not by a link of the number"}
    before = metric("replies_ignored_total", **reason)
    family = Family(n=1, mother=("77010000001", KCELL))
    await harness.ask(family)
    assert await tele2.reply(family.number, "иә?") == 0
    ignored = await harness.journaled(family, "reply_ignored")
    assert metric("replies_ignored_total", **reason) == before + 1
    assert ignored["reason"] == "not by a link of the number"
    assert ignored["reply"] == (await harness.journaled(family, "reply_read"))["reply"]
    assert (await harness.case(family))["held"] is None
    assert (await harness.act(family, "accept-reply"))[0] == 409


async def test_a_ported_number_replies_by_the_link_of_the_operator_that_the_mcb_returns(
    harness: Harness, tele2: SmscSimulator
) -> None:
    family = Family(n=1, mother=("77010000001", TELE2))
    await harness.push(family)
    await tele2.message(family.number, containing="3#1", within=10.0)
    await harness.status(family, "asked")
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "consented")


@pytest.mark.parametrize("operator", [None, "unlisted"])
async def test_a_reply_of_a_number_of_unknown_operator_counts_by_any_link(
    harness: Harness, tele2: SmscSimulator, operator: str | None
) -> None:
    family = Family(n=1, mother=("77010000001", operator))
    await harness.ask(family)
    assert await tele2.reply(family.number, "3#1") == 0
    await harness.status(family, "consented")
    assert (await harness.journaled(family, "reply_read"))["may_come_by"] is None


async def test_a_reply_by_a_wrong_link_does_not_stand_for_an_expected_redelivery(
    harness: Harness, tele2: SmscSimulator
) -> None:
    """The redelivery of the first child's reply is still to come: the ignored reply was not that redelivery."""
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
    await harness.status(second, "reply_held")
    await harness.let_replies_age()
    assert await harness.smsc.reply(first.number, "3#1") == 0
    await harness.journaled(second, "reply_unclear")
