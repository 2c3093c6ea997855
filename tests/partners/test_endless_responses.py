"""An endless response does not fill the memory."""

import gzip
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.partners.responses import MAX_RESPONSE_BYTES, InvalidResponse, read_json_object

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
