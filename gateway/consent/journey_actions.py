"""What ops do to a case by hand, and the parking of a case that a program could not continue."""

from datetime import datetime

from gateway.consent.case import AGREED, Case, State
from gateway.consent.details import By, Reason, ReasonBy, TextKindBy
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Cancel, Decision, Effect, Park, Release, Resend, Send
from gateway.consent.outcomes import end_case, reject
from gateway.consent.texts import Kind


def park(case: Case, given: Park) -> Decision:
    event = Event(EventType.PARKED, Reason(given.reason))
    if case.state is State.QUEUED:  # a parked case must not block its siblings
        parked = case._replace(state=State.PARKED, resume=State.WAITING, due_at=None)
        return Decision(case=parked, events=(event,), effects=(Effect.RELEASE_NUMBER,))
    return Decision(case=case._replace(state=State.PARKED, resume=case.state), events=(event,))


_RESUMED_BY = {
    State.LOOKING_UP: Effect.LOOK_UP,
    State.WAITING: Effect.ACQUIRE_NUMBER,
    State.CONSENTED: Effect.FORM_VOUCHER,
}


def release(case: Case, given: Release) -> Decision:
    if case.resume is None:
        return reject(case)
    return Decision(
        case=case._replace(state=case.resume, resume=None),
        events=(Event(EventType.RELEASED, By(given.by)),),
        effects=(_RESUMED_BY[case.resume],),
    )


def resend(case: Case, given: Resend) -> Decision:
    if not case.relations:  # the case was erased
        return reject(case)
    if case.state in (State.ASKED, State.REMINDED) and case.due_at is not None:
        send = Send(text=Kind.REPEAT if case.repeat else Kind.REQUEST, repeat=case.repeat)
    elif case.state in AGREED:
        send = Send(text=Kind.AGREED)
    elif case.state is State.REFUSED:
        send = Send(text=Kind.REFUSED)
    else:
        return reject(case)
    resent = Event(EventType.RESENT, TextKindBy(send.text, given.by))
    return Decision(case=case, events=(resent,), effects=(send,))


def cancel(case: Case, given: Cancel, now: datetime) -> Decision:
    """Ends an open case. The table has no transition from `consented`: the voucher may already exist."""
    asked = case.state in (State.QUEUED, State.ASKED, State.REMINDED)
    return Decision(
        case=end_case(case, State.CANCELLED, now),
        events=(Event(EventType.CANCELLED, ReasonBy(given.reason, given.by)),),
        effects=(Effect.WITHDRAW, Effect.RELEASE_NUMBER) if asked else (),
    )
