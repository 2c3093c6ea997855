"""More connections and requests than there is room for, at real sockets: who goes, who stays, that it passes."""

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
from gateway.app import Components, apis_of
from gateway.config import Config
from gateway.config.policy import HttpPolicy
from gateway.metrics import REGISTRY
from tests.api.apiclient import Api
from tests.api.test_api_hardening import make_certificate
from tests.api.test_api_statuses import seal
from tests.record_factories import good

Stranger = tuple[asyncio.StreamReader, asyncio.StreamWriter]

WITHIN = 20.0
SDU = {"Authorization": "Bearer sdu-token"}


class CountedCondition(asyncio.Condition):
    """A condition that knows how many wait for it."""

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
def news(components: Components) -> CountedCondition:
    """What long polls wait for; to be asked for before the server."""
    condition = components.wakeups.sealed = CountedCondition()
    return condition


@pytest.fixture
async def sdu(news: CountedCondition, api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with as many connections as it likes."""
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{api.call.port}", connector=aiohttp.TCPConnector(limit=0), headers=SDU
    ) as session:
        yield session


@asynccontextmanager
async def strangers(port: int, number: int) -> AsyncIterator[Sequence[Stranger]]:
    """Connections that say nothing."""
    async with AsyncExitStack() as stack:
        held = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            held.append((reader, writer))
        yield held


async def is_cut(stranger: Stranger, within: float = WITHIN) -> bool:
    """Whether the server ends the connection within some seconds."""
    try:
        async with asyncio.timeout(within):
            return await stranger[0].read() == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def poll(session: aiohttp.ClientSession) -> tuple[int, int]:
    """A long poll: its answer's status, and how many events there were."""
    async with session.get("/v1/statuses?wait=60") as response:
        return response.status, len((await response.json(content_type=None)).get("events", ()))


async def until(true: Callable[[], bool]) -> None:
    """Returns once it is so."""
    async with asyncio.timeout(WITHIN):
        while not true():  # noqa: ASYNC110 - what the server counts has no event
            await asyncio.sleep(0.01)


def open_now() -> float:
    return REGISTRY.get_sample_value("gateway_http_connections") or 0.0


def cut(why: str) -> float:
    return REGISTRY.get_sample_value("gateway_http_connections_closed_total", {"why": why}) or 0.0


@pytest.mark.http_policy(max_connections=10)
async def test_the_oldest_stranger_goes_when_there_is_no_room(api: Api) -> None:
    before, made_room = open_now(), cut("made_room")
    async with strangers(api.call.port, 10) as held:
        for _ in range(3):  # in one connection
            assert (await api.get("/healthz")).status == 200
        assert open_now() - before == 10
        assert cut("made_room") - made_room == 1
        assert await is_cut(held[0])
        assert not [stranger for stranger in held[1:] if await is_cut(stranger, within=0.1)]
    await until(lambda: open_now() - before == 1)


class Heard:
    """A log that remembers, however the process's own is configured."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, int]] = []

    def warning(self, event: str, *, closed: int, **_: object) -> None:
        self.warnings.append((str(event), closed))


@pytest.mark.http_policy(max_connections=10)
async def test_a_flood_is_told_once_and_costs_a_caller_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    request = b"GET /v1/lists HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer sdu-token\r\n\r\n"
    heard = Heard()
    monkeypatch.setattr(connections, "log", heard)
    for _ in range(3):
        writer.write(request)
        assert (await reader.readuntil(b'{"lists":[]}')).startswith(b"HTTP/1.1 200")
        async with strangers(api.call.port, 50):
            pass
    writer.close()
    assert heard.warnings == [("http_connections_limited", 1)]


@pytest.mark.http_policy(max_connections=7, max_requests=5)
async def test_who_waits_for_a_response_stays_and_probes_get_in(
    sdu: aiohttp.ClientSession,
    news: CountedCondition,
    api: Api,
    components: Components,
) -> None:
    polls = [asyncio.create_task(poll(sdu)) for _ in range(5)]
    await until(lambda: news.waiting == 5)
    async with strangers(api.call.port, 30):
        refused = await api.get("/v1/lists")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert (await api.get("/healthz")).status == 200
        assert (await api.get("/metrics")).status == 200
    async with news:
        news.notify_all()
    polls.pop().cancel()  # which leaves room for one request
    await until(lambda: news.waiting == 4)
    await api.push([good(1)])
    await seal(components)
    assert await asyncio.gather(*polls) == [(200, 1)] * 4


@pytest.mark.http_policy(max_connections=4)
async def test_where_everybody_waits_for_an_answer_the_newcomer_goes(
    sdu: aiohttp.ClientSession, news: CountedCondition, api: Api
) -> None:
    before = cut("refused")
    polls = [asyncio.create_task(poll(sdu)) for _ in range(4)]
    await until(lambda: news.waiting == 4)
    async with strangers(api.call.port, 2) as held:
        assert [await is_cut(stranger) for stranger in held] == [True, True]
    assert cut("refused") - before == 2
    polls.pop().cancel()  # one has lost patience
    await until(lambda: news.waiting == 3)
    assert (await api.get("/healthz")).status == 200
    for waiting in polls:
        waiting.cancel()


@pytest.mark.http_policy(max_requests=1)
async def test_a_request_whose_client_has_gone_takes_up_nothing(
    sdu: aiohttp.ClientSession, news: CountedCondition, api: Api
) -> None:
    for _ in range(3):
        waiting = asyncio.create_task(poll(sdu))
        await until(lambda: news.waiting == 1)
        assert (await api.get("/v1/lists")).status == 503
        waiting.cancel()
        await until(lambda: news.waiting == 0)
        assert (await api.get("/v1/lists")).status == 200


async def test_five_hundred_long_polls_leave_the_database_to_others(
    sdu: aiohttp.ClientSession, news: CountedCondition, api: Api, components: Components
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
        return news.waiting == limits.max_requests and refused == 500 - limits.max_requests

    await until(all_wait)
    assert most <= limits.max_feed_readers
    assert (await api.get("/metrics")).status == 200
    waiting = [one for one in polls if not one.done()]
    for impatient in waiting[10:]:
        impatient.cancel()
    await until(lambda: news.waiting == 10)
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
        async with strangers(port, 5) as held:
            await until(lambda: open_now() - before == 5)
            assert await probe() == 200
            assert await is_cut(held[0])
        await until(lambda: open_now() == before)


async def test_a_handshake_that_takes_too_long_is_cut(
    config: Config, components: Components, tmp_path: Path
) -> None:
    before = open_now()
    policy = HttpPolicy(max_connections=5, handshake_timeout_seconds=0.1)
    async with (
        tls_server(config, components, tmp_path, policy) as (port, probe),
        strangers(port, 5) as held,
    ):
        held[1][1].write(b"GET / HTTP/1.1\r\n\r\n")
        for reader, _ in held:
            with suppress(ConnectionError):
                await reader.read()
        await until(lambda: open_now() == before)
        assert await probe() == 200


async def test_no_answer_tells_versions(api: Api) -> None:
    for path in ("/healthz", "/nowhere", "/v1/lists"):
        assert (await api.call("GET", path)).headers["Server"] == "gateway"
    async with strangers(api.call.port, 1) as ((reader, writer),):
        writer.write(b"nonsense\r\n\r\n")
        assert b"\r\nServer: gateway\r\n" in await reader.read()
