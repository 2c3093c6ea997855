"""A reply as it came in: out of one deliver_sm or data_sm, or of the segments of a long one."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config import Link
from gateway.consent.identity import canonical_msisdn
from gateway.consent.reply import RULE_VERSION, Reading
from gateway.smpp.pdu import ShortMessage
from gateway.smpp.text import Concatenation, decode, decode_segments
from gateway.store.inbound import ReplySegment, StoredReply

Identity = tuple[str, str, str, bytes]


class Reply(NamedTuple):
    """A reply: its evidence, and its text (None when it can't be read: that is unclear)."""

    link: Link
    source_addr: str
    destination_addr: str
    octets: bytes
    data_coding: int
    smsc_time: str
    text: str | None

    @property
    def identity(self) -> Identity:
        """What two deliveries of one reply have in common."""
        return self.link.name, self.source_addr, self.destination_addr, self.octets

    def evidence(self, reading: Reading, case_id: str | None) -> StoredReply:
        """What is kept of it, with the case to which it speaks."""
        return StoredReply(
            case_id=case_id,
            link=self.link.name,
            source_addr=self.source_addr,
            destination_addr=self.destination_addr,
            octets=self.octets,
            data_coding=self.data_coding,
            smsc_time=self.smsc_time,
            verdict=reading.verdict,
            normalised=reading.normalised,
            rule_version=RULE_VERSION,
        )


def sender_of(message: ShortMessage) -> str:
    """One MSISDN however the SMSC writes it; a sender that is none stays as it came."""
    return canonical_msisdn(message.source.addr) or message.source.addr


def reply_of(link: Link, message: ShortMessage, octets: bytes) -> Reply:
    """The reply that one message is; `octets` is its text without the UDH."""
    return Reply(
        link,
        sender_of(message),
        message.destination.addr,
        octets,
        message.data_coding,
        message.schedule_delivery_time,
        decode(octets, message.data_coding, link.default_alphabet, len(message.payload) - len(octets)),
    )


def segment_of(link: Link, message: ShortMessage, concatenation: Concatenation, octets: bytes) -> ReplySegment:
    """The segment of a long reply that a message is."""
    return ReplySegment(
        link.name,
        sender_of(message),
        message.destination.addr,
        concatenation.reference,
        concatenation.total,
        concatenation.number,
        octets,
        len(message.payload) - len(octets),
        message.data_coding,
        message.schedule_delivery_time,
    )


def join(segments: Sequence[ReplySegment], link: Link) -> Reply:
    """The long reply; a segment that is missing leaves nothing in its place."""
    first, last = segments[0], segments[-1]
    return Reply(
        link,
        first.source_addr,
        first.destination_addr,
        b"".join(s.octets for s in segments),
        first.data_coding,
        last.smsc_time,
        decode_segments([s.octets for s in segments], first.data_coding, link.default_alphabet, first.udh_octets),
    )
