"""What time does to what came in: long replies that never became whole, copies, receipts' ids."""

import pytest
from world import Family, World

from gateway import app
from gateway.operators.receiving import INCOMPLETE_AFTER, Receiver
from gateway.store import receipts
from gateway.store.inbound import SAME_REPLY_WITHIN


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> list[Receiver]:
    """The receiving halves of the gateways started in the test."""
    made: list[Receiver] = []

    class Kept(Receiver):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(app, "Receiver", Kept)
    return made


async def older(world: World, table: str, seconds: float) -> None:
    """Everything there came so much earlier."""
    await world.connection.execute(
        f"UPDATE {table} SET arrived_at = arrived_at - make_interval(secs => $1)",
        seconds,  # table is ours
    )


async def test_a_long_reply_that_never_becomes_whole_is_no_answer_after_10_minutes(
    world: World, receivers: list[Receiver]
) -> None:
    assert INCOMPLETE_AFTER == 600
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, ["3#1 ", "рахмет"], encoding="ucs2", order=[1])
    await older(world, "reply_segments", 590)
    assert await receivers[0].flush_incomplete() == 0
    assert "reply_read" not in await world.events(family)

    await older(world, "reply_segments", 11)
    assert await receivers[0].flush_incomplete() == 1
    assert (await world.journaled(family, "reply_read"))["verdict"] == "unclear"
    assert "consented" not in await world.events(family)
    assert await receivers[0].flush_incomplete() == 0


async def test_its_last_segment_without_the_first_is_unclear(world: World, receivers: list[Receiver]) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, ["3#1 ", "рахмет"], encoding="ucs2", order=[2])
    await older(world, "reply_segments", 601)
    await receivers[0].flush_incomplete()
    assert (await world.journaled(family, "reply_read"))["verdict"] == "unclear"


async def test_segments_of_a_whole_reply_are_forgotten_and_read_once(
    world: World, receivers: list[Receiver]
) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.reply(family.number, ["3#", "2"])
    await world.status(family, "refused")
    await older(world, "reply_segments", 601)
    await receivers[0].flush_incomplete()
    assert await world.connection.fetchval("SELECT count(*) FROM reply_segments") == 0
    assert (await world.events(family)).count("reply_read") == 1


async def test_the_same_octets_within_2_s_are_one_reply_and_further_apart_two(world: World) -> None:
    assert SAME_REPLY_WITHIN == 2
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    for _ in range(2):
        await world.smsc.reply(family.number, "3#1")
    await older(world, "replies", 2.1)
    await world.smsc.reply(family.number, "3#1")
    assert await world.connection.fetchval("SELECT count(*) FROM replies") == 2
    await world.journaled(family, "reply_repeated")
    await world.text(family, "socwallet")
    assert len(world.smsc.inbox(family.number)) == 2


async def test_other_octets_another_number_or_another_destination_are_another_reply(world: World) -> None:
    await world.start()
    first, second = Family(n=1), Family(n=2)
    await world.ask(first, second)
    await world.smsc.reply(first.number, "3#1")
    await world.smsc.reply(first.number, "3#1 ")
    await world.smsc.reply(first.number, "3#1", to="11414")
    await world.smsc.reply(second.number, "3#1")
    assert await world.connection.fetchval("SELECT count(*) FROM replies") == 4


async def test_an_id_that_the_smsc_uses_again_is_the_latest_texts(world: World) -> None:
    world.smsc.add("accept message_id=SAME")
    await world.start()
    first, second = Family(n=1), Family(n=2)
    await world.ask(first)
    await world.ask(second)
    await world.smsc.receipt("SAME", "delivered", source=second.number)
    await world.status(second, "delivered")
    assert "delivered" not in world.sdu.statuses(first.record_id)


async def test_ids_expire_and_so_do_receipts_that_nobody_waited_for(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.smsc.receipt("never-heard-of")
    assert await receipts.expire(world.connection, 100) == 0
    for table in ("receipts_expected", "receipts_parked"):
        await world.connection.execute(f"UPDATE {table} SET expires_at = clock_timestamp()")
    assert await receipts.expire(world.connection, 100) == 2
    last = world.smsc.submitted[-1]
    await world.smsc.receipt(last, "undeliverable")
    assert "text_undeliverable" not in await world.events(family)
