"""Sessions of the simulated SMSC, against smpplib's own client."""

import asyncio
import shlex
import shutil
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from smpplib import consts, exceptions

from gateway.simulators.smsc import NoResponse, SmscSimulator
from tests.esme_client import BindEsme

ENQUIRE_LINK = struct.pack(">IIII", 16, 0x15, 0, 7)


async def test_a_transceiver_binds(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        await esme(smsc)
        (session,) = await smsc.bound()
        assert (session.number, session.role, session.system_id) == (1, "transceiver", "gateway")
        assert session.bind.password == b"secret"


async def test_transmitter_and_receiver_bind_at_the_same_time(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        await esme(smsc, "transmitter")
        receiver = await esme(smsc, "receiver")
        assert [session.receives for session in await smsc.bound(2)] == [False, True]
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        assert (await receiver.acknowledge()).short_message == b"3#1"
        assert await reply == 0


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"password": "another"}, consts.SMPP_ESME_RINVPASWD),
        ({"accounts": {"kcell": "secret"}}, consts.SMPP_ESME_RINVSYSID),
        ({"accounts": {"gateway": "another"}}, consts.SMPP_ESME_RINVPASWD),
    ],
)
async def test_wrong_credentials_are_refused(esme: BindEsme, settings: dict[str, Any], status: int) -> None:
    async with SmscSimulator(**settings) as smsc:
        with pytest.raises(exceptions.PDUError) as refusal:
            await esme(smsc)
        assert refusal.value.args[1] == status
        assert not smsc.sessions[0].bound


async def test_a_second_bind_of_an_exclusive_account_is_already_bound(esme: BindEsme) -> None:
    async with SmscSimulator(exclusive=True) as smsc:
        await esme(smsc)
        with pytest.raises(exceptions.PDUError) as refusal:
            await esme(smsc)
        assert refusal.value.args[1] == consts.SMPP_ESME_RALYBND


async def test_so_many_binds_are_refused_with_the_given_status(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        smsc.refuse_binds("ESME_RALYBND", times=2)
        for _ in range(2):
            with pytest.raises(exceptions.PDUError):
                await esme(smsc)
        await esme(smsc)
        assert len(await smsc.bound()) == 1


async def test_a_submit_before_the_bind_is_refused(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc, role=None)
        client.client.state = consts.SMPP_CLIENT_STATE_BOUND_TRX
        await client.submit("early")
        assert (await client.read()).status == consts.SMPP_ESME_RINVBNDSTS
        assert smsc.submitted == []
        assert len(smsc.complaints) == 1


async def test_enquire_link_works_in_both_directions(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.send_raw(ENQUIRE_LINK)
        response = await client.read()
        assert (response.command, response.sequence) == ("enquire_link_resp", 7)
        asked = asyncio.create_task(smsc.enquire())
        assert (await client.acknowledge()).command == "enquire_link"
        await asked


async def test_split_and_joined_pdus_are_read(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        for octet in ENQUIRE_LINK:
            await client.send_raw(bytes([octet]))
        await client.send_raw(ENQUIRE_LINK * 2)
        assert [(await client.read()).command for _ in range(3)] == ["enquire_link_resp"] * 3


async def test_an_unbind_of_the_esme_gets_a_response_and_closes_the_session(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        response = await asyncio.to_thread(client.client.unbind)
        assert response.command == "unbind_resp"
        await smsc.wait_for(lambda: not smsc.sessions)


async def test_an_unbind_of_the_smsc_waits_for_the_response(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        unbinding = asyncio.create_task(smsc.unbind())
        assert (await client.acknowledge()).command == "unbind"
        await unbinding
        await smsc.wait_for(lambda: not smsc.sessions)


async def test_drop_aborts_the_connection_and_the_request_in_flight(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        assert (await client.read()).command == "deliver_sm"
        smsc.drop()
        with pytest.raises(NoResponse):
            await reply
        with pytest.raises(exceptions.ConnectionError):
            await client.read()


async def test_a_silent_smsc_still_reads_and_sends_no_response(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        smsc.silence()
        await client.submit("hello")
        await client.send_raw(ENQUIRE_LINK)
        session = smsc.sessions[0]
        await smsc.wait_for(lambda: session.requests[-1].command == "enquire_link")
        assert smsc.submitted[0].status is None
        smsc.silence(False)
        await client.send_raw(ENQUIRE_LINK)
        assert (await client.read()).command == "enquire_link_resp"


async def test_the_smsc_is_up_again_on_the_same_port(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        await esme(smsc)
        port = smsc.port
        await smsc.down()
        with pytest.raises(exceptions.ConnectionError):
            await esme(smsc)
        await smsc.up()
        assert smsc.port == port
        await esme(smsc)
        await smsc.bound()


async def test_an_unknown_command_gets_generic_nack_and_a_complaint(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.send_raw(struct.pack(">IIII", 16, 0x1FF, 0, 9))
        nack = await client.read()
        assert (nack.command, nack.status, nack.sequence) == ("generic_nack", consts.SMPP_ESME_RINVCMDID, 9)
        assert len(smsc.complaints) == 1


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFF_FFFF])
async def test_an_impossible_command_length_closes_the_session(esme: BindEsme, length: int) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.send_raw(struct.pack(">IIII", length, 0x15, 0, 9))
        nack = await client.read()
        assert (nack.command, nack.status) == ("generic_nack", consts.SMPP_ESME_RINVCMDLEN)
        await smsc.wait_for(lambda: not smsc.sessions)


async def test_a_response_that_matches_no_request_is_a_complaint(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.send_raw(struct.pack(">IIII", 17, 0x8000_0005, 0, 99) + b"\0")
        await smsc.wait_for(lambda: smsc.complaints)
        assert "matches no request" in smsc.complaints[0]


async def test_a_response_with_more_than_one_nul_is_a_complaint(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        asked = await client.read()
        await client.send_raw(struct.pack(">IIII", 19, 0x8000_0005, 0, asked.sequence) + b"id\0")
        assert await reply == 0
        assert "single NUL" in smsc.complaints[0]


async def test_a_timeout_has_the_summary_of_the_smsc() -> None:
    async with SmscSimulator() as smsc:
        with pytest.raises(TimeoutError, match="0 connections"):
            await smsc.bound(within=0.01)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """(certificate, key) of localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    paths = tmp_path / "smsc.pem", tmp_path / "smsc.key"
    making = shlex.split("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -out")
    subprocess.run([*making, paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


async def test_the_smsc_serves_tls(certificate: tuple[Path, Path]) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    async with SmscSimulator(tls=server) as smsc:
        trust = ssl.create_default_context(cafile=str(certificate[0]))
        _, writer = await asyncio.open_connection("127.0.0.1", smsc.port, ssl=trust, server_hostname="localhost")
        writer.write(ENQUIRE_LINK)
        await smsc.wait_for(lambda: smsc.sessions and smsc.sessions[0].requests)
        writer.close()
        await smsc.wait_for(lambda: not smsc.sessions)
