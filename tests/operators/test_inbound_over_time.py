"""Inbound messages as time passes: incomplete long replies, duplicates, and message ids of receipts."""

from typing import Any

import pytest

from gateway import components
from gateway.store import receipts
from gateway.store.inbound import SAME_REPLY_WITHIN_SECONDS
from gateway.usecases.replies import INCOMPLETE_AFTER_SECONDS, Replies
from tests.harness import Family, Harness, metric
from tests.store.rows import FOREVER


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[Replies]:
    """The use cases of replies of the gateways started in the test."""
    created: list[Replies] = []

    class RecordedReplies(Replies):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            created.append(self)

    monkeypatch.setattr(components, "Replies", RecordedReplies)
    return created


async def older(harness: Harness, table: str, seconds: float) -> None:
    """Moves the arrival of every row of the table so many seconds back."""
    await harness.connection.execute(
        f"UPDATE {table} SET arrived_at = arrived_at - make_interval(secs => $1)",
        seconds,  # table is ours
    )


async def wait_for(harness: Harness, seconds: int) -> None:
    """Lets the segments stored so far wait for so long: the job counts its runs, one each 30 seconds."""
    await harness.connection.execute("UPDATE reply_segments SET waited = $1", seconds // 30)


async def test_an_incomplete_long_reply_is_unclear_after_10_minutes(
    harness: Harness, replies: list[Replies]
) -> None:
    assert INCOMPLETE_AFTER_SECONDS == 600
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#1 ", "рахмет"], encoding="ucs2", order=[1])
    await wait_for(harness, 570)
    assert await replies[0].flush_incomplete() == 0
    assert "reply_read" not in await harness.events(family)

    await wait_for(harness, 600)
    assert await replies[0].flush_incomplete() == 1
    assert (await harness.journaled(family, "reply_read"))["verdict"] == "unclear"
    assert "consented" not in await harness.events(family)
    assert await replies[0].flush_incomplete() == 0


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
async def test_a_step_of_the_clock_does_not_part_the_segments_of_a_reply(
    harness: Harness, replies: list[Replies], order: list[int]
) -> None:
    """The database's clock is a month ahead when the second segment comes."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#", "1"], order=order[:1], reference=7)
    await older(harness, "reply_segments", 30 * 86_400)
    assert await replies[0].flush_incomplete() == 0
    await harness.smsc.reply(family.number, ["3#", "1"], order=order[1:], reference=7)
    await harness.status(family, "consented")


async def test_the_last_segment_of_a_long_reply_without_the_first_is_unclear(
    harness: Harness, replies: list[Replies]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#1 ", "рахмет"], encoding="ucs2", order=[2])
    await wait_for(harness, 600)
    await replies[0].flush_incomplete()
    assert (await harness.journaled(family, "reply_read"))["verdict"] == "unclear"


async def test_segments_that_are_delivered_again_are_counted(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    before = metric("reply_segments_redelivered_total", link="kcell")
    for order in ([1], [1], [2], [1, 2]):  # the last two after the reply was whole
        await harness.smsc.reply(family.number, ["3#", "1"], order=order, reference=7)
    await harness.status(family, "consented")
    assert metric("reply_segments_redelivered_total", link="kcell") == before + 3
    assert (await harness.events(family)).count("reply_read") == 1


@pytest.mark.parametrize("order", [[1], [2]])
async def test_segments_of_a_link_that_is_configured_no_longer_are_kept_and_journaled(
    harness: Harness, replies: list[Replies], order: list[int]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#1", " иә"], order=order)
    await harness.connection.execute("UPDATE reply_segments SET link = 'former'")
    before = metric("replies_total", link="former", verdict="unclear")
    await wait_for(harness, 600)
    assert await replies[0].flush_incomplete() == 1
    assert await harness.connection.fetchval("SELECT link FROM replies") == "former"
    assert metric("replies_total", link="former", verdict="unclear") == before + 1
    read = [d for f in (family, None) for event, d in await harness.journal(f) if event == "reply_read"]
    assert [detail["link"] for detail in read] == ["former"]


async def test_segments_of_a_complete_reply_are_deleted_and_read_once(
    harness: Harness, replies: list[Replies]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.reply(family.number, ["3#", "2"])
    await harness.status(family, "refused")
    await older(harness, "reply_segments", 601)
    await replies[0].flush_incomplete()
    assert await harness.connection.fetchval("SELECT count(*) FROM reply_segments") == 0
    assert (await harness.events(family)).count("reply_read") == 1


async def test_the_same_octets_within_2_s_are_one_reply_and_further_apart_two(harness: Harness) -> None:
    assert SAME_REPLY_WITHIN_SECONDS == 2
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    for _ in range(2):
        await harness.smsc.reply(family.number, "3#1")
    await older(harness, "replies", 2.1)
    await harness.smsc.reply(family.number, "3#1")
    assert await harness.connection.fetchval("SELECT count(*) FROM replies") == 2
    await harness.journaled(family, "reply_repeated")
    await harness.text(family, "socwallet")
    assert len(harness.smsc.inbox(family.number)) == 2


async def test_other_octets_another_number_or_another_destination_are_another_reply(harness: Harness) -> None:
    await harness.start()
    first, second = Family(n=1), Family(n=2)
    await harness.ask(first, second)
    await harness.smsc.reply(first.number, "3#1")
    await harness.smsc.reply(first.number, "3#1 ")
    await harness.smsc.reply(first.number, "3#1", to="11414")
    await harness.smsc.reply(second.number, "3#1")
    assert await harness.connection.fetchval("SELECT count(*) FROM replies") == 4


async def test_a_reused_message_id_belongs_to_the_latest_text(harness: Harness) -> None:
    harness.smsc.add("accept message_id=SAME")
    await harness.start()
    first, second = Family(n=1), Family(n=2)
    await harness.ask(first)
    await harness.ask(second)
    await harness.smsc.receipt("SAME", "delivered", source=second.number)
    await harness.status(second, "delivered")
    assert "delivered" not in harness.sdu.statuses(first.record_id)


async def test_expected_message_ids_and_unmatched_receipts_expire(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.smsc.receipt("unknown-id")
    assert await receipts.expire(harness.connection, 100, FOREVER) == 0
    for table in ("receipts_expected", "receipts_unmatched"):
        await harness.connection.execute(f"UPDATE {table} SET expires_at = clock_timestamp()")
    assert await receipts.expire(harness.connection, 100, FOREVER) == 2
    last = harness.smsc.submitted[-1]
    await harness.smsc.receipt(last, "undeliverable")
    assert "text_undeliverable" not in await harness.events(family)
