"""Attacks through an operator's link: the attacker is the SMSC, or somebody whose messages it passes on."""

import struct

from attacks.target import Target, deliver_sm

FLOOD_BYTES = 8_000_000
UNKNOWN_COMMAND, SUBMIT_SM_RESP, OUTBIND = 0x00FACADE, 0x8000_0004, 0x0B
AGREE = "3#1".encode("utf-16-be")


async def forged_senders(target: Target) -> None:
    """Consents from names, from numbers in names, to other numbers and to ports; none of them is a parent."""
    bodies = []
    for victim in target.victims:
        number = victim.msisdn.encode()
        bodies += [
            deliver_sm(AGREE, source=b"A" + number, ton=5, npi=0),
            deliver_sm(AGREE, source=number, ton=5, npi=0),
            deliver_sm(AGREE, source=b"+" + number + b"x", ton=1),
            deliver_sm(AGREE, source=number[:-1], ton=1),
            deliver_sm(AGREE, source=number, destination=b"9999"),
            deliver_sm(b"\x06\x05\x04\x23\xf4\x00\x00" + AGREE, source=number, esm_class=0x40),
            deliver_sm(AGREE, source=number),  # well formed, but not by a link of the number: held at most
        ]
    await target.smsc.deliver(bodies)


async def unknown_pdus(target: Target) -> None:
    """8 MB of PDUs of 16 octets with a command_id that nobody knows."""
    await target.smsc.send(struct.pack(">IIII", 16, UNKNOWN_COMMAND, 0, 1) * (FLOOD_BYTES // 16))


async def stray_responses(target: Target) -> None:
    """8 MB of responses to no request."""
    await target.smsc.send((struct.pack(">IIII", 17, SUBMIT_SM_RESP, 0, 7) + b"\0") * (FLOOD_BYTES // 17))


async def mixed_unknown_pdus(target: Target) -> None:
    """Unknown PDUs between enquire_links, so that no row of them is long enough to end the session."""
    pair = struct.pack(">IIII", 16, OUTBIND, 0, 1) * 99 + struct.pack(">IIII", 16, 0x15, 0, 1)
    await target.smsc.send(pair * (FLOOD_BYTES // len(pair)))


async def combining_marks(target: Target) -> None:
    """Replies of 60,000 octets whose marks have to be sorted before they can be compared."""
    marks = "\u0315\u0300\u05ae" * 10_000
    await target.smsc.deliver([deliver_sm(marks.encode("utf-16-be"), source=b"7707%07d" % n) for n in range(200)])


async def expanding_letters(target: Target) -> None:
    """Replies of letters of which NFKC makes eighteen each."""
    letters = ("\ufdfa" * 1_600).encode("utf-16-be")
    await target.smsc.deliver([deliver_sm(letters, source=b"7707%07d" % n) for n in range(2_000)])


async def endless_errors(target: Target) -> None:
    """Receipts with an error of 60,000 octets, an IIN in it."""
    text = b"id:7 stat:UNDELIV err:870312497005" + b"9" * 60_000 + b" text:"
    receipt = deliver_sm(text, source=b"77070000001", esm_class=0x04, data_coding=0)
    await target.smsc.deliver([receipt] * 200)


async def orphan_segments(target: Target) -> None:
    """First or last segments of replies that never become complete, each with another reference."""
    bodies = [
        deliver_sm(
            b"\x05\x00\x03" + bytes((n % 256, 3, n % 3 + 1)) + AGREE * 40,
            source=b"7707%07d" % (n // 256), esm_class=0x40,
        )
        for n in range(5_000)
    ]  # fmt: skip
    await target.smsc.deliver(bodies)


async def repeated_segments(target: Target) -> None:
    """Segments at one place of one reply, each with another text, so that no two of them fit one statement."""
    bodies = [
        deliver_sm(
            b"\x05\x00\x03\x07\x03\x01" + f"{n:06}".encode("utf-16-be"), source=b"77070000001", esm_class=0x40
        )
        for n in range(5_000)
    ]
    await target.smsc.deliver(bodies)


async def long_names(target: Target) -> None:
    """Addresses, times and a service_type of thousands of octets."""
    long = b"x" * 60_000
    await target.smsc.deliver([long + deliver_sm(AGREE, source=b"77070000001")] * 50)
    await target.smsc.deliver([deliver_sm(AGREE, source=long)] * 50)
    await target.smsc.deliver([deliver_sm(AGREE, source=b"77070000001", destination=long)] * 50)
