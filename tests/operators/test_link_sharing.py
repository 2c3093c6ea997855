"""Links are shared out among processes: a second one gets its share, and no segment is sent twice on the way."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.simulators.smsc import SmscSimulator
from tests.harness import SEGMENTS, WITHIN, Family, Harness, Process, metric

TPS = 100


@pytest.fixture
async def tele2() -> AsyncIterator[SmscSimulator]:
    """Another operator's SMSC; it allows one bind."""
    async with SmscSimulator(password="secret", exclusive=True) as smsc:
        yield smsc


@pytest.fixture(autouse=True)
def _soon(harness: Harness, tele2: SmscSimulator) -> None:
    harness.set_policy(membership={"heartbeat_seconds": 0.1, "settle_seconds": 0.2})
    harness.smsc.exclusive = True


async def start(harness: Harness, tele2: SmscSimulator, **link: str) -> Process:
    """A process with two links."""
    other_link = {"name": "tele2", "port": tele2.port}
    return await harness.launch(link={"tps": TPS, **link}, other_link=other_link)


async def shared(harness: Harness, *, by: int) -> None:
    """Returns once so many processes hold the links."""
    held = "SELECT count(DISTINCT node), count(node) FROM links"
    async with asyncio.timeout(3 * WITHIN):
        while tuple(await harness.connection.fetchrow(held) or ()) != (by, 2):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def families(first: int, prefix: str) -> list[Family]:
    return [Family(n=n, mother=f"7{prefix}{n:07d}") for n in range(first, first + 10)]


async def test_a_process_that_joins_gets_a_link_and_no_segment_is_sent_twice(
    harness: Harness, tele2: SmscSimulator
) -> None:
    first = await start(harness, tele2)
    smscs = (harness.smsc, tele2)
    for smsc in smscs:
        await smsc.bound(within=WITHIN)
    unknown = [metric("segments_unknown_total", link=link) for link in ("kcell", "tele2")]
    asked = [*families(1, "701"), *families(11, "777")]
    await harness.push(*asked)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > SEGMENTS, within=WITHIN)
    await start(harness, tele2)
    await shared(harness, by=2)
    for family in asked:
        await harness.status(family, "asked")
    for smsc in smscs:
        await smsc.bound(within=WITHIN)
        assert len(smsc.submitted) == 10 * SEGMENTS
    assert sorted(len(smsc.connections) for smsc in smscs) == [1, 2]  # one link has moved, and no bind was refused
    assert [metric("segments_unknown_total", link=link) for link in ("kcell", "tele2")] == unknown
    assert await harness.connection.fetchval("SELECT count(*) FROM unacknowledged_periods") == 0
    for smsc, family in zip(smscs, (asked[0], asked[-1]), strict=True):
        assert await smsc.reply(family.number, "3#1") == 0
        await harness.status(family, "consented")
    await first.stop()
    await shared(harness, by=1)
    harness.no_complaints()
    assert tele2.complaints == []


async def test_a_link_moves_only_after_the_late_responses_to_its_segments(
    harness: Harness, tele2: SmscSimulator
) -> None:
    """They come by its connection; without them the segments would be sent once more."""
    harness.smsc.add("delay delay=2.3")
    await start(harness, tele2, response_timeout="2s")
    await harness.smsc.bound(within=WITHIN)
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: harness.smsc.submitted, within=WITHIN)
    await start(harness, tele2, response_timeout="2s")
    await shared(harness, by=2)
    await harness.status(family, "asked")
    assert len(harness.smsc.submitted) == SEGMENTS
    await harness.smsc.wait_for(lambda: len(harness.smsc.connections) == 2, within=WITHIN)  # this link has moved


async def test_a_link_moves_while_its_smsc_is_away(harness: Harness, tele2: SmscSimulator) -> None:
    await start(harness, tele2)
    await harness.smsc.bound(within=WITHIN)
    await harness.smsc.down()
    await start(harness, tele2)
    await shared(harness, by=2)
    await harness.smsc.up()
    await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=1))
