"""A process whose heartbeats fail releases its links, so that another process can claim them."""

import asyncio
import time
from collections.abc import Collection
from datetime import datetime

import pytest

from gateway.cluster.lease import Lease
from gateway.store import nodes
from gateway.store.database import Connection
from tests.harness import WITHIN, Family, Harness


@pytest.fixture(autouse=True)
def _soon(harness: Harness) -> None:
    harness.set_policy(membership={"heartbeat_seconds": 0.05, "expired_after_seconds": 3.0})


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Nodes whose heartbeats fail."""
    heartbeat, cut_off = nodes.heartbeat, set[str]()

    async def heartbeat_unless_cut_off(
        connection: Connection, node: str, latest: datetime, wanted: Collection[str]
    ) -> datetime:
        if node in cut_off:
            raise ConnectionResetError
        return await heartbeat(connection, node, latest, wanted)

    monkeypatch.setattr(nodes, "heartbeat", heartbeat_unless_cut_off)
    return cut_off


async def holder(harness: Harness) -> str:
    """The node that holds the link."""
    node: str = await harness.connection.fetchval("SELECT node FROM links")
    return node


async def test_links_of_a_process_without_heartbeats_are_claimed_by_another_process(
    harness: Harness, cut_off: set[str]
) -> None:
    await harness.start()
    await harness.launch()
    await harness.ask(Family(n=1))
    cut_off.add(await holder(harness))
    await harness.smsc.wait_for(lambda: len(harness.smsc.connections) == 2, within=WITHIN)
    await harness.smsc.wait_for(lambda: harness.smsc.connections[0].closed, within=WITHIN)
    await harness.smsc.bound(within=WITHIN)
    harness.running.reverse()  # lists are pushed to the process that holds the link
    await harness.ask(Family(n=2))
    assert [session.bound for session in harness.smsc.connections] == [False, True]


async def test_claimed_texts_are_not_sent_while_heartbeats_fail(harness: Harness, cut_off: set[str]) -> None:
    """Another process may have claimed the link since, and send them."""
    harness.set_policy(membership={"expired_after_seconds": 60.0})
    await harness.start()
    node = await holder(harness)
    cut_off.add(node)
    await harness.connection.execute("SELECT pg_sleep(0.3)")  # time for some failed heartbeats
    family = Family(n=1)
    await harness.push(family)
    await harness.status(family, "number_found")
    async with asyncio.timeout(WITHIN):
        while not await harness.connection.fetchval("SELECT count(*) FROM sms WHERE node = $1", node):
            await harness.connection.execute("SELECT pg_sleep(0.02)")
    assert harness.smsc.submitted == []
    cut_off.clear()
    await harness.status(family, "asked")
    assert [session.bound for session in harness.smsc.connections] == [True]


async def test_a_single_process_without_heartbeats_releases_its_links_and_claims_them_again(
    harness: Harness, cut_off: set[str]
) -> None:
    """It cannot know whether another process has joined since its last heartbeat."""
    await harness.start()
    cut_off.add(await holder(harness))
    await harness.smsc.wait_for(lambda: harness.smsc.connections[0].closed, within=WITHIN)
    cut_off.clear()
    await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=1))


async def test_a_lease_lapses_without_a_heartbeat_and_is_held_again_after_one() -> None:
    lease = Lease(0.2)
    began_at = time.monotonic()
    lease.renew(began_at)
    await lease.wait_lapsed()
    assert (lease.lapsed, lease.is_exclusive) == (True, False)
    assert lease.renew(time.monotonic()) == began_at
    await lease.wait_held()
    assert (lease.lapsed, lease.is_exclusive) == (False, True)


async def test_a_lease_counts_from_the_start_of_its_heartbeat() -> None:
    """Other processes count from its arrival in the database: a late response does not prolong the lease."""
    lease = Lease(10.0)
    lease.renew(time.monotonic() - 11.0)
    assert lease.lapsed


async def test_a_lease_is_not_exclusive_once_its_lock_is_lost() -> None:
    lease = Lease(10.0)
    lease.lock_lost()
    assert (lease.lapsed, lease.is_exclusive) == (False, False)
    lease.renew(time.monotonic())
    assert lease.is_exclusive
