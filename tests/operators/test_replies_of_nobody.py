"""Messages that are no parent's reply to the question: of forged senders, to other numbers, to programs."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.limits import MAX_REPLY_CHARACTERS, MAX_REPLY_OCTETS
from gateway.usecases.replies import MAX_OTHER_DESTINATIONS
from tests.harness import Family, Harness, metric

MOTHER = "77010000001"
UDHI = 0x40
TO_PORTS = ["06050423F40000", "0404021000", "0B05041582000000030A0201"]


@pytest.fixture
async def asked(harness: Harness) -> Family:
    """A family whose mother was asked from 1414."""
    await harness.start(link={"accept_destinations": ["+77010001414"], "reject_source_tons": [3, 4, 6]})
    family = Family(n=1, mother=MOTHER)
    await harness.ask(family)
    return family


NOBODY: list[tuple[str, dict[str, Any]]] = [
    ("A7010000001", {"source_addr_ton": 5, "source_addr_npi": 0}),
    ("A7010000001", {"source_addr_ton": 1}),
    ("7701000OOO1", {"source_addr_ton": 0}),
    ("77010000001", {"source_addr_ton": 5, "source_addr_npi": 0}),  # a name of digits
    ("+77010000001", {"source_addr_ton": 5, "source_addr_npi": 1}),
    ("77010000001", {"source_addr_ton": 3, "source_addr_npi": 1}),  # the link says that these are no subscribers
    ("77010000001", {"source_addr_ton": 6, "source_addr_npi": 1}),
    ("77010000001\x7f", {"source_addr_ton": 1}),
    ("7701000000170", {"source_addr_ton": 1}),
]


async def test_a_sender_that_is_no_subscriber_consents_to_nothing(harness: Harness, asked: Family) -> None:
    for sender, fields in NOBODY:
        assert await harness.smsc.reply(sender, "3#1", to="1414", **fields) == 0
        await harness.let_replies_age()  # some differ in their spelling only
    kept = await harness.connection.fetch("SELECT source_addr, case_id FROM replies")
    assert [row["case_id"] for row in kept] == [None] * len(NOBODY)
    assert MOTHER not in {row["source_addr"] for row in kept}
    assert [event for event, _ in await harness.journal(None)].count("reply_read") == len(NOBODY)
    rows = await harness.connection.fetch("SELECT received_addr, source_ton FROM replies ORDER BY reply_id")
    assert [tuple(row) for row in rows] == [(sender, fields["source_addr_ton"]) for sender, fields in NOBODY]


async def test_a_forged_sender_makes_the_subscribers_own_reply_no_redelivery(
    harness: Harness, asked: Family
) -> None:
    assert await harness.smsc.reply(MOTHER, "3#1", to="1414", source_addr_ton=5) == 0
    assert await harness.smsc.reply(MOTHER, "3#1", to="1414") == 0
    await harness.status(asked, "voucher_issued")


async def test_a_reply_to_another_number_is_ignored_counted_and_logged(harness: Harness, asked: Family) -> None:
    ignored = metric("replies_ignored_total", link="kcell", reason="sent to another number")
    with capture_logs() as logs:
        assert await harness.smsc.reply(MOTHER, "3#1", to="9999") == 0
        assert await harness.smsc.reply(MOTHER, "3#1", to="14140") == 0
        assert await harness.smsc.reply(MOTHER, "3#1 ", to="14140") == 0
    assert (await harness.case(asked))["answered_at"] is None
    assert metric("replies_ignored_total", link="kcell", reason="sent to another number") == ignored + 3
    assert [line["link"] for line in logs if line["event"] == "reply_to_another_number"] == ["kcell"] * 2
    assert [d for e, d in await harness.journal(None) if e == "reply_ignored"] == [
        {"reason": "sent to another number"}
    ] * 3
    assert await harness.smsc.reply(MOTHER, "3#1", to="77010001414") == 0
    await harness.status(asked, "voucher_issued")


async def test_replies_to_invented_numbers_fill_no_log(harness: Harness, asked: Family) -> None:
    with capture_logs() as logs:
        for n in range(2 * MAX_OTHER_DESTINATIONS):
            assert await harness.smsc.reply(MOTHER, "3#1", to=f"{n}000") == 0
    assert len([line for line in logs if line["event"] == "reply_to_another_number"]) == MAX_OTHER_DESTINATIONS


async def test_a_message_to_a_port_is_no_reply(harness: Harness, asked: Family) -> None:
    for udh in TO_PORTS:
        octets = bytes.fromhex(udh) + b"3#1"
        assert await harness.smsc.reply(MOTHER, octets=octets, data_coding=0, esm_class=UDHI) == 0
        await harness.let_replies_age()
    assert (await harness.case(asked))["answered_at"] is None
    reasons = [detail["reason"] for event, detail in await harness.journal(None) if event == "reply_ignored"]
    assert reasons == ["addressed to a port"] * len(TO_PORTS)


PARTS: list[tuple[bytes, dict[str, Any]]] = [
    (bytes.fromhex("080504000100020005") + b"3#1", {"esm_class": UDHI}),  # to a port; its last element has no end
    (bytes.fromhex("0700030703020005") + b"3#1", {"esm_class": UDHI}),  # one of three segments, likewise
    (b"3#1", {"sar_total_segments": 2, "sar_segment_seqnum": 1}),  # no reference: the others cannot be known
    (b"3#", {"sar_total_segments": 2, "sar_segment_seqnum": 1}),
    (b"1", {"sar_total_segments": 2, "sar_segment_seqnum": 2}),
]


async def test_a_part_of_a_text_is_no_consent_where_its_position_is_malformed(
    harness: Harness, asked: Family
) -> None:
    """In ISO 8859-1 the octets of such a UDH are control characters, which change no reply."""
    for octets, fields in PARTS:
        assert await harness.smsc.reply(MOTHER, octets=octets, data_coding=3, **fields) == 0
    assert (await harness.case(asked))["answered_at"] is None


async def test_segments_of_different_codings_are_no_consent(harness: Harness, asked: Family) -> None:
    """СТРЬ in UCS-2 is control characters, punctuation and spaces in ISO 8859-1."""
    first, second = (bytes.fromhex(f"0500030702{number:02}") for number in (1, 2))
    await harness.smsc.reply(MOTHER, octets=first + b"3#1", data_coding=3, esm_class=UDHI)
    await harness.smsc.reply(MOTHER, octets=second + "СТРЬ".encode("utf-16-be"), data_coding=8, esm_class=UDHI)
    events = await harness.events(asked)
    assert ("consented" in events, events.count("reply_unclear")) == (False, 1)
    await harness.smsc.reply(MOTHER, octets=first + b"3#", data_coding=0, esm_class=UDHI)
    await harness.smsc.reply(MOTHER, octets=second + b"1", data_coding=0xF1, esm_class=UDHI)
    assert "consented" in await harness.events(asked)


async def test_segments_with_equal_references_of_8_and_of_16_bits_are_never_joined(
    harness: Harness, asked: Family
) -> None:
    await harness.smsc.reply(MOTHER, ["3#", "1"], long="udh8", reference=7, order=[1])
    await harness.smsc.reply(MOTHER, ["3#", "1"], long="udh16", reference=7, order=[2])
    assert "reply_read" not in await harness.events(asked)
    await harness.smsc.reply(MOTHER, ["3#", "1"], long="udh8", reference=7, order=[2])
    assert "consented" in await harness.events(asked)


async def test_an_orphan_segment_never_completes_a_later_reply(harness: Harness, asked: Family) -> None:
    """The beginning of an old reply was lost; long after, another reply with its reference begins."""
    await harness.smsc.reply(MOTHER, ["жоқ 3#", "1"], reference=7, order=[2], encoding="ucs2")
    await harness.connection.execute("UPDATE reply_segments SET waited = 3")
    await harness.smsc.reply(MOTHER, ["3#", "2 емес пе"], reference=7, order=[1], encoding="ucs2")
    events = await harness.events(asked)
    assert ("consented" in events, events.count("reply_unclear")) == (False, 1)
    kept = await harness.connection.fetchval("SELECT count(*) FROM reply_segments")
    assert kept == 1
    assert await harness.smsc.reply(MOTHER, ["3#", "1"], reference=8, encoding="ucs2") == 0
    assert "consented" in await harness.events(asked)


async def test_segments_out_of_order_are_joined_within_the_time_that_a_handset_takes(
    harness: Harness, asked: Family
) -> None:
    await harness.smsc.reply(MOTHER, ["3#", "1"], reference=7, order=[2], encoding="ucs2")
    await harness.connection.execute("UPDATE reply_segments SET waited = 2")
    await harness.smsc.reply(MOTHER, ["3#", "1"], reference=7, order=[1], encoding="ucs2")
    assert "consented" in await harness.events(asked)


async def test_an_incomplete_reply_displaced_by_another_is_unclear(harness: Harness, asked: Family) -> None:
    """What is there reads as an agreement; what is missing may have said that it is none."""
    await harness.smsc.reply(MOTHER, ["3#1", " емес"], reference=7, order=[1], encoding="ucs2")
    await harness.smsc.reply(MOTHER, ["кім", " бұл"], reference=7, order=[1], encoding="ucs2")
    events = await harness.events(asked)
    assert ("consented" in events, events.count("reply_unclear")) == (False, 1)


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("3#1" + " " * MAX_REPLY_CHARACTERS, False),
        ("3#1 " + "\u0301" * 30_000, False),  # combining marks, slow to normalise
        ("3#1", True),
    ],
)
async def test_a_reply_longer_than_ten_segments_is_unclear_and_cut(
    harness: Harness, asked: Family, text: str, long: bool
) -> None:
    if long:  # each segment is short enough, all of them are not
        segments = [text.encode("utf-16-be"), *["а".encode("utf-16-be") * 60] * 60]
        assert await harness.smsc.reply(MOTHER, octets=segments, data_coding=8) == 0
    else:
        assert await harness.smsc.reply(MOTHER, octets=text.encode("utf-16-be"), data_coding=8, payload=True) == 0
    await harness.journaled(asked, "reply_unclear")
    octets = await harness.connection.fetchval("SELECT octets FROM replies")
    assert octets == (text.encode("utf-16-be") + "а".encode("utf-16-be") * 3600 * long)[:MAX_REPLY_OCTETS]
