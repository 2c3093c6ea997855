"""A TCP proxy on localhost before a server, by which the network fails: it stops forwarding, or refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from ports import free_port

_READ_BYTES = 65_536

Target = tuple[str, int] | Path
"""The server: host and port, or its Unix socket."""


class Mode(Enum):
    """What the proxy does."""

    FORWARD = auto()
    SILENT = auto()
    """Connections stay open and new ones are accepted, but no octet passes: a frozen host, a cut cable."""
    REFUSE = auto()
    """Connections are reset and new ones refused."""


class Proxy:
    """The proxy of one server, inside `before`. `mode` is what it does now."""

    def __init__(self, target: Target) -> None:
        self.port = free_port()
        self.mode = Mode.REFUSE
        self.accepted = 0
        """Connections since the start."""
        self._target = target
        self._forwarding = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def set_mode(self, mode: Mode) -> None:
        """From now on the proxy does this. What it held back while it was silent passes when it forwards again."""
        self.mode = mode
        if mode is Mode.FORWARD:
            self._forwarding.set()
        else:
            self._forwarding.clear()
        if mode is Mode.REFUSE:
            await self._reset()
        elif self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _reset(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries octets both ways until one end closes."""
        ends, ways = [writer], list[asyncio.Task[None]]()
        try:
            await self._forwarding.wait()
            with suppress(OSError):
                from_server, server = await self._connect()
                ends.append(server)
                ways += [
                    asyncio.create_task(self._carry(reader, server)),
                    asyncio.create_task(self._carry(from_server, writer)),
                ]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in ends:
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends with the connection. The other end does not notice an end that closes while the proxy is silent."""
        octets = b"-"
        while octets:
            try:
                octets = await reader.read(_READ_BYTES)
            except OSError:
                octets = b""
            await self._forwarding.wait()
            with suppress(OSError):
                writer.write(octets)
                await writer.drain()


@asynccontextmanager
async def before(target: Target) -> AsyncIterator[Proxy]:
    """A proxy before this server, which forwards."""
    proxy = Proxy(target)
    await proxy.set_mode(Mode.FORWARD)
    try:
        yield proxy
    finally:
        await proxy.set_mode(Mode.REFUSE)
