"""What an attack sees of the gateway: its HTTP port, a link that the attacker's SMSC holds, and a stolen token."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from benches.families import Family
from benches.rig import Gateway

from gateway.smpp.pdu import CommandId

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536


class HostileSmsc:
    """An SMSC that accepts every bind, responds to enquire_link, and sends what an attack wants it to."""

    def __init__(self, system_id: bytes = b"SMSC") -> None:
        self.system_id = system_id
        self.binds = 0
        self.closed = 0
        self.bound = asyncio.Event()
        """Set while a session is bound."""
        self._writer: asyncio.StreamWriter | None = None
        self._sequence = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the gateway, until it ends."""
        try:
            while True:
                length, command_id, _, sequence = struct.unpack(">IIII", await reader.readexactly(16))
                await reader.readexactly(length - 16)
                if command_id in (CommandId.BIND_TRANSCEIVER, CommandId.ENQUIRE_LINK, CommandId.UNBIND):
                    body = self.system_id + b"\0" if command_id == CommandId.BIND_TRANSCEIVER else b""
                    writer.write(
                        struct.pack(">IIII", 16 + len(body), command_id | 0x8000_0000, 0, sequence) + body
                    )
                elif command_id == CommandId.SUBMIT_SM:
                    self._sequence += 1
                    body = b"%08d\0" % self._sequence
                    head = struct.pack(">IIII", 16 + len(body), CommandId.SUBMIT_SM_RESP, 0, sequence)
                    writer.write(head + body)
                if command_id == CommandId.BIND_TRANSCEIVER:
                    self.binds += 1
                    self._writer = writer
                    self.bound.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if self._writer is writer:
                self._writer = None
                self.bound.clear()
                self.closed += 1
            writer.close()

    async def send(self, octets: bytes) -> bool:
        """Whether all octets were sent; False when the gateway closed the connection."""
        with suppress(ConnectionError):
            for at in range(0, len(octets), CHUNK_BYTES):
                if (writer := self._writer) is None:
                    return False
                writer.write(octets[at : at + CHUNK_BYTES])
                await writer.drain()
            return True
        return False

    async def deliver(self, bodies: Sequence[bytes]) -> bool:
        """Sends a deliver_sm with each of these bodies."""
        heads = (
            struct.pack(">IIII", 16 + len(body), CommandId.DELIVER_SM, 0, n) for n, body in enumerate(bodies, 1)
        )
        return await self.send(b"".join(head + body for head, body in zip(heads, bodies, strict=True)))


def deliver_sm(
    text: bytes,
    *,
    source: bytes,
    ton: int = 1,
    npi: int = 1,
    destination: bytes = b"1414",
    esm_class: int = 0,
    data_coding: int = 8,
) -> bytes:
    """The body of a deliver_sm with its text in message_payload."""
    addresses = b"\0" + bytes((ton, npi)) + source + b"\0" + b"\0\0" + destination + b"\0"
    fields = bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, data_coding, 0, 0))
    return addresses + fields + struct.pack(">HH", 0x0424, len(text)) + text


@dataclass(slots=True)
class Target:
    """The gateway under attack."""

    gateway: Gateway
    smsc: HostileSmsc
    victims: Sequence[Family]
    """The numbers asked by the honest link; they never reply, so none of them may consent."""
    tokens: dict[str, str]
    violations: list[str] = field(default_factory=list)
    """What the attack itself finds wrong."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A TCP connection to the HTTP server."""
        reader, writer = await asyncio.open_connection(HOST, self.gateway.port)
        try:
            yield reader, writer
        finally:
            writer.close()
