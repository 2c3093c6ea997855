"""The journey until the reply: a number is found (§7–8), the question is asked and repeated (§9–10)."""

from datetime import datetime

from gateway.consent.case import Case, Rules, State
from gateway.consent.details import Checked, Relation, Repeat, TextKind, TextWithoutResponse
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import (
    ConfirmAccepted,
    Decision,
    Effect,
    ReportDelivered,
    ReportRefused,
    ReportUndeliverable,
    Send,
    SkipRecipient,
    UseNumber,
)
from gateway.consent.journey_replies import drop_withdrawal
from gateway.consent.outcomes import end_case, has_agreed, reject
from gateway.consent.texts import Kind


def use_number(case: Case, given: UseNumber) -> Decision:
    return Decision(
        case=case._replace(state=State.WAITING, msisdn=given.msisdn, operator=given.operator),
        events=(Event(EventType.NUMBER_FOUND, Relation(case.relation)),),
        effects=(Effect.ACQUIRE_NUMBER,),
    )


def skip_recipient(case: Case, given: SkipRecipient, now: datetime) -> Decision:
    name = EventType.NUMBER_INVALID if given.invalid else EventType.NUMBER_MISSING
    return _next_recipient(case, Event(name, Relation(case.relation)), (), now)


def _next_recipient(case: Case, why: Event, effects: tuple[Effect, ...], now: datetime) -> Decision:
    """Looks up the next recipient; without one, ends the case."""
    if case.position + 1 < len(case.relations):
        following = case._replace(
            state=State.LOOKING_UP,
            position=case.position + 1,
            msisdn=None,
            operator=None,
            repeat=0,
            undelivered=0,
            clarified=-1,
            reasked=-1,
            due_at=None,
            held=None,
        )
        return Decision(case=following, events=(why,), effects=(*effects, Effect.LOOK_UP))
    if case.unreachable:
        end = Event(EventType.UNDELIVERABLE)
        ended = end_case(case, State.UNDELIVERABLE, now)
    else:
        end = Event(EventType.NO_NUMBER, Checked(case.relations))
        ended = end_case(case, State.NO_NUMBER, now)
    return Decision(case=ended, events=(why, end), effects=effects)


_TextReport = ConfirmAccepted | ReportRefused | ReportDelivered | ReportUndeliverable


def _is_question_at_current_number(case: Case, given: _TextReport) -> bool:
    """Whether the text is a question, sent to the number that is asked now and not to an earlier recipient's."""
    return given.text in (Kind.REQUEST, Kind.REPEAT) and given.msisdn == case.msisdn


def _is_under_way(case: Case, given: ConfirmAccepted | ReportRefused) -> bool:
    """Whether the case waits for this question text: it is neither an older nor a resent one."""
    return (
        _is_question_at_current_number(case, given)
        and given.repeat == case.repeat
        and case.due_at is None
        and case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    )


def confirm_accepted(case: Case, given: ConfirmAccepted, rules: Rules) -> Decision:
    accepted = Event(EventType.TEXT_ACCEPTED, given.detail)
    if not _is_under_way(case, given):
        return Decision(case=case, events=(accepted,))
    last = case.repeat >= rules.repeats
    due_at = rules.calendar.end_at(given.at) if last else rules.calendar.repeat_at(given.at)
    state, name = (State.ASKED, EventType.ASKED) if case.repeat == 0 else (State.REMINDED, EventType.REMINDED)
    return Decision(
        case=case._replace(state=state, due_at=due_at),
        events=(accepted, Event(name, Relation(case.relation))),
    )


def report_refused(case: Case, given: ReportRefused, now: datetime, rules: Rules) -> Decision:
    refused = Event(EventType.TEXT_REFUSED, given.detail)
    if not _is_under_way(case, given):
        return Decision(case=case, events=(refused,))
    may_be_asked = isinstance(given.detail, TextWithoutResponse)
    if rules.fallback_on_undeliverable and not may_be_asked:
        return _give_up_number(case, now, refused)
    if case.state is State.QUEUED and not may_be_asked:  # no request was accepted, so there is no D to count from
        return Decision(
            case=end_case(case, State.UNDELIVERABLE, now),
            events=(refused, Event(EventType.UNDELIVERABLE)),
            effects=(Effect.RELEASE_NUMBER,),
        )
    # The parent may still reply to a text that was accepted before, or to this one if its outcome is unknown,
    # until the day on which its days to reply would have ended.
    return Decision(
        case=case._replace(undelivered=case.undelivered | 1 << case.repeat, due_at=rules.calendar.end_at(now)),
        events=(refused,),
    )


def _end_unasked(case: Case, now: datetime, rules: Rules) -> Decision:
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, now)
    return Decision(
        case=end_case(case, State.UNDELIVERABLE, now),
        events=(Event(EventType.UNDELIVERABLE),),
        effects=(Effect.RELEASE_NUMBER,),
    )


def report_delivered(case: Case, given: ReportDelivered) -> Decision:
    if given.text not in (Kind.REQUEST, Kind.REPEAT):
        return Decision(case=case, events=(Event(EventType.TEXT_DELIVERED, TextKind(given.text)),))
    event = Event(EventType.DELIVERED, TextKind(given.text))
    if not _is_question_at_current_number(case, given):
        return Decision(case=case, events=(event,))
    return Decision(case=case._replace(undelivered=case.undelivered & ~(1 << given.repeat)), events=(event,))


def report_undeliverable(case: Case, given: ReportUndeliverable, now: datetime, rules: Rules) -> Decision:
    failed = Event(EventType.TEXT_UNDELIVERABLE, given.detail)
    is_open = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    if not is_open or not _is_question_at_current_number(case, given):
        return Decision(case=case, events=(failed,))
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, now, failed)
    return Decision(case=case._replace(undelivered=case.undelivered | 1 << given.repeat), events=(failed,))


def _give_up_number(case: Case, now: datetime, *why: Event) -> Decision:
    """Asks the next recipient, because this number does not work (``journey.fallback_on_undeliverable``)."""
    following = _next_recipient(
        case._replace(unreachable=case.unreachable + 1),
        Event(EventType.RECIPIENT_UNREACHABLE, Relation(case.relation)),
        (Effect.WITHDRAW, Effect.RELEASE_NUMBER),
        now,
    )
    return following._replace(events=(*why, *following.events))


def meet_deadline(case: Case, now: datetime, rules: Rules) -> Decision:
    if case.due_at is None or now < case.due_at:
        return reject(case)
    if has_agreed(case):
        return drop_withdrawal(case)
    if case.state is State.QUEUED:  # the request's outcome is unknown, and nobody has replied to it
        return _end_unasked(case, now, rules)
    if case.repeat < rules.repeats:
        repeat = case.repeat + 1
        return Decision(
            case=case._replace(repeat=repeat, due_at=None),
            events=(Event(EventType.REPEAT_DUE, Repeat(repeat)),),
            effects=(Send(text=Kind.REPEAT, repeat=repeat),),
        )
    none_delivered = case.undelivered == (1 << case.repeat + 1) - 1
    state, name = (
        (State.UNDELIVERABLE, EventType.UNDELIVERABLE)
        if none_delivered
        else (State.NO_ANSWER, EventType.NO_ANSWER)
    )
    return Decision(case=end_case(case, state, now), events=(Event(name),), effects=(Effect.RELEASE_NUMBER,))
