"""How the simulated SMSC receives submit_sm and responds, against smpplib's own client."""

from typing import Any

import pytest
from smpplib import consts, gsm
from smpplib.exceptions import ConnectionError as Disconnected
from smpplib.exceptions import UnknownCommandError

from gateway.simulators.rules import Rule
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.text_coding import gsm_decode, gsm_encode
from tests.esme_client import BindEsme

LONG = "Құрметті Айгүл Серікқызы! Сіздің балаңызға тегін тамақтану қарастырылған. " * 3


async def test_a_submit_is_recorded_as_it_was_sent(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        (sequence_number,) = await client.submit("hello [€]", registered_delivery=1)
        response = await client.read()
        (seen,) = smsc.submitted
        assert (response.command, response.status, response.sequence) == ("submit_sm_resp", 0, sequence_number)
        assert response.message_id == seen.message_id.encode() == b"100001"
        assert (seen.source, seen.destination, seen.text) == ("1414", "77011234567", "hello [€]")
        assert (seen.data_coding, seen.registered_delivery, seen.reference, seen.total) == (0, 1, None, 1)
        assert (seen.status, seen.session, seen.sequence_number) == (0, 1, sequence_number)
        assert seen.responded_at is not None
        assert seen.responded_at >= seen.at
        assert smsc.complaints == []


async def test_the_segments_of_a_long_text_are_joined_on_the_handset(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit(LONG)
        message = await smsc.message("77011234567", containing="Айгүл")
        assert message.text == LONG
        assert [(segment.number, segment.total) for segment in smsc.submitted] == [
            (1, 4),
            (2, 4),
            (3, 4),
            (4, 4),
        ]
        assert len({segment.reference for segment in smsc.submitted}) == 1


async def test_a_repeated_segment_is_dropped_and_counted(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        for number in (2, 1, 2, 1, 1):
            await client.submit_octets(bytes((5, 0, 3, 9, 2, number, 64 + number)), esm_class=0x40, data_coding=0)
        message = await smsc.message("77011234567")
        await smsc.wait_for(lambda: len(smsc.submitted) == 5)
        assert (message.text, message.copies, message.repeated) == ("AB", {1: 3, 2: 2}, 3)
        assert len(smsc.inbox("77011234567")) == 1


async def test_a_reused_reference_begins_another_message(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        for word in (b"one", b"two"):
            for number in (1, 2):
                await client.submit_octets(b"\x05\0\x03\x09\x02" + bytes([number]) + word, esm_class=0x40)
        assert (await smsc.message("77011234567", nth=2)).text == "twotwo"


async def test_sixteen_bit_references_sar_tlvs_and_message_payload_are_decoded(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit_octets(b"\x06\x08\x04\x12\x34\x01\x01A", esm_class=0x40)
        await client.submit_octets(b"B", sar_msg_ref_num=4660, sar_total_segments=1, sar_segment_seqnum=1)
        await client.submit_octets(b"", message_payload=b"C" * 300)
        assert [(await smsc.message("77011234567", nth=nth)).text for nth in (1, 2, 3)] == [
            "A",
            "B",
            "C" * 300,
        ]
        assert [segment.reference for segment in smsc.submitted] == [0x1234, 4660, None]


@pytest.mark.parametrize(
    ("rule", "status", "message_id"),
    [
        ("throttle", consts.SMPP_ESME_RTHROTTLED, b""),
        ("full", consts.SMPP_ESME_RMSGQFUL, b""),
        ("refuse", consts.SMPP_ESME_RINVDSTADR, b""),
        ("refuse status=0x400", 0x400, b""),
        ("refuse status=ESME_RSYSERR", consts.SMPP_ESME_RSYSERR, b""),
        ("no_body status=RSUBMITFAIL", consts.SMPP_ESME_RSUBMITFAIL, None),
        ("empty_id", 0, b""),
        ("accept message_id=abc", 0, b"abc"),
        ("unknown_tlv", 0, b"100001"),
        ("split", 0, b"100001"),
        ("delay delay=0.01", 0, b"100001"),
    ],
)
async def test_the_response_has_the_status_and_message_id_of_the_rule(
    esme: BindEsme, rule: str, status: int, message_id: bytes | None
) -> None:
    async with SmscSimulator(rules=[rule]) as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        response = await client.read()
        assert (response.command, response.status, response.message_id) == ("submit_sm_resp", status, message_id)
        assert smsc.submitted[0].accepted == (status == 0)
        assert len(smsc.inbox("77011234567")) == (status == 0)


async def test_a_rule_can_respond_with_generic_nack(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["nack status=RINVCMDID"]) as smsc:
        client = await esme(smsc)
        (sequence_number,) = await client.submit("hello")
        nack = await client.read()
        assert (nack.command, nack.status, nack.sequence) == (
            "generic_nack",
            consts.SMPP_ESME_RINVCMDID,
            sequence_number,
        )
        assert not smsc.submitted[0].accepted


async def test_a_foreign_command_is_sent_before_the_response(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["foreign"]) as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        with pytest.raises(UnknownCommandError):
            await client.read()
        assert (await client.read()).command == "submit_sm_resp"


@pytest.mark.parametrize(("rule", "reaches_the_handset"), [("no_answer", True), ("no_answer taken=no", False)])
async def test_a_submit_without_a_response_may_have_reached_the_handset(
    esme: BindEsme, rule: str, reaches_the_handset: bool
) -> None:
    async with SmscSimulator(rules=[rule + " nth=1"]) as smsc:
        client = await esme(smsc)
        await client.submit("one")
        (second,) = await client.submit("two")
        assert (await client.read()).sequence == second
        assert smsc.submitted[0].status is None
        assert ("one" in [message.text for message in smsc.inbox("77011234567")]) == reaches_the_handset


async def test_a_rule_can_drop_the_connection_before_the_response(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["drop_before"]) as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        with pytest.raises(Disconnected):
            await client.read()
        assert (smsc.submitted[0].accepted, smsc.submitted[0].status) == (True, None)


async def test_a_rule_can_drop_the_connection_after_the_response(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["drop_after"]) as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        assert (await client.read()).status == 0
        with pytest.raises(Disconnected):
            await client.read()


async def test_responses_are_reordered(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["reorder reorder=3"]) as smsc:
        client = await esme(smsc)
        sent = [(await client.submit("hello"))[0] for _ in range(3)]
        assert [(await client.read()).sequence for _ in range(3)] == sent[::-1]
        assert smsc.max_in_flight == 3


async def test_responses_held_for_reordering_are_sent_after_a_timeout(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["reorder reorder=30"]) as smsc:
        client = await esme(smsc)
        sent = [(await client.submit("hello"))[0] for _ in range(2)]
        assert [(await client.read()).sequence for _ in range(2)] == sent[::-1]


async def test_first_rule_that_fires_acts(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["accept to=7701*", "refuse text=^no status=11", "throttle every=2"]) as smsc:
        client = await esme(smsc)
        statuses = []
        for to, text in (
            ("77011234567", "no"),
            ("77021234567", "no"),
            ("77021234567", "yes"),
            ("77021234567", "x"),
        ):
            await client.submit(text, to)
            statuses.append((await client.read()).status)
        assert statuses == [0, 11, 0, consts.SMPP_ESME_RTHROTTLED]


async def test_times_counts_only_the_submits_on_which_the_rule_acts(esme: BindEsme) -> None:
    async with SmscSimulator(rules=["full nth=1", "throttle times=1"]) as smsc:
        client = await esme(smsc)
        for _ in range(3):
            await client.submit("hello")
        statuses = [(await client.read()).status for _ in range(3)]
        assert statuses == [consts.SMPP_ESME_RMSGQFUL, consts.SMPP_ESME_RTHROTTLED, 0]


async def test_more_than_tps_segments_in_a_second_are_throttled(esme: BindEsme) -> None:
    async with SmscSimulator(tps=3) as smsc:
        client = await esme(smsc)
        for _ in range(5):
            await client.submit("hello")
        statuses = [(await client.read()).status for _ in range(5)]
        assert statuses == [0, 0, 0, consts.SMPP_ESME_RTHROTTLED, consts.SMPP_ESME_RTHROTTLED]
        assert smsc.throttled == 2


def test_the_simulated_smsc_counts_tps_over_a_sliding_second() -> None:
    smsc = SmscSimulator(tps=2)
    instants = (10.0, 10.9, 10.999, 11.0, 11.5, 11.9)
    assert [smsc._exceeds_tps(at) for at in instants] == [False, False, True, False, True, False]


@pytest.mark.parametrize(("form", "first"), [("decimal", b"100001"), ("hex", b"186a1")])
async def test_message_ids_are_decimal_or_hex(esme: BindEsme, form: str, first: bytes) -> None:
    async with SmscSimulator(message_ids=form) as smsc:
        client = await esme(smsc)
        await client.submit("hello")
        assert (await client.read()).message_id == first


@pytest.mark.parametrize(
    ("octets", "fields", "status"),
    [
        (b"\x05\0\x03\x09", {"esm_class": 0x40}, consts.SMPP_ESME_RINVESMCLASS),
        (b"\x05\0\x03\x09\x02\x03A", {"esm_class": 0x40}, consts.SMPP_ESME_RINVESMCLASS),
        (b"x" * 161, {}, consts.SMPP_ESME_RINVMSGLEN),
        (b"\0x" * 71, {"data_coding": 8}, consts.SMPP_ESME_RINVMSGLEN),
    ],
)
async def test_an_impossible_segment_is_refused_with_a_complaint(
    esme: BindEsme, octets: bytes, fields: dict[str, Any], status: int
) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit_octets(octets, **fields)
        assert (await client.read()).status == status
        assert len(smsc.complaints) == 1


async def test_a_segment_that_splits_a_surrogate_pair_is_a_complaint(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        await client.submit_octets("🍎".encode("utf-16-be")[:2], data_coding=8)
        assert (await client.read()).status == 0
        assert "is not valid text" in smsc.complaints[0]


async def test_a_truncated_tlv_is_refused_with_a_complaint(esme: BindEsme) -> None:
    async with SmscSimulator() as smsc:
        client = await esme(smsc)
        body = b"\0\0\x001414\0\x01\x0177011234567\0" + b"\0" * 3 + b"\0\0" + b"\0" * 3 + b"\0\x01A"
        tail = b"\x04\x24\0\x09AB"
        length = 16 + len(body) + len(tail)
        await client.send_raw(length.to_bytes(4, "big") + b"\0\0\0\x04\0\0\0\0\0\0\0\x05" + body + tail)
        assert (await client.read()).status == consts.SMPP_ESME_RINVOPTPARSTREAM
        assert "truncated" in smsc.complaints[0]


def test_an_invalid_rule_is_rejected_with_the_reason() -> None:
    for line, words in {
        "thottle": "no such reaction: thottle",
        "throttle 10": "key=value is expected",
        "throttle evry=10": "evry",
        "refuse status=RWHATEVER": "RWHATEVER",
        "no_answer taken=maybe": "yes or no",
    }.items():
        with pytest.raises(ValueError, match=words):
            Rule.parse(line)


def test_probability_is_the_same_for_the_same_seed() -> None:
    def fired(seed: int) -> list[bool]:
        rule = Rule("throttle", probability=0.3, seed=seed)
        return [rule.fires() for _ in range(200)]

    assert fired(1) == fired(1) != fired(2)
    assert 30 < sum(fired(1)) < 90


def test_gsm_03_38_has_a_section_sign_where_smpplib_has_a_backtick() -> None:
    assert gsm_decode(b"\x5f\x1b\x65") == "§€"
    assert gsm.gsm_encode("€") == gsm_encode("€") == b"\x1b\x65"
    with pytest.raises(UnicodeError):
        gsm_encode("`")
