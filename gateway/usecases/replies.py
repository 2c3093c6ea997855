"""Replies by SMS: segments joined, redeliveries dropped, read, applied to their case, and kept as evidence."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gateway import metrics
from gateway.config.routing import Routing
from gateway.consent.inputs import Decision, HoldReply, Input
from gateway.consent.question import Question
from gateway.consent.redelivery import EarlierReply
from gateway.consent.reply import Reading, Verdict, read_reply
from gateway.evidence.digests import sender
from gateway.limits import MAX_REPLY_CHARACTERS, MAX_REPLY_OCTETS
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp.text import are_of_one_coding, decode_segments, without_final_nul
from gateway.store import inbound, questions
from gateway.store.inbound import ReplySegment, SimilarReply, StoredReply
from gateway.store.writes import Write
from gateway.time_slice import TimeSlice
from gateway.usecases.reply_evidence import (
    Reply,
    as_decided,
    fits,
    ignore_reply,
    log_wrong_link,
    record_reply,
    reply_links,
)
from gateway.usecases.sending_state import SendingState
from gateway.usecases.texts import Service
from gateway.usecases.unit_of_work import Transactions, UnitOfWork

log = get_logger()

TO_ANOTHER_NUMBER = "sent to another number"
"""Why a reply is ignored whose destination is none of the link's numbers (`links.accept_destinations`)."""
MAX_OTHER_DESTINATIONS = 20
"""Destinations of such replies that are logged of each link, until the process ends; all are counted."""
REDELIVERED = "redelivered"
"""How a reply is counted that the SMSC has delivered twice; its row is that of the first delivery."""
DEFAULT_ALPHABET = "gsm7"
"""The alphabet of a link that is no longer configured."""
INCOMPLETE_AFTER_SECONDS = 600.0
"""How long a multipart reply waits for missing segments, counted in runs of `flush_incomplete`."""

_Asked = Mapping[tuple[str, str], Question]
"""The latest question by (msisdn, service)."""
_Similar = Mapping[tuple[str, bytes], Sequence[SimilarReply]]
"""Earlier replies by (sender, octets)."""


class _Read(NamedTuple):
    """A reply, how it was read, and the question that it may reply to."""

    reply: Reply
    reading: Reading
    question: Question | None


class Replies:
    """The use case of replies by SMS."""

    def __init__(
        self,
        *,
        transactions: Transactions,
        services: Mapping[str, Service],
        routing: Routing,
        alphabets: Mapping[str, str],
        destinations: Mapping[str, Collection[str]],
        sending: SendingState,
    ) -> None:
        """By link: `alphabets` are the default ones, `destinations` the numbers that ask, none: any may."""
        self._transactions = transactions
        self._services = services
        self._routing = routing
        self._alphabets = alphabets
        self._destinations = destinations
        self._sending = sending
        self._other_destinations: defaultdict[str, set[str]] = defaultdict(set)  # logged, by link

    async def flush_incomplete(self) -> int:
        """The number of incomplete multipart replies that were stored as they are.

        They are evidence, but never a consent: a missing segment may have negated it. So are those of a link that
        is no longer configured.
        """

        async def work(uow: UnitOfWork) -> int:
            stale = await inbound.flush_stale(uow.connection, INCOMPLETE_AFTER_SECONDS)
            replies = [self._join(segments) for segments in stale.values()]
            await self._read_all(uow, [reply._replace(text=None) for reply in replies], {})
            return len(stale)

        return await self._transactions.run(work)

    async def receive(self, uow: UnitOfWork, replies: Sequence[Reply], segments: Sequence[ReplySegment]) -> None:
        """Stores replies and segments of multipart ones, and applies complete, new replies to their cases.

        Deliveries of the same octets within SAME_REPLY_WITHIN_SECONDS, also by different binds, are one reply.
        """
        if segments:
            replies = [*replies, *await self._join_complete(uow, segments)]
        if not replies:
            return
        sent = {(reply.source_addr, reply.octets) for reply in replies}
        similar = await inbound.similar(uow.connection, sent, uow.steady)
        seen = {(s.link, s.source_addr, s.destination_addr, s.octets) for s in similar if s.is_recent}
        earlier: defaultdict[tuple[str, bytes], list[SimilarReply]] = defaultdict(list)
        for s in similar:
            earlier[s.source_addr, s.octets].append(s)
        fresh = []
        again: Counter[tuple[str, str, str, bytes]] = Counter()
        for reply in replies:
            if reply.identity not in seen:
                seen.add(reply.identity)
                fresh.append(reply)
            else:
                again[reply.identity] += 1
                metrics.REPLIES.labels(reply.link, REDELIVERED).inc()
        await self._read_all(uow, fresh, earlier)
        if again:
            await inbound.count_redelivered(uow.connection, again)

    async def _join_complete(self, uow: UnitOfWork, segments: Sequence[ReplySegment]) -> list[Reply]:
        """The replies that these segments complete, and those left incomplete whose reference they reuse."""
        places = {segment[:6] for segment in segments}
        batches = [segments] if len(places) == len(segments) else [[one] for one in segments]
        joined: list[Reply] = []
        for batch in batches:
            displaced = await inbound.displace(uow.connection, batch)
            for link, times in (await inbound.keep_segments(uow.connection, batch, uow.now)).items():
                metrics.REPLY_SEGMENTS_REDELIVERED.labels(link).inc(times)
            complete = await inbound.complete(uow.connection, {segment[:5] for segment in batch})
            joined += [self._join(stored)._replace(text=None) for stored in displaced.values()]
            joined += [self._join(stored) for stored in complete.values()]
        return joined

    def _join(self, segments: Sequence[ReplySegment]) -> Reply:
        """The reply with its segments joined; missing ones are left out. Of final NULs, that of the last stays."""
        first, last = segments[0], segments[-1]
        octets = [*self._text_octets(segments[:-1]), last.octets]
        return Reply(
            link=first.link,
            source_addr=first.source_addr,
            destination_addr=first.destination_addr,
            octets=b"".join(octets)[:MAX_REPLY_OCTETS],
            data_coding=first.data_coding,
            smsc_time=last.smsc_time,
            text=self._text(segments),
            received=sender(first.received_addr, first.source_ton, first.source_npi),
        )

    def _text(self, segments: Sequence[ReplySegment]) -> str | None:
        octets, first = self._text_octets(segments), segments[0]
        alphabet = self._alphabet(first.link)
        one_coding = are_of_one_coding((segment.data_coding for segment in segments), alphabet)
        if sum(map(len, octets)) > MAX_REPLY_OCTETS or not one_coding:
            return None
        text = decode_segments(octets, first.data_coding, alphabet, first.udh_octets)
        return text if text is not None and len(text) <= MAX_REPLY_CHARACTERS else None

    def _text_octets(self, segments: Sequence[ReplySegment]) -> list[bytes]:
        return [without_final_nul(s.octets, s.data_coding, self._alphabet(s.link)) for s in segments]

    def _alphabet(self, link: str) -> str:
        return self._alphabets.get(link, DEFAULT_ALPHABET)

    async def _read_all(self, uow: UnitOfWork, replies: Sequence[Reply], earlier: _Similar) -> None:
        """Stores the replies as evidence and applies them to their cases; `earlier` are the similar ones."""
        if not replies:
            return
        asked = await questions.asked_at(uow.connection, {reply.source_addr for reply in replies})
        stored: list[StoredReply] = []
        inputs: list[tuple[str, Input]] = []
        addressed: list[int] = []  # the places in `stored` of the replies with an input
        time_slice = TimeSlice()
        for reply in replies:
            await time_slice.yield_if_spent()
            read = self._read(reply, asked)
            kept, addressee = self._addressed(uow, read, earlier.get((reply.source_addr, reply.octets), ()))
            addressed += [len(stored)] * len(addressee)
            stored.append(kept)
            inputs += addressee

        def keep(decisions: Sequence[Decision]) -> Sequence[Write]:
            for place, (case_id, given), decision in zip(addressed, inputs, decisions, strict=True):
                stored[place] = as_decided(stored[place], case_id, given, decision)
            return [inbound.keeping(stored, uow.now)]

        await uow.apply(inputs, keep)

    def _read(self, reply: Reply, asked: _Asked) -> _Read:
        """The reply as read by the rules of its service, and the latest question of that service at the number.

        A clear reply belongs to the service whose code it has. Any other belongs to the service with an open
        question at the number, else to one that has asked there before, else to the first service.
        """
        readings = {code: read_reply(reply.text, service.replies) for code, service in self._services.items()}
        code = next(iter(readings))
        if len(readings) > 1:
            clear = [code for code, r in readings.items() if r.verdict in (Verdict.AGREE, Verdict.REFUSE)]
            known = [code for code in readings if (reply.source_addr, code) in asked]
            is_open = [code for code in known if asked[reply.source_addr, code].open]
            code = next(iter(clear or is_open or known or readings))
        question = None if self._why_ignored(reply) else asked.get((reply.source_addr, code))
        if (
            question is not None
            and not question.accepted_by_smsc
            and question.case_id in self._sending.unsent_questions
        ):
            question = question.not_submitted()
        return _Read(reply, readings[code], question)

    def _addressed(
        self, uow: UnitOfWork, read: _Read, similar: Sequence[SimilarReply]
    ) -> tuple[StoredReply, list[tuple[str, Input]]]:
        """The reply's row, and the input for the case that it replies to, if any. Journals the reply."""
        reply, reading, question = read
        links = reply_links(self._routing, question) if question is not None else None
        link_fits = fits(reply.link, links)
        case_id, possible_redelivery = None, False
        if question is not None:
            case_id, possible_redelivery = question.addressee(_comparable(similar, links, link_fits))
        kept = record_reply(
            uow,
            reply,
            reading,
            case_id,
            submitted=question is not None and question.submitted,
            possible_redelivery=possible_redelivery,
            counts=link_fits,
            links=links,
        )
        if question is None or case_id is None:
            ignored = self._why_ignored(reply)
            if ignored is not None:
                self._log_ignored(reply, reading, ignored)
            ignore_reply(uow, None, ignored or "no question was asked there")
            return kept.stored, []
        if not link_fits:
            log_wrong_link(reply.link, case_id)
            held = HoldReply(reply=kept.given, operator=question.operator or "", digest=kept.digest)
            return kept.stored, [(case_id, held)]
        if reading.verdict in (Verdict.AGREE, Verdict.REFUSE, Verdict.UNCLEAR):
            self._sending.reply_received(case_id)
        return kept.stored, [(case_id, kept.given)]

    def _why_ignored(self, reply: Reply) -> str | None:
        """Why the reply is none to a question, whatever it says; None: it may be one."""
        accepted = self._destinations.get(reply.link)
        if reply.ignored is None and accepted and reply.destination_addr.removeprefix("+") not in accepted:
            return TO_ANOTHER_NUMBER
        return reply.ignored

    def _log_ignored(self, reply: Reply, reading: Reading, why: str) -> None:
        """Counts the reply, and logs a clear one: the link may have to accept its destination.

        Each destination is logged once, and only so many of a link: an SMSC may invent them.
        """
        metrics.REPLIES_IGNORED.labels(reply.link, why).inc()
        logged, destination = self._other_destinations[reply.link], reply.destination_addr
        if (
            why == TO_ANOTHER_NUMBER
            and reading.verdict in (Verdict.AGREE, Verdict.REFUSE)
            and destination not in logged
            and len(logged) < MAX_OTHER_DESTINATIONS
        ):
            logged.add(destination)
            log.warning(LogEvent.REPLY_TO_ANOTHER_NUMBER, link=reply.link, destination=destination)


def _comparable(
    similar: Sequence[SimilarReply], links: Sequence[str] | None, link_fits: bool
) -> list[EarlierReply]:
    """The earlier replies of which one by a link of the number, or by none of its links, may be a redelivery.

    What came by a link of the number is not redelivered by another operator's.
    """
    return [
        EarlierReply(one.case_id, one.unacknowledged, by_other_link=earlier_fits is not link_fits)
        for one in similar
        for earlier_fits in (fits(one.link, links),)
        if link_fits or not earlier_fits
    ]
