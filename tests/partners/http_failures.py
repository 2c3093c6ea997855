"""HTTP failures that no well-behaved server can produce, for the clients of the partners.

`MockedResponse` makes `aioresponses` usable with aiohttp 3.14, `breaking_after` lets a body break off, and
`raw_server` sends any octets over TCP.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

from aiohttp import ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a timeout of 0: closing sends RST."""


class MockedResponse(ClientResponse):
    """A response that `aioresponses` 0.7.9 can construct: aiohttp 3.14 wants a `stream_writer` as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=Mock(output_size=0), **kwargs)


class _BreakingStream(StreamReader):
    """A body that yields some octets and then fails."""

    def __init__(self, octets: bytes, error: BaseException) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(ResponseHandler(loop=loop), limit=1 << 16, loop=loop)
        self._octets = octets
        self._error = error

    async def readany(self) -> bytes:
        octets, self._octets = self._octets, b""
        if not octets:
            raise self._error
        return octets


def breaking_after(octets: bytes, error: BaseException) -> type[ClientResponse]:
    """A `response_class` whose body is `octets`, and then raises."""

    class BreakingResponse(MockedResponse):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, _BreakingStream(octets, error) if name == "content" else value)

    return BreakingResponse


@dataclass(slots=True)
class RawServer:
    """What a client has sent to it, and how often it has connected."""

    url: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    requested: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request has been read."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a client has closed its connection, or this server has."""
    octets_sent: int = 0


Behaviour = Callable[[RawServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(behaviour: Behaviour) -> AsyncIterator[RawServer]:
    """A TCP server on localhost that treats each connection as `behaviour` says, then closes it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        try:
            await behaviour(state, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            state.closed.set()
            writer.close()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a request that is not read soon blocks
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(serve, sock=listening, limit=1 << 25)
    state = RawServer(f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request: its head and, by its Content-Length, its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


def sending(octets: bytes, then: str = "close") -> Behaviour:
    """Reads each request, sends these octets, and then closes, resets, hangs, or (`"keep"`) serves on."""

    async def behaviour(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            state.requests.append(await read_request(reader))
            writer.write(octets)
            await writer.drain()
            state.requested.set()
            state.octets_sent += len(octets)
            if then != "keep":
                break
        if then == "hang":
            await reader.read()  # until the client closes
        elif then == "reset":
            await asyncio.sleep(0.02)  # what was sent arrives first
            reset(writer)

    return behaviour


def repeating(head: bytes, octets: bytes, *, pause_seconds: float = 0.0, times: int = 1 << 40) -> Behaviour:
    """Sends the head, then these octets over and over until the client closes."""

    async def behaviour(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.requests.append(await read_request(reader))
        writer.write(head)
        for _ in range(times):
            writer.write(octets)
            await writer.drain()
            state.octets_sent += len(octets)
            await asyncio.sleep(pause_seconds)

    return behaviour


async def silent(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads everything and sends nothing."""
    while octets := await reader.read(1 << 16):
        state.requests.append(octets)


def answering_early(octets: bytes, then: str = "hang") -> Behaviour:
    """Sends these octets as soon as the head of the request is there, and never reads its body."""

    async def behaviour(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        state.requests.append(await reader.readuntil(b"\r\n\r\n"))
        transport.pause_reading()
        writer.write(octets)
        if then == "hang":
            await asyncio.sleep(3600)

    return behaviour


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()


def response(
    body: bytes, status: int = 200, headers: Sequence[str] = (), *, length: int | str | None = None
) -> bytes:
    """An HTTP response; `length` other than the body's own is a Content-Length that is wrong."""
    lines = [
        f"HTTP/1.1 {status:03} X",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def head(status: int = 200, *headers: str) -> bytes:
    """The head of an HTTP response without Content-Length."""
    return f"HTTP/1.1 {status:03} X\r\n".encode() + "".join(f"{line}\r\n" for line in headers).encode() + b"\r\n"
