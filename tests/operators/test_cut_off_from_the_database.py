"""A process that no longer gets through to the database makes way for whoever takes its links over."""

import asyncio
import time

import pytest
from world import WITHIN, Family, World

from gateway import app
from gateway.lease import Lease
from gateway.store import nodes
from gateway.store.database import Connection


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "HEARTBEAT", 0.05)
    monkeypatch.setattr(nodes, "DEAD_AFTER", 1.0)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Nodes whose beats do not get through."""
    beat, cut_off = nodes.beat, set[str]()

    async def beat_unless_cut_off(connection: Connection, node: str) -> None:
        if node in cut_off:
            raise ConnectionResetError
        await beat(connection, node)

    monkeypatch.setattr(nodes, "beat", beat_unless_cut_off)
    return cut_off


async def holder(world: World) -> str:
    """The node that has the link."""
    node: str = await world.connection.fetchval("SELECT node FROM links")
    return node


async def test_the_links_of_a_process_that_cannot_beat_pass_to_the_other(world: World, cut_off: set[str]) -> None:
    await world.start()
    await world.launch()
    await world.ask(Family(n=1))
    cut_off.add(await holder(world))
    await world.smsc.wait_for(lambda: len(world.smsc.connections) == 2, within=WITHIN)
    await world.smsc.wait_for(lambda: world.smsc.connections[0].closed, within=WITHIN)
    await world.smsc.bound(within=WITHIN)
    world.running.reverse()  # the lists go to the living one
    await world.ask(Family(n=2))
    assert [session.bound for session in world.smsc.connections] == [False, True]


async def test_what_it_has_in_memory_waits_until_it_beats_again(
    world: World, cut_off: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have come since, and sends it."""
    await world.start()
    node = await holder(world)
    monkeypatch.setattr(nodes, "DEAD_AFTER", 60.0)
    cut_off.add(node)
    await world.connection.execute("SELECT pg_sleep(0.3)")  # some heartbeats, in vain
    family = Family(n=1)
    await world.push(family)
    await world.status(family, "number_found")
    async with asyncio.timeout(WITHIN):
        while not await world.connection.fetchval("SELECT count(*) FROM sms WHERE node = $1", node):
            await world.connection.execute("SELECT pg_sleep(0.02)")
    assert world.smsc.submitted == []
    cut_off.clear()
    await world.status(family, "asked")
    assert [session.bound for session in world.smsc.connections] == [True]


async def test_alone_it_lets_its_links_go_as_well_and_comes_back(world: World, cut_off: set[str]) -> None:
    """Whether anybody has come since its last beat it cannot know."""
    await world.start()
    cut_off.add(await holder(world))
    await world.smsc.wait_for(lambda: world.smsc.connections[0].closed, within=WITHIN)
    cut_off.clear()
    await world.smsc.bound(within=WITHIN)
    await world.ask(Family(n=1))


async def test_a_lease_lapses_without_a_beat_and_is_held_again_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "DEAD_AFTER", 0.01)
    lease = Lease()
    began_at = time.monotonic()
    lease.renew(began_at)
    await lease.lapse()
    assert (lease.lapsed, lease.is_sure) == (True, False)
    monkeypatch.setattr(nodes, "DEAD_AFTER", 10.0)
    assert lease.renew(time.monotonic()) == began_at
    await lease.held()
    assert (lease.lapsed, lease.is_sure) == (False, True)


async def test_a_lease_counts_from_when_the_beat_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others count from when the database has it: an answer that comes late makes it no younger."""
    monkeypatch.setattr(nodes, "DEAD_AFTER", 10.0)
    lease = Lease()
    lease.renew(time.monotonic() - 11.0)
    assert lease.lapsed


async def test_a_lease_is_not_sure_once_its_connection_is_gone() -> None:
    lease = Lease()
    lease.lose_sight()
    assert (lease.lapsed, lease.is_sure) == (False, False)
    lease.renew(time.monotonic())
    assert lease.is_sure
