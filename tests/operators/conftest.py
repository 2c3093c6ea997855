"""The gateway between its neighbours, for the tests of this folder."""

from collections.abc import AsyncIterator

import pytest
from fakes.smsc import FakeSmsc
from world import World, world

__all__ = ["world"]


@pytest.fixture
async def tele2(world: World) -> AsyncIterator[FakeSmsc]:
    """Another operator's SMSC; the gateway runs, bound to both."""
    async with FakeSmsc(password="secret") as smsc:
        await world.start(
            link={"operators": ["Activ"]},
            other_link={"name": "tele2", "port": smsc.port, "operators": []},
        )
        await smsc.bound()
        yield smsc
