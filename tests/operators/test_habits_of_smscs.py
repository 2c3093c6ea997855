"""The gateway against SMSCs with habits of their own: a text leaves once, and only a reply is an answer."""

from typing import Any

import pytest

from gateway.simulators.habits import Habits
from gateway.simulators.receipts import Receipts
from tests.harness import SEGMENTS, Family, Harness


@pytest.mark.parametrize(
    ("habits", "link"),
    [
        ("on_transmitter", {"bind": "transmitter+receiver"}),
        ("nul_terminated", {}),
        ("'mo_after_bind=77010000001 hello'", {}),
        ("echo_every=1", {}),
        ("hold_until_whole", {}),
        ("receipts_to_handset", {}),
        ("receipt_udh", {}),
        ("receipt_ucs2", {}),
        ("receipt_states=delivered:RECEIVED", {}),
        ("receipts_per=first", {"receipts": "first"}),
        ("receipts_per=text", {}),
        ("one_pdu_per_read", {"window": 1}),
        ("bind_sequence=4711", {}),
        ("unbind_every=2", {}),
        ("enquire_status=RSYSERR", {"enquire_link": "500ms"}),
    ],
)
async def test_a_family_is_asked_and_consents_whatever_the_habits_of_the_smsc(
    harness: Harness, habits: str, link: dict[str, Any]
) -> None:
    harness.smsc.habits = Habits.parse(habits)
    harness.smsc.receipts = [Receipts(outcome="delivered")]
    await harness.start(link=link)
    family = Family(n=1)
    await harness.ask(family)
    await harness.status(family, "delivered")
    assert not {"consented", "refused"} & set(await harness.events(family))
    assert len([submit for submit in harness.smsc.submitted if submit.total == SEGMENTS]) == SEGMENTS
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
    assert harness.wallet.called == 1


@pytest.mark.parametrize("state", ["FAILED:9", "NOT_DELIVERED", "SKIPPED"])
async def test_a_vendors_word_of_failure_makes_the_text_undeliverable(harness: Harness, state: str) -> None:
    harness.smsc.habits = Habits.parse(f"receipt_states=undeliverable:{state}")
    harness.smsc.receipts = [Receipts(outcome="undeliverable", form="text")]
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.journaled(family, "text_undeliverable")


@pytest.mark.parametrize("at", ["bound", "submit"])
async def test_an_smsc_that_closes_useless_binds_is_sent_the_text_once_it_keeps_them(
    harness: Harness, at: str
) -> None:
    harness.smsc.habits = Habits.parse(f"close_at={at}")
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.bound()
    harness.smsc.habits = Habits()
    await harness.status(family, "asked")
