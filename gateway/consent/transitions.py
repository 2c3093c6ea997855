"""The journey's transition table: which input moves a case from which state to which.

`decide` (consent/journey.py) rejects an input that the table does not have for the state. A test compares the
decision on every (state, input) pair with the table, and docs/architecture/journey.svg is drawn from it. §:
paragraphs of the order's annex 1. Conditions and effects of a transition are in `decide`.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from gateway.consent.case import State
from gateway.consent.inputs import (
    AcceptReply,
    ActivateVoucher,
    Cancel,
    ConfirmAccepted,
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
    SkipRecipient,
    UseNumber,
    UseVoucher,
)

_LOOKING_UP, _WAITING, _QUEUED = State.LOOKING_UP, State.WAITING, State.QUEUED
_ASKED, _REMINDED, _CONSENTED = State.ASKED, State.REMINDED, State.CONSENTED
_ISSUED, _REJECTED, _REFUSED = State.VOUCHER_ISSUED, State.VOUCHER_REJECTED, State.REFUSED
_NO_NUMBER, _NO_ANSWER, _UNDELIVERABLE = State.NO_NUMBER, State.NO_ANSWER, State.UNDELIVERABLE
_CANCELLED, _PARKED = State.CANCELLED, State.PARKED


class Transition(NamedTuple):
    """An input of type `given` moves a case from `state` (None: there is no case yet) to one of `to`."""

    state: State | None
    given: type[Input]
    to: tuple[State, ...]
    note: str = ""


TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, OpenCase, (_LOOKING_UP,), "received (§6)"),
    # The MCB is asked for a number (§7–8): the mother's, then the father's, then the representatives'.
    Transition(_LOOKING_UP, UseNumber, (_WAITING,), "number_found"),
    Transition(
        _LOOKING_UP, SkipRecipient, (_LOOKING_UP, _NO_NUMBER, _UNDELIVERABLE), "the next recipient, or the end"
    ),
    Transition(_WAITING, OpenQuestion, (_QUEUED,), "the request is queued (§9)"),
    # The question is asked, and repeated when the days to reply are over (§9–10).
    Transition(_QUEUED, ConfirmAccepted, (_QUEUED, _ASKED), "asked: the repeat is due on D+4"),
    Transition(
        _QUEUED, ReportRefused, (_QUEUED, _UNDELIVERABLE, _LOOKING_UP), "refused for good, or never responded to"
    ),
    Transition(_QUEUED, MeetDeadline, (_UNDELIVERABLE, _LOOKING_UP), "the request's outcome is unknown (§9)"),
    Transition(_QUEUED, ReportDelivered, (_QUEUED,), "delivered"),
    Transition(_QUEUED, ReportUndeliverable, (_QUEUED, _LOOKING_UP, _UNDELIVERABLE), "text_undeliverable"),
    Transition(_QUEUED, ParentReply, (_QUEUED, _CONSENTED, _REFUSED), "a reply before the submit_sm_resp"),
    Transition(_ASKED, MeetDeadline, (_ASKED, _NO_ANSWER, _UNDELIVERABLE), "the repeat is queued, or the end"),
    Transition(_ASKED, ConfirmAccepted, (_ASKED, _REMINDED), "reminded: the end is due on D'+4"),
    Transition(
        _ASKED,
        ReportRefused,
        (_ASKED, _LOOKING_UP, _UNDELIVERABLE),
        "the repeat was refused; its days to reply stay",
    ),
    Transition(_ASKED, ReportDelivered, (_ASKED,), "delivered"),
    Transition(_ASKED, ReportUndeliverable, (_ASKED, _LOOKING_UP, _UNDELIVERABLE), "text_undeliverable"),
    Transition(_ASKED, ParentReply, (_ASKED, _CONSENTED, _REFUSED), "3#1, 3#2, or unclear (§11)"),
    Transition(_REMINDED, MeetDeadline, (_REMINDED, _NO_ANSWER, _UNDELIVERABLE), "the next repeat, or the end"),
    Transition(_REMINDED, ConfirmAccepted, (_REMINDED,), "reminded"),
    Transition(
        _REMINDED,
        ReportRefused,
        (_REMINDED, _LOOKING_UP, _UNDELIVERABLE),
        "the repeat was refused; its days to reply stay",
    ),
    Transition(_REMINDED, ReportDelivered, (_REMINDED,), "delivered"),
    Transition(_REMINDED, ReportUndeliverable, (_REMINDED, _LOOKING_UP, _UNDELIVERABLE), "text_undeliverable"),
    Transition(_REMINDED, ParentReply, (_REMINDED, _CONSENTED, _REFUSED), "3#1, 3#2, or unclear (§11)"),
    # A reply by a link that may not carry the number: ops may count it, also once the days to reply have passed.
    *(Transition(state, HoldReply, (state,), "reply_held: ops decide") for state in (_QUEUED, _ASKED, _REMINDED)),
    *(
        Transition(state, AcceptReply, (_CONSENTED, _REFUSED), "ops count the held reply")
        for state in (_QUEUED, _ASKED, _REMINDED, _NO_ANSWER, _UNDELIVERABLE)
    ),
    # So it is with a refusal after the consent.
    *(
        Transition(state, given, (state,), note)
        for state in (_CONSENTED, _ISSUED, _REJECTED, _PARKED)
        for given, note in (
            (HoldReply, "reply_held: ops decide"),
            (AcceptReply, "withdrawal_requested"),
            (MeetDeadline, "the held reply lapses"),
        )
    ),
    # The wallet forms the voucher (§11–12).
    Transition(_CONSENTED, IssueVoucher, (_ISSUED,), "voucher_issued"),
    Transition(_CONSENTED, RejectVoucher, (_REJECTED,), "voucher_rejected"),
    Transition(_CONSENTED, ActivateVoucher, (_CONSENTED,), "the wallet's event came first"),
    Transition(_CONSENTED, UseVoucher, (_CONSENTED,), "the wallet's event came first"),
    Transition(_ISSUED, ActivateVoucher, (_ISSUED,), "voucher_activated"),
    Transition(_ISSUED, UseVoucher, (_ISSUED,), "service_received"),
    # Cases parked for ops, and manual actions.
    Transition(_LOOKING_UP, Park, (_PARKED,), "the MCB's response is invalid"),
    Transition(_QUEUED, Park, (_PARKED,), "no link carries the number"),
    Transition(_CONSENTED, Park, (_PARKED,), "the wallet's response is invalid"),
    Transition(_PARKED, Release, (_LOOKING_UP, _WAITING, _CONSENTED), "released"),
    Transition(_PARKED, ActivateVoucher, (_PARKED,), "parked at the wallet"),
    Transition(_PARKED, UseVoucher, (_PARKED,), "parked at the wallet"),
    *(
        Transition(state, Resend, (state,), "the current text once more")
        for state in (_ASKED, _REMINDED, _CONSENTED, _ISSUED, _REJECTED, _REFUSED)
    ),
    *(
        Transition(state, Cancel, (_CANCELLED,), "cancelled")
        for state in (_LOOKING_UP, _WAITING, _QUEUED, _ASKED, _REMINDED, _PARKED)
    ),
)

JOURNALED_ANYWHERE: frozenset[type[Input]] = frozenset(
    {ConfirmAccepted, ReportRefused, ReportDelivered, ReportUndeliverable, ParentReply, HoldReply}
)
"""Inputs that are never rejected: in a state without a transition for them they are only journaled."""


def _states_by_input() -> Mapping[type[Input], frozenset[State]]:
    states: defaultdict[type[Input], set[State]] = defaultdict(set)
    for row in TRANSITIONS:
        if row.state is not None:
            states[row.given].add(row.state)
    return {given: frozenset(states[given]) for given in states}


ACCEPTED_IN: Mapping[type[Input], frozenset[State]] = _states_by_input()
"""The states that have a transition for an input."""


_TARGETS: Mapping[tuple[State | None, type[Input]], frozenset[State]] = {
    (row.state, row.given): frozenset(row.to) for row in TRANSITIONS
}


def targets(state: State, given: type[Input]) -> frozenset[State]:
    """The states to which the input may move a case in `state`; only `state` itself without a transition."""
    found = _TARGETS.get((state, given))
    return found if found is not None else frozenset((state,))
