"""Connections to a database that falls silent, changes its host, or turns read-only."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from chaos import proxy
from chaos.proxy import Mode, Proxy
from structlog.testing import capture_logs

from gateway.cluster.retry import TRANSIENT_ERRORS, is_transient
from gateway.config.policy import DatabasePolicy
from gateway.store.connecting import end_without_acknowledgement
from gateway.store.database import Database, DatabaseError, connect
from tests.harness import metric

TIMEOUT_SECONDS = 30
POLICY = DatabasePolicy(host_timeout_seconds=2.0)
SHORT_SECONDS = 0.2


def socket_of(url: str) -> Path:
    """The Unix socket of the tests' server."""
    query = parse_qs(urlsplit(url).query)
    return Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"


@pytest.fixture
async def proxies(database_url: str) -> AsyncIterator[tuple[Proxy, Proxy]]:
    """Two ways to the database of this test, as to two hosts."""
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(proxy.before(socket_of(database_url))) for _ in range(2)]
        yield first, second


@pytest.fixture
def url(database_url: str, proxies: tuple[Proxy, Proxy]) -> str:
    """The address with both hosts."""
    first, second = proxies
    name = urlsplit(database_url).path
    return f"postgresql://postgres:hidden@127.0.0.1:{first.port},127.0.0.1:{second.port}{name}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await connect(url, size=2, policy=POLICY, close_timeout_seconds=SHORT_SECONDS)
    yield database
    await database.close()


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.REFUSE])
async def test_the_next_host_is_tried_when_the_first_one_does_not_respond(
    url: str, proxies: tuple[Proxy, Proxy], mode: Mode
) -> None:
    first, second = proxies
    await first.set_mode(mode)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        database = await connect(url, size=2, policy=POLICY)
    assert second.accepted == 2
    assert first.accepted <= 1  # the last good host is tried first
    await database.close()


async def test_an_error_names_every_host_and_why_it_failed_without_the_password(
    url: str, proxies: tuple[Proxy, Proxy]
) -> None:
    first, second = proxies
    await first.set_mode(Mode.SILENT)
    await second.set_mode(Mode.REFUSE)
    with pytest.raises(DatabaseError) as caught:
        await connect(url, size=2, policy=DatabasePolicy(host_timeout_seconds=SHORT_SECONDS))
    message = str(caught.value)
    assert f"127.0.0.1:{first.port}: no response within 0.2 s; 127.0.0.1:{second.port}: " in message
    assert "Connect call failed" in message
    assert "hidden" not in message


async def test_a_statement_that_waits_for_a_silent_host_fails_at_once_when_connections_are_dropped(
    database: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    async def work() -> int:
        async with database.acquire() as connection, connection.transaction():
            started.set()
            await going.wait()
            value: int = await connection.fetchval("SELECT 1")
            return value

    started, going = asyncio.Event(), asyncio.Event()
    waiting = asyncio.create_task(work())
    await started.wait()
    await proxies[0].set_mode(Mode.SILENT)
    going.set()
    await asyncio.sleep(0)
    with capture_logs() as logs:
        database.drop_connections("no_heartbeat")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with pytest.raises(TRANSIENT_ERRORS):
                await waiting
            async with database.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
    assert [(line["event"], line.get("connections")) for line in logs] == [
        ("database_connections_dropped", 2),
        ("database_host_changed", None),
    ]


async def test_a_connection_made_during_the_silence_is_spared(database: Database) -> None:
    async with database.acquire() as old:
        async with database.acquire() as other:
            other.terminate()
        began = time.monotonic()
        async with database.acquire() as made_since:
            database.drop_connections("no_heartbeat", older_than_seconds=time.monotonic() - began)
            assert await made_since.fetchval("SELECT 1") == 1
            with pytest.raises(asyncpg.InterfaceError):
                await old.fetchval("SELECT 1")


async def test_a_time_out_within_a_transaction_does_not_wait_for_a_silent_host(
    database: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """The ROLLBACK would wait until the server has confirmed the end of the statement."""

    async def work() -> None:
        async with database.acquire() as connection:
            await proxies[0].set_mode(Mode.SILENT)
            async with asyncio.timeout(SHORT_SECONDS), connection.transaction():
                await connection.fetchval("SELECT 1")

    async with asyncio.timeout(TIMEOUT_SECONDS):
        with pytest.raises(TimeoutError):
            await work()


async def test_a_task_that_is_cancelled_at_a_silent_host_ends_as_cancelled(
    database: Database, proxies: tuple[Proxy, Proxy]
) -> None:
    """As an error of the database it would be retried, and the process could not stop."""

    async def work() -> None:
        async with database.acquire() as connection, connection.transaction():
            await proxies[0].set_mode(Mode.SILENT)
            started.set()
            await connection.fetchval("SELECT 1")

    started = asyncio.Event()
    working = asyncio.create_task(work())
    await started.wait()
    await asyncio.sleep(0)
    working.cancel()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        with pytest.raises(asyncio.CancelledError):
            await working


async def test_a_session_that_finds_itself_read_only_is_dropped_with_all_like_it(database: Database) -> None:

    async def write_on_a_standby() -> None:
        async with database.acquire() as connection:
            await connection.execute("SET default_transaction_read_only = on")
            await connection.execute("INSERT INTO feeds (feed) VALUES ('sdu')")

    async with database.acquire() as other:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as caught:
            await write_on_a_standby()
        assert is_transient(caught.value)
        with pytest.raises(asyncpg.InterfaceError):
            await other.fetchval("SELECT 1")
    async with database.acquire() as connection:
        await connection.execute("INSERT INTO feeds (feed) VALUES ('sdu')")


async def test_a_pool_without_a_free_connection_is_logged_once_and_counted_until_there_is_one(
    database_url: str,
) -> None:
    database = await connect(database_url, size=1, acquire_timeout_seconds=SHORT_SECONDS)
    before = metric("database_pool_exhausted_total")
    with capture_logs() as logs:
        async with database.acquire():
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with database.acquire():
                        pass
            assert database.exhausted
    assert [(line["event"], line["connected"], line["size"]) for line in logs] == [
        ("database_pool_exhausted", 1, 1)
    ]
    assert metric("database_pool_exhausted_total") == before + 2
    async with database.acquire():
        assert not database.exhausted
    await database.close()


async def test_callers_that_wait_less_than_the_time_out_find_an_exhausted_pool_too(database_url: str) -> None:
    database = await connect(database_url, size=1, acquire_timeout_seconds=SHORT_SECONDS)
    async with database.acquire():
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not database.exhausted:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(SHORT_SECONDS / 4), database.acquire():
                        pass
    await database.close()


def test_a_tcp_connection_is_probed_and_a_unix_socket_left_alone() -> None:
    with socket.socket(socket.AF_INET) as tcp, socket.socket(socket.AF_UNIX) as unix:
        end_without_acknowledgement(tcp)
        end_without_acknowledgement(unix)
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert unix.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
