"""The primary stops answering and a standby is promoted: nothing is lost, and no process ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from chaos import proxy
from chaos.proxy import Mode
from chaos.standby import Server
from smpplib import consts

from gateway.store.database import connect
from gateway.store.migrations import migrate
from tests.harness import Family, Harness, harness

__all__ = ["harness"]

WITHIN_SECONDS = 60


@pytest.fixture
async def servers(data_dir: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A migrated primary with a synchronous standby."""
    primary = await asyncio.to_thread(Server.primary, data_dir / "primary")
    standby = await asyncio.to_thread(primary.standby)
    try:
        database = await connect(primary.url(), size=1)
        async with database.acquire() as connection:
            await migrate(connection)
        await database.close()
        await asyncio.to_thread(primary.set, synchronous_standby_names="standby")
        await asyncio.to_thread(primary.reload)
        yield primary, standby
    finally:
        await asyncio.to_thread(standby.stop)
        await asyncio.to_thread(primary.stop)


@pytest.mark.long
async def test_a_gateway_leaves_a_silent_primary_and_works_on_at_the_promoted_standby(
    harness: Harness, servers: tuple[Server, Server]
) -> None:
    primary, standby = servers
    # Heartbeats are missed sooner than in production.
    harness.set_policy(
        membership={"heartbeat_seconds": 0.3, "expired_after_seconds": 4.0},
        receiver={"store_timeout_seconds": 0.5},
    )
    async with proxy.before(("127.0.0.1", primary.port)) as to_primary:
        hosts = f"127.0.0.1:{to_primary.port},127.0.0.1:{standby.port}"
        await harness.start(gateway={"database": f"postgresql://postgres@{hosts}/postgres"})
        families = [Family(n=n) for n in range(1, 4)]
        await harness.ask(*families)
        await to_primary.set_mode(Mode.SILENT)
        assert await harness.smsc.reply(families[0].number, "3#1") == consts.SMPP_ESME_RX_T_APPN
        status, problem = await harness.request("GET", "/v1/lists")
        assert (status, problem["status"]) == (503, 503)
        await asyncio.to_thread(standby.promote)
        async with asyncio.timeout(WITHIN_SECONDS):
            for family in families:
                assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
            for family in families:
                await harness.sdu.status(family.record_id, "voucher_issued", within=WITHIN_SECONDS)
        reader = await asyncpg.connect(standby.url())
        assert await reader.fetchval("SELECT count(*) FROM cases WHERE evidence IS NOT NULL") == len(families)
        await reader.close()
        assert len(harness.wallet.keys) == len(families)
        harness.no_complaints()
        assert await harness.stop() == [0]
