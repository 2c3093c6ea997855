"""A partner that never stops talking fills no memory."""

import gzip
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.partners.responses import MAX_RESPONSE_BYTES, InvalidResponse, read_object

PIECE = 1 << 16
SENT_AT_MOST = 16 * MAX_RESPONSE_BYTES


def packed() -> Iterator[bytes]:
    """The beginning of a gzip bomb: a thousand times as long, unpacked."""
    bomb = gzip.compress(bytes(SENT_AT_MOST))
    return (bomb[begin : begin + PIECE] for begin in range(0, len(bomb), PIECE))


def plain() -> Iterator[bytes]:
    return (bytes(PIECE) for _ in range(SENT_AT_MOST // PIECE))


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_an_answer_without_end_is_read_no_further_than_answers_go(encoding: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        for piece in packed() if encoding == "gzip" else plain():
            await response.write(piece)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as got:
        with pytest.raises(InvalidResponse, match="200 with more than"):
            await read_object(got)
        assert got.content.total_bytes < SENT_AT_MOST
