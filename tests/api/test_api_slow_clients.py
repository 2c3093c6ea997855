"""Slow clients over real sockets: each is disconnected; a client that waits for the server is not."""

import asyncio
import gzip
import itertools
import time
from contextlib import suppress
from typing import Any

import orjson
import pytest

from gateway.config.policy import HttpPolicy, Policy
from gateway.metrics import REGISTRY
from gateway.store import lists
from tests.api.apiclient import NDJSON, Api, ndjson
from tests.record_factories import good

BETWEEN_OCTETS = 0.02
CASE = "/v1/cases/01JD0000000000000000000000"


@pytest.fixture
def policy(http_policy: HttpPolicy) -> Policy:
    """Lists are staged in small batches."""
    return Policy(http=http_policy, staged_batch=100)


def head(method: str, path: str, token: str, content_type: str, length: int) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def trickle(api: Api, request: bytes, body: bytes) -> tuple[bytes, float]:
    """(response, seconds to its first line), while a body is sent octet by octet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    began = time.monotonic()
    writer.write(request)

    async def send() -> None:
        with suppress(ConnectionError):
            for octet in itertools.cycle(body):
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(BETWEEN_OCTETS)

    sending = asyncio.create_task(send())
    first = await reader.readline()
    seconds = time.monotonic() - began
    sending.cancel()
    response = first + await reader.read()
    writer.close()
    return response, seconds


def is_timeout(response: bytes) -> bool:
    start, _, body = response.partition(b"\r\n\r\n")
    fields = start.lower().split(b"\r\n")
    assert b"connection: close" in fields
    assert b"content-type: application/problem+json" in fields
    return fields[0] == b"http/1.1 408 request timeout" and orjson.loads(body)["status"] == 408


@pytest.mark.http_policy(stall_timeout_seconds=0.4)
async def test_a_body_below_the_minimum_rate_is_ended_with_408_and_frees_its_place(api: Api) -> None:
    pushes = [
        trickle(
            api, head("PUT", f"/v1/lists/l-{number}", "sdu-token-of-tests", NDJSON, 1_000_000), ndjson([good(1)])
        )
        for number in range(HttpPolicy().max_lists)
    ]
    for response, seconds in await asyncio.gather(*pushes):
        assert is_timeout(response)
        assert seconds >= 0.35
    assert await api.rows() == {}
    assert (await api.push([good(1)])).status == 201


@pytest.mark.http_policy(stall_timeout_seconds=0.2, min_body_bytes_per_second=500)
async def test_a_body_above_the_minimum_rate_is_accepted(api: Api) -> None:

    async def body() -> Any:
        whole = ndjson([good(1), good(2)])
        for start in range(0, len(whole), 100):
            yield whole[start : start + 100]
            await asyncio.sleep(0.05)

    response = await api.call(
        "PUT", "/v1/lists/l", token="sdu-token-of-tests", data=body(), headers={"Content-Type": NDJSON}
    )
    assert response.status == 201


@pytest.mark.http_policy(stall_timeout_seconds=0.5, min_body_bytes_per_second=1e9)
async def test_time_spent_on_the_database_does_not_count_against_the_client(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = lists.stage

    async def slowly(*what: Any) -> None:
        await asyncio.sleep(0.15)
        await stage(*what)

    monkeypatch.setattr(lists, "stage", slowly)
    began = time.monotonic()
    response = await api.push([good(1, record_id=f"r-{number}") for number in range(1_000)])
    assert (response.status, response.json["records"]) == (201, 1_000)
    assert time.monotonic() - began > 1.0, "it took longer than the client has"


@pytest.mark.parametrize(
    ("path", "token"), [(f"{CASE}/cancel", "ops-token-of-tests"), ("/v1/wallet/events", "wallet-token-of-tests")]
)
@pytest.mark.http_policy(json_body_timeout_seconds=0.3)
async def test_a_json_body_that_takes_too_long_is_408(api: Api, path: str, token: str) -> None:
    response, seconds = await trickle(api, head("POST", path, token, "application/json", 60_000), b" ")
    assert is_timeout(response)
    assert seconds < 5


async def test_a_gzip_body_of_empty_members_is_413_at_the_limit(api: Api) -> None:
    nothing = gzip.compress(b"")
    response = await api.push(nothing * (1_100_000 // len(nothing)), encoding="gzip")
    assert response.status == 413
    assert await api.rows() == {}


@pytest.mark.http_policy(unread_response_timeout_seconds=0.2)
async def test_a_client_that_never_reads_its_responses_is_disconnected(api: Api) -> None:
    before = cut()
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port, limit=1024)
    async with asyncio.timeout(10):
        while cut() == before:
            writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: gateway\r\n\r\n")
            await asyncio.sleep(0.001)
    with suppress(ConnectionError):
        while await reader.read(1 << 20):
            pass
    writer.close()


@pytest.mark.http_policy(unread_response_timeout_seconds=5.0)
async def test_a_client_that_reads_in_time_receives_long_responses_whole(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port, limit=1024)
    number = 200
    writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: gateway\r\n\r\n" * number)
    for _ in range(number):
        start = await reader.readuntil(b"\r\n\r\n")
        length = int(start.lower().partition(b"content-length: ")[2].split()[0])
        assert len(await reader.readexactly(length)) == length
    writer.close()


def cut() -> float:
    return REGISTRY.get_sample_value("gateway_http_connections_closed_total", {"why": "response_not_read"}) or 0.0
