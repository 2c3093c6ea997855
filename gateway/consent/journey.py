"""The journey of a case: the process of the order's annex 1 as a pure state machine. §: paragraphs of that annex.

``decide(case, given, now, rules)`` returns the new state of the case, the events to journal and the effects. It
uses no clock, network or database. Its transitions are in the table of consent/transitions.py: an input without a
transition for the case's state is rejected, or only journaled. A reply when no question is open is reported as
``late_reply``, one that contradicts a consent as ``withdrawal_requested``. A reply by a link that may not carry
the number is reported as ``reply_held`` and has no effect until ops count it.
"""

from datetime import datetime
from typing import assert_never

from gateway.consent.case import Case, Rules, State
from gateway.consent.events import Event, EventType
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
from gateway.consent.journey_actions import cancel, park, release, resend
from gateway.consent.journey_asking import (
    confirm_accepted,
    meet_deadline,
    report_delivered,
    report_refused,
    report_undeliverable,
    skip_recipient,
    use_number,
)
from gateway.consent.journey_replies import accept_reply, hold_reply, parent_reply
from gateway.consent.journey_voucher import close_voucher, follow_voucher
from gateway.consent.outcomes import reject
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
        return reject(case)
    match given:
        case OpenCase():
            return reject(case)  # the case is open already
        case UseNumber():
            return use_number(case, given)
        case SkipRecipient():
            return skip_recipient(case, given, now)
        case OpenQuestion():
            return Decision(case=case._replace(state=State.QUEUED), effects=(Send(text=Kind.REQUEST),))
        case ConfirmAccepted():
            return confirm_accepted(case, given, rules)
        case ReportRefused():
            return report_refused(case, given, now, rules)
        case ReportDelivered():
            return report_delivered(case, given)
        case ReportUndeliverable():
            return report_undeliverable(case, given, now, rules)
        case ParentReply():
            return parent_reply(case, given, now, rules)
        case HoldReply():
            return hold_reply(case, given)
        case AcceptReply():
            return accept_reply(case, given, now, rules)
        case MeetDeadline():
            return meet_deadline(case, now, rules)
        case IssueVoucher() | RejectVoucher():
            return close_voucher(case, given, now)
        case ActivateVoucher() | UseVoucher():
            return follow_voucher(case, given)
        case Park():
            return park(case, given)
        case Release():
            return release(case, given)
        case Resend():
            return resend(case, given)
        case Cancel():
            return cancel(case, given, now)
        case _:
            assert_never(given)
