"""The fake SMSC's USSD dialler. smpplib's client sends the screens; it cannot read a TLV that deliver_sm's table
does not list, so what was dialled is read off its socket.
"""

import asyncio

import pytest
from smpplib import consts

from gateway.simulators import codec
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.ussd import OP, SESSION

NUMBER = "77011234567"


async def take(client):
    """The next PDU of the SMSC, answered."""

    def read():
        stream = client.client._socket.makefile("rb")
        head = stream.read(4)
        return head + stream.read(int.from_bytes(head, "big") - 4)

    pdu = codec.parse(await asyncio.to_thread(read))
    await client.respond(pdu)
    return pdu


async def dialled(smsc: SmscSimulator, client, **how):
    """A dialogue under way, and the deliver_sm that began it."""
    dialling = asyncio.create_task(smsc.dial(NUMBER, **how))
    pdu = await take(client)
    return await dialling, pdu


async def show(client, text: str, op: int, session_info: bytes, **fields) -> None:
    numbers = {"ussd_service_op": op, "its_session_info": int.from_bytes(session_info, "big")}
    octets = text.encode("utf-16-be")
    settings = {"data_coding": consts.SMPP_ENCODING_ISO10646, "service_type": "USSD", **numbers, **fields}
    await client.submit_octets(octets, NUMBER, **settings)


async def test_a_dialogue_from_the_dialled_code_to_the_last_screen(esme):
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client, code="*1414*3#")
        assert (first.source_addr, first.short_message) == (NUMBER.encode(), b"*1414*3#")
        assert (first.service_type, first.tlvs[OP]) == (b"USSD", b"\1")
        await show(client, "1 не 2?", 2, first.tlvs[SESSION])
        assert await dialogue.screen() == "1 не 2?"
        assert not dialogue.ended

        typing = asyncio.create_task(dialogue.answer("2"))
        await client.read()  # submit_sm_resp
        typed = await take(client)
        assert await typing == 0
        assert (typed.short_message, typed.tlvs[OP]) == (b"2", b"\x12")
        assert typed.tlvs[SESSION] != first.tlvs[SESSION]
        assert typed.tlvs[SESSION][:1] == first.tlvs[SESSION][:1]
        await show(client, "рахмет", 17, typed.tlvs[SESSION])
        assert await dialogue.screen() == "рахмет"
        assert dialogue.ended
        assert smsc.complaints == []
        assert smsc.messages == []  # a screen is no message on the handset


async def test_a_handset_leaves(esme):
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client, session_info=b"\x01\x02\x03\x04")
        assert first.tlvs[SESSION] == b"\x01\x02\x03\x04"
        leaving = asyncio.create_task(dialogue.abort())
        assert (await take(client)).tlvs[OP] == b"\x81"
        await leaving
        await show(client, "?", 2, b"\x01\x02")
        await smsc.wait_for(lambda: smsc.complaints)
        assert "a screen for no dialogue under way" in smsc.complaints[0]


@pytest.mark.parametrize(
    ("op", "fields", "complaint"),
    [
        (2, {"registered_delivery": 1}, "a screen that asks for a receipt"),
        (2, {"service_type": ""}, "a screen of service_type ''"),
        (3, {}, "ussd_service_op 3 is no screen"),
        (2, {"its_session_info": 0xFFFF}, "a screen for no dialogue under way: its_session_info ffff"),
    ],
)
async def test_a_screen_that_breaks_the_dialogue_draws_a_complaint(esme, op, fields, complaint):
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        _, first = await dialled(smsc, client)
        await show(client, "?", op, first.tlvs[SESSION], **fields)
        await smsc.wait_for(lambda: smsc.complaints)
        assert smsc.complaints == [f"session 1: {complaint}"]


async def test_a_screen_may_be_longer_than_a_message_but_not_than_a_screen(esme):
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        dialogue, first = await dialled(smsc, client)
        await show(client, "ұ" * 80, 2, first.tlvs[SESSION])
        assert await dialogue.screen() == "ұ" * 80
        await show(client, "ұ" * 81, 2, first.tlvs[SESSION])
        await smsc.wait_for(lambda: smsc.complaints)
        assert "screen of 162 where 160 fit" in smsc.complaints[0]
