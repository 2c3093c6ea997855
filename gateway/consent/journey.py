"""The journey of a case: the process of the order's annex 1 as a pure state machine. §: paragraphs of that annex.

``decide(case, given, now, rules)`` returns the new state of the case, the events to journal and the effects. It
uses no clock, network or database. Its transitions are in the table of consent/transitions.py: an input without a
transition for the case's state is rejected, or only journaled. A reply when no question is open is reported as
``late_reply``, one that contradicts a consent as ``withdrawal_requested``. A reply by a link that may not carry
the number is reported as ``reply_held`` and has no effect until ops count it.
"""

from datetime import datetime
from typing import assert_never

from gateway.consent.case import AGREED, Case, Rules, State
from gateway.consent.events import (
    AcceptedReply,
    By,
    Checked,
    EarlyEvent,
    Event,
    EventType,
    HeldReply,
    Reason,
    ReasonBy,
    Relation,
    Repeat,
    Reply,
    ReplyOfReason,
    TextKind,
    TextKindBy,
    Voucher,
)
from gateway.consent.inputs import (
    AcceptReply,
    ActivateVoucher,
    Cancel,
    ConfirmAccepted,
    Decision,
    Effect,
    HoldReply,
    Input,
    IssueVoucher,
    MeetDeadline,
    OpenCase,
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
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from gateway.consent.transitions import ACCEPTED_IN, JOURNALED_ANYWHERE


def open_case(relations: tuple[str, ...]) -> Decision:
    """The first decision on a new case: state, event, effect. `relations`: recipients in the order of asking."""
    return Decision(
        case=Case(state=State.LOOKING_UP, relations=relations),
        events=(Event(EventType.RECEIVED),),
        effects=(Effect.LOOK_UP,),
    )


def decide(case: Case, given: Input, now: datetime, rules: Rules) -> Decision:
    """The decision on one input, for every (state, input) pair; `now` is business time."""
    kind = type(given)
    if kind not in JOURNALED_ANYWHERE and case.state not in ACCEPTED_IN.get(kind, ()):
        return _reject(case)
    match given:
        case OpenCase():
            return _reject(case)  # the case is open already
        case UseNumber():
            return _use_number(case, given)
        case SkipRecipient():
            return _skip_recipient(case, given, now)
        case OpenQuestion():
            return Decision(case=case._replace(state=State.QUEUED), effects=(Send(text=Kind.REQUEST),))
        case ConfirmAccepted():
            return _confirm_accepted(case, given, rules)
        case ReportRefused():
            return _report_refused(case, given, now, rules)
        case ReportDelivered():
            return _report_delivered(case, given)
        case ReportUndeliverable():
            return _report_undeliverable(case, given, now, rules)
        case ParentReply():
            return _parent_reply(case, given, now, rules)
        case HoldReply():
            return _hold_reply(case, given)
        case AcceptReply():
            return _accept_reply(case, given, now, rules)
        case MeetDeadline():
            return _meet_deadline(case, now, rules)
        case IssueVoucher() | RejectVoucher():
            return _close_voucher(case, given, now)
        case ActivateVoucher() | UseVoucher():
            return _follow_voucher(case, given)
        case Park():
            return _park(case, given)
        case Release():
            return _release(case, given)
        case Resend():
            return _resend(case, given)
        case Cancel():
            return _cancel(case, given, now)
        case _:
            assert_never(given)


def _reject(case: Case) -> Decision:
    return Decision(case=case, rejected=True)


# --- finding a number (§7–8) --------------------------------------------------------------------------------


def _use_number(case: Case, given: UseNumber) -> Decision:
    return Decision(
        case=case._replace(state=State.WAITING, msisdn=given.msisdn, operator=given.operator),
        events=(Event(EventType.NUMBER_FOUND, Relation(case.relation)),),
        effects=(Effect.ACQUIRE_NUMBER,),
    )


def _skip_recipient(case: Case, given: SkipRecipient, now: datetime) -> Decision:
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
        ended = _end(case, State.UNDELIVERABLE, now)
    else:
        end = Event(EventType.NO_NUMBER, Checked(case.relations))
        ended = _end(case, State.NO_NUMBER, now)
    return Decision(case=ended, events=(why, end), effects=effects)


def _end(case: Case, state: State, now: datetime) -> Case:
    """The case as it ends; its held reply may still be counted if the question was asked and had no answer."""
    still_counts = case.state is not State.QUEUED and state in ACCEPTED_IN[AcceptReply]
    held = case.held if still_counts else None
    return case._replace(state=state, ended_at=now, due_at=None, resume=None, held=held)


# --- asking (§9–10) -----------------------------------------------------------------------------------------


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


def _confirm_accepted(case: Case, given: ConfirmAccepted, rules: Rules) -> Decision:
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


def _report_refused(case: Case, given: ReportRefused, now: datetime, rules: Rules) -> Decision:
    refused = Event(EventType.TEXT_REFUSED, given.detail)
    if not _is_under_way(case, given):
        return Decision(case=case, events=(refused,))
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, refused, now)
    if case.state is State.QUEUED:  # no request was accepted, so there is no D to count from
        return Decision(
            case=_end(case, State.UNDELIVERABLE, now),
            events=(refused, Event(EventType.UNDELIVERABLE)),
            effects=(Effect.RELEASE_NUMBER,),
        )
    # A repeat was refused: the parent may still reply to the text accepted before, until the day on which the
    # repeat would have ended.
    return Decision(
        case=case._replace(undelivered=case.undelivered | 1 << case.repeat, due_at=rules.calendar.end_at(now)),
        events=(refused,),
    )


def _report_delivered(case: Case, given: ReportDelivered) -> Decision:
    if given.text not in (Kind.REQUEST, Kind.REPEAT):
        return Decision(case=case, events=(Event(EventType.TEXT_DELIVERED, TextKind(given.text)),))
    event = Event(EventType.DELIVERED, TextKind(given.text))
    if not _is_question_at_current_number(case, given):
        return Decision(case=case, events=(event,))
    return Decision(case=case._replace(undelivered=case.undelivered & ~(1 << given.repeat)), events=(event,))


def _report_undeliverable(case: Case, given: ReportUndeliverable, now: datetime, rules: Rules) -> Decision:
    failed = Event(EventType.TEXT_UNDELIVERABLE, given.detail)
    is_open = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    if not is_open or not _is_question_at_current_number(case, given):
        return Decision(case=case, events=(failed,))
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, failed, now)
    return Decision(case=case._replace(undelivered=case.undelivered | 1 << given.repeat), events=(failed,))


def _give_up_number(case: Case, why: Event, now: datetime) -> Decision:
    """Asks the next recipient, because this number does not work (``journey.fallback_on_undeliverable``)."""
    following = _next_recipient(
        case._replace(unreachable=case.unreachable + 1),
        Event(EventType.RECIPIENT_UNREACHABLE, Relation(case.relation)),
        (Effect.WITHDRAW, Effect.RELEASE_NUMBER),
        now,
    )
    return following._replace(events=(why, *following.events))


def _meet_deadline(case: Case, now: datetime, rules: Rules) -> Decision:
    if case.due_at is None or now < case.due_at:
        return _reject(case)
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
    return Decision(case=_end(case, state, now), events=(Event(name),), effects=(Effect.RELEASE_NUMBER,))


# --- replies ------------------------------------------------------------------------------------------------


def _parent_reply(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    reply = Reply(rules.calendar.iso_local(given.reply_at), given.normalised)
    if given.verdict is Verdict.OTHER:
        return Decision(case=case, events=(Event(EventType.REPLY_OTHER),))
    if given.verdict is Verdict.EMPTY:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("empty")),))
    if _is_in_time(case, given):
        return _reply_in_time(case, given, now, rules)
    return _reply_out_of_time(case, given, reply)


def _is_in_time(case: Case, given: ParentReply) -> bool:
    """Whether the reply is one to the open question."""
    return given.msisdn == case.msisdn and (
        case.state in (State.ASKED, State.REMINDED) or (case.state is State.QUEUED and given.submitted)
    )


def _reply_in_time(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    if given.possible_redelivery:
        return _reask(case, given)
    if given.verdict is Verdict.UNCLEAR:
        unclear = Event(EventType.REPLY_UNCLEAR)
        if not rules.clarify or case.clarified >= case.repeat:
            return Decision(case=case, events=(unclear,))
        return Decision(
            case=case._replace(clarified=case.repeat),
            events=(unclear,),
            effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
        )
    return _count_reply(case, given, now, rules)


def _count_reply(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    """The consent or the refusal. The question is still open, or its case has ended without an answer."""
    reply = Reply(rules.calendar.iso_local(given.reply_at), given.normalised)
    closing = (Effect.WITHDRAW, Effect.RELEASE_NUMBER) if case.ended_at is None else ()
    # A reply may come before the last submit_sm_resp of the question: SDU always gets `asked` first.
    asked = (Event(EventType.ASKED, Relation(case.relation)),) if case.state is State.QUEUED else ()
    if given.verdict is Verdict.AGREE:
        return Decision(
            case=case._replace(
                state=State.CONSENTED,
                answered_at=given.reply_at,
                evidence=given.evidence,
                due_at=None,
                ended_at=None,
                held=None,
            ),
            events=(*asked, Event(EventType.CONSENTED, reply)),
            effects=(*closing, Send(text=Kind.AGREED, link=given.link), Effect.FORM_VOUCHER),
        )
    return Decision(
        case=_end(case, State.REFUSED, now)._replace(answered_at=given.reply_at),
        events=(*asked, Event(EventType.REFUSED, reply)),
        effects=(*closing, Send(text=Kind.REFUSED, link=given.link)),
    )


def _hold_reply(case: Case, given: HoldReply) -> Decision:
    """Holds for ops a clear reply to the open question, and a refusal after the consent; any other is ignored.

    A held agreement does not displace a held refusal: the SMSC may have delivered the agreement again.
    """
    reply = given.reply
    if reply.possible_redelivery:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("may be a copy")),))
    answers = reply.verdict in (Verdict.AGREE, Verdict.REFUSE) and _is_in_time(case, reply)
    withdraws = reply.verdict is Verdict.REFUSE and _has_agreed(case) and reply.msisdn == case.msisdn
    if not (answers or withdraws):
        reason = ReplyOfReason("not by a link of the number", given.digest)
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, reason),))
    held = case.held if case.held is Verdict.REFUSE else reply.verdict
    return Decision(
        case=case._replace(held=held),
        events=(Event(EventType.REPLY_HELD, HeldReply(reply.link, given.operator)),),
    )


def _accept_reply(case: Case, given: AcceptReply, now: datetime, rules: Rules) -> Decision:
    """Counts the held reply. It came in time, also when the case has ended without an answer since."""
    held, agreed = given.held, _has_agreed(case)
    if held is None or held.reply.verdict is not case.held or (case.state is State.PARKED and not agreed):
        return _reject(case)
    accepted = Event(EventType.REPLY_ACCEPTED, AcceptedReply(given.by, held.reply.link, held.digest))
    if agreed:
        withdrawal = Reply(rules.calendar.iso_local(held.reply.reply_at), held.reply.normalised)
        return Decision(
            case=case._replace(held=None),
            events=(accepted, Event(EventType.WITHDRAWAL_REQUESTED, withdrawal)),
        )
    counted = _count_reply(case, held.reply, now, rules)
    return counted._replace(events=(accepted, *counted.events))


def _has_agreed(case: Case) -> bool:
    return case.state in AGREED or (case.state is State.PARKED and case.resume is State.CONSENTED)


def _reask(case: Case, given: ParentReply) -> Decision:
    """A clarification for a possibly redelivered reply: it is no consent, but a genuine reply must not be ignored.

    Sent once per question text, also when ``journey.clarify`` is off, because the reply itself was clear.
    """
    unclear = Event(EventType.REPLY_UNCLEAR, Reason("may be a copy"))
    if case.reasked >= case.repeat:
        return Decision(case=case, events=(unclear,))
    return Decision(
        case=case._replace(reasked=case.repeat),
        events=(unclear,),
        effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
    )


def _reply_out_of_time(case: Case, given: ParentReply, reply: Reply) -> Decision:
    """A reply without effect on the state: the first one that counted stands, and a later one is only reported."""
    if given.possible_redelivery or given.verdict is Verdict.UNCLEAR:
        reason = "may be a copy" if given.possible_redelivery else "unclear"
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason(reason)),))
    unasked = case.state in (State.WAITING, State.QUEUED) or case.resume is State.WAITING
    if unasked and given.msisdn == case.msisdn:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, Reason("not asked yet")),))
    agreed = _has_agreed(case)
    same = given.verdict is (Verdict.AGREE if agreed else Verdict.REFUSE)
    if (agreed or case.state is State.REFUSED) and same:
        return Decision(case=case, events=(Event(EventType.REPLY_REPEATED, reply),))
    name = EventType.WITHDRAWAL_REQUESTED if agreed else EventType.LATE_REPLY
    return Decision(case=case, events=(Event(name, reply),))


# --- the voucher (§11–12) -----------------------------------------------------------------------------------


def _close_voucher(case: Case, given: IssueVoucher | RejectVoucher, now: datetime) -> Decision:
    if isinstance(given, RejectVoucher):
        return Decision(
            case=_end(case, State.VOUCHER_REJECTED, now),
            events=(Event(EventType.VOUCHER_REJECTED, Reason(given.reason)),),
        )
    voucher = Voucher(given.voucher_id)
    events = [Event(EventType.VOUCHER_ISSUED, voucher)]
    if case.activated_at is not None:  # the wallet's event came before its response
        events.append(Event(EventType.VOUCHER_ACTIVATED, voucher))
    if case.used_at is not None:
        events.append(Event(EventType.SERVICE_RECEIVED, voucher))
    issued = _end(case, State.VOUCHER_ISSUED, now)._replace(voucher_id=given.voucher_id)
    return Decision(case=issued, events=tuple(events))


def _follow_voucher(case: Case, given: ActivateVoucher | UseVoucher) -> Decision:
    early = case.state is State.CONSENTED or (case.state is State.PARKED and case.resume is State.CONSENTED)
    if case.state is State.PARKED and not early:
        return _reject(case)
    if isinstance(given, ActivateVoucher):
        first = case.activated_at is None
        following, name = case._replace(activated_at=case.activated_at or given.at), EventType.VOUCHER_ACTIVATED
    else:
        first = case.used_at is None
        following, name = case._replace(used_at=case.used_at or given.at), EventType.SERVICE_RECEIVED
    if not first:
        return Decision(case=case)
    if early:
        return Decision(case=following, events=(Event(EventType.VOUCHER_EVENT_EARLY, EarlyEvent(name)),))
    return Decision(case=following, events=(Event(name, Voucher(case.voucher_id)),))


# --- parking and manual actions -----------------------------------------------------------------------------


def _park(case: Case, given: Park) -> Decision:
    event = Event(EventType.PARKED, Reason(given.reason))
    if case.state is State.QUEUED:  # a parked case must not block its siblings
        parked = case._replace(state=State.PARKED, resume=State.WAITING)
        return Decision(case=parked, events=(event,), effects=(Effect.RELEASE_NUMBER,))
    return Decision(case=case._replace(state=State.PARKED, resume=case.state), events=(event,))


_RESUMED_BY = {
    State.LOOKING_UP: Effect.LOOK_UP,
    State.WAITING: Effect.ACQUIRE_NUMBER,
    State.CONSENTED: Effect.FORM_VOUCHER,
}


def _release(case: Case, given: Release) -> Decision:
    if case.resume is None:
        return _reject(case)
    return Decision(
        case=case._replace(state=case.resume, resume=None),
        events=(Event(EventType.RELEASED, By(given.by)),),
        effects=(_RESUMED_BY[case.resume],),
    )


def _resend(case: Case, given: Resend) -> Decision:
    if not case.relations:  # the case was erased
        return _reject(case)
    if case.state in (State.ASKED, State.REMINDED) and case.due_at is not None:
        send = Send(text=Kind.REPEAT if case.repeat else Kind.REQUEST, repeat=case.repeat)
    elif case.state in AGREED:
        send = Send(text=Kind.AGREED)
    elif case.state is State.REFUSED:
        send = Send(text=Kind.REFUSED)
    else:
        return _reject(case)
    resent = Event(EventType.RESENT, TextKindBy(send.text, given.by))
    return Decision(case=case, events=(resent,), effects=(send,))


def _cancel(case: Case, given: Cancel, now: datetime) -> Decision:
    """Ends an open case. The table has no transition from `consented`: the voucher may already exist."""
    asked = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    return Decision(
        case=_end(case, State.CANCELLED, now),
        events=(Event(EventType.CANCELLED, ReasonBy(given.reason, given.by)),),
        effects=(Effect.WITHDRAW, Effect.RELEASE_NUMBER) if asked else (),
    )
