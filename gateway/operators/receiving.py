"""What comes in from the SMSCs: replies and receipts, stored and acted upon before they are answered.

Everything that has arrived while the transaction before was under way travels in the next one. Only after its
commit is each PDU answered with ESME_ROK; when it could not be stored, with ESME_RX_T_APPN, so that the SMSC keeps
it and delivers it again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from smpplib.consts import SMPP_ESME_RX_T_APPN

from gateway import metrics
from gateway.config import Link as LinkConfig
from gateway.consent.case import Event, Happened
from gateway.consent.identity import canonical_msisdn
from gateway.consent.inputs import Answer, Input, ReportDelivered, ReportUndeliverable
from gateway.consent.reply import RULE_VERSION, Reading, Verdict, read_reply
from gateway.consent.texts import Kind
from gateway.evidence import reply_identity
from gateway.journeys import Journeys, Step
from gateway.log import Event as LogEvent
from gateway.log import get_logger
from gateway.operators import dialogues
from gateway.operators.bind import Bind
from gateway.smpp.pdu import MalformedPdu, ShortMessage, decode_short_message
from gateway.smpp.receipt import MessageState, Relation, keys, read_receipt
from gateway.smpp.session import Received
from gateway.smpp.text import Concatenation, decode, decode_segments, split_udh
from gateway.smpp.ussd import read_ussd
from gateway.steady import is_away
from gateway.store import inbound, journal, questions, receipts
from gateway.store.inbound import ReplySegment, StoredReply
from gateway.store.nodes import FencedError
from gateway.store.receipts import Settled, StoredReceipt

log = get_logger()

MOST_AT_ONCE = 500
MOST_WAITING = 2_000
"""PDUs in memory; beyond, the binds are not read until there is room again."""
STORE_WITHIN = 10.0
"""Seconds a batch may take to be stored before the SMSC is asked to keep it."""
INCOMPLETE_AFTER = 600.0
"""Seconds (real) after which a long reply that never became whole is read as it is."""


Identity = tuple[str, str, str, bytes]


class _Arrival(NamedTuple):
    bind: Bind
    link: LinkConfig
    received: Received
    at: float


class Reply(NamedTuple):
    """A reply: its evidence, and its text (None when it can't be read: that is unclear)."""

    link: LinkConfig
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


class Receiver:
    """The receiving half of all links of this process."""

    def __init__(self, journeys: Journeys) -> None:
        self._journeys = journeys
        self._waiting: deque[_Arrival] = deque()
        self._arrived = asyncio.Event()
        self._held: set[Bind] = set()
        self._storing: set[Identity] = set()
        self._uncertain: dict[Identity, float] = {}  # when it was that nobody knew whether they are stored
        self._answer_due: dict[str, float] = {}  # case_id → when the reply came, until its answer leaves

    def take(self, bind: Bind, link: LinkConfig, received: Received) -> None:
        """Queues a deliver_sm or data_sm."""
        self._waiting.append(_Arrival(bind, link, received, time.monotonic()))
        self._arrived.set()
        if len(self._waiting) > MOST_WAITING and bind not in self._held:
            self._held.add(bind)
            bind.hold()

    def answer_sent(self, case_id: str) -> None:
        """The first segment of an answer has left: observes how long the parent's reply waited for it."""
        if (at := self._answer_due.pop(case_id, None)) is not None:
            metrics.REPLY_LATENCY.observe(time.monotonic() - at)

    def is_certain(self) -> bool:
        """Whether every reply that was begun to be stored is known to be, or not to be.

        After a commit of which we never heard, the SMSC is asked to keep the reply and delivers it again.
        """
        before = time.monotonic() - questions.A_MOMENT
        for identity in [identity for identity, at in self._uncertain.items() if at < before]:
            del self._uncertain[identity]
        return not self._uncertain

    async def run(self) -> None:
        """Stores and answers what comes in; runs until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
                await self._process(batch)
            for bind in self._held:
                bind.go_on()
            self._held.clear()

    async def flush_incomplete(self) -> int:
        """Takes long replies whose segments never all came as they are; how many.

        They are evidence, but never an answer: what is missing may have been a *not*.
        """

        async def work(step: Step) -> int:
            stale = await inbound.flush_stale(step.connection, INCOMPLETE_AFTER)
            links = self._journeys.links
            replies = [_join(parts, links[key[0]]) for key, parts in stale.items() if key[0] in links]
            await self._answer(step, [reply._replace(text=None) for reply in replies])
            return len(stale)

        return await self._journeys.transact(work)

    async def match_parked(self, limit: int = 500) -> int:
        """Applies receipts that came before the response they belong to; how many."""

        async def work(step: Step) -> int:
            parked = await receipts.take_parked(step.connection, limit)
            links = self._journeys.links
            reported = [
                _receipt(links[link], message_id, MessageState(state), error)
                for link, message_id, state, error in dict.fromkeys(parked)
                if link in links
            ]
            await receipts.unpark(step.connection, reported)
            await self._settle(step, reported)
            return len(parked)

        return await self._journeys.transact(work)

    async def _process(self, batch: Sequence[_Arrival]) -> None:
        """Commits a batch and answers it. One that fails for what is in it is tried singly: a PDU costs itself."""
        try:
            async with asyncio.timeout(STORE_WITHIN):
                await self._journeys.transact(lambda step: self._store(step, batch))
        except FencedError:
            raise
        except Exception as error:
            if len(batch) > 1 and not is_away(error):
                for arrival in batch:
                    await self._process([arrival])
                return
            log.exception(LogEvent.INBOUND_NOT_STORED, pdus=len(batch))
            for arrival in batch:
                metrics.INBOUND_NOT_STORED.labels(arrival.link.name).inc()
            self._uncertain |= dict.fromkeys(self._storing, time.monotonic())
            self._respond(batch, SMPP_ESME_RX_T_APPN)
            return
        self._respond(batch, 0)
        for identity in self._storing:
            self._uncertain.pop(identity, None)

    def _respond(self, batch: Iterable[_Arrival], command_status: int) -> None:
        for arrival in batch:
            received = arrival.received
            arrival.bind.respond(received.command_id, received.sequence_number, command_status)

    async def _store(self, step: Step, batch: Sequence[_Arrival]) -> None:
        self._storing = set()
        replies: list[Reply] = []
        segments: list[tuple[ReplySegment, LinkConfig]] = []
        dialled: list[dialogues.UssdCall] = []
        reported: list[StoredReceipt] = []
        for arrival in batch:
            link = arrival.link
            try:
                message = decode_short_message(arrival.received.command_id, arrival.received.body)
            except MalformedPdu:
                replies.append(Reply(link, "", "", arrival.received.body, 0, "", None))
                continue
            if receipt := read_receipt(message):
                if receipt.final:
                    reported.append(_receipt(link, receipt.message_id, receipt.state, receipt.error))
                continue
            if indication := read_ussd(message):
                dialled.append(dialogues.UssdCall(link, _sender(message), message, indication))
                continue
            concatenation, octets = split_udh(message)
            if concatenation is not None:
                segments.append((_segment(link, message, concatenation, octets), link))
            else:
                replies.append(_whole(link, message, octets))
        if segments:
            replies += await self._join_complete(step, segments)
        await self._settle(step, reported)
        await self._answer(step, await self._once(step, replies))
        await dialogues.take(step, dialled)
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
            joined += [_join(parts, links[key[0]]) for key, parts in [*torn.items(), *whole.items()]]
        return joined

    async def _once(self, step: Step, replies: Sequence[Reply]) -> list[Reply]:
        """Drops what an SMSC delivered twice, by whichever bind."""
        if not replies:
            return []
        seen = await inbound.recent(step.connection, {reply.source_addr for reply in replies})
        self._storing = {reply.identity for reply in replies}
        if again := self._storing & self._uncertain.keys():
            senders = {source_addr for _, source_addr, _, _ in again}
            seen |= again & await inbound.recent(step.connection, senders, questions.A_MOMENT)
        fresh = []
        for reply in replies:
            if reply.identity not in seen:
                seen.add(reply.identity)
                fresh.append(reply)
        return fresh

    async def _answer(self, step: Step, replies: Sequence[Reply]) -> None:
        """Stores replies and lets the cases they answer go on."""
        if not replies:
            return
        asked = await questions.asked_there(step.connection, {reply.source_addr for reply in replies})
        unproven = {question.before for question in asked.values() if question.handed and not question.proven}
        known = await inbound.replies_of(step.connection, unproven - {None}) if unproven else set()
        stored: list[StoredReply] = []
        inputs: list[tuple[str, Input]] = []
        entries: list[journal.Entry] = []
        for reply in replies:
            service, reading = self._read(reply, asked)
            question = asked.get((reply.source_addr, service))
            case_id = None
            if question is not None:
                case_id = question.answered_by(repeated=(question.before, reply.octets) in known)
            metrics.REPLIES.labels(reply.link.name, reading.verdict.value).inc()
            stored.append(_evidence(reply, reading, case_id))
            digest = self._journeys.keyed_hash(reply_identity(*reply.identity, reply.smsc_time), case_id)
            told = {
                "verdict": reading.verdict,
                "normalised": reading.normalised,
                "rules": RULE_VERSION,
                "link": reply.link.name,
                "reply": digest,
            }
            entries.append(journal.entry(step.now, case_id, Event(Happened.REPLY_READ, told)))
            if question is None or case_id is None:
                ignored = Event(Happened.REPLY_IGNORED, {"reason": "no question was asked there"})
                entries.append(journal.entry(step.now, None, ignored))
                continue
            if reading.verdict in (Verdict.AGREE, Verdict.REFUSE, Verdict.UNCLEAR):
                self._expect_answer(case_id)
            inputs.append(
                (
                    case_id,
                    Answer(
                        msisdn=reply.source_addr,
                        verdict=reading.verdict,
                        normalised=reading.normalised,
                        reply_at=step.now,
                        handed=question.handed,
                        evidence="sha256:" + digest.rpartition(":")[2],
                        link=reply.link.name,
                    ),
                )
            )
        await inbound.keep(step.connection, stored, step.now)
        await step.journal(entries)
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

    def _expect_answer(self, case_id: str) -> None:
        if len(self._answer_due) > MOST_WAITING:
            self._answer_due.clear()  # nobody answers: nothing to observe
        self._answer_due[case_id] = time.monotonic()

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


_BACK: Mapping[Relation, Relation] = {
    "exact": "exact",
    "hex-to-dec": "dec-to-hex",
    "dec-to-hex": "hex-to-dec",
    "auto": "auto",
}
"""From a receipt's id to that of the response: `links.message_id` read backwards."""


def _receipt(link: LinkConfig, message_id: str, state: MessageState, error: str) -> StoredReceipt:
    candidates = keys(message_id, _BACK[link.message_id])
    return StoredReceipt(link.name, message_id, candidates, state.delivered, state.value, error)


def _sender(message: ShortMessage) -> str:
    """One MSISDN however the SMSC writes it; a sender that is none stays as it came."""
    return canonical_msisdn(message.source.addr) or message.source.addr


def _whole(link: LinkConfig, message: ShortMessage, octets: bytes) -> Reply:
    return Reply(
        link,
        _sender(message),
        message.destination.addr,
        octets,
        message.data_coding,
        message.schedule_delivery_time,
        decode(octets, message.data_coding, link.default_alphabet, len(message.payload) - len(octets)),
    )


def _segment(link: LinkConfig, message: ShortMessage, concatenation: Concatenation, octets: bytes) -> ReplySegment:
    return ReplySegment(
        link.name,
        _sender(message),
        message.destination.addr,
        concatenation.reference,
        concatenation.total,
        concatenation.number,
        octets,
        len(message.payload) - len(octets),
        message.data_coding,
        message.schedule_delivery_time,
    )


def _join(segments: Sequence[ReplySegment], link: LinkConfig) -> Reply:
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


def _evidence(reply: Reply, reading: Reading, case_id: str | None) -> StoredReply:
    return StoredReply(
        case_id=case_id,
        link=reply.link.name,
        source_addr=reply.source_addr,
        destination_addr=reply.destination_addr,
        octets=reply.octets,
        data_coding=reply.data_coding,
        smsc_time=reply.smsc_time,
        verdict=reading.verdict,
        normalised=reading.normalised,
        rule_version=RULE_VERSION,
    )
