"""Processes whose database fails over: none of them evicts another that reconnects as it does."""

import asyncio
from collections.abc import AsyncIterator, Collection, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from chaos.standby import Server
from structlog.testing import capture_logs

from gateway.backoff import Backoff
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.lease import Lease
from gateway.cluster.membership import Membership
from gateway.cluster.retry import run_with_retry
from gateway.components import longest_waits
from gateway.config.policy import MembershipPolicy, Policy
from gateway.logs.log import Event
from gateway.store import nodes
from gateway.store.database import connect, load_clock
from gateway.store.migrations import migrate
from gateway.store.rewinds import JournalMemory
from tests.harness import WITHIN

POLICY = MembershipPolicy(heartbeat_seconds=0.1, expired_after_seconds=60.0, reconnect_seconds=0.0)
NODES = ("a", "b", "c")
LINKS = ["kcell", "tele2"]


@dataclass(slots=True)
class Links:
    """The links of a process without an SMSC."""

    running: set[str] = field(default_factory=set)
    loss_detection_seconds: float = 60.0
    pause_after_copy: timedelta = timedelta(hours=1)

    def wanted(self) -> Collection[str]:
        return LINKS

    def held(self) -> Collection[str]:
        return self.running

    def acquired(self, names: Collection[str]) -> None:
        self.running |= set(names)

    def release(self, names: Collection[str]) -> None:
        """Keeps them: nothing here drains."""

    def bind_now(self, names: Collection[str]) -> None: ...

    def paused(self, since: float) -> None: ...

    def resumed(self) -> None: ...


@asynccontextmanager
async def member(url: str, node: str) -> AsyncIterator["asyncio.Task[None]"]:
    """A process that gives heartbeats, and tries again when one fails."""
    database = await connect(url, size=2, node=node)
    async with database.acquire() as connection:
        clocks = ClockWatch(await load_clock(connection, 1.0), lambda: None, longest=longest_waits(Policy()))
        await nodes.join(connection, node, node, LINKS)
    membership = Membership(
        database=database, node=node, lease=Lease(60.0), links=Links(), policy=POLICY, clocks=clocks,
        memory=JournalMemory(), ack_timeout_seconds=60.0,
    )  # fmt: skip
    retry = run_with_retry(membership.run, "membership", backoff=Backoff(first_seconds=0.1, max_seconds=1.0))
    task = asyncio.create_task(retry)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await database.close()


async def heartbeats(connection: "asyncpg.Connection[asyncpg.Record]", *, times: int) -> None:
    """Returns once so many more heartbeats of each process are there."""
    last: dict[str, object] = {}
    left = dict.fromkeys(NODES, times)
    async with asyncio.timeout(6 * WITHIN):
        while any(count > 0 for count in left.values()):
            for node, seen_at in await connection.fetch("SELECT node, seen_at FROM nodes"):
                if last.setdefault(node, seen_at) != seen_at:
                    last[node] = seen_at
                    left[node] -= 1
            await asyncio.sleep(0.02)


@asynccontextmanager
async def logged() -> AsyncIterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


async def test_no_process_is_evicted_when_a_standby_is_promoted(data_dir: Path) -> None:
    primary = await asyncio.to_thread(Server.primary, data_dir / "primary")
    standby = await asyncio.to_thread(primary.standby)
    servers = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{servers}/postgres?target_session_attrs=read-write"
    try:
        connection = await asyncpg.connect(primary.url())
        await migrate(connection)
        async with member(url, "a") as a, member(url, "b") as b, member(url, "c") as c:
            await heartbeats(connection, times=3)
            reader = await asyncpg.connect(standby.url())
            await heartbeats(reader, times=1)  # replicated
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)
            await heartbeats(reader, times=10)
            assert [task.done() for task in (a, b, c)] == [False] * 3
            await reader.close()
        connection.terminate()
    finally:
        await asyncio.to_thread(standby.stop)
        await asyncio.to_thread(primary.stop)


async def test_no_process_is_evicted_when_all_lose_their_connections_at_once(database_url: str) -> None:
    """As after a crash of one session: PostgreSQL ends all of them, and the server has not been restarted."""
    connection = await asyncpg.connect(database_url)
    async with (
        member(database_url, "a") as a,
        member(database_url, "b") as b,
        member(database_url, "c") as c,
        logged() as lines,
    ):
        for _ in range(3):
            await heartbeats(connection, times=3)
            await connection.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name ^@ 'gateway '"""
            )
        await heartbeats(connection, times=10)
        assert [task.done() for task in (a, b, c)] == [False] * 3
    await connection.close()
    away = [line for line in lines if line["event"] == Event.DATABASE_AWAY]
    back = [line for line in lines if line["event"] == Event.DATABASE_BACK]
    assert (len(away), len(back)) == (9, 9)  # once each: three processes, three times
    assert all(line["error"] for line in away)
    assert all(line["seconds"] >= 0 for line in back)


async def test_a_process_whose_connections_all_ended_is_evicted_by_the_others(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    async with member(database_url, "a"), member(database_url, "b"):
        async with member(database_url, "c"):
            await heartbeats(connection, times=3)
        async with asyncio.timeout(WITHIN):
            while await connection.fetchval("SELECT count(*) FROM nodes") != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    await connection.close()
