"""The evidence of a reply by SMS or USSD: its row, its journal event, its digest."""

from typing import NamedTuple

from gateway.consent.events import Event, EventType, ReplyRead, UssdReplyRead
from gateway.consent.inputs import HoldReply, ParentReply
from gateway.consent.reply import RULE_VERSION, Reading, Verdict
from gateway.evidence.digests import Digester, reply_identity
from gateway.store.held_replies import HeldReply
from gateway.store.inbound import StoredReply


class Reply(NamedTuple):
    """A reply as received, its segments joined."""

    link: str
    source_addr: str  # canonical MSISDN; as received when it is not one
    destination_addr: str
    octets: bytes  # of the text, without UDH
    data_coding: int
    smsc_time: str  # schedule_delivery_time
    text: str | None  # None: the octets do not decode
    session: str | None = None  # its_session_info in hex; None: not by USSD

    @property
    def identity(self) -> tuple[str, str, str, bytes]:
        """The fields that are equal in two deliveries of one reply: link, addresses and octets."""
        return self.link, self.source_addr, self.destination_addr, self.octets


class ReplyEvidence(NamedTuple):
    """What is stored of a reply."""

    stored: StoredReply
    event: Event
    digest: str

    @property
    def consent(self) -> str:
        """The digest in the format of `Case.evidence`: `sha256:` and 64 hex digits."""
        return _consent(self.digest)


def reply_evidence(
    digests: Digester, reply: Reply, reading: Reading, case_id: str | None, *, counts: bool = True
) -> ReplyEvidence:
    """The evidence of a reply to the case, or to none; with `counts` False its row is assigned to no case."""
    identity = reply_identity(*reply.identity, reply.smsc_time, reply.session)
    digest = digests.digest(identity, case_id)
    stored = StoredReply(
        case_id=case_id if counts else None,
        link=reply.link,
        source_addr=reply.source_addr,
        destination_addr=reply.destination_addr,
        octets=reply.octets,
        data_coding=reply.data_coding,
        smsc_time=reply.smsc_time,
        verdict=reading.verdict,
        normalised=reading.normalised,
        rule_version=RULE_VERSION,
    )
    read: ReplyRead | UssdReplyRead
    if reply.session is None:
        read = ReplyRead(reading.verdict, reading.normalised, RULE_VERSION, reply.link, digest)
    else:
        read = UssdReplyRead(
            reading.verdict, reading.normalised, RULE_VERSION, reply.link, True, reply.session, digest
        )
    return ReplyEvidence(stored, Event(EventType.REPLY_READ, read), digest)


def held_reply(digests: Digester, row: HeldReply) -> HoldReply:
    """The input by which the reply was held, made again from its row, with the digest that the journal has."""
    identity = reply_identity(row.link, row.source_addr, row.destination_addr, row.octets, row.smsc_time)
    digest = digests.digest(identity, row.case_id)
    reply = ParentReply(
        msisdn=row.source_addr,
        verdict=Verdict(row.verdict),
        normalised=row.normalised,
        reply_at=row.received_at,
        submitted=True,
        evidence=_consent(digest),
        link=row.link,
    )
    return HoldReply(reply=reply, operator=row.operator, digest=digest)


def _consent(digest: str) -> str:
    return "sha256:" + digest.rpartition(":")[2]
