"""Hostile and broken clients, and failures behind the API: other clients are served, and nothing leaks."""

import asyncio
import gzip
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import aiohttp
import asyncpg
import orjson
import pytest

from gateway.api.app import serve_http
from gateway.api.auth import Tokens
from gateway.api.callers import Identity
from gateway.components import Components
from gateway.config import Config
from gateway.config.model import User
from gateway.config.policy import HttpPolicy
from gateway.shells import apis_of
from tests.api.apiclient import NDJSON, Api, ndjson
from tests.record_factories import PUPILS, good

MAX_LISTS = HttpPolicy().max_lists
HEAD = (
    "PUT /v1/lists/l HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer sdu-token-of-tests\r\n"
    f"Content-Type: {NDJSON}\r\n"
)


async def begin(api: Api, list_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A push that the server has begun to read; its body is still to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    head = HEAD.replace("/l ", f"/{list_id} ")
    writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends the announced body, of one record; the list is accepted."""
    writer.write(ndjson([good(1)]).rjust(1000, b"\n"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()


async def test_concurrent_pushes_above_the_limit_wait_for_a_place(api: Api) -> None:
    held = [await begin(api, f"list-{number}") for number in range(MAX_LISTS)]
    waiting = [asyncio.create_task(api.push([good(1)], "same")) for _ in range(4)]
    for reader, writer in held:
        await finish(reader, writer)
    assert sorted([response.status for response in await asyncio.gather(*waiting)]) == [200, 200, 200, 201]


@pytest.mark.http_policy(list_wait_timeout_seconds=0.05)
async def test_a_push_that_waits_too_long_for_a_place_is_429(api: Api) -> None:
    held = [await begin(api, f"list-{number}") for number in range(MAX_LISTS)]
    refused = await api.push([good(1)])
    assert (refused.status, refused.headers["Retry-After"]) == (429, "30")
    for reader, writer in held:
        await finish(reader, writer)
    assert (await api.push([good(1)], "later")).status == 201


@pytest.mark.http_policy(stall_timeout_seconds=0.2)
async def test_a_stalled_body_is_ended_with_408_and_frees_its_place(api: Api) -> None:
    for number in range(MAX_LISTS + 1):
        reader, writer = await begin(api, f"list-{number}")
        writer.write(ndjson([good(1)])[:100])
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
    assert await api.rows() == {}


@pytest.mark.http_policy(stop_timeout_seconds=0.1)
async def test_a_push_cut_off_by_a_stop_leaves_no_row(config: Config, components: Components) -> None:
    line = ndjson([good(1)])
    async with serve_http(config.http, apis_of(config, components), components.policy.http) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{HEAD}Content-Length: 999999\r\n\r\n".encode() + line * (900_000 // len(line)))
        await writer.drain()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    async with components.database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM lists") == 0
        assert await connection.fetchval("SELECT count(*) FROM cases") == 0


async def test_a_list_rejected_after_much_of_it_was_read_leaves_no_row(api: Api) -> None:
    packed = gzip.compress(ndjson([good(1)]) * 2000)
    for number in range(3 * MAX_LISTS):
        assert (await api.push(packed[:-4], f"list-{number}", encoding="gzip")).status == 400
    assert await api.rows() == {}
    assert (await api.push(packed, encoding="gzip")).json["rejected"] == 1999


@pytest.mark.http_policy(keepalive_seconds=0.2)
async def test_a_connection_with_an_incomplete_request_head_is_closed(
    config: Config, components: Components
) -> None:
    async with serve_http(config.http, apis_of(config, components), components.policy.http) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert await reader.read() == b""
        writer.close()


async def test_a_500_response_has_no_details_of_the_exception(
    api: Api, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError(f"{PUPILS[0]} of https://user:password@host")

    monkeypatch.setattr(components.manual_actions, "cancel", fail)
    await api.push([good(1)])
    response = await api.post(f"/v1/cases/{await api.case_id()}/cancel", {"reason": "x"})
    assert response.status == 500
    assert PUPILS[0].encode() not in response.body
    assert b"password" not in response.body


async def test_a_request_that_the_database_has_failed_is_503_with_retry_after(
    api: Api, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.push([good(1)])
    path = f"/v1/cases/{await api.case_id()}/cancel"
    for error in (
        asyncpg.SerializationError,
        asyncpg.DeadlockDetectedError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.CrashShutdownError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.IdleInTransactionSessionTimeoutError,
        asyncpg.ConnectionDoesNotExistError,
        asyncpg.InterfaceError,
        asyncpg.TargetServerAttributeNotMatched,
        ConnectionRefusedError,
        TimeoutError,
    ):

        async def fail(*_: Any, error: type[Exception] = error) -> None:
            raise error("why")

        monkeypatch.setattr(components.manual_actions, "cancel", fail)
        response = await api.post(path, {"reason": "x"})
        assert (response.status, response.headers.get("Retry-After")) == (503, "5"), error


async def test_each_of_several_tokens_of_a_role_is_accepted(api: Api) -> None:
    for token in ("sdu-token-of-tests", "sdu-token-before"):
        assert (await api.get("/v1/lists", token)).status == 200
    for header in ("bearer  sdu-token-of-tests", "BEARER sdu-token-of-tests"):
        response = await api.call("GET", "/v1/lists", headers={"Authorization": header})
        assert response.status == 200
    assert (
        await api.call("GET", "/v1/lists", headers={"Authorization": "Basic sdu-token-of-tests"})
    ).status == 401


def test_every_token_is_compared_in_constant_time_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("gateway.api.auth.hmac.compare_digest", compare)
    tokens = Tokens({"sdu": ("new", "old"), "ops": ("other",)}, {"olga": User(role="ops", tokens=("hers",))})
    sdu, ops, olga = Identity(("sdu",), None), Identity(("ops",), None), Identity(("ops",), "olga")
    for token, owner in (("new", sdu), ("old", sdu), ("other", ops), ("hers", olga), ("none", None), ("", None)):
        compared.clear()
        assert tokens.owner_of(token) == owner
        assert len(compared) == 4
        assert {len(digest) for pair in compared for digest in pair} == {32}


async def test_a_401_response_does_not_wait_for_the_body(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    writer.write(HEAD.replace("sdu-token-of-tests", "nobody").encode() + b"Content-Length: 1000000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()


class WatchedCondition(asyncio.Condition):
    """A condition with an event for its first waiter."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.awaited.set()
        return await super().wait()


async def test_long_polls_return_when_the_process_stops(config: Config, components: Components) -> None:
    sealed = components.wakeups.sealed = WatchedCondition()
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        async with serve_http(config.http, apis_of(config, components), components.policy.http) as port:
            url = f"http://127.0.0.1:{port}/v1/statuses?wait=60"
            poll = asyncio.create_task(session.get(url, headers={"Authorization": "Bearer sdu-token-of-tests"}))
            await sealed.awaited.wait()
        async with await poll as response:
            assert orjson.loads(await response.read()) == {"events": [], "next": 0}


def make_certificate(directory: Path, name: str, issuer: str | None = None) -> None:
    """A certificate and its key, signed by the issuer or by itself."""
    key, request, certificate = (directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(key)]
    if issuer is None:
        _openssl("req", "-x509", "-days", "2", *new_key, *subject, "-out", str(certificate))
        return
    _openssl("req", *new_key, *subject, "-out", str(request))
    authority = [
        "-CA",
        str(directory / f"{issuer}.pem"),
        "-CAkey",
        str(directory / f"{issuer}.key"),
        "-CAcreateserial",
    ]
    _openssl(
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        str(request),
        *authority,
        "-out",
        str(certificate),
        "-copy_extensions",
        "copy",
    )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
async def tls_port(config: Config, components: Components, tmp_path: Path) -> AsyncIterator[int]:
    """A server that accepts only clients whose certificate the authority has signed."""
    make_certificate(tmp_path, "authority")
    make_certificate(tmp_path, "server", "authority")
    make_certificate(tmp_path, "client", "authority")
    make_certificate(tmp_path, "untrusted")
    http = replace(
        config.http,
        tls_cert=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        client_ca=tmp_path / "authority.pem",
    )
    async with serve_http(http, apis_of(config, components), components.policy.http) as port:
        yield port


@pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
async def test_tls_accepts_only_client_certificates_of_the_authority(tls_port: int, tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        for name, accepted in (("client", True), ("untrusted", False), (None, False)):
            tls = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
            if name is not None:
                tls.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
            try:
                async with session.get(f"https://127.0.0.1:{tls_port}/healthz", ssl=tls) as response:
                    assert (accepted, orjson.loads(await response.read())) == (True, {"alive": True})
            except aiohttp.ClientError:
                assert not accepted
