"""An ESME that is smpplib's own client, each call in a thread."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from smpplib import consts, gsm, smpp
from smpplib.client import Client

from gateway.simulators.smsc import SmscSimulator


class Esme:
    """smpplib's blocking client, awaited; it answers nothing by itself."""

    def __init__(self, port: int) -> None:
        self.client = Client("127.0.0.1", port, timeout=5, allow_unknown_opt_params=True)

    async def bind(self, role: str = "transceiver", system_id: str = "gateway", password: str = "secret") -> Any:
        await asyncio.to_thread(self.client.connect)
        bind = getattr(self.client, f"bind_{role}")
        return await asyncio.to_thread(bind, system_id=system_id, password=password)

    async def submit(self, text: str, to: str = "77011234567", **fields: Any) -> list[int]:
        """The sequence_numbers of the segments."""
        parts, data_coding, esm_class = gsm.make_parts(text)
        return [
            await self.submit_octets(part, to, data_coding=data_coding, esm_class=esm_class, **fields)
            for part in parts
        ]

    async def submit_octets(self, octets: bytes, to: str = "77011234567", **fields: Any) -> int:
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
        return await asyncio.to_thread(self.client.read_pdu)

    async def respond(self, pdu: Any, status: int = 0) -> None:
        response = smpp.make_pdu(pdu.command + "_resp", client=self.client, status=status)
        response.sequence = pdu.sequence
        await asyncio.to_thread(self.client.send_pdu, response)

    async def take(self, status: int = 0) -> Any:
        """The next PDU, answered."""
        pdu = await self.read()
        await self.respond(pdu, status)
        return pdu

    async def send_raw(self, octets: bytes) -> None:
        await asyncio.to_thread(self.client._socket.sendall, octets)

    def close(self) -> None:
        if self.client._socket is not None:
            self.client._socket.close()
            self.client._socket = None


Bound = Callable[..., Awaitable[Esme]]


@pytest.fixture
async def esme() -> AsyncIterator[Bound]:
    """`await esme(smsc)` is a bound client; `await esme(smsc, role=None)` an unbound one."""
    clients: list[Esme] = []

    async def bound(smsc: SmscSimulator, role: str | None = "transceiver", **credentials: str) -> Esme:
        client = Esme(smsc.port)
        clients.append(client)
        if role is None:
            await asyncio.to_thread(client.client.connect)
        else:
            await client.bind(role, **credentials)
        return client

    yield bound
    for client in clients:
        client.close()
