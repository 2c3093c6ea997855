"""Heads, trailers and expectations as the parser of requests passes them on, however they are split."""

import asyncio
from typing import Any

import pytest
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import StreamReader

from gateway.api.parsing import CONTINUE_AWAITED, RequestParser
from gateway.config.policy import HttpPolicy

MAX_HEAD_BYTES = 16_384
GET = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n"
CHUNKED = b"POST /v1/lists HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n"
Requests = list[tuple[RawRequestMessage, StreamReader]]


class Connection:
    """What the parser needs of a connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def new_parser(queued: int = 100) -> RequestParser:
    return RequestParser(
        Connection(),
        asyncio.get_running_loop(),
        limit=1 << 20,
        max_head_bytes=MAX_HEAD_BYTES,
        max_line_size=8190,
        max_field_size=8190,
        max_headers=64,
        max_msg_queue_size=queued,
        auto_decompress=False,
    )


@pytest.fixture
async def parser() -> RequestParser:
    return new_parser()


def feed(parser: RequestParser, octets: bytes, size: int) -> Requests:
    found: Requests = []
    for begin in range(0, len(octets), size):
        found += parser.feed_data(octets[begin : begin + size])[0]
    return found


def fields(octets: int, length: int = 2_000) -> bytes:
    """Header lines of so many octets."""
    whole, rest = divmod(octets, length)
    return b"".join(b"x: " + b"y" * (size - 5) + b"\r\n" for size in [length] * whole + [rest] * bool(rest))


@pytest.mark.parametrize("size", [1 << 20, 32_768, 1_000, 7])
async def test_a_head_of_16_kib_is_read_and_a_longer_one_is_rejected(parser: RequestParser, size: int) -> None:
    room = MAX_HEAD_BYTES - len(GET) - 30
    ((message, _),) = feed(parser, GET + fields(room) + b"\r\n", size)
    assert message.path == "/healthz"
    with pytest.raises(LineTooLong):
        feed(parser, GET + fields(room + 100) + b"\r\n", size)


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["without an end", "complete"])
@pytest.mark.parametrize("length", [6, 250, 8_000], ids=["tiny fields", "short fields", "long fields"])
async def test_a_head_of_480_kb_is_never_kept(parser: RequestParser, length: int, end: bytes) -> None:
    with pytest.raises(HttpProcessingError):
        feed(parser, GET + fields(480_000, length) + end, 32_768)
    assert feed(parser, GET + b"\r\n", 32_768) == [], "after an error nothing is read"


@pytest.mark.parametrize("size", [32_768, 1_000])
async def test_trailers_and_chunks_without_a_body_have_the_limit_of_a_head(
    parser: RequestParser, size: int
) -> None:
    ((_, body),) = feed(parser, CHUNKED + b"\r\n3\r\nabc\r\n0\r\n", size)
    with pytest.raises(LineTooLong):
        feed(parser, fields(480_000), size)
    assert body.exception() is not None, "whoever reads the body is told"


@pytest.mark.parametrize("size", [32_768, 1_000, 13])
async def test_a_long_body_does_not_count_against_the_limit_of_a_head(parser: RequestParser, size: int) -> None:
    plain = GET.replace(b"GET", b"PUT") + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000
    chunked = CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n"
    found = feed(parser, (plain + chunked) * 2 + GET + b"\r\n", size)
    assert [body.total_bytes for _, body in found] == [200_000, 30_000, 200_000, 30_000, 0]


@pytest.mark.parametrize(
    "trailers", [b"", b"Authorization: Bearer sdu-token-of-tests\r\n"], ids=["none", "a token"]
)
async def test_a_connection_ends_with_a_chunked_body(parser: RequestParser, trailers: bytes) -> None:
    ((chunked, _),) = feed(parser, CHUNKED + b"\r\n3\r\nabc\r\n0\r\n" + trailers + b"\r\n", 32_768)
    assert chunked.should_close
    ((plain, _),) = feed(new_parser(), GET + b"\r\n", 32_768)
    assert not plain.should_close


@pytest.mark.parametrize(
    ("expected", "is_awaited"), [("100-continue", True), ("100-Continue", True), ("x", False)]
)
async def test_expect_100_continue_is_replaced_by_a_header_of_the_gateway(
    parser: RequestParser, expected: str, is_awaited: bool
) -> None:
    ((message, _),) = feed(parser, GET + f"Expect: {expected}\r\n\r\n".encode(), 32_768)
    assert "Expect" not in message.headers
    assert (CONTINUE_AWAITED in message.headers) == is_awaited


async def test_two_requests_of_a_connection_are_parsed_ahead() -> None:
    queued = HttpPolicy().max_queued_requests
    parser = new_parser(queued)
    found: list[Any] = parser.feed_data((GET + b"\r\n") * 10)[0]
    assert (queued, len(found)) == (2, 2)
    parser.message_consumed()
    assert len(parser.feed_data(b"")[0]) == 1


def test_all_connections_together_hold_less_than_100_mb_of_requests() -> None:
    policy = HttpPolicy()
    heads = (policy.max_queued_requests + 1) * policy.max_head_bytes
    unread = policy.max_unread_body_bytes + 2 * policy.read_bytes  # the last read of a body, and what follows it
    assert policy.max_connections * (heads + unread) < 100_000_000
