"""Two real processes on one database, with the real times: one claims the links and work of the other."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.policy import MembershipPolicy
from gateway.simulators.smsc import SmscSimulator
from tests.harness import TOKENS, Family, Harness, harness

__all__ = ["harness"]

ROOT = Path(__file__).parents[2]
BOUND_WITHIN_SECONDS = 15.0
FENCED_EXIT_STATUS = 75


class Cluster:
    """Gateway processes, by the names of their nodes."""

    def __init__(self, harness: Harness, directory: Path) -> None:
        self._harness, self._directory = harness, directory
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        config = self._harness.configure(0, gateway={"node": name, "database": self._harness.database_url})
        path = self._directory / f"{name}.toml"
        path.write_bytes(config.path.read_bytes())
        with self._log(name).open("wb") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "gateway", "serve", "--config", str(path)),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        await self._port(name)

    async def ask(self, name: str, family: Family) -> None:
        """Pushes a list to this process, and returns when the question is accepted by the SMSC."""
        self._harness.know([family])
        async with self._harness.http.put(
            f"http://127.0.0.1:{await self._port(name)}/v1/lists/list-{family.n}",
            data=json.dumps(family.record()).encode(),
            headers={"Authorization": f"Bearer {TOKENS['sdu']}", "Content-Type": "application/x-ndjson"},
        ) as response:
            assert response.status == 201
        await self._harness.status(family, "asked")

    async def holder(self) -> tuple[str, str]:
        """The name of the process that holds the link, and of the other one."""
        name: str = await self._harness.connection.fetchval("SELECT name FROM links JOIN nodes USING (node)")
        (other,) = self.processes.keys() - {name}
        return name, other

    async def _port(self, name: str) -> int:
        async with asyncio.timeout(30.0):
            while True:
                for line in map(json.loads, self._log(name).read_bytes().splitlines()):
                    if line["event"] == "http_serving":
                        return int(line["port"])
                await asyncio.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


@pytest.fixture
async def cluster(harness: Harness, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two processes, one of them bound."""
    cluster = Cluster(harness, tmp_path)
    try:
        await cluster.start("one")
        await cluster.start("two")
        await harness.smsc.bound(within=30.0)
        yield cluster
    finally:
        for process in cluster.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                await process.wait()


async def seconds_until_bound(smsc: SmscSimulator) -> float:
    """Seconds until the link is bound once more."""
    began, before = time.monotonic(), len(smsc.connections)
    await smsc.wait_for(
        lambda: any(session.bound for session in smsc.connections[before:]), within=3 * BOUND_WITHIN_SECONDS
    )
    return time.monotonic() - began


async def test_the_link_of_a_killed_process_is_bound_by_another_within_15_s(
    harness: Harness, cluster: Cluster
) -> None:
    killed, other = await cluster.holder()
    cluster.processes[killed].kill()
    assert await seconds_until_bound(harness.smsc) < BOUND_WITHIN_SECONDS
    await cluster.ask(other, Family(n=1))
    harness.no_complaints()


async def test_the_link_of_a_paused_process_is_bound_within_15_s_and_the_process_is_fenced(
    harness: Harness, cluster: Cluster
) -> None:
    paused, other = await cluster.holder()
    family = Family(n=1)
    await cluster.ask(other, family)
    node = await harness.connection.fetchval("SELECT node FROM links")
    cluster.processes[paused].send_signal(signal.SIGSTOP)
    # The SMSC still has that session: its deliver_sm waits in the socket of the paused process.
    reply = asyncio.create_task(harness.smsc.reply(family.number, "3#1", until_accepted=True, within=60.0))
    assert await seconds_until_bound(harness.smsc) < BOUND_WITHIN_SECONDS
    await cluster.ask(other, Family(n=2))
    cluster.processes[paused].send_signal(signal.SIGCONT)
    async with asyncio.timeout(MembershipPolicy().expired_after_seconds):
        assert await cluster.processes[paused].wait() == FENCED_EXIT_STATUS
    assert await reply == 0
    await harness.status(family, "voucher_issued")
    assert await harness.connection.fetchval("SELECT count(*) FROM replies") == 1
    assert await harness.connection.fetchval("SELECT count(*) FROM sms WHERE node = $1", node) == 0
    assert await harness.connection.fetchval("SELECT count(*) FROM nodes") == 1
    events = await harness.events(family)
    assert [events.count(name) for name in ("asked", "consented", "voucher_issued")] == [1, 1, 1]
    harness.no_complaints()
