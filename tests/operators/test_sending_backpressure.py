"""A database that is slow to take the SMSCs' answers: what is in memory stays bounded, the window runs empty."""

import asyncio
from typing import Any

import pytest

from gateway.operators import sender
from gateway.store import sms
from tests.harness import Family, Harness

UNWRITTEN, WINDOW = 3, 10


async def test_no_more_texts_are_taken_than_can_be_written(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, goes_on = sms.record, asyncio.Event()

    async def slow(*arguments: Any) -> set[int]:
        await goes_on.wait()
        return await record(*arguments)

    harness.set_policy(links={"max_unwritten_texts": UNWRITTEN})
    monkeypatch.setattr(sms, "record", slow)
    await harness.start(link={"window": WINDOW})
    families = [Family(n=n) for n in range(1, 31)]
    await harness.push(*families)
    await harness.status(families[-1], "number_found")
    await asyncio.sleep(1.0)
    ready = WINDOW * sender.READY_WINDOWS // sender.TYPICAL_SEGMENTS + 1
    assert UNWRITTEN <= len({submit.destination for submit in harness.smsc.submitted}) <= UNWRITTEN + 2 * ready
    goes_on.set()
    for family in families:
        await harness.status(family, "asked")
    harness.no_complaints()
