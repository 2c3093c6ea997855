"""An endless response does not fill the memory."""

import gzip
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.partners.responses import MAX_RESPONSE_BYTES, MAX_VALUES, InvalidResponse, read_json_object

CHUNK_BYTES = 1 << 16
MAX_SENT_BYTES = 16 * MAX_RESPONSE_BYTES


def gzip_bomb_start() -> Iterator[bytes]:
    """The beginning of a gzip bomb: a thousand times as long once decompressed."""
    bomb = gzip.compress(bytes(MAX_SENT_BYTES))
    return (bomb[begin : begin + CHUNK_BYTES] for begin in range(0, len(bomb), CHUNK_BYTES))


def zeros() -> Iterator[bytes]:
    return (bytes(CHUNK_BYTES) for _ in range(MAX_SENT_BYTES // CHUNK_BYTES))


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_endless_body_is_read_no_further_than_the_limit(encoding: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        for chunk in gzip_bomb_start() if encoding == "gzip" else zeros():
            await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as got:
        with pytest.raises(InvalidResponse, match="200 with more than"):
            await read_json_object(got)
        assert got.content.total_bytes < MAX_SENT_BYTES


MANY = MAX_RESPONSE_BYTES // 4


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"[]," * MANY + b"[]]}",
        b'{"a":[' + b"1," * MANY + b"1]}",
        b"{" + b'"":1,' * (MANY // 2) + b'"":1}',
        b'{"a":[' + b"{}," * (MAX_VALUES // 2 + 10) + b"{}]}",
    ],
    ids=["arrays", "numbers", "keys", "a few more than allowed"],
)
async def test_a_body_of_a_million_values_is_not_read_as_json(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/", answer)
    monkeypatch.setattr("gateway.partners.responses.orjson.loads", pytest.fail)
    async with TestServer(app) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as got:
        with pytest.raises(InvalidResponse, match="200 with too many values"):
            await read_json_object(got)


async def test_a_response_about_many_records_may_have_as_many_values() -> None:
    result = b'{"iin":"%012d","found":true,"msisdn":"77011234567","operator":"kcell"}'
    results = b",".join(result % n for n in range(9_999))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b'{"results":[' + results + b"]}")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as got:
        body = await read_json_object(got, 9_999)
    assert isinstance(found := body["results"], list)
    assert len(found) == 9_999
