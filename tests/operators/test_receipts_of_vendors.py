"""Receipts as vendors write them: without marks, in words of their own, for any segment, with converted ids."""

import asyncio

import pytest

from gateway.simulators.receipts import Receipts
from tests.harness import SEGMENTS, Family, Harness, metric


async def state_of(harness: Harness, family: Family) -> str:
    state: str = await harness.connection.fetchval(
        "SELECT state FROM sms WHERE kind = 'request' AND msisdn = $1", family.number
    )
    return state


async def unmatched(harness: Harness) -> int:
    number: int = await harness.connection.fetchval("SELECT count(DISTINCT message_id) FROM receipts_unmatched")
    return number


async def relation(harness: Harness) -> str | None:
    decided: str | None = await harness.connection.fetchval("SELECT max(relation) FROM id_relations")
    return decided


async def ask_with_ids(harness: Harness, *ids: str) -> list[Family]:
    """Families whose questions are accepted under these message_ids."""
    families = [Family(n=int(message_id, 36)) for message_id in ids]
    for family, message_id in zip(families, ids, strict=True):
        harness.smsc.add(f"accept to={family.number} message_id={message_id}")
    await harness.ask(*families)
    return families


# Without marks


@pytest.mark.parametrize(
    "written",
    ["id:{} sub:001 dlvrd:000 stat:UNDELIV err:001 text:3#1", 'id="{}" status=FAILED', "state:SKIPPED id:{}"],
)
async def test_a_receipt_without_marks_ends_its_text_and_is_no_reply(harness: Harness, written: str) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    text = written.format(last.message_id).encode()
    await harness.smsc.receipt(last, form="text", esm_class=0, short_message=text)
    await harness.journaled(family, "text_undeliverable")
    assert "reply_read" not in await harness.events(family)
    assert len(harness.smsc.inbox(family.number)) == 1  # no clarification


async def test_a_receipt_without_marks_counts_for_a_text_to_its_own_number_only(harness: Harness) -> None:
    await harness.start(link={"message_id": "exact"})
    family, other = Family(n=1), Family(n=2)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    await harness.smsc.receipt(last, "undeliverable", form="text", esm_class=0, source=other.number)
    assert (await state_of(harness, family), await unmatched(harness)) == ("accepted", 1)
    await harness.smsc.receipt(last, "delivered", form="text", esm_class=0)
    await harness.status(family, "delivered")


@pytest.mark.parametrize(
    ("further", "state", "events"),
    [
        (["delivered"], "delivered", ["text_undeliverable", "delivered"]),
        (["expired"], "undeliverable", ["text_undeliverable", "text_undeliverable"]),
        (["unknown", "delivered", "unknown"], "delivered", ["text_undeliverable", "delivered"]),
        (["enroute"], "undeliverable", ["text_undeliverable"]),
    ],
)
async def test_a_receipt_that_follows_one_of_state_unknown_counts(
    harness: Harness, further: list[str], state: str, events: list[str]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    for outcome in ["unknown", *further]:
        await harness.smsc.receipt(harness.smsc.submitted[-1], outcome)
    assert await state_of(harness, family) == state
    found = [event for event in await harness.events(family) if event in {"delivered", "text_undeliverable"}]
    assert found == events


async def test_receipts_of_one_batch_count_like_those_that_come_one_by_one(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    await asyncio.gather(*[harness.smsc.receipt(last, outcome) for outcome in ("unknown", "delivered", "unknown")])
    assert await state_of(harness, family) == "delivered"


async def test_a_state_that_the_link_calls_enroute_changes_nothing(harness: Harness) -> None:
    await harness.start(link={"receipt_states": {"UNKNOWN": "enroute", "GONE": "undeliverable"}})
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    await harness.smsc.receipt(last, "unknown")
    assert await state_of(harness, family) == "accepted"
    text = f"id:{last.message_id} stat:GONE err:1".encode()
    await harness.smsc.receipt(last, form="text", short_message=text)
    assert (await harness.journaled(family, "text_undeliverable"))["state"] == "undeliverable"


async def test_a_receipt_with_the_handset_as_its_destination_is_of_that_number(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.receipt(
        harness.smsc.submitted[-1], esm_class=0, form="text", source="1414", destination_addr=f"+{family.number}"
    )
    await harness.status(family, "delivered")


# States


async def test_a_state_that_is_not_known_is_counted_by_name_and_shown_with_the_link(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    last = harness.smsc.submitted[-1]
    before = metric("receipts_unknown_total", link="kcell", state="BLACKLISTED")
    for _ in range(2):
        text = f"id:{last.message_id} stat:BLACKLISTED err:1".encode()
        assert await harness.smsc.receipt(last, form="text", short_message=text) == 0
    assert metric("receipts_unknown_total", link="kcell", state="BLACKLISTED") == before + 2
    assert await state_of(harness, family) == "accepted"
    _, overview = await harness.request("GET", "/v1/overview")
    assert overview["links"][0]["unknown_states"]["BLACKLISTED"] == before + 2


async def test_only_so_many_names_of_unknown_states_are_counted(harness: Harness) -> None:
    await harness.start(link={"name": "tele2"})
    for n in range(25):
        text = f"id:7 stat:{chr(65 + n) * 3}UM".encode()
        await harness.smsc.receipt("7", form="text", short_message=text, source="77010000001")
    assert metric("receipts_unknown_total", link="tele2", state="(other)") == 5


# Segments


@pytest.mark.parametrize("receipts", ["last", "first"])
@pytest.mark.parametrize("segment", [1, 8, SEGMENTS])
async def test_one_receipt_for_any_segment_stands_for_the_text(
    harness: Harness, receipts: str, segment: int
) -> None:
    await harness.start(link={"receipts": receipts})
    delivered, failed = Family(n=1), Family(n=2)
    await harness.ask(delivered, failed)
    sent = {(submit.destination, submit.number): submit for submit in harness.smsc.submitted}
    await harness.smsc.receipt(sent[delivered.number, segment], "delivered")
    await harness.smsc.receipt(sent[failed.number, segment], "undeliverable")
    await harness.status(delivered, "delivered")
    await harness.journaled(failed, "text_undeliverable")
    assert await unmatched(harness) == 0


async def test_a_receipt_for_the_first_segment_before_its_response_is_applied_later(harness: Harness) -> None:
    harness.smsc.receipts = [Receipts(outcome="delivered", before_response=True)]
    await harness.start(link={"receipts": "first"})
    family = Family(n=1)
    await harness.ask(family)
    requested = [submit.registered_delivery for submit in harness.smsc.submitted]
    assert requested == [1] + [0] * (SEGMENTS - 1)
    await harness.status(family, "delivered")


async def test_a_receipt_for_a_segment_of_another_number_is_of_no_text(harness: Harness) -> None:
    await harness.start()
    family, other = Family(n=1), Family(n=2)
    await harness.ask(family)
    await harness.smsc.receipt(harness.smsc.submitted[0], source=other.number)
    await harness.smsc.receipt(harness.smsc.submitted[0], "undeliverable")
    await harness.journaled(family, "text_undeliverable")
    assert await unmatched(harness) == 1


# Ids


@pytest.mark.parametrize(("receipt_id", "about"), [("10", "16"), ("10", "10"), ("16", "10"), ("16", "16")])
async def test_a_receipt_that_can_be_read_in_several_ways_is_of_a_text_to_its_number(
    harness: Harness, receipt_id: str, about: str
) -> None:
    await harness.start()
    families = dict(zip(("10", "16"), await ask_with_ids(harness, "10", "16"), strict=True))
    mother = families.pop(about)
    (other,) = families.values()
    await harness.smsc.receipt(receipt_id, "undeliverable", source=mother.number)
    await harness.journaled(mother, "text_undeliverable")
    assert await state_of(harness, other) == "accepted"


async def test_an_early_receipt_is_not_taken_for_one_of_another_text(harness: Harness) -> None:
    await harness.start()
    (first,) = await ask_with_ids(harness, "10")
    await harness.smsc.receipt("10", "undeliverable", source=Family(n=int("16", 36)).number)  # 16 in hexadecimal
    assert (await state_of(harness, first), await unmatched(harness)) == ("accepted", 1)
    (second,) = await ask_with_ids(harness, "16")
    await harness.journaled(second, "text_undeliverable")
    assert await state_of(harness, first) == "accepted"


@pytest.mark.parametrize(
    ("response_ids", "receipt_ids", "decided"),
    [
        (["171", "172", "173", "176"], ["ab", "AC", "00ad", "b0"], "dec-to-hex"),
        (["1ab", "1ac", "1ad", "1b0"], ["427", "428", "0429", "432"], "hex-to-dec"),
        (["4270", "4280", "4290", "4320"], ["4270", "4280", "4290", "4320"], "exact"),
    ],
)
async def test_auto_learns_the_relation_of_ids_and_keeps_it_over_a_restart(
    harness: Harness, response_ids: list[str], receipt_ids: list[str], decided: str
) -> None:
    await harness.start()
    families = await ask_with_ids(harness, *response_ids)
    for n, (family, receipt_id) in enumerate(zip(families[:3], receipt_ids, strict=False), start=1):
        await harness.smsc.receipt(receipt_id, source=family.number)
        await harness.status(family, "delivered")
        assert await relation(harness) == (decided if n == 3 else None)
    await harness.stop()
    await harness.start()
    await harness.smsc.receipt(receipt_ids[3], source="")
    await harness.status(families[3], "delivered")


@pytest.mark.parametrize(
    ("before", "response_ids", "receipt_ids", "learnt"),
    [
        ("dec-to-hex", ["4270", "4280", "4290", "4320"], ["4270", "4280", "4290", "4320"], "exact"),
        ("exact", ["1ab", "1ac", "1ad", "1b0"], ["427", "428", "0429", "432"], "hex-to-dec"),
    ],
)
async def test_auto_learns_the_relation_again_after_three_contradicting_receipts_in_a_row(
    harness: Harness, before: str, response_ids: list[str], receipt_ids: list[str], learnt: str
) -> None:
    await harness.connection.execute("INSERT INTO id_relations VALUES ('kcell', 99, 99, 99, $1)", before)
    await harness.start()
    families = await ask_with_ids(harness, *response_ids)
    for family, receipt_id in zip(families[:2], receipt_ids, strict=False):
        await harness.smsc.receipt(receipt_id, source=family.number)
        await harness.smsc.receipt(receipt_id, source=family.number)  # the same one again
    assert await relation(harness) == before
    await harness.smsc.receipt(receipt_ids[2], source=families[2].number)
    for family in families[:3]:
        await harness.status(family, "delivered")
    assert await relation(harness) == learnt
    await harness.smsc.receipt(receipt_ids[3], source="")
    await harness.status(families[3], "delivered")


async def test_a_receipt_by_the_decided_relation_makes_those_before_it_no_contradiction(harness: Harness) -> None:
    await harness.connection.execute("INSERT INTO id_relations (link, relation) VALUES ('kcell', 'exact')")
    await harness.start()
    families = await ask_with_ids(harness, "1ab", "1ac", "4270", "1ad", "1b0")
    for family, receipt_id in zip(families, ("427", "428", "4270", "429", "432"), strict=True):
        await harness.smsc.receipt(receipt_id, source=family.number)
    await harness.status(families[2], "delivered")
    assert await relation(harness) == "exact"
    assert await unmatched(harness) == 4


async def test_a_receipt_without_a_number_is_not_converted_until_the_relation_is_decided(harness: Harness) -> None:
    await harness.start()
    (family,) = await ask_with_ids(harness, "171")
    await harness.smsc.receipt("ab", source="")
    assert (await state_of(harness, family), await unmatched(harness)) == ("accepted", 1)
    await harness.smsc.receipt("171", source="")
    await harness.status(family, "delivered")


async def test_an_early_receipt_without_a_number_is_applied_later(harness: Harness) -> None:
    await harness.start()
    await harness.smsc.receipt("171", source="")
    (family,) = await ask_with_ids(harness, "171")
    await harness.status(family, "delivered")
    assert await relation(harness) is None


async def test_a_decided_relation_is_the_only_one(harness: Harness) -> None:
    await harness.connection.execute("INSERT INTO id_relations (link, relation) VALUES ('kcell', 'dec-to-hex')")
    await harness.start()
    ten, sixteen = await ask_with_ids(harness, "10", "16")
    await harness.smsc.receipt("10", source=ten.number)  # it is 16
    await harness.status(sixteen, "delivered")
    assert await state_of(harness, ten) == "accepted"


async def test_a_configured_relation_is_not_learnt(harness: Harness) -> None:
    await harness.start(link={"message_id": "exact"})
    (family,) = await ask_with_ids(harness, "171")
    await harness.smsc.receipt("ab", source=family.number)
    await harness.smsc.receipt("171", source=family.number)
    await harness.status(family, "delivered")
    assert await harness.connection.fetchval("SELECT count(*) FROM id_relations") == 0
