"""What the parts of the journey decide alike."""

from datetime import datetime
from typing import Any

from gateway.consent.case import AGREED, Case, State
from gateway.consent.inputs import AcceptReply, Decision
from gateway.consent.transitions import ACCEPTED_IN


def reject(case: Case) -> Decision:
    return Decision(case=case, rejected=True)


def end_case(case: Case, state: State, now: datetime, **others: Any) -> Case:
    """The case as it ends, with `others` of its fields set.

    Its held reply may still be counted if the question had no reply that counts, and was asked: also perhaps, when
    the outcome of its text is unknown (`due_at` while it is queued).
    """
    may_be_asked = case.state is not State.QUEUED or case.due_at is not None
    held = case.held if may_be_asked and state in ACCEPTED_IN[AcceptReply] else None
    due_at = case.due_at if held is not None and has_agreed(case) else None  # of a held withdrawal
    return case._replace(state=state, ended_at=now, due_at=due_at, resume=None, held=held, **others)


def has_agreed(case: Case) -> bool:
    return case.state in AGREED or (case.state is State.PARKED and case.resume is State.CONSENTED)
