"""Any inputs in any order: the invariants of a case over its whole history."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.consent.case import AGREED, ENDED, Case, Rules, State
from gateway.consent.details import NO_DETAIL, Detail, TextQueuedTo
from gateway.consent.events import EventType
from gateway.consent.inputs import (
    AcceptReply,
    ActivateVoucher,
    Cancel,
    ConfirmAccepted,
    Decision,
    Effect,
    Input,
    IssueVoucher,
    MeetDeadline,
    OpenQuestion,
    ParentReply,
    Park,
    RejectVoucher,
    Release,
    ReportDelivered,
    ReportRefused,
    ReportUndeliverable,
    Resend,
    Send,
    SkipRecipient,
    UseNumber,
    UseVoucher,
)
from gateway.consent.journey import decide
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from gateway.evidence.history import follow
from tests.consent.case_factories import (
    ACCEPTED,
    CALENDAR,
    FATHER,
    MONDAY,
    MOTHER,
    REFUSED,
    RULES,
    UNDELIVERABLE,
    WITHOUT_RESPONSE,
    accept,
    accepted,
    by_other_link,
    fresh,
    parent_reply,
    refused_by_smsc,
    undeliverable,
    without_response,
)

pytestmark = pytest.mark.no_cover  # tracing doubles its time, and other tests cover the same lines

AFTER_THE_END = {
    EventType.LATE_REPLY,
    EventType.WITHDRAWAL_REQUESTED,
    EventType.REPLY_HELD,
    EventType.VOUCHER_ACTIVATED,
    EventType.SERVICE_RECEIVED,
    EventType.DELIVERED,
    EventType.TEXT_ACCEPTED,
    EventType.TEXT_REFUSED,
    EventType.TEXT_DELIVERED,
    EventType.TEXT_UNDELIVERABLE,
    EventType.REPLY_OTHER,
    EventType.REPLY_IGNORED,
    EventType.REPLY_REPEATED,
    EventType.RESENT,
}
MAY_HOLD = {State.QUEUED, State.ASKED, State.REMINDED, State.NO_ANSWER, State.UNDELIVERABLE}
OPEN_QUESTION = {State.QUEUED, State.ASKED, State.REMINDED}
PLACES = ("mother", "father", "representative")


class Journey(RuleBasedStateMachine):
    """A case with random inputs, and the invariants of its whole history."""

    def __init__(self) -> None:
        super().__init__()
        self.case = fresh(*PLACES)
        self.journey_rules = RULES
        self.now = MONDAY
        self.reported: list[EventType] = []
        self.journal: list[tuple[EventType, Detail]] = [(EventType.RECEIVED, NO_DETAIL)]
        self.acquired = 0
        self.released = 0
        self.texts_2_and_3: list[Kind] = []
        self.clarified: set[tuple[int, int]] = set()

    @initialize(
        repeats=st.integers(0, 2), clarify=st.booleans(), fallback=st.booleans(), relations=st.integers(1, 3)
    )
    def begin(self, repeats: int, clarify: bool, fallback: bool, relations: int) -> None:
        self.journey_rules = Rules(
            calendar=CALENDAR, repeats=repeats, clarify=clarify, fallback_on_undeliverable=fallback
        )
        self.case = fresh(*PLACES[:relations])

    def give(self, given: Input) -> Decision:
        before = self.case
        decision = decide(before, given, self.now, self.journey_rules)
        self.case = decision.case
        if decision.rejected:
            assert decision == Decision(case=before, rejected=True)
        if before.state in ENDED and not isinstance(given, AcceptReply):
            assert {event.name for event in decision.events} <= AFTER_THE_END
            assert decision.case.state is before.state
            assert decision.case.ended_at == before.ended_at
        if decision.case.state is State.CONSENTED and before.state not in (State.CONSENTED, State.PARKED):
            if isinstance(given, AcceptReply):
                assert before.held is Verdict.AGREE
                assert before.state in MAY_HOLD
            else:
                assert isinstance(given, ParentReply)
                assert given.verdict is Verdict.AGREE
                assert before.state in OPEN_QUESTION
        for event in decision.events:
            if event.name in (EventType.CONSENTED, EventType.REFUSED):
                assert EventType.ASKED in self.reported
            self.reported.append(event.name)
            self.journal.append((event.name, event.detail))
        self.acquired += isinstance(given, OpenQuestion) and not decision.rejected
        for effect in decision.effects:
            self.note(effect, before, resent=isinstance(given, Resend))
        return decision

    def note(self, effect: Effect | Send, before: Case, *, resent: bool) -> None:
        if isinstance(effect, Send):
            queued = TextQueuedTo(0, effect.text, "", "", 1, "")
            self.journal.append((EventType.TEXT_QUEUED, queued))
        match effect:
            case Effect.RELEASE_NUMBER:
                assert before.msisdn is not None
                self.released += 1
            case Send(text=Kind.CLARIFY):
                question = (before.position, before.repeat)
                assert question not in self.clarified
                self.clarified.add(question)
            case Send(text=Kind.AGREED | Kind.REFUSED) if not resent:
                self.texts_2_and_3.append(effect.text)

    @rule(choice=st.randoms(use_true_random=False))
    def continue_journey(self, choice: random.Random) -> None:
        """An input that the state waits for, so that the case advances."""
        self.give(choice.choice(self.expected()))

    @rule(choice=st.randoms(use_true_random=False))
    def disturb(self, choice: random.Random) -> None:
        """Any input, whether it fits the state or not."""
        self.now += timedelta(hours=choice.randrange(0, 50))
        self.give(choice.choice(self.anything(choice)))

    def expected(self) -> list[Input]:
        own, at = self.case.msisdn or MOTHER, self.now
        match self.case.state:
            case State.LOOKING_UP:
                return [UseNumber(msisdn=MOTHER), UseNumber(msisdn=FATHER), SkipRecipient(), Park(reason="404")]
            case State.WAITING:
                return [OpenQuestion()]
            case State.QUEUED | State.ASKED | State.REMINDED if self.case.due_at is None:
                confirmed = accepted(at, repeat=self.case.repeat, msisdn=own)
                failed = refused_by_smsc(repeat=self.case.repeat)
                unknown = without_response(repeat=self.case.repeat)
                return [confirmed, confirmed, replace(failed, msisdn=own), replace(unknown, msisdn=own)]
            case State.QUEUED:
                self.now = max(at, self.case.due_at or at)
                return [MeetDeadline(), parent_reply(Verdict.AGREE, at, msisdn=own)]
            case State.ASKED | State.REMINDED:
                self.now = max(at, self.case.due_at or at)
                unclear = parent_reply(Verdict.UNCLEAR, at, msisdn=own)
                lost = undeliverable(repeat=self.case.repeat, msisdn=own)
                return [MeetDeadline(), unclear, unclear, lost]
            case State.CONSENTED:
                return [IssueVoucher(voucher_id="V-1"), RejectVoucher(reason="no"), Park(reason="404")]
            case State.PARKED:
                return [Release(by="ops")]
        return [UseVoucher(at=at)]

    def anything(self, choice: random.Random) -> list[Input]:
        own, at = self.case.msisdn or MOTHER, self.now
        number = choice.choice([own, MOTHER, FATHER])
        text, repeat = choice.choice([(kind, n) for kind in Kind for n in range(3)])
        text_of: Mapping[str, Any] = {"text": text, "repeat": repeat, "msisdn": number}
        replies: list[ParentReply] = []
        if self.acquired:  # without a question there is no reply to it
            replies = [
                parent_reply(verdict, at, msisdn=number, submitted=submitted)
                for verdict in (Verdict.AGREE, Verdict.REFUSE, *Verdict)
                for submitted in (True, True, False)
            ]
        held = [by_other_link(reply) for reply in replies]
        questions = [event for event in self.reported if event in (EventType.NUMBER_FOUND, EventType.ASKED)]
        accepting = [
            accept(parent_reply(verdict, at, msisdn=own), asked=questions[-1:] == [EventType.ASKED])
            for verdict in (Verdict.AGREE, Verdict.REFUSE)
        ]
        return [
            *replies,
            *held,
            *accepting,
            UseNumber(msisdn=number),
            SkipRecipient(invalid=True),
            OpenQuestion(),
            ConfirmAccepted(at=at, detail=ACCEPTED, **text_of),
            ReportRefused(detail=REFUSED, **text_of),
            ReportRefused(detail=WITHOUT_RESPONSE, **text_of),
            ReportDelivered(**text_of),
            ReportUndeliverable(detail=UNDELIVERABLE, **text_of),
            MeetDeadline(),
            IssueVoucher(voucher_id="V-1"),
            RejectVoucher(reason="no"),
            ActivateVoucher(at=at),
            UseVoucher(at=at),
            Park(reason="wallet: 404"),
            Release(by="ops"),
            Resend(by="ops"),
            Cancel(reason="moved away", by="ops"),
        ]

    @invariant()
    def one_reply_counts_at_most(self) -> None:
        counted = [name for name in self.reported if name in (EventType.CONSENTED, EventType.REFUSED)]
        assert len(counted) <= 1
        texts = {EventType.CONSENTED: Kind.AGREED, EventType.REFUSED: Kind.REFUSED}
        assert self.texts_2_and_3 == [texts[name] for name in counted]

    @invariant()
    def the_state_follows_from_the_journal(self) -> None:
        """Evidence of a case has no other proof of its state."""
        assert follow(self.journal) == (self.case.state, [])

    @invariant()
    def the_number_is_held_while_the_question_is_open_and_released_once(self) -> None:
        assert self.acquired - self.released == (self.case.state in OPEN_QUESTION)

    @invariant()
    def a_reply_is_held_only_where_it_may_count_later(self) -> None:
        parked_before_its_question = self.case.state is State.WAITING or self.case.resume is State.WAITING
        if self.case.state in AGREED or self.case.resume is State.CONSENTED:
            assert self.case.held in (None, Verdict.REFUSE)
        else:
            assert self.case.held is None or self.case.state in MAY_HOLD or parked_before_its_question

    @invariant()
    def deadlines_are_for_open_questions(self) -> None:
        withdrawal_held = self.case.held is Verdict.REFUSE and (
            self.case.state in AGREED or self.case.resume is State.CONSENTED
        )
        assert (self.case.due_at is None or self.case.state in OPEN_QUESTION) is not withdrawal_held

    @invariant()
    def an_end_has_its_instant(self) -> None:
        assert (self.case.ended_at is not None) is (self.case.state in ENDED)

    @invariant()
    def only_a_parked_case_has_a_state_to_resume(self) -> None:
        assert (self.case.resume is not None) is (self.case.state is State.PARKED)

    @invariant()
    def an_open_question_has_a_deadline_or_a_repeat_to_be_accepted(self) -> None:
        """It waits for the responses to a repeat, or for its deadline."""
        if self.case.state in (State.ASKED, State.REMINDED) and self.case.due_at is None:
            assert EventType.REPEAT_DUE in self.reported


Journey.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestJourney = Journey.TestCase
