"""`links.fallback`: texts of a link that is down are sent through another link."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.simulators.smsc import SmscSimulator
from gateway.store import nodes, outbox, sms
from gateway.store.database import Database
from tests.entries import find_again
from tests.harness import SEGMENTS, WITHIN, Family, Harness

KCELL, TELE2 = "kcell", "tele2"


@pytest.fixture
async def tele2() -> AsyncIterator[SmscSimulator]:
    """The SMSC of the other operator; it sends a receipt for every segment."""
    async with SmscSimulator(password="secret", receipts="delivered", first_id=900_001) as smsc:
        yield smsc


@pytest.fixture(autouse=True)
def soon_down(harness: Harness) -> None:
    harness.set_policy(membership={"link_down_after_seconds": 0.3})


def links(tele2: SmscSimulator, *, fallback: bool = True) -> dict[str, Any]:
    """The configuration of both links: texts of kcell may be sent through tele2."""
    return {
        "link": {"fallback": [TELE2] if fallback else []},
        "other_link": {"name": TELE2, "port": tele2.port, "fallback": []},
    }


async def state_of(harness: Harness, family: Family, kind: str) -> tuple[str, str]:
    """(link, state) of the family's text of that kind."""
    row = await harness.connection.fetchrow(
        "SELECT link, state FROM sms WHERE case_id = $1 AND kind = $2", await harness.case_id(family), kind
    )
    assert row is not None
    return row["link"], row["state"]


async def test_texts_of_a_link_that_is_down_are_sent_through_its_fallback(
    harness: Harness, tele2: SmscSimulator
) -> None:
    await harness.smsc.down()
    await harness.launch(**links(tele2))
    await tele2.bound()
    family = Family(n=1)
    await harness.push(family)
    await tele2.message(family.number, containing="3#1", within=WITHIN)
    await harness.status(family, "asked")
    await harness.status(family, "delivered")  # the receipt is matched by the link that sent the text
    assert await tele2.reply(family.number, "3#1") == 0
    await tele2.message(family.number, containing="socwallet", within=WITHIN)
    await harness.status(family, "voucher_issued")
    assert tele2.complaints == []


async def test_without_a_fallback_texts_of_a_down_link_wait_and_the_other_link_sends(
    harness: Harness, tele2: SmscSimulator
) -> None:
    await harness.smsc.down()
    await harness.launch(**links(tele2, fallback=False))
    await tele2.bound()
    waiting, sent = Family(n=1), Family(n=2, mother="77770000002")
    await harness.push(waiting, sent)
    await harness.status(sent, "asked")
    assert await state_of(harness, waiting, "request") == (KCELL, "queued")
    await harness.smsc.up()
    await harness.status(waiting, "asked")
    assert tele2.inbox(waiting.number) == []


async def test_a_half_sent_text_is_completed_through_the_fallback(harness: Harness, tele2: SmscSimulator) -> None:
    """Only the segments that the first SMSC has not accepted are sent, with the same reference."""
    harness.smsc.add("no_answer after=10 taken=no")
    await harness.start(**links(tele2))
    await tele2.bound()
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) == SEGMENTS)
    accepted = [segment for segment in harness.smsc.submitted if segment.status == 0]
    assert len(accepted) == 10
    await harness.smsc.down()
    await harness.status(family, "asked")
    rest = tele2.submitted
    assert {s.reference for s in rest} == {accepted[0].reference}
    assert sorted(s.number for s in (*accepted, *rest)) == list(range(1, SEGMENTS + 1))


async def test_text_2_is_sent_through_the_fallback(harness: Harness, tele2: SmscSimulator) -> None:
    await harness.start(**links(tele2))
    await tele2.bound()
    family = Family(n=1)
    await harness.ask(family)
    harness.smsc.add("no_answer taken=no")
    assert await harness.smsc.reply(family.number, "3#2") == 0
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > SEGMENTS)
    await harness.smsc.down()
    await tele2.message(family.number, containing="бас тарттыңыз", within=WITHIN)
    assert len(tele2.submitted) == 1


async def test_a_link_counts_as_down_only_after_the_configured_time(database: Database) -> None:
    async with database.acquire() as connection:
        await nodes.join(connection, "node", "node", [KCELL, TELE2])
        assert await nodes.down_links(connection, [KCELL], 10.0) == []  # no process holds it: its state is unknown
        await nodes.claim_links(connection, "node", [KCELL])
        assert await nodes.down_links(connection, [KCELL], 10.0) == []  # just claimed
        assert await nodes.down_links(connection, [KCELL, TELE2], 0.0) == [KCELL]
        await nodes.note_link(connection, "node", KCELL, _state(1))
        assert await nodes.down_links(connection, [KCELL], 0.0) == []
        await nodes.note_link(connection, "node", KCELL, _state(0))
        assert await nodes.down_links(connection, [KCELL], 3600.0) == []
        assert await nodes.down_links(connection, [KCELL], 0.0) == [KCELL]


async def test_urgent_texts_of_a_down_link_are_claimed_before_bulk_of_its_fallback(database: Database) -> None:
    async with database.acquire() as connection:
        await nodes.join(connection, "node", "node", [KCELL, TELE2])
        await connection.executemany(
            "INSERT INTO sms (case_id, kind, repeat, link, msisdn, priority, template, body, long_messages, "
            "reference, segments, created_at) "
            "VALUES ($1, $2, 0, $3, '77010000001', $4, '', 'x', 'udh16', 1, 1, now())",
            [
                ("bulk of its own", "request", TELE2, outbox.Priority.BULK),
                ("bulk of the other", "request", KCELL, outbox.Priority.BULK),
                ("urgent of the other", "agreed", KCELL, outbox.Priority.URGENT),
                ("later bulk", "request", TELE2, outbox.Priority.BULK),
            ],
        )
        await find_again(connection)
        claimed = await sms.claim(connection, "node", TELE2, others=[KCELL], bulk=True, limit=3)
        assert [t.case_id for t in claimed] == ["urgent of the other", "bulk of its own", "bulk of the other"]
        assert {t.long_messages for t in claimed} == {"udh16"}
        assert await connection.fetchval("SELECT count(*) FROM sms WHERE link = $1", KCELL) == 0
        assert await sms.claim(connection, "node", KCELL, bulk=True, limit=3) == []


def _state(bound: int) -> nodes.LinkState:
    return nodes.LinkState(bound, None, None, None, None, None)
