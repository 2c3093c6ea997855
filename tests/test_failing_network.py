"""The proxy and the standby by which other tests make a database silent, and promote another one."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from chaos import proxy
from chaos.proxy import Mode
from chaos.standby import Server

TIMEOUT_SECONDS = 30
SHORT_SECONDS = 0.3
SYNCHRONOUS = "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication, pg_sleep(0.05)"


async def test_a_silent_proxy_keeps_connections_and_passes_nothing_until_it_forwards_again(
    database_url: str,
) -> None:
    address = urlsplit(database_url)
    query = parse_qs(address.query)
    async with proxy.before(Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}") as between:
        url = f"postgresql://postgres@127.0.0.1:{between.port}{address.path}"
        connection = await asyncpg.connect(url, ssl=False)
        assert await connection.fetchval("SELECT 1") == 1
        await between.set_mode(Mode.SILENT)
        answer = asyncio.create_task(connection.fetchval("SELECT 2"))
        with pytest.raises(TimeoutError):
            await asyncpg.connect(url, ssl=False, timeout=SHORT_SECONDS)
        assert not answer.done()
        assert between.accepted == 2
        await between.set_mode(Mode.FORWARD)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert await answer == 2
        await between.set_mode(Mode.REFUSE)
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncpg.connect(url, ssl=False)
        assert connection.is_closed()


async def test_a_standby_has_what_the_primary_had_and_accepts_writes_once_promoted(data_dir: Path) -> None:
    primary = await asyncio.to_thread(Server.primary, data_dir / "primary")
    standby = await asyncio.to_thread(primary.standby)
    try:
        writer = await asyncpg.connect(primary.url())
        await asyncio.to_thread(primary.set, synchronous_standby_names="standby")
        await asyncio.to_thread(primary.reload)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await writer.fetchval(SYNCHRONOUS):
                pass
        await writer.execute("SET synchronous_commit = remote_apply")
        await writer.execute("CREATE TABLE kept AS SELECT 1 AS n")
        await asyncio.to_thread(primary.kill)
        reader = await asyncpg.connect(standby.url())
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader.execute("INSERT INTO kept VALUES (2)")
        await asyncio.to_thread(standby.promote)
        await reader.execute("INSERT INTO kept VALUES (2)")
        assert await reader.fetchval("SELECT sum(n) FROM kept") == 3
        await reader.close()
        writer.terminate()
    finally:
        await asyncio.to_thread(standby.stop)
        await asyncio.to_thread(primary.stop)
