"""An SMSC that sends and never reads loses its connection; our memory stays bounded."""

import asyncio
import socket
from contextlib import suppress

from smpplib import consts

from gateway.operators.connection import MAX_UNREAD_BYTES, SmppConnection
from gateway.smpp.pdu import CommandId, encode_pdu
from gateway.smpp.session import Role, Session


async def test_a_connection_whose_peer_never_reads_is_closed() -> None:
    session: Session[object] = Session(
        role=Role.TRANSCEIVER, system_id="a", password="b", window=1, enquire_link=60, response_timeout=60
    )
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    _, bind = await loop.create_connection(lambda: SmppConnection(session, lambda _bind, _events: None), sock=ours)
    flood = encode_pdu(CommandId.ENQUIRE_LINK, consts.SMPP_ESME_ROK, 1) * 4096
    with theirs:
        with suppress(ConnectionError):  # closed while it sends
            for _ in range(10 * MAX_UNREAD_BYTES // len(flood)):
                await loop.sock_sendall(theirs, flood)
        async with asyncio.timeout(10):
            await bind.lost.wait()
