"""What comes in from the SMSCs: replies and receipts, stored and acted upon before they are answered.

Everything that has arrived while the transaction before was under way travels in the next one. Only after its
commit is each PDU answered with ESME_ROK; when it could not be stored, with ESME_RX_T_APPN, so that the SMSC keeps
it and delivers it again.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from smpplib.consts import SMPP_ESME_RX_T_APPN

from gateway import metrics
from gateway.cluster.retry import TRANSIENT_ERRORS, is_transient
from gateway.config import Link as LinkConfig
from gateway.consent.case import Event, EventType
from gateway.consent.inputs import Input, ParentReply, ReportDelivered, ReportUndeliverable
from gateway.consent.redelivery import EarlierReply
from gateway.consent.reply import RULE_VERSION, Reading, Verdict, read_reply
from gateway.consent.texts import Kind
from gateway.evidence.digests import reply_identity
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.connection import SmppConnection
from gateway.operators.reply import Reply, join, reply_of, segment_of, sender_of
from gateway.smpp.pdu import MalformedPdu, decode_short_message
from gateway.smpp.receipt import IdRelation, MessageState, parse_receipt, related_ids
from gateway.smpp.session import Received
from gateway.smpp.text import split_udh
from gateway.smpp.ussd import parse_ussd
from gateway.store import inbound, journal, questions, receipts, unacknowledged
from gateway.store.inbound import ReplySegment, StoredReply
from gateway.store.nodes import FencedError
from gateway.store.receipts import Settled, StoredReceipt
from gateway.usecases import ussd
from gateway.usecases.unit_of_work import Journeys, Step

log = get_logger()

MAX_BATCH = 500
MAX_QUEUED = 2_000
"""PDUs in memory; beyond, the binds are not read until there is room again."""
STORE_TIMEOUT_SECONDS = 5.0
"""Seconds a batch may take to be stored before the SMSC is asked to keep it."""
ACK_TIMEOUT_SECONDS = 5.0
"""Seconds after which an SMSC may have given up waiting for an acknowledgement, and delivers again."""
NOTE_RETRY_SECONDS = 1.0
"""Seconds until doubts that could not be noted are noted with whatever comes in, or alone."""
INCOMPLETE_AFTER_SECONDS = 600.0
"""Seconds (real) after which a long reply that never became whole is read as it is."""


class _Arrival(NamedTuple):
    bind: SmppConnection[Any]
    link: LinkConfig
    received: Received
    at: float


class Receiver:
    """The receiving half of all links of this process."""

    def __init__(self, journeys: Journeys) -> None:
        self._journeys = journeys
        self._waiting: deque[_Arrival] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._held: dict[SmppConnection[Any], tuple[str, float]] = {}  # its link, and since when
        self.unsent: set[str] = set()
        """Cases whose question is in memory, taken for sending, and nothing of it has left."""
        self._doubts: dict[str, tuple[float, float]] = {}  # by link: from when to when, to be noted in the rows
        self._reply_received_at: dict[str, float] = {}  # case_id → when the reply came, until its answer leaves

    def take(self, bind: SmppConnection[Any], link: LinkConfig, received: Received) -> None:
        """Queues a deliver_sm or data_sm."""
        self._waiting.append(_Arrival(bind, link, received, time.monotonic()))
        self._work()
        if len(self._waiting) > MAX_QUEUED and bind not in self._held:
            self._held[bind] = link.name, time.monotonic()
            bind.hold()

    def doubt(self, link: str, began: float, ended: float | None = None) -> None:
        """The SMSC may not have heard what we acknowledged in this time (monotonic): see consent/doubt.py."""
        ended = time.monotonic() if ended is None else ended
        first, last = self._doubts.get(link, (began, ended))
        self._doubts[link] = min(first, began), max(last, ended)
        self._work()

    def _work(self) -> None:
        self._idle.clear()
        self._arrived.set()

    def reply_text_sent(self, case_id: str) -> None:
        """The first segment of an answer has left: observes how long the parent's reply waited for it."""
        if (at := self._reply_received_at.pop(case_id, None)) is not None:
            metrics.REPLY_LATENCY.observe(time.monotonic() - at)

    async def settled(self) -> None:
        """Returns once all that has come in is stored and answered, and every doubt is noted."""
        await self._idle.wait()

    async def run(self) -> None:
        """Stores and answers what comes in; runs until cancelled."""
        while True:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._process(batch)
                if 2 * len(self._waiting) <= MAX_QUEUED:  # others may never stop
                    self._resume_reading()
            self._resume_reading()
            if self._doubts:
                await self._note_doubts_alone()
            elif not self._waiting:
                self._idle.set()
                await self._arrived.wait()
            self._arrived.clear()

    def _resume_reading(self) -> None:
        """What the kernel held meanwhile has waited for as long, and comes in a moment."""
        now = time.monotonic()
        for bind, (link, since) in self._held.items():
            bind.go_on()
            if now - since > ACK_TIMEOUT_SECONDS:
                self.doubt(link, since, now + ACK_TIMEOUT_SECONDS)
        self._held.clear()

    async def _note_doubts_alone(self) -> None:
        noted = dict(self._doubts)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
                await self._journeys.transact(self._note_doubts)
        except TRANSIENT_ERRORS:
            log.error(LogEvent.TASK_FAILED, task="note_doubts", retry_in=NOTE_RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(NOTE_RETRY_SECONDS):
                    await self._arrived.wait()
        else:
            self._forget_doubts(noted)

    async def _note_doubts(self, step: Step) -> None:
        now = time.monotonic()
        for link, (began, ended) in self._doubts.items():
            await unacknowledged.note(step.connection, link, now - began, now - ended)

    def _forget_doubts(self, noted: Mapping[str, tuple[float, float]]) -> None:
        self._doubts = {link: times for link, times in self._doubts.items() if noted.get(link) != times}

    async def flush_incomplete(self) -> int:
        """Takes long replies whose segments never all came as they are; how many.

        They are evidence, but never an answer: what is missing may have been a *not*.
        """

        async def work(step: Step) -> int:
            stale = await inbound.flush_stale(step.connection, INCOMPLETE_AFTER_SECONDS)
            links = self._journeys.links
            replies = [join(parts, links[key[0]]) for key, parts in stale.items() if key[0] in links]
            await self._answer(step, [reply._replace(text=None) for reply in replies], {})
            return len(stale)

        return await self._journeys.transact(work)

    async def match_unmatched(self, limit: int = 500) -> int:
        """Applies receipts that came before the response they belong to; how many."""

        async def work(step: Step) -> int:
            parked = await receipts.claim_matching(step.connection, limit)
            links = self._journeys.links
            reported = [
                _receipt(links[link], message_id, MessageState(state), error)
                for link, message_id, state, error in dict.fromkeys(parked)
                if link in links
            ]
            await receipts.remove_unmatched(step.connection, reported)
            await self._settle(step, reported)
            return len(parked)

        return await self._journeys.transact(work)

    async def _process(self, batch: Sequence[_Arrival]) -> None:
        """Commits a batch and answers it. One that fails for what is in it is tried singly: a PDU costs itself."""
        noted = dict(self._doubts)
        try:
            async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
                await self._journeys.transact(lambda step: self._store(step, batch))
        except FencedError:
            raise
        except Exception as error:
            if len(batch) > 1 and not is_transient(error):
                for arrival in batch:
                    await self._process([arrival])
                return
            log.exception(LogEvent.INBOUND_NOT_STORED, pdus=len(batch))
            for arrival in batch:  # or perhaps they are stored, and the SMSC is asked to keep them all the same
                metrics.INBOUND_NOT_STORED.labels(arrival.link.name).inc()
                self.doubt(arrival.link.name, arrival.at)
            self._respond(batch, SMPP_ESME_RX_T_APPN)
            return
        self._forget_doubts(noted)
        self._respond(batch, 0)
        late = time.monotonic() - ACK_TIMEOUT_SECONDS
        for arrival in batch:
            if arrival.at < late or not arrival.bind.is_bound:
                self.doubt(arrival.link.name, arrival.at)

    def _respond(self, batch: Iterable[_Arrival], command_status: int) -> None:
        for arrival in batch:
            received = arrival.received
            arrival.bind.respond(received.command_id, received.sequence_number, command_status)

    async def _store(self, step: Step, batch: Sequence[_Arrival]) -> None:
        await self._note_doubts(step)
        replies: list[Reply] = []
        segments: list[tuple[ReplySegment, LinkConfig]] = []
        dialled: list[ussd.UssdCall] = []
        reported: list[StoredReceipt] = []
        for arrival in batch:
            link = arrival.link
            try:
                message = decode_short_message(arrival.received.command_id, arrival.received.body)
            except MalformedPdu:
                replies.append(Reply(link, "", "", arrival.received.body, 0, "", None))
                continue
            if receipt := parse_receipt(message):
                if receipt.final:
                    reported.append(_receipt(link, receipt.message_id, receipt.state, receipt.error))
                continue
            if indication := parse_ussd(message):
                dialled.append(ussd.UssdCall(link, sender_of(message), message, indication))
                continue
            concatenation, octets = split_udh(message)
            if concatenation is not None:
                segments.append((segment_of(link, message, concatenation, octets), link))
            else:
                replies.append(reply_of(link, message, octets))
        if segments:
            replies += await self._join_complete(step, segments)
        await self._settle(step, reported)
        await self._take_replies(step, replies)
        await ussd.take(step, dialled)
        now = time.monotonic()
        for arrival in batch:
            metrics.INBOUND_COMMITTED.observe(now - arrival.at)

    async def _join_complete(self, step: Step, segments: Sequence[tuple[ReplySegment, LinkConfig]]) -> list[Reply]:
        """The replies that these segments make whole, and those that their reference is taken from."""
        places = {segment[:6] for segment, _ in segments}
        batches = [segments] if len(places) == len(segments) else [[one] for one in segments]
        joined: list[Reply] = []
        for batch in batches:
            kept = [segment for segment, _ in batch]
            torn = await inbound.displace(step.connection, kept)
            await inbound.keep_segments(step.connection, kept, step.now)
            whole = await inbound.complete(step.connection, {segment[:5] for segment in kept})
            links = self._journeys.links
            joined += [join(parts, links[key[0]]) for key, parts in [*torn.items(), *whole.items()]]
        return joined

    async def _take_replies(self, step: Step, replies: Sequence[Reply]) -> None:
        """Drops what an SMSC delivered twice, by whichever bind; the others are replies."""
        if not replies:
            return
        alike = await inbound.alike(step.connection, {(reply.source_addr, reply.octets) for reply in replies})
        seen = {(a.link, a.source_addr, a.destination_addr, a.octets) for a in alike if a.just_now}
        earlier: defaultdict[tuple[str, bytes], list[EarlierReply]] = defaultdict(list)
        for a in alike:
            earlier[a.source_addr, a.octets].append(EarlierReply(a.case_id, a.unacknowledged))
        fresh = []
        for reply in replies:
            if reply.identity not in seen:
                seen.add(reply.identity)
                fresh.append(reply)
        await self._answer(step, fresh, earlier)

    async def _answer(
        self, step: Step, replies: Sequence[Reply], earlier: Mapping[tuple[str, bytes], Sequence[EarlierReply]]
    ) -> None:
        """Stores replies and lets the cases they answer go on; `earlier` are those like them."""
        if not replies:
            return
        asked = await questions.asked_there(step.connection, {reply.source_addr for reply in replies})
        stored: list[StoredReply] = []
        inputs: list[tuple[str, Input]] = []
        entries: list[journal.Entry] = []
        for reply in replies:
            service, reading = self._read(reply, asked)
            question = asked.get((reply.source_addr, service))
            if question is not None and not question.accepted_by_smsc and question.case_id in self.unsent:
                question = question.not_submitted()
            case_id, possible_redelivery = None, False
            if question is not None:
                case_id, possible_redelivery = question.answered_by(
                    earlier.get((reply.source_addr, reply.octets), ())
                )
            metrics.REPLIES.labels(reply.link.name, reading.verdict.value).inc()
            by_link = question is None or self._journeys.may_answer(reply.link.name, question)
            stored.append(reply.evidence(reading, case_id if by_link else None))
            digest = self._journeys.keyed_hash(reply_identity(*reply.identity, reply.smsc_time), case_id)
            told = {
                "verdict": reading.verdict,
                "normalised": reading.normalised,
                "rules": RULE_VERSION,
                "link": reply.link.name,
                "reply": digest,
            }
            entries.append(journal.entry(step.now, case_id, Event(EventType.REPLY_READ, told)))
            if question is None or case_id is None:
                ignored = Event(EventType.REPLY_IGNORED, {"reason": "no question was asked there"})
                entries.append(journal.entry(step.now, None, ignored))
                continue
            if not by_link:
                log.warning(LogEvent.REPLY_BY_WRONG_LINK, link=reply.link.name, case_id=case_id)
                ignored = Event(
                    EventType.REPLY_IGNORED, {"reason": "not by a link of the number", "reply": digest}
                )
                entries.append(journal.entry(step.now, case_id, ignored))
                continue
            if reading.verdict in (Verdict.AGREE, Verdict.REFUSE, Verdict.UNCLEAR):
                self._expect_reply_text(case_id)
            inputs.append(
                (
                    case_id,
                    ParentReply(
                        msisdn=reply.source_addr,
                        verdict=reading.verdict,
                        normalised=reading.normalised,
                        reply_at=step.now,
                        submitted=question.submitted,
                        possible_redelivery=possible_redelivery,
                        evidence="sha256:" + digest.rpartition(":")[2],
                        link=reply.link.name,
                    ),
                )
            )
        await inbound.keep(step.connection, stored, step.now)
        step.journal(entries)
        await step.take(inputs)

    def _read(self, reply: Reply, asked: dict[tuple[str, str], questions.Question]) -> tuple[str, Reading]:
        """The service a reply speaks to, and what it says there.

        A clear answer belongs to the service whose code it carries; anything else to the one whose question is
        open at the number, else to any that ever asked there.
        """
        readings = {code: read_reply(reply.text, s.replies) for code, s in self._journeys.services.items()}
        for code, reading in readings.items():
            if reading.verdict in (Verdict.AGREE, Verdict.REFUSE):
                return code, reading
        here = [code for code in readings if (reply.source_addr, code) in asked]
        is_open = [code for code in here if asked[reply.source_addr, code].open]
        code = next(iter(is_open or here or readings))
        return code, readings[code]

    def _expect_reply_text(self, case_id: str) -> None:
        if len(self._reply_received_at) > MAX_QUEUED:
            self._reply_received_at.clear()  # nobody answers: nothing to observe
        self._reply_received_at[case_id] = time.monotonic()

    async def _settle(self, step: Step, reported: Sequence[StoredReceipt]) -> None:
        if not reported:
            return
        settled = await receipts.settle(step.connection, reported)
        for receipt in reported:
            metrics.RECEIPTS.labels(receipt.link, receipt.state).inc()
        await step.take([(s.case_id, _outcome(s)) for s in settled])


def _outcome(settled: Settled) -> Input:
    if settled.delivered:
        return ReportDelivered(text=Kind(settled.kind), repeat=settled.repeat, msisdn=settled.msisdn)
    told = {"sms_id": settled.sms_id, "text": settled.kind, "state": settled.state, "error": settled.error}
    return ReportUndeliverable(text=Kind(settled.kind), repeat=settled.repeat, msisdn=settled.msisdn, detail=told)


_BACK: Mapping[IdRelation, IdRelation] = {
    "exact": "exact",
    "hex-to-dec": "dec-to-hex",
    "dec-to-hex": "hex-to-dec",
    "auto": "auto",
}
"""From a receipt's id to that of the response: `links.message_id` read backwards."""


def _receipt(link: LinkConfig, message_id: str, state: MessageState, error: str) -> StoredReceipt:
    candidates = related_ids(message_id, _BACK[link.message_id])
    return StoredReceipt(link.name, message_id, candidates, state.delivered, state.value, error)
