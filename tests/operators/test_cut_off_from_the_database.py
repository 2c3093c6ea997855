"""A process that no longer gets through to the database makes way for whoever takes its links over."""

import asyncio

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


async def test_the_links_of_a_process_that_cannot_beat_pass_to_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, cut_off = nodes.beat, set[str]()

    async def beat_unless_cut_off(connection: Connection, node: str) -> bool:
        if node in cut_off:
            raise ConnectionResetError
        return await beat(connection, node)

    monkeypatch.setattr(nodes, "beat", beat_unless_cut_off)
    await world.start()
    holder = await world.connection.fetchval("SELECT node FROM links")
    await world.launch()
    await world.ask(Family(n=1))
    cut_off.add(holder)
    await world.smsc.wait_for(lambda: len(world.smsc.connections) == 2, within=WITHIN)
    await world.smsc.wait_for(lambda: world.smsc.connections[0].closed, within=WITHIN)
    await world.smsc.bound(within=WITHIN)
    world.running.reverse()  # the lists go to the living one
    await world.ask(Family(n=2))
    assert [session.bound for session in world.smsc.connections] == [False, True]


async def test_alone_it_keeps_its_links_and_submits_nothing_until_it_beats_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have come since, and sends what we have in memory."""
    beat, cut_off = nodes.beat, True

    async def beat_unless_cut_off(connection: Connection, node: str) -> bool:
        if cut_off:
            raise ConnectionResetError
        return await beat(connection, node)

    await world.start()
    monkeypatch.setattr(nodes, "beat", beat_unless_cut_off)
    await asyncio.sleep(nodes.DEAD_AFTER + 0.2)
    family = Family(n=1)
    await world.push(family)
    await world.status(family, "number_found")
    await asyncio.sleep(0.5)
    assert world.smsc.submitted == []
    cut_off = False
    await world.status(family, "asked")
    assert [session.bound for session in world.smsc.connections] == [True]


async def test_alone_it_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "DEAD_AFTER", 0.01)
    lease = Lease()
    lease.renew(alone=True)
    await asyncio.sleep(0.02)
    assert lease.stale
    assert not lease.lapsed
    monkeypatch.setattr(nodes, "DEAD_AFTER", 10.0)
    assert not lease.stale


async def test_a_lease_lapses_without_a_beat_and_is_held_again_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "DEAD_AFTER", 0.01)
    lease = Lease()
    lease.renew(alone=False)
    await lease.lapse()
    assert lease.lapsed
    monkeypatch.setattr(nodes, "DEAD_AFTER", 10.0)
    assert lease.renew(alone=False) >= 0.01
    await lease.held()
    assert not lease.lapsed
