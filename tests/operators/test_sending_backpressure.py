"""A database that is slow to store SMSC responses: texts in memory stay bounded, and the window empties."""

import asyncio
from typing import Any

import pytest

from gateway.operators import sender
from gateway.store import sms
from tests.harness import Family, Harness

MAX_UNWRITTEN, WINDOW = 3, 10


async def test_no_more_texts_are_claimed_than_max_unwritten_texts_allows(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, resumed = sms.record, asyncio.Event()

    async def slow(*arguments: Any) -> set[int]:
        await resumed.wait()
        return await record(*arguments)

    harness.set_policy(links={"max_unwritten_texts": MAX_UNWRITTEN})
    monkeypatch.setattr(sms, "record", slow)
    await harness.start(link={"window": WINDOW})
    families = [Family(n=n) for n in range(1, 31)]
    await harness.push(*families)
    await harness.status(families[-1], "number_found")
    await asyncio.sleep(1.0)
    ready = WINDOW * sender.READY_WINDOWS // sender.TYPICAL_SEGMENTS + 1
    assert (
        MAX_UNWRITTEN
        <= len({submit.destination for submit in harness.smsc.submitted})
        <= MAX_UNWRITTEN + 2 * ready
    )
    resumed.set()
    for family in families:
        await harness.status(family, "asked")
    harness.no_complaints()
