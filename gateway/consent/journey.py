"""The journey of a case: what the order asks for, as one pure state machine.

``decide(case, input, now, rules)`` answers with the case as it then stands, the events that happened and the
effects to bring about. It knows no clock, network or database. The order's paragraphs are those of annex 1.

======================  ==================  ============================================================
in state                on input            goes to
======================  ==================  ============================================================
looking_up (§7)         UseNumber           waiting: number_found, asks for the number's turn
                        SkipRecipient       looking_up the next one; after the last no_number (§8), or
                                            undeliverable when somebody's number had failed before
waiting (for the turn)  OpenQuestion            queued: the request is to be sent (§9)
queued                  ConfirmAccepted     asked: the repeat is due on D+4
                        ReportRefused       undeliverable, or looking_up the next one (switch)
asked, reminded         MeetDeadline        same state, the repeat is to be sent (§10); after the last one
                                            no_answer, or undeliverable when no text arrived
                        ConfirmAccepted     reminded: the end is due on D'+4
queued (once submitted to  ParentReply              consented: text 3, voucher (§11); refused: text 2;
the SMSC), asked,                           unclear: same state, at most one clarification a text
reminded                ReportUndeliverable same state, or looking_up the next one (switch)
consented               IssueVoucher        voucher_issued
                        RejectVoucher       voucher_rejected
voucher_issued          ActivateVoucher,    same state: voucher_activated, service_received (§12)
                        UseVoucher
looking_up, queued,     Park                parked, until Release puts it back
consented
any open but consented  Cancel              cancelled
======================  ==================  ============================================================

Whatever else comes in any state is journaled and changes nothing; an answer that comes when none is open is
reported as ``late_reply``, one that contradicts a consent as ``withdrawal_requested``.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from gateway.consent.case import AGREED, ENDED, Case, Event, EventType, Rules, State
from gateway.consent.inputs import (
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
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind


def decide(case: Case, given: Input, now: datetime, rules: Rules) -> Decision:
    """The decision on one input; `now` is business time. Never raises on any (state, input) pair."""
    match given:
        case UseNumber():
            return _use_number(case, given)
        case SkipRecipient():
            return _skip_recipient(case, given, now)
        case OpenQuestion():
            return _take_turn(case)
        case ConfirmAccepted():
            return _confirm_accepted(case, given, rules)
        case ReportRefused():
            return _report_refused(case, given, now, rules)
        case ReportDelivered():
            return _report_delivered(case, given)
        case ReportUndeliverable():
            return _report_undeliverable(case, given, now, rules)
        case ParentReply():
            return _answer(case, given, now, rules)
        case MeetDeadline():
            return _meet_deadline(case, now, rules)
        case IssueVoucher() | RejectVoucher():
            return _close_voucher(case, given, now)
        case ActivateVoucher() | UseVoucher():
            return _follow_voucher(case, given)
        case Park():
            return _park(case, given)
        case Release():
            return _release(case)
        case Resend():
            return _resend(case)
        case Cancel():
            return _cancel(case, given, now)
        case _:
            assert_never(given)


def _reject(case: Case) -> Decision:
    return Decision(case=case, rejected=True)


# --- finding a number (§7–8) --------------------------------------------------------------------------------


def _use_number(case: Case, given: UseNumber) -> Decision:
    if case.state is not State.LOOKING_UP:
        return _reject(case)
    return Decision(
        case=case._replace(state=State.WAITING, msisdn=given.msisdn, operator=given.operator),
        events=(Event(EventType.NUMBER_FOUND, {"relation": case.relation}),),
        effects=(Effect.ACQUIRE_NUMBER,),
    )


def _skip_recipient(case: Case, given: SkipRecipient, now: datetime) -> Decision:
    if case.state is not State.LOOKING_UP:
        return _reject(case)
    name = EventType.NUMBER_INVALID if given.invalid else EventType.NUMBER_MISSING
    return _next_recipient(case, Event(name, {"relation": case.relation}), (), now)


def _next_recipient(case: Case, why: Event, effects: tuple[Effect, ...], now: datetime) -> Decision:
    """Looks up the next recipient or, when there is none, ends."""
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
        )
        return Decision(case=following, events=(why,), effects=(*effects, Effect.LOOK_UP))
    if case.unreachable:
        end = Event(EventType.UNDELIVERABLE, {})
        ended = _end(case, State.UNDELIVERABLE, now)
    else:
        end = Event(EventType.NO_NUMBER, {"checked": list(case.relations)})
        ended = _end(case, State.NO_NUMBER, now)
    return Decision(case=ended, events=(why, end), effects=effects)


def _end(case: Case, state: State, now: datetime) -> Case:
    return case._replace(state=state, ended_at=now, due_at=None, resume=None)


# --- asking (§9–10) -----------------------------------------------------------------------------------------


def _take_turn(case: Case) -> Decision:
    if case.state is not State.WAITING:
        return _reject(case)
    return Decision(case=case._replace(state=State.QUEUED), effects=(Send(text=Kind.REQUEST),))


_Reported = ConfirmAccepted | ReportRefused | ReportDelivered | ReportUndeliverable


def _asks_that_number(case: Case, given: _Reported) -> bool:
    """The text asks, and at the number that is asked now: not at one given up before."""
    return given.text in (Kind.REQUEST, Kind.REPEAT) and given.msisdn == case.msisdn


def _is_under_way(case: Case, given: ConfirmAccepted | ReportRefused) -> bool:
    """The text is the question text the case now waits for (and no older or resent one)."""
    return (
        _asks_that_number(case, given)
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
        events=(accepted, Event(name, {"relation": case.relation})),
    )


def _report_refused(case: Case, given: ReportRefused, now: datetime, rules: Rules) -> Decision:
    refused = Event(EventType.TEXT_REFUSED, given.detail)
    if not _is_under_way(case, given):
        return Decision(case=case, events=(refused,))
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, refused, now)
    if case.state is State.QUEUED:  # never accepted: no D exists to count from
        return Decision(
            case=_end(case, State.UNDELIVERABLE, now),
            events=(refused, Event(EventType.UNDELIVERABLE, {})),
            effects=(Effect.RELEASE_NUMBER,),
        )
    # A repeat refused: the earlier text was accepted and may yet be answered, so the parent keeps the days
    # that the repeat would have given.
    return Decision(
        case=case._replace(undelivered=case.undelivered | 1 << case.repeat, due_at=rules.calendar.end_at(now)),
        events=(refused,),
    )


def _report_delivered(case: Case, given: ReportDelivered) -> Decision:
    if given.text not in (Kind.REQUEST, Kind.REPEAT):
        return Decision(case=case, events=(Event(EventType.TEXT_DELIVERED, {"text": given.text}),))
    event = Event(EventType.DELIVERED, {"text": given.text})
    if not _asks_that_number(case, given):
        return Decision(case=case, events=(event,))
    return Decision(case=case._replace(undelivered=case.undelivered & ~(1 << given.repeat)), events=(event,))


def _report_undeliverable(case: Case, given: ReportUndeliverable, now: datetime, rules: Rules) -> Decision:
    failed = Event(EventType.TEXT_UNDELIVERABLE, given.detail)
    is_open = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    if not is_open or not _asks_that_number(case, given):
        return Decision(case=case, events=(failed,))
    if rules.fallback_on_undeliverable:
        return _give_up_number(case, failed, now)
    return Decision(case=case._replace(undelivered=case.undelivered | 1 << given.repeat), events=(failed,))


def _give_up_number(case: Case, why: Event, now: datetime) -> Decision:
    """The switch ``fallback_on_undeliverable``: this number does not work, ask the next recipient."""
    following = _next_recipient(
        case._replace(unreachable=case.unreachable + 1),
        Event(EventType.RECIPIENT_UNREACHABLE, {"relation": case.relation}),
        (Effect.WITHDRAW, Effect.RELEASE_NUMBER),
        now,
    )
    return following._replace(events=(why, *following.events))


def _meet_deadline(case: Case, now: datetime, rules: Rules) -> Decision:
    if case.state not in (State.ASKED, State.REMINDED) or case.due_at is None or now < case.due_at:
        return _reject(case)
    if case.repeat < rules.repeats:
        repeat = case.repeat + 1
        return Decision(
            case=case._replace(repeat=repeat, due_at=None),
            events=(Event(EventType.REPEAT_DUE, {"repeat": repeat}),),
            effects=(Send(text=Kind.REPEAT, repeat=repeat),),
        )
    nothing_arrived = case.undelivered == (1 << case.repeat + 1) - 1
    state, name = (
        (State.UNDELIVERABLE, EventType.UNDELIVERABLE)
        if nothing_arrived
        else (State.NO_ANSWER, EventType.NO_ANSWER)
    )
    return Decision(case=_end(case, state, now), events=(Event(name, {}),), effects=(Effect.RELEASE_NUMBER,))


# --- replies ------------------------------------------------------------------------------------------------


def _answer(case: Case, given: ParentReply, now: datetime, rules: Rules) -> Decision:
    told: dict[str, object] = {
        "reply_at": rules.calendar.iso_local(given.reply_at),
        "normalised": given.normalised,
    }
    if given.verdict is Verdict.OTHER:
        return Decision(case=case, events=(Event(EventType.REPLY_OTHER, {}),))
    if given.verdict is Verdict.EMPTY:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, {"reason": "empty"}),))
    if given.msisdn == case.msisdn and (
        case.state in (State.ASKED, State.REMINDED) or (case.state is State.QUEUED and given.submitted)
    ):
        return _answer_in_time(case, given, told, now, rules)
    return _answer_out_of_time(case, given, told)


def _answer_in_time(
    case: Case, given: ParentReply, told: Mapping[str, object], now: datetime, rules: Rules
) -> Decision:
    if given.possible_redelivery:
        return _ask_again(case, given)
    if given.verdict is Verdict.UNCLEAR:
        unclear = Event(EventType.REPLY_UNCLEAR, {})
        if not rules.clarify or case.clarified >= case.repeat:
            return Decision(case=case, events=(unclear,))
        return Decision(
            case=case._replace(clarified=case.repeat),
            events=(unclear,),
            effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
        )
    # An answer may overtake the SMSC's last response: SDU always hears `asked` first.
    asked = (Event(EventType.ASKED, {"relation": case.relation}),) if case.state is State.QUEUED else ()
    if given.verdict is Verdict.AGREE:
        return Decision(
            case=case._replace(
                state=State.CONSENTED,
                answered_at=given.reply_at,
                evidence=given.evidence,
                due_at=None,
            ),
            events=(*asked, Event(EventType.CONSENTED, told)),
            effects=(
                Effect.WITHDRAW,
                Effect.RELEASE_NUMBER,
                Send(text=Kind.AGREED, link=given.link),
                Effect.FORM_VOUCHER,
            ),
        )
    return Decision(
        case=_end(case, State.REFUSED, now)._replace(answered_at=given.reply_at),
        events=(*asked, Event(EventType.REFUSED, told)),
        effects=(Effect.WITHDRAW, Effect.RELEASE_NUMBER, Send(text=Kind.REFUSED, link=given.link)),
    )


def _ask_again(case: Case, given: ParentReply) -> Decision:
    """What may be the copy of another answer is no consent; nor must a true one be lost in silence.

    So the parent is asked once a text, whatever the switch for unclear replies says: the fault is not hers.
    """
    unclear = Event(EventType.REPLY_UNCLEAR, {"reason": "may be a copy"})
    if case.reasked >= case.repeat:
        return Decision(case=case, events=(unclear,))
    return Decision(
        case=case._replace(reasked=case.repeat),
        events=(unclear,),
        effects=(Send(text=Kind.CLARIFY, repeat=case.repeat, link=given.link),),
    )


def _answer_out_of_time(case: Case, given: ParentReply, told: Mapping[str, object]) -> Decision:
    """The first answer stands; what comes later is a matter for people."""
    if given.possible_redelivery or given.verdict is Verdict.UNCLEAR:
        reason = "may be a copy" if given.possible_redelivery else "unclear"
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, {"reason": reason}),))
    unasked = case.state in (State.WAITING, State.QUEUED) or case.resume is State.WAITING
    if unasked and given.msisdn == case.msisdn:
        return Decision(case=case, events=(Event(EventType.REPLY_IGNORED, {"reason": "not asked yet"}),))
    agreed = case.state in AGREED or (case.state is State.PARKED and case.resume is State.CONSENTED)
    same = given.verdict is (Verdict.AGREE if agreed else Verdict.REFUSE)
    if (agreed or case.state is State.REFUSED) and same:
        return Decision(case=case, events=(Event(EventType.REPLY_REPEATED, told),))
    name = EventType.WITHDRAWAL_REQUESTED if agreed else EventType.LATE_REPLY
    return Decision(case=case, events=(Event(name, told),))


# --- the voucher (§11–12) -----------------------------------------------------------------------------------


def _close_voucher(case: Case, given: IssueVoucher | RejectVoucher, now: datetime) -> Decision:
    if case.state is not State.CONSENTED:
        return _reject(case)
    if isinstance(given, RejectVoucher):
        return Decision(
            case=_end(case, State.VOUCHER_REJECTED, now),
            events=(Event(EventType.VOUCHER_REJECTED, {"reason": given.reason}),),
        )
    told = {"voucher_id": given.voucher_id}
    events = [Event(EventType.VOUCHER_ISSUED, told)]
    if case.activated_at is not None:  # the wallet's news had overtaken its answer
        events.append(Event(EventType.VOUCHER_ACTIVATED, told))
    if case.used_at is not None:
        events.append(Event(EventType.SERVICE_RECEIVED, told))
    issued = _end(case, State.VOUCHER_ISSUED, now)._replace(voucher_id=given.voucher_id)
    return Decision(case=issued, events=tuple(events))


def _follow_voucher(case: Case, given: ActivateVoucher | UseVoucher) -> Decision:
    early = case.state is State.CONSENTED or (case.state is State.PARKED and case.resume is State.CONSENTED)
    if not early and case.state is not State.VOUCHER_ISSUED:
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
        return Decision(case=following, events=(Event(EventType.VOUCHER_EVENT_EARLY, {"event": name}),))
    return Decision(case=following, events=(Event(name, {"voucher_id": case.voucher_id}),))


# --- what people do -----------------------------------------------------------------------------------------


def _park(case: Case, given: Park) -> Decision:
    event = Event(EventType.PARKED, {"reason": given.reason})
    if case.state is State.QUEUED:  # siblings need not wait for ops
        parked = case._replace(state=State.PARKED, resume=State.WAITING)
        return Decision(case=parked, events=(event,), effects=(Effect.RELEASE_NUMBER,))
    if case.state in (State.LOOKING_UP, State.CONSENTED):
        return Decision(case=case._replace(state=State.PARKED, resume=case.state), events=(event,))
    return _reject(case)


_GO_ON = {
    State.LOOKING_UP: Effect.LOOK_UP,
    State.WAITING: Effect.ACQUIRE_NUMBER,
    State.CONSENTED: Effect.FORM_VOUCHER,
}


def _release(case: Case) -> Decision:
    if case.state is not State.PARKED or case.resume is None:
        return _reject(case)
    return Decision(
        case=case._replace(state=case.resume, resume=None),
        events=(Event(EventType.RELEASED, {}),),
        effects=(_GO_ON[case.resume],),
    )


def _resend(case: Case) -> Decision:
    if not case.relations:  # erased: nobody is known any more
        return _reject(case)
    if case.state in (State.ASKED, State.REMINDED) and case.due_at is not None:
        send = Send(text=Kind.REPEAT if case.repeat else Kind.REQUEST, repeat=case.repeat)
    elif case.state in AGREED:
        send = Send(text=Kind.AGREED)
    elif case.state is State.REFUSED:
        send = Send(text=Kind.REFUSED)
    else:
        return _reject(case)
    return Decision(case=case, events=(Event(EventType.RESENT, {"text": send.text}),), effects=(send,))


def _cancel(case: Case, given: Cancel, now: datetime) -> Decision:
    """Ends what is open. A consent that is being carried out is past cancelling: its voucher may exist."""
    if case.state in ENDED or case.state is State.CONSENTED:
        return _reject(case)
    asked = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    return Decision(
        case=_end(case, State.CANCELLED, now),
        events=(Event(EventType.CANCELLED, {"reason": given.reason}),),
        effects=(Effect.WITHDRAW, Effect.RELEASE_NUMBER) if asked else (),
    )
