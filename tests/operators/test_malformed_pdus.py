"""PDUs that no SMSC should send. Each is responded to, journaled or counted, and the session continues."""

import struct
from random import Random
from typing import NamedTuple

from smpplib import consts

from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.smsc_session import Session
from tests.harness import Family, Harness, metric

DELIVER_SM, DATA_SM, SUBMIT_SM = 0x05, 0x103, 0x04
SENDER = b"\x01\x0177015550000\x00"
US = b"\x00\x001414\x00"


def deliver_sm(
    short_message: bytes,
    *,
    service_type: bytes = b"\0",
    source: bytes = SENDER,
    esm_class: int = 0,
    data_coding: int = 0,
    sm_length: int | None = None,
    tail: bytes = b"",
) -> bytes:
    """The body of a deliver_sm (SMPP 3.4 §4.6.1)."""
    length = len(short_message) if sm_length is None else sm_length
    fixed = bytes((esm_class, 0, 0)) + b"\0\0" + bytes((0, 0, data_coding, 0, length))
    return service_type + source + US + fixed + short_message + tail


class Sent(NamedTuple):
    command_id: int
    body: bytes
    response: str
    """deliver_sm_resp and the like, a generic_nack's status, or nothing."""
    journaled: str
    """The verdict of a reply, "receipt" for a receipt, "" for a PDU without a message."""


NACK = f"generic_nack {consts.SMPP_ESME_RINVCMDID}"
LONG = Random(1).randbytes(6_000).replace(b"\0", b"")
"""PostgreSQL indexes up to 2,704 octets, and can't compress these."""
TLV = struct.pack(">HH", 0x0424, 4) + b"3#1!"
UCS2_TLV = struct.pack(">HH", 0x0424, 6) + b"\0003\0#\0002"

PDUS = {
    "no body": Sent(DELIVER_SM, b"", "deliver_sm_resp", "unclear"),
    "a body of one octet": Sent(DELIVER_SM, b"\xff", "deliver_sm_resp", "unclear"),
    "cut in the source address": Sent(DELIVER_SM, b"\0\x01\x017701", "deliver_sm_resp", "unclear"),
    "cut before sm_length": Sent(DELIVER_SM, deliver_sm(b"")[:-1], "deliver_sm_resp", "unclear"),
    "sm_length beyond the body": Sent(DELIVER_SM, deliver_sm(b"3#1", sm_length=200), "deliver_sm_resp", "unclear"),
    "no NUL anywhere": Sent(DELIVER_SM, b"\x01" * 60, "deliver_sm_resp", "unclear"),
    "message_payload cut": Sent(
        DELIVER_SM, deliver_sm(b"", tail=struct.pack(">HH", 0x0424, 90) + b"3#1"), "deliver_sm_resp", "unclear"
    ),
    "a TLV header cut": Sent(DELIVER_SM, deliver_sm(b"3#1", tail=b"\x14\x00\x00"), "deliver_sm_resp", "agree"),
    "a TLV cut": Sent(DELIVER_SM, deliver_sm(b"3#2", tail=b"\x14\x00\x00\x09ab"), "deliver_sm_resp", "refuse"),
    "a TLV of 60,000 octets": Sent(
        DELIVER_SM, deliver_sm(b"3#1.", tail=struct.pack(">HH", 0x1400, 60_000) + bytes(60_000)),
        "deliver_sm_resp", "agree",
    ),
    "a TLV twice": Sent(
        DELIVER_SM, deliver_sm(b"", tail=struct.pack(">HH", 0x0424, 1) + b"?" + TLV), "deliver_sm_resp", "agree"
    ),
    "both short_message and payload": Sent(
        DELIVER_SM, deliver_sm(b"3#2!", tail=TLV), "deliver_sm_resp", "unclear"
    ),
    "short_message and payload in UCS-2": Sent(
        DELIVER_SM, deliver_sm(b"\0003\0#\0001", data_coding=8, tail=UCS2_TLV),
        "deliver_sm_resp", "unclear",
    ),
    "one text in short_message and payload": Sent(
        DELIVER_SM, deliver_sm(b"3#1! ", tail=TLV), "deliver_sm_resp", "agree"
    ),
    "blanks in short_message, the text in payload": Sent(
        DELIVER_SM, deliver_sm(b"  \0", tail=TLV), "deliver_sm_resp", "agree"
    ),
    "blanks of UCS-2 in short_message, the text in payload": Sent(
        DELIVER_SM, deliver_sm(b"\0 \0 ", data_coding=8, tail=UCS2_TLV),
        "deliver_sm_resp", "refuse",
    ),
    "a blank payload": Sent(
        DELIVER_SM, deliver_sm(b"3#2.", tail=struct.pack(">HH", 0x0424, 1) + b" "), "deliver_sm_resp", "refuse"
    ),
    "a NUL counted in the payload": Sent(
        DELIVER_SM, deliver_sm(b"", tail=bytes.fromhex("0424000433233100")), "deliver_sm_resp", "agree"
    ),
    "a NUL counted in sm_length": Sent(DELIVER_SM, deliver_sm(b"3#2\0"), "deliver_sm_resp", "refuse"),
    "a NUL after UCS-2": Sent(
        DELIVER_SM, deliver_sm(b"\0003\0#\0001\0", data_coding=8), "deliver_sm_resp", "agree"
    ),
    "two NULs": Sent(DELIVER_SM, deliver_sm(b"3#1\0\0"), "deliver_sm_resp", "unclear"),
    "no text at all": Sent(DELIVER_SM, deliver_sm(b"", esm_class=0x08), "deliver_sm_resp", "empty"),
    "an odd number of octets of UCS-2": Sent(
        DELIVER_SM, deliver_sm(b"\0003\0#\0", data_coding=8), "deliver_sm_resp", "unclear"
    ),
    "half a surrogate pair": Sent(
        DELIVER_SM, deliver_sm(b"\xd8\x3d\0003", data_coding=8), "deliver_sm_resp", "unclear"
    ),
    "8-bit octets as GSM": Sent(DELIVER_SM, deliver_sm(b"\xff\xfe\x80"), "deliver_sm_resp", "unclear"),
    "an escape at the end": Sent(DELIVER_SM, deliver_sm(b"\x1b"), "deliver_sm_resp", "empty"),
    "a reserved data_coding": Sent(DELIVER_SM, deliver_sm(b"(3#1)", data_coding=0x0B), "deliver_sm_resp", "agree"),
    "a UDH longer than the text": Sent(
        DELIVER_SM, deliver_sm(b"\x1f\x00\x03", esm_class=0x40), "deliver_sm_resp", "unclear"
    ),
    "a UDH of no length": Sent(DELIVER_SM, deliver_sm(b"\x003#1", esm_class=0x40), "deliver_sm_resp", "unclear"),
    "UDHI without a text": Sent(DELIVER_SM, deliver_sm(b"", esm_class=0x40), "deliver_sm_resp", "empty"),
    "segment 9 of 2": Sent(
        DELIVER_SM, deliver_sm(b"\5\0\3\1\2\x09" + b"3#1,", esm_class=0x40), "deliver_sm_resp", "agree"
    ),
    "segment 0 of 0": Sent(
        DELIVER_SM, deliver_sm(b"\5\0\3\1\0\0" + b"3#2,", esm_class=0x40), "deliver_sm_resp", "refuse"
    ),
    "a UDH element cut": Sent(
        DELIVER_SM, deliver_sm(b"\5\0\x09\1\2\1" + b"3#1", esm_class=0x40), "deliver_sm_resp", "unclear"
    ),
    "all bits of esm_class but the receipts'": Sent(
        DELIVER_SM, deliver_sm(b"3#1!", esm_class=0x9B), "deliver_sm_resp", "agree"
    ),
    "no sender": Sent(DELIVER_SM, deliver_sm(b"3#1", source=b"\0\0\0"), "deliver_sm_resp", "agree"),
    "a sender of letters": Sent(
        DELIVER_SM, deliver_sm(b"3#1", source=b"\5\0Kaspi.kz\0"), "deliver_sm_resp", "agree"
    ),
    "a sender of 200 octets": Sent(
        DELIVER_SM, deliver_sm(b"3#1", source=b"\1\1" + b"7" * 200 + b"\0"), "deliver_sm_resp", "agree"
    ),
    "a sender longer than an index takes": Sent(
        DELIVER_SM, deliver_sm(b"3#1", source=b"\1\1" + LONG + b"\0"), "deliver_sm_resp", "unclear"
    ),
    "a segment for an address longer than an index takes": Sent(
        DELIVER_SM, deliver_sm(b"\5\0\3\1\2\1" + b"3#1", esm_class=0x40).replace(US, b"\1\1" + LONG + b"\0"),
        "deliver_sm_resp", "unclear",
    ),
    "a sender that is no ASCII": Sent(
        DELIVER_SM, deliver_sm(b"3#1", source=b"\1\1\xff\xfe\x80\0"), "deliver_sm_resp", "agree"
    ),
    "a receipt without a text": Sent(DELIVER_SM, deliver_sm(b"", esm_class=4), "deliver_sm_resp", "receipt"),
    "a receipt without valid fields": Sent(
        DELIVER_SM, deliver_sm(b"stat:\xff id: err", esm_class=4), "deliver_sm_resp", "receipt"
    ),
    "a receipt for an id of 238 octets": Sent(
        DELIVER_SM, deliver_sm(b"id:" + b"9" * 238 + b" stat:DELIVRD", esm_class=4), "deliver_sm_resp", "receipt"
    ),
    "a receipt of an unknown state": Sent(
        DELIVER_SM, deliver_sm(b"", esm_class=4, tail=b"\x04\x27\x00\x01\x63\x00\x1e\x00\x03\x39\x39\x00"),
        "deliver_sm_resp", "receipt",
    ),
    "an empty data_sm": Sent(DATA_SM, b"", "data_sm_resp", "unclear"),
    "a data_sm with the body of a deliver_sm": Sent(DATA_SM, deliver_sm(b"3#1"), "data_sm_resp", "empty"),
    "a submit_sm": Sent(SUBMIT_SM, deliver_sm(b"3#1"), NACK, ""),
    "a bind": Sent(0x09, b"SMSC\0\0\0\x34\0\0\0", NACK, ""),
    "a broadcast_sm": Sent(0x111, b"", NACK, ""),
    "an unknown command": Sent(0x00FFFFFF, b"\x01", NACK, ""),
    "a submit_sm_resp to nothing": Sent(0x80000004, b"77\0", "", ""),
    "a bind_resp once more": Sent(0x80000009, b"SMSC\0", "", ""),
    "an unbind_resp to nothing": Sent(0x80000006, b"", "", ""),
    "a generic_nack of nothing": Sent(0x80000000, b"", "", ""),
    "an outbind": Sent(0x0B, b"SMSC\0secret\0", "", ""),
    "an alert_notification": Sent(0x102, b"", "", ""),
}  # fmt: skip


async def reaction(smsc: SmscSimulator, session: Session, before: tuple[int, int]) -> None:
    """Returns when the SMSC has more complaints or generic_nacks than the numbers `before`."""
    await smsc.wait_for(lambda: before != (len(smsc.complaints), len(session.nacks)))


async def test_malformed_pdus_end_no_session_and_lose_no_reply(harness: Harness) -> None:
    unexpected = metric("unexpected_pdus_total", link="kcell")
    await harness.start()
    (session,) = harness.smsc.sessions
    seen: dict[str, tuple[str, str]] = {}
    for sequence_number, (name, sent) in enumerate(PDUS.items(), start=70_001):
        complaints, nacks = len(harness.smsc.complaints), len(session.nacks)
        entries = len(await harness.journal(None))
        head = struct.pack(">IIII", 16 + len(sent.body), sent.command_id, 0, sequence_number)
        await harness.smsc.send_raw(head + sent.body, via=session)
        if sent.response:
            await reaction(harness.smsc, session, (complaints, nacks))
        await harness.smsc.enquire()  # its response comes after the PDU was processed
        responses = [
            complaint.split(": ")[1].removesuffix(f" {sequence_number} matches no request")
            for complaint in harness.smsc.complaints[complaints:]
        ] + [f"generic_nack {status}" for status in session.nacks[nacks:]]
        read = [
            detail["verdict"] for event, detail in (await harness.journal(None))[entries:] if "verdict" in detail
        ]
        seen[name] = ("".join(responses), "".join(read))
        await harness.let_replies_age()

    assert seen == {
        name: (sent.response, "" if sent.journaled == "receipt" else sent.journaled) for name, sent in PDUS.items()
    }
    no_messages = [sent for sent in PDUS.values() if not sent.journaled]
    assert metric("unexpected_pdus_total", link="kcell") == unexpected + len(no_messages)
    assert len(harness.smsc.connections) == 1
    kept = await harness.connection.fetchval("SELECT count(*) FROM replies WHERE octets IS NOT NULL")
    assert kept == sum(sent.journaled not in ("", "receipt") for sent in PDUS.values())

    family = Family(n=1)
    await harness.ask(family)
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
