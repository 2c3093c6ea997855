"""Habits of the simulated SMSC in binds, responses and deliveries, seen by smpplib's own client."""

import asyncio
import struct

import pytest
from smpplib import consts
from smpplib.exceptions import ConnectionError as Disconnected

from gateway.simulators.habits import Habits
from gateway.simulators.smsc import NoResponse, SmscSimulator
from tests.esme_client import BindEsme

ENQUIRE_LINK = struct.pack(">IIII", 16, 0x15, 0, 7)
FIRST, SECOND = b"\x05\0\x03\x09\x02\x01A", b"\x05\0\x03\x09\x02\x02B"
"""The segments of one text."""


async def test_each_submit_takes_its_service_time_after_the_one_before_it(esme: BindEsme) -> None:
    async with SmscSimulator(habits="service_time=0.05") as smsc:
        client = await esme(smsc)
        sent = [(await client.submit("hello"))[0] for _ in range(4)]
        assert [(await client.read()).sequence for _ in range(4)] == sent
        first, *_, last = smsc.submitted
        assert first.responded_at is not None
        assert last.responded_at is not None
        assert first.responded_at - first.at >= 0.049
        assert last.responded_at - first.at >= 0.19


async def test_a_response_to_enquire_link_waits_for_the_submits_before_it(esme: BindEsme) -> None:
    async with SmscSimulator(habits="service_time=0.05") as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        await client.send_raw(ENQUIRE_LINK)
        await client.submit("hello")
        answers = [(await client.read()).command for _ in range(3)]
        assert answers == ["submit_sm_resp", "enquire_link_resp", "submit_sm_resp"]


async def test_a_connection_that_ends_takes_the_responses_in_the_queue_with_it(esme: BindEsme) -> None:
    async with SmscSimulator(habits="service_time=60") as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        await smsc.message("77011234567")
        client.close()
        await smsc.wait_for(lambda: not smsc.sessions)
        assert (smsc.submitted[0].accepted, smsc.submitted[0].status) == (True, None)


async def test_a_stall_delays_all_responses_of_the_session_and_loses_none(esme: BindEsme) -> None:
    async with SmscSimulator(habits="stall_every=2 stall_seconds=0.3") as smsc:
        client = await esme(smsc)
        sent = [(await client.submit("hello"))[0] for _ in range(3)]
        assert [(await client.read()).sequence for _ in range(3)] == sent
        waited = [submit.responded_at - submit.at for submit in smsc.submitted if submit.responded_at]
        assert waited[0] < waited[1]
        assert waited[1] >= 0.29


async def test_one_pdu_is_read_for_each_read_of_the_socket(esme: BindEsme) -> None:
    async with SmscSimulator(habits="one_pdu_per_read") as smsc:
        client = await esme(smsc)
        session = smsc.sessions[0]
        await client.send_raw(ENQUIRE_LINK * 3)
        await client.read()
        assert [pdu.command for pdu in session.requests] == ["bind_transceiver", "enquire_link"]
        await client.send_raw(ENQUIRE_LINK)
        await client.read()
        assert len(session.requests) == 3


async def test_responses_are_held_until_the_text_is_whole(esme: BindEsme) -> None:
    async with SmscSimulator(habits="hold_until_whole") as smsc:
        client = await esme(smsc)
        first = await client.submit_octets(FIRST, esm_class=0x40)
        (single,) = await client.submit("one segment")
        assert (await client.read()).sequence == single
        second = await client.submit_octets(SECOND, esm_class=0x40)
        assert [(await client.read()).sequence for _ in range(2)] == [first, second]


async def test_the_copy_of_a_held_segment_is_held_as_well(esme: BindEsme) -> None:
    async with SmscSimulator(habits="hold_until_whole") as smsc:
        client = await esme(smsc)
        sent = [await client.submit_octets(octets, esm_class=0x40) for octets in (FIRST, FIRST, SECOND)]
        assert [(await client.read()).sequence for _ in range(3)] == sent


@pytest.mark.parametrize("status", [0, consts.SMPP_ESME_RBINDFAIL])
async def test_the_response_to_a_bind_has_a_sequence_number_of_the_smsc(esme: BindEsme, status: int) -> None:
    async with SmscSimulator(habits="bind_sequence=9999") as smsc:
        smsc.refuse_binds(status)
        client = await esme(smsc, role=None)
        bind = b"gateway\0secret\0\0\x34\0\0\0"
        await client.send_raw(struct.pack(">IIII", 16 + len(bind), 0x9, 0, 1) + bind)
        header = struct.unpack(">IIII", await asyncio.to_thread(client.client._socket.recv, 16))
        assert header[1:] == (0x8000_0009, status, 9999)


@pytest.mark.parametrize("when", ["connect", "bind"])
async def test_an_smsc_can_refuse_by_closing_the_connection(esme: BindEsme, when: str) -> None:
    async with SmscSimulator(habits=f"close_at={when}") as smsc:
        with pytest.raises(Disconnected):
            await esme(smsc)
        await smsc.wait_for(lambda: smsc.connections and not smsc.sessions)
        assert smsc.connections[0].role is None


async def test_an_smsc_can_accept_a_bind_and_close_at_once(esme: BindEsme) -> None:
    async with SmscSimulator(habits="close_at=bound") as smsc:
        client = await esme(smsc)
        with pytest.raises(Disconnected):
            await client.read()
        assert smsc.connections[0].role == "transceiver"


async def test_an_smsc_can_accept_a_bind_and_cut_at_the_first_submit(esme: BindEsme) -> None:
    async with SmscSimulator(habits="close_at=submit") as smsc:
        client = await esme(smsc)
        await client.send_raw(ENQUIRE_LINK)
        assert (await client.read()).command == "enquire_link_resp"
        await client.submit("hello")
        with pytest.raises(Disconnected):
            await client.read()
        assert not smsc.submitted[0].accepted
        assert smsc.messages == []


async def test_a_session_is_no_longer_bound_after_so_many_submits_until_it_binds_again(esme: BindEsme) -> None:
    async with SmscSimulator(habits="unbound_after=2") as smsc:
        client = await esme(smsc)
        for _ in range(4):
            await client.submit("hello")
        statuses = [(await client.read()).status for _ in range(4)]
        assert statuses == [0, 0, consts.SMPP_ESME_RINVBNDSTS, consts.SMPP_ESME_RINVBNDSTS]
        await client.send_raw(ENQUIRE_LINK)
        assert (await client.read()).status == 0
        again = await esme(smsc)
        await again.submit("hello")
        assert (await again.read()).status == 0
        assert smsc.complaints == []


async def test_a_simulated_smsc_can_respond_to_enquire_link_with_an_error(esme: BindEsme) -> None:
    async with SmscSimulator(habits="enquire_status=RSYSERR") as smsc:
        client = await esme(smsc)
        await client.send_raw(ENQUIRE_LINK)
        response = await client.read()
        assert (response.command, response.status) == ("enquire_link_resp", consts.SMPP_ESME_RSYSERR)


@pytest.mark.parametrize(("name", "status"), [("RINVSRCADR", 0x0A), ("0x4FF", 0x4FF)])
async def test_a_simulated_account_is_refused_until_the_habit_is_removed(
    esme: BindEsme, name: str, status: int
) -> None:
    async with SmscSimulator(habits=f"refuse_all={name}", rules=["accept"]) as smsc:
        client = await esme(smsc)
        for to in ("77011234567", "77021234567"):
            await client.submit("hello", to)
            assert (await client.read()).status == status
        smsc.habits = Habits()
        await client.submit("hello")
        assert (await client.read()).status == 0
        assert [submit.accepted for submit in smsc.submitted] == [False, False, True]


async def test_a_simulated_account_is_refused_for_a_time(esme: BindEsme) -> None:
    async with SmscSimulator(habits="refuse_all=RSUBMITFAIL refuse_seconds=0.2") as smsc:
        client = await esme(smsc)
        statuses: list[int] = []
        while not statuses or statuses[-1]:
            await client.submit("hello")
            statuses.append((await client.read()).status)
        assert set(statuses) == {0, consts.SMPP_ESME_RSUBMITFAIL}
        first, last = smsc.submitted[0], smsc.submitted[-1]
        assert last.at - first.at >= 0.2


async def test_what_exceeds_the_window_of_an_smsc_is_refused_at_once(esme: BindEsme) -> None:
    habits = "window=2 window_status=RSUBMITFAIL"
    async with SmscSimulator(habits=habits, rules=["delay delay=0.2"]) as smsc:
        client = await esme(smsc)
        for _ in range(3):
            await client.submit("hello")
        statuses = [(await client.read()).status for _ in range(3)]
        assert statuses == [consts.SMPP_ESME_RSUBMITFAIL, 0, 0]


async def test_a_response_that_matches_no_submit_is_sent_before_the_response(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["stray"]) as smsc:
        client = await esme(smsc)
        (sequence_number,) = await client.submit("hello")
        stray, response = [await client.read() for _ in range(2)]
        assert (stray.command, stray.status) == ("submit_sm_resp", 0)
        assert stray.sequence != sequence_number == response.sequence


async def test_replies_and_receipts_are_delivered_on_the_transmitter(esme: BindEsme) -> None:
    async with SmscSimulator(habits="on_transmitter", receipts="delivered") as smsc:
        await esme(smsc, "receiver")
        transmitter = await esme(smsc, "transmitter")
        transmitter.client.state = consts.SMPP_CLIENT_STATE_BOUND_TRX  # smpplib sends no response otherwise
        await transmitter.submit("hello", registered_delivery=1)
        assert (await transmitter.read()).command == "submit_sm_resp"
        assert (await transmitter.acknowledge()).esm_class == 4
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        assert (await transmitter.acknowledge()).short_message == b"3#1"
        assert await reply == 0


@pytest.mark.parametrize(
    ("how", "octets"), [({}, b"3#1\0"), ({"encoding": "ucs2"}, b"\x003\0#\x001\0"), ({"payload": True}, b"3#1\0")]
)
async def test_a_nul_is_counted_in_the_length_of_a_delivery(
    esme: BindEsme, how: dict[str, str], octets: bytes
) -> None:
    async with SmscSimulator(habits="nul_terminated") as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1", **how))  # type: ignore[arg-type]
        pdu = await client.acknowledge()
        assert (pdu.message_payload if "payload" in how else pdu.short_message) == octets
        assert await reply == 0


async def test_a_message_is_delivered_right_after_each_bind(esme: BindEsme) -> None:
    async with SmscSimulator(habits="'mo_after_bind=77010000000 good morning'") as smsc:
        for role in ("transceiver", "receiver"):
            client = await esme(smsc, role)
            pdu = await client.acknowledge()
            assert (pdu.source_addr, pdu.short_message) == (b"77010000000", b"good morning")
        await esme(smsc, "transmitter")
        assert len(smsc.delivered) == 2


async def test_a_submit_is_echoed_with_its_udh_and_esm_class_0(esme: BindEsme) -> None:
    async with SmscSimulator(habits="echo_every=2") as smsc:
        client = await esme(smsc)
        for octets in (FIRST, SECOND):
            await client.submit_octets(octets, esm_class=0x40)
        pdus = {(pdu := await client.read()).command: pdu for _ in range(3)}
        echo = pdus["deliver_sm"]
        await client.respond(echo)
        assert (echo.source_addr, echo.destination_addr) == (b"77011234567", b"1414")
        assert (echo.esm_class, echo.short_message) == (0, SECOND)
        await smsc.wait_for(lambda: smsc.delivered[0].status == 0)


async def test_an_unbind_comes_in_the_write_of_a_delivery_and_its_response_closes_the_session(
    esme: BindEsme,
) -> None:
    async with SmscSimulator(habits="unbind_every=2") as smsc:
        client = await esme(smsc)
        first = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        await client.acknowledge()
        assert await first == 0
        second = asyncio.create_task(smsc.reply("77011234567", "3#2"))
        octets = await asyncio.to_thread(client.client._socket.recv, 65_536)
        length = int.from_bytes(octets[:4], "big")
        deliver, unbind = octets[:length], octets[length:]
        assert (deliver[4:8], unbind[4:8], len(unbind)) == (b"\0\0\0\x05", b"\0\0\0\x06", 16)
        await client.send_raw(struct.pack(">II", 16, 0x8000_0006) + b"\0" * 4 + unbind[12:])
        with pytest.raises(NoResponse):
            await second
        await smsc.wait_for(lambda: not smsc.sessions)


async def test_a_response_owed_before_unbind_resp_counts(esme: BindEsme) -> None:
    async with SmscSimulator(habits="unbind_every=1") as smsc:
        client = await esme(smsc)
        reply = asyncio.create_task(smsc.reply("77011234567", "3#1"))
        assert [(await client.acknowledge()).command for _ in range(2)] == ["deliver_sm", "unbind"]
        assert await reply == 0
        await smsc.wait_for(lambda: not smsc.sessions)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("service_tme=1", "service_tme: no such setting of the SMSC's habits"),
        ("nul_terminated=perhaps", "yes or no is expected"),
        ("close_at=noon", "there are connect, bind, bound, submit"),
        ("receipts_per=day", "there are segment, first, text"),
        ("refuse_all=RWHATEVER", "no such command_status: RWHATEVER"),
        ("window_status=RWHATEVER", "no such command_status: RWHATEVER"),
        ("enquire_status=RWHATEVER", "no such command_status: RWHATEVER"),
        ("receipt_text={when}", "no such field: 'when'"),
        ("receipt_states=lost:LOST", "no such outcome: lost"),
        ("service_time=soon", "soon"),
    ],
)
def test_an_invalid_habit_is_rejected_with_the_reason(words: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Habits.parse(words)


def test_habits_are_given_in_words_or_in_several_lines() -> None:
    habits = Habits(service_time=0.4, nul_terminated=True, one_pdu_per_read=True)
    assert Habits.parse("service_time=0.4 nul_terminated one_pdu_per_read=yes") == habits
    assert SmscSimulator(habits=["service_time=0.4 nul_terminated", "one_pdu_per_read"]).habits == habits
    assert habits.changed("nul_terminated=no one_pdu_per_read=no") == Habits(service_time=0.4)
