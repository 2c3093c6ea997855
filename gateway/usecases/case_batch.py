"""The cases of one transaction: locked, decided in memory, and written in a fixed number of statements."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.consent.case import Case, Rules, State
from gateway.consent.details import Reason, ReasonBy, TextQueuedTo, TextWithoutRoute, Words, WordsBy
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Decision, Effect, Input, OpenQuestion, Park, ReportRefused, Send
from gateway.consent.journey import decide
from gateway.consent.transitions import targets
from gateway.evidence.digests import Digester, sent_text
from gateway.store import calls, cases, outbox, questions, reasons
from gateway.store.calls import CallKind
from gateway.store.cases import StoredCase
from gateway.store.database import Connection
from gateway.store.questions import NumberClaim
from gateway.store.writes import Write, execute
from gateway.time_slice import TimeSlice
from gateway.usecases.immediate_texts import ImmediateTexts
from gateway.usecases.texts import TextRenderer

CALL_OF = {Effect.LOOK_UP: CallKind.LOOKUP, Effect.FORM_VOUCHER: CallKind.VOUCHER}
"""The partner call that an effect requires."""


_WITH_WORDS = frozenset({EventType.CANCELLED, EventType.VOUCHER_REJECTED})
"""The events whose reason is in the words of a person or of the wallet."""


class TransitionError(Exception):
    """A decision without a transition in the journey's table: a programming error; nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What decisions on cases need besides the cases: rules, texts, digests, and who claims texts at once."""

    node: str
    rules: Rules
    texts: TextRenderer
    digests: Digester


@dataclass(slots=True)
class Outcome:
    """The results of a batch that are handled after its rows are written."""

    events: list[tuple[StoredCase, Event]] = field(default_factory=list)
    links: set[str] = field(default_factory=set)  # with new texts to claim
    calls: set[CallKind] = field(default_factory=set)  # with new calls to make


class CaseBatch:
    """`decide` for each input, then `settle_numbers`, then `write`: all within one transaction."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        context: DecisionContext,
        stored: dict[str, StoredCase],
        immediate: ImmediateTexts,
    ) -> None:
        """`stored` are the cases by case_id, their rows locked."""
        self.stored = stored
        self.outcome = Outcome()
        self._connection = connection
        self._now = now
        self._context = context
        self._immediate = immediate
        self._before = {case_id: s.case for case_id, s in stored.items()}
        self._written = dict(self._before)  # the states that the rows have
        self._acquiring: list[NumberClaim] = []
        self._releasing: list[NumberClaim] = []
        self._withdrawn: list[str] = []
        self._calls: list[tuple[str, CallKind]] = []
        self._ended: list[str] = []
        self._texts: list[tuple[StoredCase, outbox.NewSms]] = []
        self._words: list[reasons.Kept] = []

    def decide(self, case_id: str, given: Input) -> Decision:
        """The decision on one input; its events and effects are collected for `write`."""
        stored = self.stored[case_id]
        before = stored.case
        decision = decide(before, given, self._now, self._context.rules)
        if decision.rejected:
            return decision
        if decision.case.state not in targets(before.state, type(given)):
            raise TransitionError(f"{before.state} on {type(given).__name__} to {decision.case.state}")
        after = self.stored[case_id] = stored.with_case(decision.case)
        self.outcome.events.extend((after, self._journaled(case_id, event)) for event in decision.events)
        if decision.case.ended_at is not None and before.ended_at is None:
            self._ended.append(case_id)
        for effect in decision.effects:
            match effect:
                case Send():
                    self._send(after, effect)
                case Effect.ACQUIRE_NUMBER:
                    self._acquiring.append(_claim(after, after.case))
                case Effect.RELEASE_NUMBER:
                    self._releasing.append(_claim(stored, before))
                case Effect.WITHDRAW:
                    self._withdrawn.append(case_id)
                case Effect.LOOK_UP | Effect.FORM_VOUCHER:
                    self._calls.append((case_id, CALL_OF[effect]))
                    if effect is Effect.FORM_VOUCHER:
                        self.outcome.events.append((after, Event(EventType.VOUCHER_REQUESTED)))
        return decision

    def _journaled(self, case_id: str, event: Event) -> Event:
        """The event as the journal, which is never erased, may have it: with a digest in place of words."""
        detail = event.detail
        if event.name not in _WITH_WORDS or not isinstance(detail, Reason | ReasonBy):
            return event
        digest = self._context.digests.digest(detail.reason.encode(), case_id)
        self._words.append(reasons.Kept(case_id, digest, detail.reason))
        return Event(event.name, WordsBy(digest, detail.by) if isinstance(detail, ReasonBy) else Words(digest))

    def _send(self, stored: StoredCase, send: Send) -> None:
        """Renders the text; when no link carries the number, decides on that as another input."""
        if (text := self._context.texts.render(stored, send)) is not None:
            self._texts.append((stored, text))
        else:
            self.decide(stored.case_id, _without_route(stored.case, send))

    async def settle_numbers(self, time_slice: TimeSlice) -> None:
        """Acquires and releases numbers until none is pending: a case that acquires one may release it again."""
        while self._acquiring or self._releasing:
            if releasing := self._releasing:
                self._releasing = []
                await self._save_waiting()
                decided = [i for i, s in self.stored.items() if s.case.state is not State.WAITING]
                following = await questions.release_numbers(self._connection, releasing, decided)
                if missing := [case_id for case_id in following if case_id not in self.stored]:
                    loaded = await cases.lock(self._connection, missing)
                    self.stored |= loaded
                    self._before |= {case_id: s.case for case_id, s in loaded.items()}
                    self._written |= {case_id: s.case for case_id, s in loaded.items()}
                for case_id in sorted(following):
                    self.decide(case_id, OpenQuestion())
                    await time_slice.yield_if_spent()
            if acquiring := self._acquiring:
                self._acquiring = []
                for case_id in sorted(await questions.acquire_numbers(self._connection, acquiring)):
                    self.decide(case_id, OpenQuestion())
                    await time_slice.yield_if_spent()

    async def _save_waiting(self) -> None:
        """Writes the cases that began to wait in this transaction: `release_numbers` reads the rows."""
        waiting = [
            s
            for case_id, s in self.stored.items()
            if s.case.state is State.WAITING and self._before[case_id].state is not State.WAITING
        ]
        if waiting:
            await execute(self._connection, cases.saving(waiting, self._written, {}))
            self._written |= {s.case_id: s.case for s in waiting}

    async def write(self, others: Sequence[Write] = ()) -> Outcome:
        """The outcome, after states, texts and calls are written, together with `others`, by one statement."""
        writes = [*others]
        changed = [s for case_id, s in self.stored.items() if s.case is not self._before[case_id]]
        if changed:
            writes += cases.saving(changed, self._written, self._state_counts(changed))
        if self._words:
            writes.append(reasons.keeping(self._words))
        if self._withdrawn:
            writes.append(outbox.withdrawing(self._withdrawn))
        if self._ended:
            writes.append(calls.dropping(self._ended))
        if self._calls:
            writes.append(calls.adding(self._calls))
            self.outcome.calls.update(kind for _, kind in self._calls)
        if not self._texts:
            await execute(self._connection, writes)
            return self.outcome
        at_once: list[tuple[StoredCase, outbox.NewSms]] = []
        later: list[tuple[StoredCase, outbox.NewSms]] = []
        for stored, new in self._texts:
            (at_once if self._immediate.reserve(new) else later).append((stored, new))
        texts = at_once + later
        queueing = outbox.queueing(
            [new for _, new in texts], self._now, immediate=len(at_once), node=self._context.node
        )
        queued = await execute(self._connection, [*writes, queueing], outbox.QUEUED)
        for row, (_, new) in zip(queued, at_once, strict=False):
            self._immediate.written(new, row["sms_id"], row["reference"])
        for row, (stored, new) in zip(queued, texts, strict=True):
            event = text_queued(self._context.digests, row["sms_id"], new, segments=new.segments)
            self.outcome.events.append((stored, event))
        self.outcome.links.update(new.link for _, new in later)
        return self.outcome

    def _state_counts(self, changed: Sequence[StoredCase]) -> Counter[tuple[str, State]]:
        """By (list_id, state), the number of cases that have entered (+) or left (-) the state."""
        counts: Counter[tuple[str, State]] = Counter()
        for stored in changed:
            before = self._before[stored.case_id].state
            if stored.case.state is not before:
                counts[stored.list_id, before] -= 1
                counts[stored.list_id, stored.case.state] += 1
        return counts


def text_queued(digests: Digester, sms_id: int, new: outbox.NewSms | outbox.NewScreen, *, segments: int) -> Event:
    """The journal's event for a queued text or screen."""
    sent = digests.digest(sent_text(new.msisdn, new.body), new.case_id)
    return Event(EventType.TEXT_QUEUED, TextQueuedTo(sms_id, new.kind, new.template, new.link, segments, sent))


def _claim(stored: StoredCase, case: Case) -> NumberClaim:
    assert case.msisdn is not None, "the case has a number to ask at"
    return NumberClaim(stored.service, case.msisdn, stored.case_id)


def _without_route(case: Case, send: Send) -> Input:
    """The input for a text that no link carries.

    A request parks the case for ops. A repeat counts as refused, and the case still ends at its deadline.
    """
    if case.state is State.QUEUED:
        return Park(reason="no_route")
    return ReportRefused(
        text=send.text,
        repeat=send.repeat,
        msisdn=case.msisdn or "",
        detail=TextWithoutRoute(text=send.text, reason="no_route"),
    )
