"""More connections and requests than allowed, over real sockets: which are closed, and which are served."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import aiohttp
import pytest

from gateway.api import connections
from gateway.api.app import serve_http
from gateway.components import Components
from gateway.config import Config
from gateway.config.policy import HttpPolicy
from gateway.metrics import REGISTRY
from gateway.shells import apis_of
from tests.api.apiclient import Api
from tests.api.test_api_hardening import make_certificate
from tests.api.test_api_statuses import seal
from tests.harness import eventually
from tests.record_factories import good

IdleConnection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

WITHIN = 20.0
SDU = {"Authorization": "Bearer sdu-token-of-tests"}


class CountedCondition(asyncio.Condition):
    """A condition that counts its waiters."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0

    async def wait(self) -> Literal[True]:
        self.waiting += 1
        try:
            return await super().wait()
        finally:
            self.waiting -= 1


@pytest.fixture
def sealed(components: Components) -> CountedCondition:
    """What long polls wait for; to be asked for before the server."""
    condition = components.wakeups.sealed = CountedCondition()
    return condition


@pytest.fixture
async def sdu(sealed: CountedCondition, api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit of connections."""
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{api.call.port}", connector=aiohttp.TCPConnector(limit=0), headers=SDU
    ) as session:
        yield session


@asynccontextmanager
async def idle_connections(port: int, number: int) -> AsyncIterator[Sequence[IdleConnection]]:
    """Connections that send nothing."""
    async with AsyncExitStack() as stack:
        held = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            held.append((reader, writer))
        yield held


async def is_cut(connection: IdleConnection, within: float = WITHIN) -> bool:
    """Whether the server ends the connection within some seconds."""
    try:
        async with asyncio.timeout(within):
            return await connection[0].read() == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def poll(session: aiohttp.ClientSession) -> tuple[int, int]:
    """(status, number of events) of a long poll."""
    async with session.get("/v1/statuses?wait=60") as response:
        return response.status, len((await response.json(content_type=None)).get("events", ()))


def open_now() -> float:
    return REGISTRY.get_sample_value("gateway_http_connections") or 0.0


def cut(why: str) -> float:
    return REGISTRY.get_sample_value("gateway_http_connections_closed_total", {"why": why}) or 0.0


@pytest.mark.http_policy(max_connections=10)
async def test_the_oldest_idle_connection_is_closed_above_the_limit(api: Api) -> None:
    before, made_room = open_now(), cut("made_room")
    async with idle_connections(api.call.port, 10) as held:
        for _ in range(3):  # in one connection
            assert (await api.get("/healthz")).status == 200
        assert open_now() - before == 10
        assert cut("made_room") - made_room == 1
        assert await is_cut(held[0])
        assert not [connection for connection in held[1:] if await is_cut(connection, within=0.1)]
    await eventually(lambda: open_now() - before == 1)


class WarningLog:
    """A log that remembers, however the process's own is configured."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, int]] = []

    def warning(self, event: str, *, closed: int, **_: object) -> None:
        self.warnings.append((str(event), closed))


@pytest.mark.http_policy(max_connections=10)
async def test_a_flood_of_connections_is_logged_once_and_delays_no_caller(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    request = b"GET /v1/lists HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer sdu-token-of-tests\r\n\r\n"
    log = WarningLog()
    monkeypatch.setattr(connections, "log", log)
    for _ in range(3):
        writer.write(request)
        assert (await reader.readuntil(b'{"lists":[]}')).startswith(b"HTTP/1.1 200")
        async with idle_connections(api.call.port, 50):
            pass
    writer.close()
    assert log.warnings == [("http_connections_limited", 1)]


@pytest.mark.http_policy(max_connections=7, max_requests=5)
async def test_connections_with_a_request_in_progress_stay_and_probes_are_served(
    sdu: aiohttp.ClientSession,
    sealed: CountedCondition,
    api: Api,
    components: Components,
) -> None:
    polls = [asyncio.create_task(poll(sdu)) for _ in range(5)]
    await eventually(lambda: sealed.waiting == 5)
    async with idle_connections(api.call.port, 30):
        refused = await api.get("/v1/lists")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert (await api.get("/healthz")).status == 200
        assert (await api.get("/metrics")).status == 200
    async with sealed:
        sealed.notify_all()
    polls.pop().cancel()  # which leaves room for one request
    await eventually(lambda: sealed.waiting == 4)
    await api.push([good(1)])
    await seal(components)
    assert await asyncio.gather(*polls) == [(200, 1)] * 4


@pytest.mark.http_policy(max_connections=4)
async def test_a_new_connection_is_closed_when_all_others_have_a_request_in_progress(
    sdu: aiohttp.ClientSession, sealed: CountedCondition, api: Api
) -> None:
    before = cut("refused")
    polls = [asyncio.create_task(poll(sdu)) for _ in range(4)]
    await eventually(lambda: sealed.waiting == 4)
    async with idle_connections(api.call.port, 2) as held:
        assert [await is_cut(connection) for connection in held] == [True, True]
    assert cut("refused") - before == 2
    polls.pop().cancel()  # one client gives up
    await eventually(lambda: sealed.waiting == 3)
    assert (await api.get("/healthz")).status == 200
    for waiting in polls:
        waiting.cancel()


@pytest.mark.http_policy(max_requests=1)
async def test_a_request_whose_client_has_disconnected_frees_its_place(
    sdu: aiohttp.ClientSession, sealed: CountedCondition, api: Api
) -> None:
    for _ in range(3):
        waiting = asyncio.create_task(poll(sdu))
        await eventually(lambda: sealed.waiting == 1)
        assert (await api.get("/v1/lists")).status == 503
        waiting.cancel()
        await eventually(lambda: sealed.waiting == 0)
        assert (await api.get("/v1/lists")).status == 200


async def test_500_long_polls_leave_database_connections_for_other_requests(
    sdu: aiohttp.ClientSession, sealed: CountedCondition, api: Api, components: Components
) -> None:
    limits = HttpPolicy()
    assert limits.max_requests < limits.max_connections
    pool = components.database.pool
    polls = [asyncio.create_task(poll(sdu)) for _ in range(500)]
    most = 0

    def all_wait() -> bool:
        nonlocal most
        most = max(most, pool.get_size() - pool.get_idle_size())
        refused = sum(waiting.done() for waiting in polls)
        return sealed.waiting == limits.max_requests and refused == 500 - limits.max_requests

    await eventually(all_wait)
    assert most <= limits.max_feed_readers
    assert (await api.get("/metrics")).status == 200
    waiting = [one for one in polls if not one.done()]
    for cancelled in waiting[10:]:
        cancelled.cancel()
    await eventually(lambda: sealed.waiting == 10)
    await api.push([good(1)])
    await seal(components)
    assert await asyncio.gather(*waiting[:10]) == [(200, 1)] * 10


@asynccontextmanager
async def tls_server(
    config: Config, components: Components, folder: Path, policy: HttpPolicy
) -> AsyncIterator[tuple[int, Callable[[], Awaitable[int]]]]:
    """A server with a certificate: its port, and a probe that returns the status of /healthz."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    make_certificate(folder, "server")
    certificate = folder / "server.pem"
    trust = ssl.create_default_context(cafile=str(certificate))
    http = replace(config.http, tls_cert=certificate, tls_key=folder / "server.key")

    async def probe() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{port}/healthz", ssl=trust) as response,
        ):
            return response.status

    async with serve_http(http, apis_of(config, components), policy) as port:
        yield port, probe


async def test_a_connection_without_a_handshake_is_closed_to_make_room(
    config: Config, components: Components, tmp_path: Path
) -> None:
    before = open_now()
    async with tls_server(config, components, tmp_path, HttpPolicy(max_connections=5)) as (port, probe):
        async with idle_connections(port, 5) as held:
            await eventually(lambda: open_now() - before == 5)
            assert await probe() == 200
            assert await is_cut(held[0])
        await eventually(lambda: open_now() == before)


async def test_a_connection_whose_tls_handshake_takes_too_long_is_closed(
    config: Config, components: Components, tmp_path: Path
) -> None:
    before = open_now()
    policy = HttpPolicy(max_connections=5, handshake_timeout_seconds=0.1)
    async with (
        tls_server(config, components, tmp_path, policy) as (port, probe),
        idle_connections(port, 5) as held,
    ):
        held[1][1].write(b"GET / HTTP/1.1\r\n\r\n")
        for reader, _ in held:
            with suppress(ConnectionError):
                await reader.read()
        await eventually(lambda: open_now() == before)
        assert await probe() == 200


async def test_handshakes_beyond_the_pace_wait_and_delay_no_connection_that_has_its_own(
    config: Config, components: Components, tmp_path: Path
) -> None:
    policy = HttpPolicy(handshakes_at_once=1, handshakes_per_second=0.001, handshake_wait_seconds=600)
    async with tls_server(config, components, tmp_path, policy) as (port, probe):
        trust = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        waiting = asyncio.ensure_future(probe())
        await eventually(lambda: open_now() >= 2)
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"}")
        assert not waiting.done()
        waiting.cancel()
        writer.close()


async def test_a_handshake_that_does_not_begin_in_time_is_closed(
    config: Config, components: Components, tmp_path: Path
) -> None:
    before = open_now()
    policy = HttpPolicy(handshakes_at_once=1, handshakes_per_second=0.001, handshake_wait_seconds=0.1)
    async with tls_server(config, components, tmp_path, policy) as (port, probe):
        assert await probe() == 200
        async with idle_connections(port, 3) as held:
            for connection in held:
                assert await is_cut(connection)
        await eventually(lambda: open_now() == before)


async def test_no_response_contains_software_versions(api: Api) -> None:
    for path in ("/healthz", "/nowhere", "/v1/lists"):
        assert (await api.call("GET", path)).headers["Server"] == "gateway"
    async with idle_connections(api.call.port, 1) as ((reader, writer),):
        writer.write(b"not HTTP\r\n\r\n")
        assert b"\r\nServer: gateway\r\n" in await reader.read()
