"""Every input in every state: a transition of the journey's table, or no change of the case."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from gateway.consent.case import ENDED, State
from gateway.consent.events import DETAILS
from gateway.consent.inputs import (
    AcceptReply,
    ActivateVoucher,
    Cancel,
    ConfirmAccepted,
    Input,
    IssueVoucher,
    MeetDeadline,
    OpenCase,
    OpenQuestion,
    Park,
    RejectVoucher,
    Release,
    ReportDelivered,
    ReportUndeliverable,
    Resend,
    SkipRecipient,
    UseNumber,
    UseVoucher,
)
from gateway.consent.journey import decide, open_case
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from gateway.consent.transitions import ACCEPTED_IN, JOURNALED_ANYWHERE, TRANSITIONS, targets
from tests.consent.case_factories import (
    ACCEPTED,
    CASES,
    FALLBACK,
    FATHER,
    FRIDAY,
    MONDAY,
    MOTHER,
    RULES,
    TUESDAY,
    UNDELIVERABLE,
    accept,
    accepted,
    agree,
    by_other_link,
    delivered,
    parent_reply,
    refuse,
    refused_by_smsc,
    undeliverable,
)

INPUTS: Mapping[str, Input] = {
    "OpenCase": OpenCase(),
    "UseNumber": UseNumber(msisdn=MOTHER, operator="kcell"),
    "SkipRecipient": SkipRecipient(),
    "OpenQuestion": OpenQuestion(),
    "ConfirmAccepted request": accepted(),
    "ConfirmAccepted repeat": accepted(FRIDAY, repeat=1),
    "ConfirmAccepted text 3": ConfirmAccepted(text=Kind.AGREED, msisdn=MOTHER, at=MONDAY, detail=ACCEPTED),
    "ReportRefused request": refused_by_smsc(),
    "ReportRefused repeat": refused_by_smsc(repeat=1),
    "ReportRefused text 2": refused_by_smsc(text=Kind.REFUSED),
    "ReportDelivered request": delivered(),
    "ReportDelivered text 3": ReportDelivered(text=Kind.AGREED, msisdn=MOTHER),
    "ReportUndeliverable request": undeliverable(),
    "ReportUndeliverable clarification": ReportUndeliverable(
        text=Kind.CLARIFY, msisdn=MOTHER, detail=UNDELIVERABLE
    ),
    "agree": agree(),
    "agree, not submitted": parent_reply(Verdict.AGREE, submitted=False),
    "agree from another number": parent_reply(Verdict.AGREE, msisdn=FATHER),
    "refuse": refuse(),
    "unclear": parent_reply(Verdict.UNCLEAR),
    "other": parent_reply(Verdict.OTHER),
    "empty": parent_reply(Verdict.EMPTY),
    "hold agree": by_other_link(agree()),
    "hold unclear": by_other_link(parent_reply(Verdict.UNCLEAR)),
    "accept agree": accept(agree()),
    "accept refuse": accept(refuse()),
    "accept nothing": accept(None),
    "MeetDeadline": MeetDeadline(),
    "IssueVoucher": IssueVoucher(voucher_id="V-2"),
    "RejectVoucher": RejectVoucher(reason="not entitled"),
    "ActivateVoucher": ActivateVoucher(at=MONDAY),
    "UseVoucher": UseVoucher(at=MONDAY),
    "Park": Park(reason="no_route"),
    "Release": Release(by="ops"),
    "Resend": Resend(by="ops"),
    "Cancel": Cancel(reason="moved away", by="ops"),
}


MOVES: Mapping[tuple[str, str], State] = {
    ("looking_up", "UseNumber"): State.WAITING,
    ("looking_up", "SkipRecipient"): State.LOOKING_UP,
    ("looking_up", "Park"): State.PARKED,
    ("looking_up", "Cancel"): State.CANCELLED,
    ("waiting", "OpenQuestion"): State.QUEUED,
    ("waiting", "Cancel"): State.CANCELLED,
    ("queued", "ConfirmAccepted request"): State.ASKED,
    ("queued", "ReportRefused request"): State.UNDELIVERABLE,
    ("queued", "ReportUndeliverable request"): State.QUEUED,
    ("queued", "agree"): State.CONSENTED,
    ("queued", "refuse"): State.REFUSED,
    ("queued", "unclear"): State.QUEUED,
    ("queued", "hold agree"): State.QUEUED,
    ("queued", "Park"): State.PARKED,
    ("queued", "Cancel"): State.CANCELLED,
    ("asked", "ReportUndeliverable request"): State.ASKED,
    ("asked", "agree"): State.CONSENTED,
    ("asked", "agree, not submitted"): State.CONSENTED,
    ("asked", "refuse"): State.REFUSED,
    ("asked", "unclear"): State.ASKED,
    ("asked", "hold agree"): State.ASKED,
    ("asked", "MeetDeadline"): State.ASKED,
    ("asked", "Resend"): State.ASKED,
    ("asked", "Cancel"): State.CANCELLED,
    ("repeating", "ConfirmAccepted repeat"): State.REMINDED,
    ("repeating", "ReportRefused repeat"): State.ASKED,
    ("repeating", "ReportUndeliverable request"): State.ASKED,
    ("repeating", "agree"): State.CONSENTED,
    ("repeating", "agree, not submitted"): State.CONSENTED,
    ("repeating", "refuse"): State.REFUSED,
    ("repeating", "unclear"): State.ASKED,
    ("repeating", "hold agree"): State.ASKED,
    ("repeating", "Cancel"): State.CANCELLED,
    ("reminded", "ReportUndeliverable request"): State.REMINDED,
    ("reminded", "agree"): State.CONSENTED,
    ("reminded", "agree, not submitted"): State.CONSENTED,
    ("reminded", "refuse"): State.REFUSED,
    ("reminded", "unclear"): State.REMINDED,
    ("reminded", "hold agree"): State.REMINDED,
    ("reminded", "MeetDeadline"): State.NO_ANSWER,
    ("reminded", "Resend"): State.REMINDED,
    ("reminded", "Cancel"): State.CANCELLED,
    ("holding", "ReportUndeliverable request"): State.ASKED,
    ("holding", "agree"): State.CONSENTED,
    ("holding", "agree, not submitted"): State.CONSENTED,
    ("holding", "refuse"): State.REFUSED,
    ("holding", "unclear"): State.ASKED,
    ("holding", "accept agree"): State.CONSENTED,
    ("holding", "MeetDeadline"): State.ASKED,
    ("holding", "Resend"): State.ASKED,
    ("holding", "Cancel"): State.CANCELLED,
    ("no_answer, holding", "accept refuse"): State.REFUSED,
    ("consented", "IssueVoucher"): State.VOUCHER_ISSUED,
    ("consented", "RejectVoucher"): State.VOUCHER_REJECTED,
    ("consented", "ActivateVoucher"): State.CONSENTED,
    ("consented", "UseVoucher"): State.CONSENTED,
    ("consented", "Park"): State.PARKED,
    ("consented", "Resend"): State.CONSENTED,
    ("voucher_issued", "ActivateVoucher"): State.VOUCHER_ISSUED,
    ("voucher_issued", "UseVoucher"): State.VOUCHER_ISSUED,
    ("voucher_issued", "Resend"): State.VOUCHER_ISSUED,
    ("voucher_rejected", "Resend"): State.VOUCHER_REJECTED,
    ("refused", "Resend"): State.REFUSED,
    ("parked at look-up", "Release"): State.LOOKING_UP,
    ("parked at look-up", "Cancel"): State.CANCELLED,
    ("parked at routing", "Release"): State.WAITING,
    ("parked at routing", "Cancel"): State.CANCELLED,
    ("parked at voucher", "ActivateVoucher"): State.PARKED,
    ("parked at voucher", "UseVoucher"): State.PARKED,
    ("parked at voucher", "Release"): State.CONSENTED,
    ("parked at voucher", "Cancel"): State.CANCELLED,
}


@pytest.mark.parametrize(("state", "given"), list(product(CASES, INPUTS)))
def test_every_input_in_every_state_changes_the_case_as_listed_or_not_at_all(state: str, given: str) -> None:
    case = CASES[state]
    decision = decide(case, INPUTS[given], now=TUESDAY, rules=RULES)
    if (state, given) in MOVES:
        assert not decision.rejected
        assert decision.case.state is MOVES[state, given]
        assert decision.case != case or decision.effects
    else:
        assert decision.case == case
        assert not decision.effects
        assert bool(decision.events) is not decision.rejected


@pytest.mark.parametrize(("state", "given"), list(product(CASES, INPUTS)))
def test_every_decision_is_a_transition_of_the_table(state: str, given: str) -> None:
    case, kind = CASES[state], type(INPUTS[given])
    switches = (RULES, FALLBACK, replace(RULES, repeats=0), replace(RULES, clarify=False))
    for rules, now in product(switches, (MONDAY, FRIDAY, TUESDAY)):
        decision = decide(case, INPUTS[given], now=now, rules=rules)
        assert decision.rejected or decision.case.state in targets(case.state, kind)
        assert all(type(event.detail) in DETAILS[event.name] for event in decision.events)
        if kind in JOURNALED_ANYWHERE:
            assert not decision.rejected
        elif case.state not in ACCEPTED_IN.get(kind, ()):
            assert decision.rejected


def test_a_new_case_has_the_first_state_of_the_transition_table() -> None:
    (row,) = [row for row in TRANSITIONS if row.state is None]
    assert open_case(("mother",)).case.state in row.to


def test_the_transition_table_has_every_state_and_input_and_no_pair_twice() -> None:
    pairs = [(row.state, row.given) for row in TRANSITIONS]
    assert len(pairs) == len(set(pairs))
    assert {to for row in TRANSITIONS for to in row.to} == set(State)
    assert {row.given for row in TRANSITIONS} == set(get_args(Input))
    leaving_an_end = [row for row in TRANSITIONS if row.state in ENDED and row.to != (row.state,)]
    assert {row.given for row in leaving_an_end} == {AcceptReply}


def test_the_cases_of_these_tests_cover_every_state() -> None:
    assert {case.state for case in CASES.values()} == set(State)


def test_the_inputs_of_these_tests_cover_every_type() -> None:
    assert {type(given) for given in INPUTS.values()} == set(get_args(Input))
