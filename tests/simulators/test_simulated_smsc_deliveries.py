"""What the simulated SMSC delivers: replies and receipts, read by smpplib's own client."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from benches.json_lines import Child
from smpplib import consts

from gateway.simulators.receipts import Receipts
from gateway.simulators.smsc import SmscSimulator
from tests.esme_client import BindEsme, Esme

ROOT = Path(__file__).parents[2]


async def delivered(smsc: SmscSimulator, client: Esme, *args: Any, **kwargs: Any) -> tuple[Any, int]:
    """The PDU of one reply, and the status that `reply` returned."""
    reply = asyncio.create_task(smsc.reply(*args, **kwargs))
    pdu = await client.acknowledge()
    return pdu, await reply


@pytest.mark.parametrize(
    ("how", "data_coding", "octets"),
    [
        ({"text": "3#1"}, 0, b"3#1"),
        ({"text": "3№1"}, 8, "3№1".encode("utf-16-be")),
        ({"text": "3#1", "encoding": "ucs2"}, 8, b"\x003\0#\x001"),
        ({"text": "да", "encoding": "cyrillic"}, 6, "да".encode("iso8859-5")),
        ({"text": "3#1", "encoding": "packed"}, 0, bytes.fromhex("b3510c")),
        ({"octets": b"\xff\xfe", "data_coding": 0xF4}, 0xF4, b"\xff\xfe"),
    ],
)
async def test_a_reply_is_sent_in_the_coding_of_the_handset(
    esme: BindEsme, how: dict[str, Any], data_coding: int, octets: bytes
) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        pdu, status = await delivered(smsc, client, "+77011234567", **how)
        assert status == 0
        assert (pdu.source_addr, pdu.destination_addr) == (b"+77011234567", b"1414")
        assert (pdu.data_coding, pdu.short_message) == (data_coding, octets)


async def test_reply_returns_the_command_status_of_the_response(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        await client.acknowledge(consts.SMPP_ESME_RX_T_APPN)
        assert await reply == consts.SMPP_ESME_RX_T_APPN
        assert smsc.delivered[0].status == consts.SMPP_ESME_RX_T_APPN


async def test_a_reply_sent_until_accepted_is_delivered_again_after_a_refusal(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1", until_accepted=True))
        await client.acknowledge(consts.SMPP_ESME_RX_T_APPN)
        await client.read()
        smsc.drop()
        client = await esme(smsc)
        assert (await client.acknowledge()).short_message == b"3#1"
        assert await reply == 0
        assert [attempt.status for attempt in smsc.delivered] == [consts.SMPP_ESME_RX_T_APPN, None, 0]


@pytest.mark.parametrize(
    ("how", "esm_class", "second"),
    [
        ({"long": "udh8", "reference": 7}, 0x40, b"\x05\0\x03\x07\x02\x02#1"),
        ({"long": "udh16", "reference": 0x1234}, 0x40, b"\x06\x08\x04\x12\x34\x02\x02#1"),
        ({"long": "sar", "reference": 0x1234}, 0, b"#1"),
    ],
)
async def test_a_reply_of_several_segments_is_concatenated_as_configured(
    esme: BindEsme, how: dict[str, Any], esm_class: int, second: bytes
) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", ["3", "#1"], order=[2, 1], **how))
        pdus = [await client.acknowledge(), await client.acknowledge()]
        assert await reply == 0
        assert (pdus[0].esm_class, pdus[0].short_message) == (esm_class, second)
        if how["long"] == "sar":
            assert [pdu.sar_segment_seqnum for pdu in pdus] == [2, 1]
            assert pdus[0].sar_msg_ref_num == 0x1234


async def test_a_long_reply_is_split_into_segments(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "ә" * 80))
        pdus = [await client.acknowledge(), await client.acknowledge()]
        assert await reply == 0
        assert b"".join(pdu.short_message[6:] for pdu in pdus).decode("utf-16-be") == "ә" * 80


async def test_a_reply_can_be_data_sm_or_in_message_payload(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        pdu, status = await delivered(smsc, client, "77011234567", "3#1", as_data_sm=True)
        assert (pdu.command, pdu.message_payload, status) == ("data_sm", b"3#1", 0)
        pdu, status = await delivered(smsc, client, "77011234567", "3#1", payload=True)
        assert (pdu.command, pdu.message_payload, pdu.sm_length) == ("deliver_sm", b"3#1", 0)
        assert smsc.complaints == []


async def test_a_reply_can_be_split_over_writes_and_have_an_unknown_tlv(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        pdu, status = await delivered(smsc, client, "77011234567", "3#1", split=3, tlvs={0x1403: b"\1\2"})
        assert (pdu.short_message, pdu.length, status) == (b"3#1", 16 + 35 + 6, 0)


@pytest.mark.parametrize(
    ("policy", "stat", "state", "identity"),
    [
        ("delivered", b"stat:DELIVRD", 2, b"186a1"),
        ("undeliverable id_form=dec", b"stat:UNDELIV", 5, b"100001"),
        ("expired id_form=upper form=text", b"stat:EXPIRED", None, b"186A1"),
        ("rejected id_form=padded form=tlvs", None, 8, b"0000100001"),
    ],
)
async def test_a_receipt_has_the_form_of_its_policy(
    esme: BindEsme, policy: str, stat: bytes | None, state: int | None, identity: bytes
) -> None:
    async with SmscSimulator(receipts=policy, message_ids="hex") as smsc:
        client = await esme(smsc)
        await client.submit("hello", registered_delivery=1)
        assert (await client.read()).message_id == b"186a1"
        receipt = await client.acknowledge()
        assert (receipt.esm_class, receipt.source_addr) == (4, b"77011234567")
        if stat:
            assert stat in receipt.short_message
            assert b"id:" + identity + b" " in receipt.short_message
        assert receipt.message_state == state
        assert receipt.receipted_message_id == (identity if state else None)


async def test_a_receipt_can_precede_the_response_and_be_repeated_after_an_intermediate_one(
    esme: BindEsme,
) -> None:
    policy = Receipts(before_response=True, times=2, intermediate=True)
    async with SmscSimulator(receipts=policy) as smsc:
        client = await esme(smsc)
        await client.submit("hello", registered_delivery=1)
        first = await client.acknowledge()
        assert (first.esm_class, first.message_state) == (0x20, consts.SMPP_MESSAGE_STATE_ENROUTE)
        assert (await client.read()).command == "submit_sm_resp"
        assert [(await client.acknowledge()).message_state for _ in range(2)] == [
            consts.SMPP_MESSAGE_STATE_DELIVERED
        ] * 2


async def test_a_receipt_is_sent_only_if_it_was_requested_and_the_policy_has_one(esme: BindEsme) -> None:
    policies = ["none to=7702*", "undeliverable to=7705*", "delivered"]
    async with SmscSimulator(receipts=policies) as smsc:
        client = await esme(smsc)
        asked = {"77011234567": 0, "77021234567": 1, "77051234567": 2, "77071234567": 2, "77081234567": 1}
        for to, registered_delivery in asked.items():
            await client.submit("hello", to, registered_delivery=registered_delivery)
        receipts = [pdu for _ in range(7) if (pdu := await client.read()).command == "deliver_sm"]
        assert {pdu.source_addr for pdu in receipts} == {b"77051234567", b"77081234567"}


async def test_a_receipt_on_demand_can_override_any_field(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        sent = asyncio.create_task(
            smsc.receipt(
                "no-such-id", "undeliverable", form="text", short_message=b"stat:undeliv ID:x", esm_class=0
            )
        )
        receipt = await client.acknowledge()
        assert await sent == 0
        assert (receipt.esm_class, receipt.short_message) == (0, b"stat:undeliv ID:x")


async def test_on_message_can_start_a_reply(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        smsc.on_message = lambda message: smsc.start(smsc.reply(message.destination, "3#1"))
        client = await esme(smsc)
        await client.submit("ask")
        pdus = {(pdu := await client.read()).command: pdu for _ in range(2)}
        assert pdus["deliver_sm"].source_addr == b"77011234567"
        assert pdus["submit_sm_resp"].status == 0


def test_an_invalid_policy_is_rejected_with_the_reason() -> None:
    for line, words in {"delivred": "no such outcome", "delivered dellay=1": "dellay"}.items():
        with pytest.raises(ValueError, match=words):
            Receipts.parse(line)


async def test_the_smsc_program_prints_events_and_executes_commands(esme: BindEsme) -> None:
    program = await Child.start("gateway", "simulate", "smsc", "--port", "0", "--rule", "throttle nth=1")
    listening = await program.event("listening")
    client = await esme(SmscSimulator(listening["port"]))
    await client.submit("hello")
    assert (await client.read()).status == consts.SMPP_ESME_RTHROTTLED
    assert (await program.event("submitted"))["rule"] == "throttle"
    await program.write("reply 77011234567 3#1\nunknown")
    assert (await client.acknowledge()).short_message == b"3#1"
    assert (await program.event("acknowledged"))["status"] == 0
    await program.write("quit")
    assert await program.process.wait() == 0
