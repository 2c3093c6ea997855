"""The disk of the embedded database really runs full and is freed: nothing is lost or invented."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
import psutil
import pytest
from chaos import disk
from ports import free_port
from smpplib import consts

from gateway.store import journal_check
from tests.harness import TOKENS, Family, Harness, Process, harness

__all__ = ["harness"]

ROOT = Path(__file__).parent.parent
MEGABYTES = 128
LONG_SECONDS = 40.0
"""The limit for steps that take ten seconds on an idle machine."""

cannot = disk.why_not()
pytestmark = pytest.mark.skipif(cannot is not None, reason=f"no small disk can be mounted here: {cannot}")


@dataclass(slots=True, kw_only=True)
class OnSmallDisk:
    """A gateway process with its embedded database on a small disk of its own."""

    process: psutil.Process
    url: str
    disk: Path

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(f"postgresql://postgres@/postgres?host={self.disk}/postgresql")

    async def run_full(self) -> None:
        """Fills the disk: the server ends and cannot start again."""
        disk.fill(self.disk)
        await disk.exhaust_wal(self.disk / "postgresql")
        assert "PANIC:" in (self.disk / "postgresql/log").read_text()
        pid_file = self.disk / "postgresql/postmaster.pid"
        await asyncio.to_thread(wait_until, lambda: not pid_file.exists())

    @property
    def cpu_seconds(self) -> float:
        """Seconds of processor time that the process has used."""
        used = self.process.cpu_times()
        seconds: float = used.user + used.system + used.children_user + used.children_system
        return seconds


@pytest.fixture
async def gateway(harness: Harness, data_dir: Path) -> AsyncIterator[OnSmallDisk]:
    """A running gateway, bound to the SMSC."""
    port = free_port()
    harness.configure(port, gateway={"database": "embedded", "data_dir": str(data_dir)})
    log = harness.directory / "log"
    serve = (sys.executable, "-m", "gateway", "serve", "--config", str(harness.directory / "config.toml"))
    command = disk.on_small_disk(data_dir, MEGABYTES, *serve)
    with log.open("wb") as out:
        running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    harness.running.append(Process(url, asyncio.Event(), asyncio.create_task(running.wait())))
    try:
        await harness.smsc.bound(within=LONG_SECONDS)
        inside = Path(f"/proc/{running.pid}/root{data_dir}")
        yield OnSmallDisk(process=psutil.Process(running.pid), url=url, disk=inside)
    finally:
        with suppress(ProcessLookupError):
            running.terminate()
        status = await running.wait()
    assert status == 0, log.read_text()


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.01)


async def put(harness: Harness, gateway: OnSmallDisk, family: Family) -> tuple[int, str | None]:
    """(status, Retry-After) of a list pushed to the gateway; status 0 when it has cut the connection."""
    headers = {"Authorization": f"Bearer {TOKENS['sdu']}", "Content-Type": "application/x-ndjson"}
    url, body = f"{gateway.url}/v1/lists/while-full", orjson.dumps(family.record()) + b"\n"
    try:
        async with harness.http.put(url, data=body, headers=headers) as response:
            return response.status, response.headers.get("Retry-After")
    except OSError:
        return 0, None


async def test_replies_and_lists_during_a_full_disk_are_accepted_after_it(
    harness: Harness, gateway: OnSmallDisk
) -> None:
    """Replies are rejected at first. Then the lease lapses and the link is released."""
    families, later = [Family(n=n) for n in range(1, 5)], Family(n=9)
    harness.know([later])
    await harness.ask(*families)
    await gateway.run_full()
    began, cpu_seconds = time.monotonic(), gateway.cpu_seconds
    replies = [
        asyncio.create_task(harness.smsc.reply(family.number, "3#1", until_accepted=True, within=LONG_SECONDS))
        for family in families
    ]
    status, retry_after = await put(harness, gateway, later)
    assert (status, bool(retry_after)) in [(503, True), (507, True), (0, False)]
    await harness.smsc.wait_for(lambda: harness.smsc.connections[0].closed, within=LONG_SECONDS)
    assert {delivered.status for delivered in harness.smsc.delivered} <= {consts.SMPP_ESME_RX_T_APPN, None}
    assert gateway.cpu_seconds - cpu_seconds < 0.5 * (time.monotonic() - began)  # no busy loop

    disk.free(gateway.disk)
    assert await asyncio.gather(*replies) == [0] * len(families)
    for family in families:
        await harness.sdu.status(family.record_id, "voucher_issued", within=LONG_SECONDS)
        assert [e["status"] for e in harness.sdu.events if e["record_id"] == family.record_id].count(
            "consented"
        ) == 1
    assert (await put(harness, gateway, later))[0] == 201
    await harness.sdu.status(later.record_id, "asked", within=LONG_SECONDS)
    connection = await gateway.connect()
    try:
        assert await connection.fetchval("SELECT count(*) FROM replies") == len(families)
        assert await connection.fetchval("SELECT count(*) FROM cases") == len(families) + 1
        assert (await journal_check.verify(connection)).fault is None
    finally:
        await connection.close()
    assert len(harness.wallet.keys) == len(families)
    assert len(harness.smsc.connections) == 2
    assert not harness.running[0].task.done()
    harness.no_complaints()


async def test_sigterm_stops_a_gateway_with_a_full_disk(harness: Harness, gateway: OnSmallDisk) -> None:
    await gateway.run_full()
    gateway.process.terminate()
    async with asyncio.timeout(LONG_SECONDS):
        assert await harness.running[0].task == 0
