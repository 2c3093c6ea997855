"""USSD dialogues of the simulated SMSC.

smpplib's client sends the screens. It cannot parse a TLV that its table for deliver_sm does not list, so the
deliver_sm are read from its socket.
"""

import asyncio
from typing import Any

import pytest
from smpplib import consts

from gateway.simulators import codec
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.ussd import OP, SESSION, Dialogue
from tests.esme_client import BindEsme, Esme

NUMBER = "77011234567"


async def acknowledge(client: Esme) -> Any:
    """The next PDU of the SMSC, after the response to it was sent."""

    def read() -> bytes:
        stream = client.client._socket.makefile("rb")
        head: bytes = stream.read(4)
        rest: bytes = stream.read(int.from_bytes(head, "big") - 4)
        return head + rest

    pdu = codec.parse(await asyncio.to_thread(read))
    await client.respond(pdu)
    return pdu


async def dialled(smsc: SmscSimulator, client: Esme, **how: Any) -> tuple[Dialogue, Any]:
    """An open dialogue, and the deliver_sm that began it."""
    dialling = asyncio.create_task(smsc.dial(NUMBER, **how))
    pdu = await acknowledge(client)
    return await dialling, pdu


async def show(client: Esme, text: str, op: int, session_info: bytes, **fields: Any) -> None:
    numbers = {"ussd_service_op": op, "its_session_info": int.from_bytes(session_info, "big")}
    octets = text.encode("utf-16-be")
    settings = {"data_coding": consts.SMPP_ENCODING_ISO10646, "service_type": "USSD", **numbers, **fields}
    await client.submit_octets(octets, NUMBER, **settings)


async def test_a_simulated_ussd_dialogue_goes_from_the_dialled_code_to_the_last_screen(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client, code="*1414*3#")
        assert (first.source_addr, first.short_message) == (NUMBER.encode(), b"*1414*3#")
        assert (first.service_type, first.tlvs[OP]) == (b"USSD", b"\1")
        await show(client, "1 не 2?", 2, first.tlvs[SESSION])
        assert await dialogue.screen() == "1 не 2?"
        assert not dialogue.ended

        replying = asyncio.create_task(dialogue.reply("2"))
        await client.read()  # submit_sm_resp
        typed = await acknowledge(client)
        assert await replying == 0
        assert (typed.short_message, typed.tlvs[OP]) == (b"2", b"\x12")
        assert typed.tlvs[SESSION] != first.tlvs[SESSION]
        assert typed.tlvs[SESSION][:1] == first.tlvs[SESSION][:1]
        await show(client, "рахмет", 17, typed.tlvs[SESSION])
        assert await dialogue.screen() == "рахмет"
        assert dialogue.ended
        assert smsc.complaints == []
        assert smsc.messages == []  # a screen is no message on the handset


async def test_a_handset_aborts_the_dialogue(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client, session_info=b"\x01\x02\x03\x04")
        assert first.tlvs[SESSION] == b"\x01\x02\x03\x04"
        leaving = asyncio.create_task(dialogue.abort())
        assert (await acknowledge(client)).tlvs[OP] == b"\x81"
        await leaving
        await show(client, "?", 2, b"\x01\x02")
        await smsc.wait_for(lambda: smsc.complaints)
        assert "a screen for no open dialogue" in smsc.complaints[0]


@pytest.mark.parametrize(
    ("op", "fields", "complaint"),
    [
        (2, {"registered_delivery": 1}, "a screen that asks for a receipt"),
        (2, {"service_type": ""}, "a screen of service_type ''"),
        (3, {}, "ussd_service_op 3 is no screen"),
        (2, {"its_session_info": 0xFFFF}, "a screen for no open dialogue: its_session_info ffff"),
    ],
)
async def test_a_screen_that_violates_the_dialogue_is_a_complaint(
    esme: BindEsme, op: int, fields: dict[str, Any], complaint: str
) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        _, first = await dialled(smsc, client)
        await show(client, "?", op, first.tlvs[SESSION], **fields)
        await smsc.wait_for(lambda: smsc.complaints)
        assert smsc.complaints == [f"session 1: {complaint}"]


async def test_a_screen_may_be_longer_than_a_segment_but_not_than_160_octets(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client)
        await show(client, "ұ" * 80, 2, first.tlvs[SESSION])
        assert await dialogue.screen() == "ұ" * 80
        await show(client, "ұ" * 81, 2, first.tlvs[SESSION])
        await smsc.wait_for(lambda: smsc.complaints)
        assert "screen of 162, the limit is 160" in smsc.complaints[0]
