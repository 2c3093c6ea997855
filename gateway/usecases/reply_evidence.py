"""What replies by SMS and by USSD have in common: their evidence, and the links by which they may come."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import Counter

from gateway import metrics
from gateway.config.routing import Routing
from gateway.consent.details import (
    Reason,
    ReplyOfReason,
    ReplyRead,
    RoutedReplyRead,
    RoutedUssdReplyRead,
    UssdReplyRead,
)
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Decision, HoldReply, Input, ParentReply
from gateway.consent.question import Question
from gateway.consent.reply import RULE_VERSION, Reading, Verdict
from gateway.evidence.digests import Digester, Sender, reply_identity, sender
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.store.held_replies import HeldReply
from gateway.store.inbound import StoredReply
from gateway.usecases.unit_of_work import UnitOfWork

log = get_logger()


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
    received: Sender | None = None  # source_addr as it came
    ignored: str | None = None  # why it is no reply to a question; None: it may be one

    @property
    def identity(self) -> tuple[str, str, str, bytes]:
        """The fields that are equal in two deliveries of one reply: link, addresses and octets."""
        return self.link, self.source_addr, self.destination_addr, self.octets


class ReplyEvidence(NamedTuple):
    """What is kept of a reply: its row, still to be stored, its input for the case, and its digest."""

    stored: StoredReply
    given: ParentReply
    digest: str


def record_reply(
    uow: UnitOfWork,
    reply: Reply,
    reading: Reading,
    case_id: str | None,
    *,
    submitted: bool,
    possible_redelivery: bool = False,
    counts: bool = True,
    links: Sequence[str] | None = None,
) -> ReplyEvidence:
    """The evidence of a reply to the case, or to none, which is journaled and counted by its verdict.

    With `counts` False the row is assigned to no case. `links` are those by which it may come; None: any.
    """
    digest = uow.digests.digest(
        reply_identity(*reply.identity, reply.smsc_time, reply.session, reply.received), case_id
    )
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
        received_addr=reply.received.addr if reply.received is not None else None,
        source_ton=reply.received.ton if reply.received is not None else None,
        source_npi=reply.received.npi if reply.received is not None else None,
        session=reply.session,
    )
    given = ParentReply(
        msisdn=reply.source_addr,
        verdict=reading.verdict,
        normalised=reading.normalised,
        reply_at=uow.now,
        submitted=submitted,
        possible_redelivery=possible_redelivery,
        evidence=_consent(digest),
        link=reply.link,
    )
    _counter(reply.link, reading.verdict).inc()
    read = _read(reply, reading, digest) if case_id is None else _routed(reply, reading, links, digest)
    uow.journal([(case_id, Event(EventType.REPLY_READ, read))])
    return ReplyEvidence(stored, given, digest)


def _read(reply: Reply, reading: Reading, digest: str) -> ReplyRead | UssdReplyRead:
    if reply.session is None:
        return ReplyRead(reading.verdict, reading.normalised, RULE_VERSION, reply.link, digest)
    return UssdReplyRead(
        reading.verdict, reading.normalised, RULE_VERSION, reply.link, True, reply.session, digest
    )


def _routed(
    reply: Reply, reading: Reading, links: Sequence[str] | None, digest: str
) -> RoutedReplyRead | RoutedUssdReplyRead:
    read = reading.verdict, reading.normalised, RULE_VERSION, reply.link
    if reply.session is None:
        return RoutedReplyRead(*read, links, digest)
    return RoutedUssdReplyRead(*read, True, reply.session, links, digest)


@lru_cache(maxsize=1024)
def _counter(link: str, verdict: Verdict) -> Counter:
    """The metric of the link's replies with the verdict: to look it up costs more than to count."""
    return metrics.REPLIES.labels(link, verdict.value)


def ignore_reply(uow: UnitOfWork, case_id: str | None, why: str) -> None:
    """Journals that a reply changes nothing; the caller counts it."""
    uow.journal([(case_id, Event(EventType.REPLY_IGNORED, Reason(why)))])


def reply_links(routing: Routing, question: Question) -> Sequence[str] | None:
    """The links by which a reply may come: those that sent the question, and those of the number. None: any.

    This keeps an operator from replying for another operator's subscribers.
    """
    carriers = routing.carriers(question.operator)
    return None if carriers is None else sorted({*carriers, *question.links})


def fits(link: str, links: Sequence[str] | None) -> bool:
    """Whether the link is one of those by which a reply may come."""
    return links is None or link in links


def log_wrong_link(link: str, case_id: str) -> None:
    """Logs a reply to the case by a link by which it may not come."""
    log.warning(LogEvent.REPLY_BY_WRONG_LINK, link=link, case_id=case_id)


def as_decided(stored: StoredReply, case_id: str, given: Input, decision: Decision) -> StoredReply:
    """The row of the reply. One by another link is the case's; one that is ignored for its link is counted."""
    if not isinstance(given, HoldReply):
        return stored
    if why := next((e.detail.reason for e in decision.events if isinstance(e.detail, ReplyOfReason)), None):
        metrics.REPLIES_IGNORED.labels(stored.link, why).inc()
        return stored
    held = any(event.name is EventType.REPLY_HELD for event in decision.events)
    return stored._replace(case_id=case_id, held=held)


def held_reply(digests: Digester, row: HeldReply) -> HoldReply:
    """The input by which the reply was held, made again from its row, with the digest that the journal has."""
    identity = reply_identity(
        row.link,
        row.source_addr,
        row.destination_addr,
        row.octets,
        row.smsc_time,
        row.session,
        received=sender(row.received_addr, row.source_ton, row.source_npi),
    )
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
    """The digest in the format of `Case.evidence`: `sha256:` and 64 hex digits."""
    return "sha256:" + digest.rpartition(":")[2]
