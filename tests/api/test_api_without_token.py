"""What a client without a token can make the gateway do: respond, and little else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.api import problems, protocol
from gateway.api.app import serve_http
from gateway.components import Components
from gateway.config import Config
from gateway.config.policy import HttpPolicy
from gateway.shells import apis_of
from gateway.store.database import Connection, Database
from tests.api.apiclient import NDJSON, Api, Caller, ndjson
from tests.record_factories import good

LISTS = b"GET /v1/lists HTTP/1.1\r\nHost: gateway\r\n\r\n"
TIMEOUT_SECONDS = 30.0


async def exchange(api: Api, octets: bytes) -> bytes:
    """All that the server sends until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    writer.write(octets)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        received = await reader.read()
    writer.close()
    return received


def put(path: str, *headers: str) -> bytes:
    lines = (f"PUT {path} HTTP/1.1", "Host: gateway", f"Content-Type: {NDJSON}", *headers, "", "")
    return "\r\n".join(lines).encode()


EXPECTING = ("Expect: 100-continue", "Content-Length: 1000", "Connection: close")
UNINVITED = {
    "no token": (put("/v1/lists/l", *EXPECTING), 401),
    "an unknown token": (put("/v1/lists/l", "Authorization: Bearer nobody", *EXPECTING), 401),
    "another role": (put("/v1/lists/l", "Authorization: Bearer ops-token-of-tests", *EXPECTING), 403),
    "an unknown path": (put("/v2/lists", *EXPECTING), 404),
    "no path": (b"OPTIONS * HTTP/1.1\r\nHost: gateway\r\n" + "\r\n".join((*EXPECTING, "", "")).encode(), 404),
    "another method": (put("/v1/statuses", *EXPECTING), 405),
    "a path without a body": (put("/healthz", *EXPECTING), 405),
    "a token, and a list_id that is none": (
        put("/v1/lists/%20", "Authorization: Bearer sdu-token-of-tests", *EXPECTING),
        400,
    ),
}


@pytest.mark.http_policy(linger_seconds=0.1)
@pytest.mark.parametrize("name", UNINVITED)
async def test_a_body_is_asked_for_only_once_its_request_is_accepted(api: Api, name: str) -> None:
    octets, status = UNINVITED[name]
    received = await exchange(api, octets)
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"100 Continue" not in received


LEAKED = {
    "a token": b"Authorization: Bearer sdu-token-of-tests\r\n",
    "a token behind others": b"X: y\r\nAuthorization: Bearer sdu-token-of-tests\r\n",
    "an expectation": b"Expect: 100-continue\r\n",
}


@pytest.mark.parametrize("name", LEAKED)
@pytest.mark.parametrize("path", [b"POST /v1/wallet/events", b"GET /healthz", b"PUT /nowhere"])
async def test_a_trailer_is_no_header_of_the_next_request(api: Api, name: str, path: bytes) -> None:
    chunked = path + b" HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    received = await exchange(api, chunked + LEAKED[name] + b"\r\n" + LISTS)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert b'"lists"' not in received


async def test_a_list_in_chunks_is_accepted_and_its_connection_ends(api: Api) -> None:
    line = ndjson([good(1)])
    head = put("/v1/lists/l", "Authorization: Bearer sdu-token-of-tests", "Transfer-Encoding: chunked")
    received = await exchange(api, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(line), line) + LISTS)
    assert received.startswith(b"HTTP/1.1 201 ")
    assert received.count(b"HTTP/1.1 ") == 1


async def test_requests_in_one_write_get_their_responses_in_order(api: Api) -> None:
    paths = [b"/healthz", b"/v1/lists", b"/openapi.json", b"/nowhere"] * 25
    requests = [b"GET %b HTTP/1.1\r\nHost: gateway\r\nX: %b\r\n" % (path, b"y" * 4_000) for path in paths]
    received = await exchange(api, b"\r\n".join(requests) + b"Connection: close\r\n\r\n")
    statuses = [int(head[:3]) for head in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 401, 200, 404] * 25


class CountedDatabase(Database):
    """The connections of another one, counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.exhausted = False
        self.acquired = 0

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        self.acquired += 1
        async with self._database.acquire() as connection:
            yield connection


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_callers_of_a_probe_share_one_query(
    path: str, config: Config, components: Components, http_policy: HttpPolicy
) -> None:
    policy = replace(http_policy, probe_cache_seconds=3600.0)
    counted = CountedDatabase(components.database)
    counting = replace(components, database=counted, policy=replace(components.policy, http=policy))
    async with (
        serve_http(config.http, apis_of(config, counting), policy) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session,
    ):
        call = Caller(session, port)
        responses = await asyncio.gather(*(call("GET", path) for _ in range(50)))
    assert {response.status for response in responses} <= {200, 503}
    assert len({response.body for response in responses}) == 1
    assert counted.acquired == 1


async def test_no_response_with_data_may_be_stored(api: Api) -> None:
    await api.push([good(1)])
    case = f"/v1/cases/{await api.case_id()}"
    responses = [await api.get(path) for path in ("/v1/lists", "/v1/lists/list-1/errors", case, "/v1/statuses")]
    responses += [await api.get("/v1/lists/none"), await api.call("GET", case), await api.call("GET", "/metrics")]
    responses += [await api.post(f"{case}/cancel", {"reason": "moved"}), await api.post(f"{case}/cancel", b"[]")]
    assert [response.status for response in responses] == [200, 200, 200, 200, 404, 401, 200, 200, 422]
    assert {response.headers["Cache-Control"] for response in responses} == {"no-store"}


class RecordedLog:
    """A log that remembers, however the process's own is configured."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, Any]] = []
        self.peer: str | None = None

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", str(event), fields.get("http_status")))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", str(event), fields.get("requests")))
        self.peer = fields.get("peer")

    def debug(self, *_: Any, **__: Any) -> None: ...


def recorded(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> RecordedLog:
    log = RecordedLog()
    monkeypatch.setattr(module, "log", log)
    return log


async def test_requests_without_a_token_are_no_lines_of_the_log(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded(monkeypatch, problems)
    for token in ("nobody", "sdu-token-of-tests", "ops-token-of-tests"):
        await api.post("/v1/cases/none/cancel", orjson.dumps({"reason": "x"}), token)
    await api.call("POST", "/v1/wallet/events", data=b"{}")
    assert log.lines == [("info", "http_request", 404)] * 2


async def test_malformed_requests_are_logged_in_sums(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded(monkeypatch, protocol)
    for _ in range(5):
        assert b" 400 " in await exchange(api, b"not HTTP\r\n\r\n")
    assert log.lines == [("warning", "http_malformed", 1)]
    assert log.peer is not None
    assert log.peer.startswith("127.0.0.1:")


def test_a_log_line_of_a_sum_counts_all_events_since_the_last_one() -> None:
    silent = protocol.Tally(3600.0)
    assert [silent.add() for _ in range(3)] == [1, 0, 0]
    talkative = protocol.Tally(0.0)
    assert [talkative.add() for _ in range(3)] == [1, 1, 1]
