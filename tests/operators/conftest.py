"""The gateway between its partners, for the tests of this folder."""

from collections.abc import AsyncIterator

import pytest

from gateway.simulators.smsc import SmscSimulator
from tests.harness import Harness, harness

__all__ = ["harness"]


@pytest.fixture
async def tele2(harness: Harness) -> AsyncIterator[SmscSimulator]:
    """Another operator's SMSC, while a gateway runs that is bound to both."""
    async with SmscSimulator(password="secret") as smsc:
        await harness.start(
            link={"operators": ["Activ"]},
            other_link={"name": "tele2", "port": smsc.port, "operators": []},
        )
        await smsc.bound()
        yield smsc
