"""An ESME that is smpplib's own client; each call runs in a thread."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
from smpplib import consts, gsm, smpp
from smpplib.client import Client


class Server(Protocol):
    """What an ESME can bind to."""

    port: int


class Esme:
    """smpplib's blocking client, made awaitable; it sends no response by itself."""

    def __init__(self, port: int) -> None:
        self.client = Client("127.0.0.1", port, timeout=30, allow_unknown_opt_params=True)

    async def bind(self, role: str = "transceiver", system_id: str = "gateway", password: str = "secret") -> Any:
        await asyncio.to_thread(self.client.connect)
        bind = getattr(self.client, f"bind_{role}")
        return await asyncio.to_thread(bind, system_id=system_id, password=password)

    async def submit(self, text: str, to: str = "77011234567", **fields: Any) -> list[int]:
        """Submits a text; the sequence_numbers of its segments."""
        segments, data_coding, esm_class = gsm.make_parts(text)
        return [
            await self.submit_octets(segment, to, data_coding=data_coding, esm_class=esm_class, **fields)
            for segment in segments
        ]

    async def submit_octets(self, octets: bytes, to: str = "77011234567", **fields: Any) -> int:
        """Submits one segment; its sequence_number."""
        settings: dict[str, Any] = {
            "source_addr": "1414",
            "dest_addr_ton": consts.SMPP_TON_INTL,
            "dest_addr_npi": consts.SMPP_NPI_ISDN,
            "destination_addr": to,
            "registered_delivery": 0,
            **fields,
        }
        sent = await asyncio.to_thread(self.client.send_message, short_message=octets, **settings)
        return int(sent.sequence)

    async def read(self) -> Any:
        """The next PDU."""
        return await asyncio.to_thread(self.client.read_pdu)

    async def respond(self, pdu: Any, status: int = 0) -> None:
        response = smpp.make_pdu(pdu.command + "_resp", client=self.client, status=status)
        response.sequence = pdu.sequence
        await asyncio.to_thread(self.client.send_pdu, response)

    async def acknowledge(self, status: int = 0) -> Any:
        """The next PDU, after the response to it was sent."""
        pdu = await self.read()
        await self.respond(pdu, status)
        return pdu

    async def send_raw(self, octets: bytes) -> None:
        await asyncio.to_thread(self.client._socket.sendall, octets)

    def close(self) -> None:
        if self.client._socket is not None:
            self.client._socket.close()
            self.client._socket = None


class BindEsme(Protocol):
    """`await esme(smsc)` is a bound client, `await esme(smsc, role=None)` an unbound one."""

    async def __call__(self, smsc: Server, role: str | None = "transceiver", **credentials: str) -> Esme: ...


@pytest.fixture
async def esme() -> AsyncIterator[BindEsme]:
    """Binds clients, which are closed after the test."""
    clients: list[Esme] = []

    async def bind(smsc: Server, role: str | None = "transceiver", **credentials: str) -> Esme:
        client = Esme(smsc.port)
        clients.append(client)
        if role is None:
            await asyncio.to_thread(client.client.connect)
        else:
            await client.bind(role, **credentials)
        return client

    yield bind
    for client in clients:
        client.close()
