"""What the simulated SMSC does for any ESME: data_sm, submit_multi, query_sm, cancel_sm, times, accounts."""

import asyncio
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from smpplib import consts, smpp

from gateway.simulators.smpp_time import seconds_until
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.text_coding import alphabet, decode
from tests.esme_client import BindEsme, Esme

CANCEL_SM, SUBMIT_MULTI = 0x8, 0x21
IN_AN_HOUR, IN_A_MOMENT = "000000010000000R", "000000000000200R"


async def request(client: Esme, name: str, **fields: Any) -> Any:
    """Sends a request that smpplib knows; the next PDU."""
    pdu = smpp.make_pdu(name, client=client.client, **fields)
    await client.send_raw(pdu.generate())
    return await client.read()


async def raw_request(client: Esme, command_id: int, body: bytes) -> tuple[int, int, int, bytes]:
    """Sends a request that smpplib lacks; (command_id, status, sequence_number, body) of the next PDU."""
    await client.send_raw(struct.pack(">IIII", 16 + len(body), command_id, 0, 77) + body)
    octets = await asyncio.to_thread(client.client._socket.recv, 65_536)
    _, command, status, sequence_number = struct.unpack(">IIII", octets[:16])
    return command, status, sequence_number, octets[16:]


def cancel(message_id: bytes, source: bytes = b"1414", destination: bytes = b"") -> bytes:
    return b"\0" + message_id + b"\0\0\0" + source + b"\0\1\1" + destination + b"\0"


def multi(*destinations: bytes) -> bytes:
    rest = b"\0\0\0" + b"\0\0" + b"\1\0\0\0" + b"\5hello"
    return b"\0\0\x001414\0" + bytes((len(destinations),)) + b"".join(destinations) + rest


async def test_receipts_and_replies_go_to_the_esme_that_submitted(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered") as smsc:
        other = await esme(smsc, system_id="other")
        client = await esme(smsc, system_id="client")
        await client.submit("hello", source_addr="7070", registered_delivery=1)
        await client.read()
        receipt = await client.acknowledge()
        assert (receipt.esm_class, receipt.destination_addr) == (4, b"7070")
        reply = asyncio.create_task(smsc.reply("+77011234567", "3#1"))
        assert (await client.acknowledge()).destination_addr == b"7070"
        assert await reply == 0
        unasked = asyncio.create_task(smsc.reply("77029999999", "3#1"))
        assert (await other.acknowledge()).destination_addr == b"1414"
        assert await unasked == 0


async def test_a_reply_waits_for_its_esme_to_bind_again(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc, system_id="client")
        await client.submit("hello", source_addr="7070")
        await client.read()
        client.close()
        await smsc.wait_for(lambda: not smsc.sessions)
        await esme(smsc, system_id="other")
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        client = await esme(smsc, system_id="client")
        assert (await client.acknowledge()).destination_addr == b"7070"
        assert await reply == 0


async def test_a_reply_to_a_name_goes_to_the_short_code(esme: BindEsme) -> None:
    async with SmscSimulator(short_code="1515") as smsc:
        client = await esme(smsc)
        await client.submit("hello", source_addr="School", source_addr_ton=consts.SMPP_TON_ALNUM)
        await client.read()
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        assert (await client.acknowledge()).destination_addr == b"1515"
        assert await reply == 0


@pytest.mark.parametrize("data_coding", [0x00, 0x01, 0x10, 0xC0, 0xF0, 0xF2])
async def test_160_octets_fit_in_a_coding_of_seven_bits(esme: BindEsme, data_coding: int) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        for length in (160, 161):
            await client.submit_octets(b"x" * length, data_coding=data_coding)
        assert [(await client.read()).status for _ in range(2)] == [0, consts.SMPP_ESME_RINVMSGLEN]


@pytest.mark.parametrize("data_coding", [0x03, 0x04, 0x08, 0x14, 0x18, 0xE0, 0xF4])
async def test_140_octets_fit_in_a_coding_of_eight_or_sixteen_bits(esme: BindEsme, data_coding: int) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        for length in (140, 142):
            await client.submit_octets(b"\0x" * (length // 2), data_coding=data_coding)
        assert [(await client.read()).status for _ in range(2)] == [0, consts.SMPP_ESME_RINVMSGLEN]


@pytest.mark.parametrize(
    ("data_coding", "name"),
    [
        (0x00, "gsm7"), (0x01, "ascii"), (0x03, "latin1"), (0x06, "cyrillic"), (0x08, "ucs2"), (0x04, "octets"),
        (0x10, "gsm7"), (0x14, "octets"), (0x18, "ucs2"), (0x1B, "ucs2"), (0x1C, "octets"), (0x30, "octets"),
        (0x58, "ucs2"), (0x80, "octets"), (0xC8, "gsm7"), (0xD0, "gsm7"), (0xE0, "ucs2"), (0xF0, "gsm7"),
        (0xF1, "gsm7"), (0xF4, "octets"),
    ],
)  # fmt: skip
def test_the_alphabet_of_a_coding_group_is_named_by_its_own_bits(data_coding: int, name: str) -> None:
    assert alphabet(data_coding) == name


def test_a_flash_message_in_ucs2_is_read_as_ucs2() -> None:
    assert decode("да".encode("utf-16-be"), 0x18) == "да"
    assert decode(b"\0\x11", 0xF0) == "@_"


async def test_a_data_sm_is_a_message(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered") as smsc:
        client = await esme(smsc)
        response = await request(
            client, "data_sm", source_addr="1414", destination_addr="77011234567",
            message_payload=b"hello", registered_delivery=1, data_coding=0,
        )  # fmt: skip
        assert (response.command, response.status, response.message_id) == ("data_sm_resp", 0, b"100001")
        assert (await smsc.message("77011234567")).text == "hello"
        assert (await client.acknowledge()).receipted_message_id == b"100001"


async def test_a_rule_refuses_a_data_sm_like_a_submit_sm(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["refuse"]) as smsc:
        client = await esme(smsc)
        response = await request(
            client, "data_sm", source_addr="1414", destination_addr="77011234567", message_payload=b"hello"
        )
        assert (response.command, response.status) == ("data_sm_resp", consts.SMPP_ESME_RINVDSTADR)


async def test_submit_multi_is_a_message_to_each_destination(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["refuse to=7702*"]) as smsc:
        client = await esme(smsc)
        numbers = (b"77011234567", b"77021234567", b"77051234567")
        command, status, sequence_number, body = await raw_request(
            client, SUBMIT_MULTI, multi(*(b"\1\1\1" + number + b"\0" for number in numbers))
        )
        assert (command, status, sequence_number) == (0x8000_0021, 0, 77)
        assert body == b"100001\0" + b"\1" + b"\1\1" + b"77021234567\0" + b"\0\0\0\x0b"
        assert [message.destination for message in smsc.messages] == ["77011234567", "77051234567"]
        assert {message.text for message in smsc.messages} == {"hello"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (multi(), consts.SMPP_ESME_RINVNUMDESTS),
        (multi(b"\2friends\0"), consts.SMPP_ESME_RINVDLNAME),
        (multi(b"\7\1\x0177011234567\0"), consts.SMPP_ESME_RINVDESTFLAG),
        (b"\0\0\x001414", consts.SMPP_ESME_RINVMSGLEN),
    ],
)
async def test_an_invalid_submit_multi_is_refused(esme: BindEsme, body: bytes, status: int) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        assert (await raw_request(client, SUBMIT_MULTI, body))[:2] == (0x8000_0021, status)
        assert len(smsc.complaints) == 1


async def test_query_sm_has_the_state_of_the_message(esme: BindEsme) -> None:
    async with SmscSimulator(receipts=["undeliverable to=7702*"]) as smsc:
        client = await esme(smsc)
        states = []
        for to in ("77011234567", "77021234567"):
            await client.submit("hello", to)
            message_id = (await client.read()).message_id.decode()
            response = await request(client, "query_sm", message_id=message_id, source_addr="1414")
            states.append((response.command, response.status, response.message_id, response.message_state))
        assert states == [("query_sm_resp", 0, b"100001", 2), ("query_sm_resp", 0, b"100002", 5)]


@pytest.mark.parametrize(("message_id", "source"), [("no-such-id", "1414"), ("100001", "7070")])
async def test_query_sm_of_no_message_of_this_source_fails(esme: BindEsme, message_id: str, source: str) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        await client.read()
        response = await request(client, "query_sm", message_id=message_id, source_addr=source)
        assert (response.command, response.status) == ("query_sm_resp", consts.SMPP_ESME_RQUERYFAIL)


@pytest.mark.parametrize("body", [cancel(b"100001"), cancel(b"", destination=b"77011234567")])
async def test_a_scheduled_message_can_be_cancelled(esme: BindEsme, body: bytes) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit("hello", schedule_delivery_time=IN_AN_HOUR)
        await client.read()
        assert smsc.inbox("77011234567") == []
        assert await raw_request(client, CANCEL_SM, body) == (0x8000_0008, 0, 77, b"")
        response = await request(client, "query_sm", message_id="100001", source_addr="1414")
        assert response.message_state == consts.SMPP_MESSAGE_STATE_DELETED


async def test_a_delivered_message_cannot_be_cancelled(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        await client.read()
        for message_id in (b"100001", b"no-such-id"):
            assert (await raw_request(client, CANCEL_SM, cancel(message_id)))[1] == consts.SMPP_ESME_RCANCELFAIL


async def test_a_scheduled_message_is_shown_when_it_is_due(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered") as smsc:
        client = await esme(smsc)
        await client.submit("later", schedule_delivery_time=IN_A_MOMENT, registered_delivery=1)
        assert (await client.read()).status == 0
        assert (smsc.submitted[0].schedule_delivery_time, smsc.messages) == (IN_A_MOMENT, [])
        assert (await client.acknowledge()).message_state == consts.SMPP_MESSAGE_STATE_DELIVERED
        assert (await smsc.message("77011234567")).text == "later"


async def test_a_message_expires_when_its_validity_ends_before_it_is_due(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered") as smsc:
        client = await esme(smsc)
        await client.submit(
            "late",
            schedule_delivery_time=IN_AN_HOUR,
            validity_period=IN_A_MOMENT,
            registered_delivery=1,
        )
        assert (await client.read()).status == 0
        assert (await client.acknowledge()).message_state == consts.SMPP_MESSAGE_STATE_EXPIRED
        assert (smsc.submitted[0].validity_period, smsc.messages) == (IN_A_MOMENT, [])


async def test_a_receipt_that_comes_after_the_validity_says_expired(esme: BindEsme) -> None:
    async with SmscSimulator(receipts="delivered delay=3600") as smsc:
        client = await esme(smsc)
        await client.submit("hello", validity_period=IN_A_MOMENT, registered_delivery=1)
        await client.read()
        assert (await client.acknowledge()).message_state == consts.SMPP_MESSAGE_STATE_EXPIRED


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"schedule_delivery_time": "tomorrow"}, consts.SMPP_ESME_RINVSCHED),
        ({"schedule_delivery_time": "200101000000000+"}, consts.SMPP_ESME_RINVSCHED),
        ({"validity_period": "20010100000000"}, consts.SMPP_ESME_RINVEXPIRY),
        ({"validity_period": "201301000000000+"}, consts.SMPP_ESME_RINVEXPIRY),
    ],
)
async def test_an_impossible_time_is_refused(esme: BindEsme, fields: dict[str, str], status: int) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit("hello", **fields)
        assert (await client.read()).status == status


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("261128120010500+", 10.5),
        ("261128170010520+", 10.5),
        ("261128070010520-", 10.5),
        ("000000010203400R", 3723.4),
        ("000102000000000R", 32 * 86_400),
    ],
)
def test_a_time_is_absolute_with_an_offset_or_relative(text: str, seconds: float) -> None:
    assert seconds_until(text, datetime(2026, 11, 28, 12, tzinfo=UTC)) == pytest.approx(seconds)
