"""Attacks on the HTTP port, without a token and with a stolen one."""

import asyncio
import gzip
import json
from contextlib import suppress

from benches.families import families, record

from attacks.target import Target

CLOSED = (ConnectionError, TimeoutError, asyncio.IncompleteReadError)
HOLD_SECONDS = 5.0
"""The time for which the connections of an attack stay open."""


async def _send(target: Target, octets: bytes, *, then_wait: float = HOLD_SECONDS) -> bytes:
    """What the server responded to these octets before the connection ended or the time was over."""
    with suppress(*CLOSED):
        async with target.connection() as (reader, writer), asyncio.timeout(then_wait):
            writer.write(octets)
            await writer.drain()
            return await reader.read()
    return b""


async def _many(target: Target, connections: int, octets: bytes) -> None:
    await asyncio.gather(*(_send(target, octets) for _ in range(connections)))


async def long_heads(target: Target) -> None:
    """120 connections, each with pipelined requests whose heads have 480 KB."""
    head = b"GET /readyz HTTP/1.1\r\nHost: a\r\n" + b"".join(
        b"X-%d: %s\r\n" % (n, b"x" * 8_000) for n in range(60)
    )
    await _many(target, 120, (head + b"\r\n") * 10)


async def unfinished_heads(target: Target) -> None:
    """450 connections that never end the head of their request."""
    await _many(target, 450, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 7_000)


async def pipelined_metrics(target: Target) -> None:
    """450 connections that ask for /metrics, a hundred times each."""
    await _many(target, 450, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 100)


async def pipelined_ready(target: Target) -> None:
    """450 connections that ask for /readyz and /openapi.json."""
    both = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\nGET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    await _many(target, 450, both * 50)


async def abandoned_requests(target: Target) -> None:
    """100 clients that ask for /metrics and leave before the response, again and again; then somebody stays."""

    async def one() -> None:
        while True:
            with suppress(*CLOSED):
                async with target.connection() as (_, writer):
                    writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                    writer.transport.abort()

    with suppress(TimeoutError):
        async with asyncio.timeout(HOLD_SECONDS):
            await asyncio.gather(*(one() for _ in range(100)))
    response = await _send(target, b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    if b" 200 " not in response:
        target.violations.append(f"no probe gets a response within {HOLD_SECONDS:.0f} s once they have left")


async def body_without_token(target: Target) -> None:
    """A body of 100 MB without a token: nothing of it is read, and no `100 Continue` asks for it."""
    head = b"PUT /v1/lists/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n"
    response = await _send(target, head + b"Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n")
    if b"100 Continue" in response or b" 401 " not in response.split(b"\r\n", 1)[0]:
        target.violations.append(f"a body was asked for before the token: {response[:60]!r}")


async def trailers(target: Target) -> None:
    """A chunked body whose trailer is an Authorization, before a request without one."""
    chunked = b"POST /v1/wallet/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    trailer = b"Authorization: Bearer " + target.tokens["ops"].encode() + b"\r\n\r\n"
    response = await _send(target, chunked + trailer + b"GET /v1/lists HTTP/1.1\r\nHost: a\r\n\r\n")
    if b" 200 " in response:
        target.violations.append("a token in a trailer was used by the next request")


async def _put(target: Target, list_id: str, content: bytes) -> int:
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    async with target.gateway.http.put(f"/v1/lists/{list_id}", data=content, headers=headers) as response:
        await response.read()
        return response.status


async def list_of_errors(target: Target) -> None:
    """10 KB of gzip that become millions of faulty lines, with a stolen token."""
    await _put(target, "errors", gzip.compress(b"{}\n" * 3_000_000))


async def list_of_marks(target: Target) -> None:
    """Lines whose names are combining marks, 60,000 each, with a stolen token."""
    (family,) = families(1, first=9_000_000)
    line = record(family)
    line["mother"] = {"iin": family.mother_iin, "surname": "\u0315\u0300\u05ae" * 6_000, "given_name": "а"}
    await _put(target, "marks", gzip.compress((json.dumps(line, ensure_ascii=False) + "\n").encode() * 60))


async def list_of_keys(target: Target) -> None:
    """Lines of a thousand equal keys, with a stolen token."""
    line = b"{" + b",".join(b'"a":{"b":[]}' for _ in range(4_000)) + b"}\n"
    await _put(target, "keys", gzip.compress(line * 500))
