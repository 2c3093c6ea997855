"""The rows, in memory: all of them are committed. One unit of work is applied whole or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.consent.case import Case, Rules, State
from gateway.consent.events import EventType
from gateway.consent.inputs import (
    AcceptReply,
    Decision,
    Effect,
    HoldReply,
    Input,
    MeetDeadline,
    OpenQuestion,
    Send,
)
from gateway.consent.question import Question
from gateway.consent.redelivery import EarlierReply
from gateway.consent.texts import Kind
from tests.simulation.simulated_time import Timeline
from tests.simulation.simulated_truth import Truth

SEGMENTS = {Kind.REQUEST: 3, Kind.REPEAT: 3, Kind.AGREED: 2, Kind.REFUSED: 1, Kind.CLARIFY: 1}

Decide = Callable[[Case, Input, "Timeline", Rules], Decision]


@dataclass(slots=True, eq=False)
class Sms:
    sms_id: int
    case_id: str
    kind: Kind
    repeat: int
    msisdn: str
    reference: int
    state: str = "queued"  # queued, sending, accepted, refused, cancelled
    attempts: int = 0
    accepted_segments: int = 0
    refused: bool = False

    @property
    def segments(self) -> int:
        return SEGMENTS[self.kind]

    @property
    def is_bulk(self) -> bool:
        return self.kind in (Kind.REQUEST, Kind.REPEAT)

    @property
    def is_accepted(self) -> bool:
        return self.accepted_segments == (1 << self.segments) - 1


@dataclass(slots=True)
class Asked:
    """The case of the open question of a number, or of its last one."""

    case_id: str
    previous_case_id: str | None = None
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    case_id: str | None
    msisdn: str
    text: str
    at: float


@dataclass(slots=True)
class Rows:
    """The rows and the unit of work of gateway/usecases/unit_of_work.py, without SQL."""

    time: Timeline
    truth: Truth
    rules: Rules
    decide: Decide
    cases: dict[str, Case] = field(default_factory=dict)
    sms: dict[int, Sms] = field(default_factory=dict)
    calls: dict[str, Effect] = field(default_factory=dict)
    questions: dict[str, Asked] = field(default_factory=dict)
    references: dict[str, int] = field(default_factory=dict)
    recent: dict[tuple[str, str], float] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    held: dict[str, list[HoldReply]] = field(default_factory=dict)
    unacknowledged_periods: list[tuple[float, float]] = field(default_factory=list)  # from, to

    def apply(self, inputs: Sequence[tuple[str, Input]]) -> None:
        """Applies inputs to cases, and their effects."""
        acquiring: list[str] = []
        releasing: list[tuple[str, str]] = []
        for case_id, given in inputs:
            self._step(case_id, given, acquiring, releasing)
        while acquiring or releasing:
            opened_cases = [self._release(*held) for held in releasing]
            opened_cases += [self._acquire(case_id) for case_id in acquiring]
            acquiring, releasing = [], []
            for opened in opened_cases:
                if opened is not None:
                    self._step(opened, OpenQuestion(), acquiring, releasing)

    def due(self) -> list[tuple[str, Input]]:
        now = self.time.at
        return [
            (case_id, MeetDeadline())
            for case_id, case in self.cases.items()
            if case.due_at is not None and case.due_at <= now
        ]

    def addressee(self, msisdn: str, text: str) -> tuple[str | None, bool]:
        """(case of a reply from this number, whether it is a possible redelivery). The reply is stored."""
        case_id: str | None = None
        possible_redelivery = False
        if asked := self.questions.get(msisdn):
            sent = [s for s in self.sms.values() if s.case_id == asked.case_id and s.attempts]
            question = Question(
                case_id=asked.case_id,
                previous_case_id=asked.previous_case_id,
                open=asked.is_open,
                operator=None,
                links=frozenset(["link"] if sent else ()),
                accepted_by_smsc=any(sms.accepted_segments for sms in sent),
            )
            case_id, possible_redelivery = question.addressee(
                [
                    EarlierReply(
                        r.case_id,
                        any(began <= r.at <= ended for began, ended in self.unacknowledged_periods),
                    )
                    for r in self.replies
                    if r.msisdn == msisdn and r.text == text
                ]
            )
        self.replies.append(Reply(case_id, msisdn, text, self.time.now))
        return case_id, possible_redelivery

    def hold(self, case_id: str, given: HoldReply) -> None:
        """Applies the reply, which was stored last; its row is the case's unless it was ignored for its link."""
        self.apply([(case_id, given)])
        held = self.truth.happened[case_id][-1] is EventType.REPLY_HELD
        if not held and not given.reply.possible_redelivery:
            self.replies[-1] = replace(self.replies[-1], case_id=None)
        if held:
            self.held.setdefault(case_id, []).append(given)

    def acceptance(self, case_id: str) -> AcceptReply:
        """The input by which ops count the held reply of the case, if it has one."""
        verdict = self.cases[case_id].held
        held = [given for given in self.held.get(case_id, ()) if given.reply.verdict is verdict]
        happened = [e for e in self.truth.happened[case_id] if e in (EventType.ASKED, EventType.NUMBER_FOUND)]
        asked = happened[-1:] == [EventType.ASKED]
        return AcceptReply(held=held[-1] if held else None, asked=asked, by="ops")

    def note_unacknowledged(self, since: float) -> None:
        """The SMSC may not have received the responses since then."""
        self.unacknowledged_periods.append((since, self.time.now))

    def release(self) -> None:
        """Releases the texts that a killed process had claimed."""
        for sms in self.sms.values():
            if sms.state == "sending":
                sms.state = "queued"

    def _step(self, case_id: str, given: Input, acquiring: list[str], releasing: list[tuple[str, str]]) -> None:
        before = self.cases[case_id]
        decision = self.decide(before, given, self.time, self.rules)
        if decision.rejected:
            return
        after = self.cases[case_id] = decision.case
        for event in decision.events:
            self.truth.committed(case_id, event.name)
        if after.ended_at is not None:
            self.calls.pop(case_id, None)
        for effect in decision.effects:
            match effect:
                case Send():
                    self._queue(case_id, effect)
                case Effect.ACQUIRE_NUMBER:
                    acquiring.append(case_id)
                case Effect.RELEASE_NUMBER:
                    releasing.append((case_id, before.msisdn or ""))
                case Effect.WITHDRAW:
                    for sms in self.sms.values():
                        is_question = sms.is_bulk or sms.kind is Kind.CLARIFY
                        if (
                            sms.case_id == case_id
                            and sms.state == "queued"
                            and is_question
                            and not sms.accepted_segments
                        ):
                            sms.state = "cancelled"
                case Effect.LOOK_UP | Effect.FORM_VOUCHER:
                    self.calls[case_id] = effect

    def _queue(self, case_id: str, send: Send) -> None:
        msisdn = self.cases[case_id].msisdn or ""
        reference = self.references[msisdn] = self.references.get(msisdn, 0) + 1
        sms_id = len(self.sms) + 1
        self.sms[sms_id] = Sms(sms_id, case_id, send.text, send.repeat, msisdn, reference)

    def _acquire(self, case_id: str) -> str | None:
        msisdn = self.cases[case_id].msisdn or ""
        question = self.questions.get(msisdn)
        if question is not None and question.is_open:
            return None
        self.questions[msisdn] = Asked(case_id, question.case_id if question else None)
        return case_id

    def _release(self, case_id: str, msisdn: str) -> str | None:
        question = self.questions[msisdn]
        if not question.is_open or question.case_id != case_id:
            return None
        waiting = [i for i, c in self.cases.items() if c.state is State.WAITING and c.msisdn == msisdn]
        if not waiting:
            question.is_open = False
            return None
        self.questions[msisdn] = Asked(waiting[0], case_id)
        return waiting[0]
