"""The database lacks what was there: nothing is sent until ops accept that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from chaos.standby import Server

from gateway.cli import main
from gateway.config.policy import MembershipPolicy
from gateway.store import journal, journal_check
from gateway.store.migrations import migrate
from tests.harness import TOKENS, WITHIN, Family, Harness, Process, harness

__all__ = ["harness"]

FAILOVER_SECONDS = 60.0
HEARTBEAT_SECONDS = MembershipPolicy().heartbeat_seconds
_CAUGHT_UP = "SELECT bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication, pg_sleep(0.05)"


@asynccontextmanager
async def primary_and_standby(directory: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A primary with the tables, and a standby that streams from it and for which no commit waits."""
    primary = await asyncio.to_thread(Server.primary, directory / "primary")
    servers = [primary]
    try:
        connection = await asyncpg.connect(primary.url())
        await migrate(connection)
        await connection.close()
        servers.append(await asyncio.to_thread(primary.standby))
        yield primary, servers[1]
    finally:
        for server in servers:
            await asyncio.to_thread(server.kill)


async def fall_behind(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The standby has all that was committed, and gets nothing of what follows."""
    async with asyncio.timeout(FAILOVER_SECONDS):
        while not await connection.fetchval(_CAUGHT_UP):
            pass
    psutil.Process(await connection.fetchval("SELECT pid FROM pg_stat_replication")).suspend()


async def readiness(harness: Harness, process: Process, expected: str) -> str:
    """The detail of /readyz once it has the expected words, of a process that may be starting again."""
    async with asyncio.timeout(FAILOVER_SECONDS):
        while True:
            with suppress(aiohttp.ClientError):
                async with harness.http.get(process.url + "/readyz") as response:
                    detail = str((await response.json(content_type=None)).get("detail", "ready"))
                    if expected in detail:
                        return detail
            await asyncio.sleep(0.02)


def sent(harness: Harness) -> dict[str, int]:
    """What partners and parents have got by now."""
    return {
        "segments": len(harness.smsc.submitted),
        "connections": len(harness.smsc.sessions),
        "lookups": harness.mcb.called,
        "vouchers": harness.wallet.called,
        "statuses": harness.sdu.called,
    }


@pytest.mark.long
async def test_after_a_failover_to_a_standby_that_was_behind_nothing_is_sent_until_it_is_accepted(
    harness: Harness, data_dir: Path
) -> None:
    async with primary_and_standby(data_dir) as (primary, standby):
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        processes = [
            await harness.start(gateway={"database": url}),
            await harness.launch(gateway={"database": url}),
        ]
        known, lost = Family(n=1), Family(n=2)
        await harness.ask(known)
        before = await asyncpg.connect(primary.url())
        await fall_behind(before)
        assert await harness.smsc.reply(known.number, "3#1") == 0  # acknowledged, and only on the primary
        await harness.status(known, "voucher_issued")
        await harness.ask(lost)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(standby.promote)
        for process in processes:
            assert "gateway accept-rewind" in await readiness(harness, process, "rewound")
        await harness.smsc.wait_for(lambda: not harness.smsc.sessions, within=WITHIN)
        quiet = sent(harness)
        status, _ = await harness.request("PUT", "/v1/lists/later", role="sdu", data=b"{}\n",
                                          headers={"Content-Type": "application/x-ndjson"})  # fmt: skip
        assert status == 503
        await asyncio.sleep(2 * HEARTBEAT_SECONDS)  # nothing can be waited for
        assert sent(harness) == quiet

        status, report = await harness.request("POST", "/v1/rewind/accept")
        assert (status, report["found_by"], report["sdu"]["first"]) == (200, "gateway", report["seq"] + 1)
        assert report["known_seq"] > report["seq"]
        await harness.smsc.bound(within=FAILOVER_SECONDS)
        assert not any(process.task.done() for process in processes)
        assert await harness.smsc.reply(known.number, "3#1", until_accepted=True) == 0  # the parent is asked again
        await harness.wallet.wait_for(lambda: harness.wallet.called > quiet["vouchers"], within=FAILOVER_SECONDS)
        assert len(set(harness.wallet.keys)) == 1  # it knows the case
        after = await asyncpg.connect(standby.url())
        await journal.seal(after)
        assert (await journal_check.verify(after)).fault is None
        assert await after.fetchval("SELECT count(*) FROM journal WHERE event = 'rewind_accepted'") == 1
        assert await after.fetchval("SELECT array_agg(record_id) FROM cases") == [known.record_id]
        assert await harness.stop() == [0, 0]
        await after.close()


async def test_a_process_that_starts_with_a_rewound_database_stands_still_until_it_is_accepted(
    harness: Harness, capsys: Any, monkeypatch: Any
) -> None:
    mark = "INSERT INTO rewinds (found_by, seq, hash, known_seq) VALUES ('sdu', 0, '', 7)"
    await harness.connection.execute(mark)
    process = await harness.launch()
    await readiness(harness, process, "rewound")
    assert harness.smsc.sessions == []
    monkeypatch.setenv("GATEWAY_TOKEN", TOKENS["ops"])
    for dry_run in (["--dry-run"], []):
        assert await asyncio.to_thread(main, ["accept-rewind", "--url", process.url, *dry_run]) == 0
        assert "SDU may have statuses from seq 1 to 7 that the database lacks." in capsys.readouterr().out
    await harness.smsc.bound(within=WITHIN)
    await readiness(harness, process, "ready")
    await harness.ask(Family(n=1))


async def test_processes_go_on_when_the_right_database_is_back(harness: Harness) -> None:
    process = await harness.start()
    await harness.ask(Family(n=1))
    mark = "INSERT INTO rewinds (found_by, seq, hash, known_seq) VALUES ('gateway', 1, '', 70)"
    await harness.connection.execute(mark)
    await readiness(harness, process, "rewound")
    await harness.smsc.wait_for(lambda: not harness.smsc.sessions, within=WITHIN)
    await harness.connection.execute("DELETE FROM rewinds")
    await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=2))
    assert await harness.stop() == [0]
