"""A database that is slow to take the SMSCs' answers: what is in memory stays bounded, the window runs empty."""

import asyncio
from typing import Any

import pytest
from world import Family, World

from gateway.operators import sending
from gateway.store import sms

UNWRITTEN, WINDOW = 3, 10


async def test_no_more_texts_are_taken_than_can_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record, goes_on = sms.record, asyncio.Event()

    async def slow(*arguments: Any) -> set[int]:
        await goes_on.wait()
        return await record(*arguments)

    monkeypatch.setattr(sending, "MOST_UNWRITTEN", UNWRITTEN)
    monkeypatch.setattr(sms, "record", slow)
    await world.start(link={"window": WINDOW})
    families = [Family(n=n) for n in range(1, 31)]
    await world.push(*families)
    await world.status(families[-1], "number_found")
    await asyncio.sleep(1.0)
    ready = WINDOW * sending.READY_WINDOWS // sending.TYPICAL_SEGMENTS + 1
    assert UNWRITTEN <= len({submit.destination for submit in world.smsc.submitted}) <= UNWRITTEN + 2 * ready
    goes_on.set()
    for family in families:
        await world.status(family, "asked")
    world.no_complaints()
