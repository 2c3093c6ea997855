"""The use cases: inputs become decisions, and decisions become rows, in one transaction.

A transaction (``Step``) may carry the inputs of many cases. It locks their rows, lets ``consent.journey`` decide,
and writes states, journal, texts and calls back in a handful of statements, whatever the number of cases. Nothing
is sent from here: the shells find the rows and report what became of them as new inputs.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import asyncpg

from gateway.clock import Clock
from gateway.cluster.lease import Lease
from gateway.cluster.retry import is_transient
from gateway.cluster.wakeups import WakeUps
from gateway.config import Link as LinkConfig
from gateway.config.routing import Routing
from gateway.consent.case import STATUSES, Case, Event, EventType, Rules, State
from gateway.consent.inputs import (
    Cancel,
    Decision,
    Effect,
    Input,
    MeetDeadline,
    OpenQuestion,
    Park,
    Release,
    ReportRefused,
    Resend,
    Send,
)
from gateway.consent.journey import decide
from gateway.consent.reply import ReplyRules
from gateway.consent.texts import Templates
from gateway.evidence import digests
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp.text import LongMessages, segment_count
from gateway.store import calls, cases, erasure, journal, nodes, questions, sms
from gateway.store.calls import CallKind
from gateway.store.cases import StoredCase, name_of
from gateway.store.database import Connection, Database

T = TypeVar("T")

log = get_logger()

_CALLS = {Effect.LOOK_UP: CallKind.LOOKUP, Effect.FORM_VOUCHER: CallKind.VOUCHER}
_DEADLOCK_RETRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A proactive service: its code, texts, and how its replies are read."""

    code: str
    name: str
    link: str
    templates: Templates
    replies: ReplyRules


class Journeys:
    """Everything a step needs besides its inputs; shared by all shells of the process."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        node: str,
        services: Mapping[str, Service],
        links: Sequence[LinkConfig],
        rules: Rules,
        evidence_key: bytes,
        signals: WakeUps,
    ) -> None:
        self.database = database
        self.clock = clock
        self.node = node
        self.services = services
        self.links = {link.name: link for link in links}
        self.routing = Routing(links)
        self.rules = rules
        self.signals = signals
        self.lease = Lease()
        self._evidence_key = evidence_key

    def keyed_hash(self, octets: bytes, case_id: str | None = None) -> str:
        """The digest that stands in the journal, or in an erased row, in place of personal data."""
        key = self._evidence_key if case_id is None else digests.case_key(self._evidence_key, case_id)
        return digests.keyed_hash(key, octets)

    def may_answer(self, link: str, question: questions.Question) -> bool:
        """Whether an answer may come by this link: nobody answers for another operator's subscriber."""
        return link in question.links or self.routing.may_carry(link, question.operator)

    async def transact(self, work: Callable[["Step"], Awaitable[T]]) -> T:
        """Runs `work` in one transaction of this node and, once it is committed, wakes whoever has work by it.

        `work` may run again from the start when the database found a deadlock. Raises FencedError when this
        process was taken for dead.
        """
        for attempt in range(_DEADLOCK_RETRIES):
            try:
                async with self.database.acquire() as connection, connection.transaction():
                    await nodes.fence(connection, self.node)
                    step = Step(connection, self)
                    result = await work(step)
                    await step.write_journal()
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == _DEADLOCK_RETRIES - 1:
                    raise
                continue
            step.announce()
            return result
        raise AssertionError("unreachable")

    async def take(self, inputs: Sequence[tuple[str, Input]]) -> list[Decision]:
        """One transaction that carries nothing but these inputs."""

        async def work(step: Step) -> list[Decision]:
            return await step.take(inputs)

        return await self.transact(work)

    async def meet_deadlines(self, limit: int = 500) -> int:
        """Lets up to `limit` cases whose deadline has come go on; how many there were.

        One that cannot go on, by a defect, keeps none of the others.
        """
        due: list[str] = []

        async def work(step: Step) -> None:
            due[:] = await cases.lock_due(step.connection, step.now, limit)
            await step.take([(case_id, MeetDeadline()) for case_id in due])

        try:
            await self.transact(work)
        except nodes.FencedError:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            for case_id in due:
                try:
                    await self.take([(case_id, MeetDeadline())])
                except nodes.FencedError:
                    raise
                except Exception:
                    log.exception(LogEvent.CASE_STUCK, case_id=case_id)
            return 0
        return len(due)

    async def cancel(self, case_id: str, reason: str) -> Decision | None:
        """Ends an open case; None when there is no such case, a refused decision when it has ended."""
        return next(iter(await self.take([(case_id, Cancel(reason=reason))])), None)

    async def release(self, case_id: str) -> Decision | None:
        """Lets a parked case go on; None and refusals as for cancel."""
        return next(iter(await self.take([(case_id, Release())])), None)

    async def resend(self, case_id: str) -> Decision | None:
        """Sends the case's current text again; None and refusals as for cancel."""
        return next(iter(await self.take([(case_id, Resend())])), None)

    async def erase_personal_data(self, keep: timedelta, limit: int = 500) -> int:
        """Erases the personal data of up to `limit` cases that ended longer than `keep` ago; how many."""

        async def work(step: Step) -> int:
            before = step.now - keep
            erased = await erasure.erase_ended(step.connection, before, step.now, self.keyed_hash, limit)
            step.journal([journal.entry(step.now, case_id, Event(EventType.ERASED, {})) for case_id in erased])
            await erasure.erase_stray_replies(step.connection, before)
            return len(erased)

        return await self.transact(work)


class Step:
    """One transaction under way. Its parts run in the order in which they are called; `now` stands still."""

    def __init__(self, connection: Connection, journeys: Journeys) -> None:
        self.connection = connection
        self.now: datetime = journeys.clock.now()
        self.journeys = journeys
        self._happened: list[tuple[StoredCase, Event]] = []
        self._links: set[str] = set()
        self._calls: set[CallKind] = set()
        self._entries: list[journal.Entry] = []

    async def take(self, inputs: Sequence[tuple[str, Input]]) -> list[Decision]:
        """Decides on (case_id, input) in order and writes what follows.

        The decisions, in order, without those on cases that do not exist.
        """
        if not inputs:
            return []
        batch = _Batch(self, await cases.lock(self.connection, {case_id for case_id, _ in inputs}))
        decisions = [batch.decide(case_id, given) for case_id, given in inputs if case_id in batch.stored]
        await batch.settle_numbers()
        await batch.write()
        return decisions

    def journal(self, entries: Sequence[journal.Entry]) -> None:
        """Appends to the journal, when the transaction ends."""
        self._entries += entries

    async def write_journal(self) -> None:
        """Writes the entries of the whole transaction."""
        if self._entries:
            await journal.append(self.connection, self._entries)

    async def show(self, screens: Sequence[sms.NewScreen], fresh_for: float) -> None:
        """Queues screens of USSD dialogues, each to be sent within so many seconds or never."""
        if not screens:
            return
        sms_ids = await sms.queue_screens(self.connection, screens, self.now, fresh_for)
        entries = [
            journal.entry(self.now, screen.case_id, text_queued(self.journeys, sms_id, screen, segments=1))
            for sms_id, screen in zip(sms_ids, screens, strict=True)
        ]
        self.journal(entries)
        self._links.update(screen.link for screen in screens)

    def announce(self) -> None:
        """After the commit: logs the statuses and wakes those who have work."""
        signals = self.journeys.signals
        for stored, event in self._happened:
            bound = {"case_id": stored.case_id, "list_id": stored.list_id}
            if event.name is EventType.PARKED:
                log.warning(LogEvent.CASE_PARKED, reason=event.detail["reason"], **bound)
            else:
                log.info(LogEvent.CASE_STATUS, status=event.name.value, **bound)
        for link in self._links:
            signals.texts[link].set()
        for kind in self._calls:
            signals.calls[kind].set()
        if self._entries:
            signals.journal.set()


def _without_route(case: Case, send: Send) -> Input:
    """What it means that no link carries the number (any more). A request waits for ops, parked; a repeat does
    not keep the case from its end.
    """
    if case.state is State.QUEUED:
        return Park(reason="no_route")
    told = {"text": send.text, "reason": "no_route"}
    return ReportRefused(text=send.text, repeat=send.repeat, msisdn=case.msisdn or "", detail=told)


class _Batch:
    """The cases of one ``Step.take`` in memory, and what is to be written for them."""

    def __init__(self, step: Step, stored: dict[str, StoredCase]) -> None:
        self._step = step
        self._journeys = step.journeys
        self.stored = stored
        self._before = {case_id: s.case for case_id, s in stored.items()}
        self._events: list[tuple[StoredCase, Event]] = []
        self._asking: list[questions.Turn] = []
        self._giving: list[questions.Turn] = []
        self._withdrawn: list[str] = []
        self._calls: list[tuple[str, CallKind]] = []
        self._ended: list[str] = []
        self._texts: list[tuple[StoredCase, sms.NewSms]] = []

    def decide(self, case_id: str, given: Input) -> Decision:
        stored = self.stored[case_id]
        before = stored.case
        decision = decide(before, given, self._step.now, self._journeys.rules)
        if decision.rejected:
            return decision
        after = self.stored[case_id] = stored.with_case(decision.case)
        self._events.extend((after, event) for event in decision.events)
        if decision.case.ended_at is not None and before.ended_at is None:
            self._ended.append(case_id)
        for effect in decision.effects:
            match effect:
                case Send():
                    self._send(after, effect)
                case Effect.ACQUIRE_NUMBER:
                    assert after.case.msisdn is not None, "a turn is asked for at a number"
                    self._asking.append((after.service, after.case.msisdn, case_id))
                case Effect.RELEASE_NUMBER:
                    assert before.msisdn is not None, "a turn is given back at a number"
                    self._giving.append((stored.service, before.msisdn, case_id))
                case Effect.WITHDRAW:
                    self._withdrawn.append(case_id)
                case Effect.LOOK_UP | Effect.FORM_VOUCHER:
                    self._calls.append((case_id, _CALLS[effect]))
                    if effect is Effect.FORM_VOUCHER:
                        self._events.append((after, Event(EventType.VOUCHER_REQUESTED, {})))
        return decision

    def _send(self, stored: StoredCase, send: Send) -> None:
        """Renders the text as it will go out, or parks the case when no link carries the number."""
        journeys = self._journeys
        case = stored.case
        assert case.msisdn is not None, "a text goes to a number"
        link = send.link or journeys.routing.link_for(case.msisdn, case.operator)
        if link is None:
            self.decide(stored.case_id, _without_route(case, send))
            return
        service = journeys.services[stored.service]
        text = service.templates.render(
            send.text,
            stored.language,
            recipient=name_of(stored.recipient),
            pupil=name_of(stored.pupil),
            link=service.link,
            service=service.code,
            agree=service.replies.agree,
            refuse=service.replies.refuse,
        )
        long_messages = journeys.links[link].long_messages
        new = sms.NewSms(
            case_id=stored.case_id,
            kind=send.text,
            repeat=send.repeat,
            link=link,
            msisdn=case.msisdn,
            template=text.template,
            body=text.body,
            long_messages=long_messages,
            segments=segment_count(text.body, LongMessages(long_messages)),
        )
        self._texts.append((stored, new))

    async def settle_numbers(self) -> None:
        """Hands numbers on until nobody's turn is open: a case given the turn may be parked and give it back."""
        connection = self._step.connection
        while self._asking or self._giving:
            if giving := self._giving:
                self._giving = []
                await self._save_waiting()
                moved_on = [i for i, s in self.stored.items() if s.case.state is not State.WAITING]
                following = await questions.release_numbers(connection, giving, moved_on)
                missing = [case_id for case_id in following if case_id not in self.stored]
                if missing:
                    loaded = await cases.lock(connection, missing)
                    self.stored |= loaded
                    self._before |= {case_id: s.case for case_id, s in loaded.items()}
                for case_id in sorted(following):
                    self.decide(case_id, OpenQuestion())
            if asking := self._asking:
                self._asking = []
                for case_id in sorted(await questions.acquire_numbers(connection, asking)):
                    self.decide(case_id, OpenQuestion())

    async def _save_waiting(self) -> None:
        """Whose turn comes is looked up in the rows: they have to say who began to wait in this very step."""
        waiting = [
            s
            for case_id, s in self.stored.items()
            if s.case.state is State.WAITING and self._before[case_id].state is not State.WAITING
        ]
        if waiting:
            await cases.save(self._step.connection, waiting, {})

    async def write(self) -> None:
        step, connection = self._step, self._step.connection
        changed = [s for case_id, s in self.stored.items() if s.case is not self._before[case_id]]
        if changed:
            await cases.save(connection, changed, self._moves(changed))
        if self._withdrawn:
            await sms.withdraw(connection, self._withdrawn)
        if self._ended:
            await calls.drop(connection, self._ended)
        if self._calls:
            await calls.add(connection, self._calls)
            step._calls.update(kind for _, kind in self._calls)
        if self._texts:
            sms_ids = await sms.queue(connection, [new for _, new in self._texts], step.now)
            for sms_id, (stored, new) in zip(sms_ids, self._texts, strict=True):
                queued = text_queued(self._journeys, sms_id, new, segments=new.segments)
                self._events.append((stored, queued))
                step._links.add(new.link)
        step.journal([journal.entry(step.now, s.case_id, event) for s, event in self._events])
        told = STATUSES | {EventType.PARKED}
        step._happened.extend((s, event) for s, event in self._events if event.name in told)

    def _moves(self, changed: Sequence[StoredCase]) -> Counter[tuple[str, State]]:
        moves: Counter[tuple[str, State]] = Counter()
        for stored in changed:
            before = self._before[stored.case_id].state
            if stored.case.state is not before:
                moves[stored.list_id, before] -= 1
                moves[stored.list_id, stored.case.state] += 1
        return moves


def text_queued(journeys: Journeys, sms_id: int, new: sms.NewSms | sms.NewScreen, *, segments: int) -> Event:
    """What the journal says of a text, or a screen, that is on its way."""
    return Event(
        EventType.TEXT_QUEUED,
        {
            "sms_id": sms_id,
            "text": new.kind,
            "template": new.template,
            "link": new.link,
            "segments": segments,
            "body": journeys.keyed_hash(new.body.encode(), new.case_id),
        },
    )
