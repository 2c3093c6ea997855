"""Replies by a link that may not carry the number: held for ops, who count them while nothing else has."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.consent.case import Rules, State
from gateway.consent.details import AcceptedReply, HeldReply, Reason, Reply, ReplyOfReason
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Cancel, Effect, Input, IssueVoucher, MeetDeadline, ParentReply, Send, UseNumber
from gateway.consent.journey import decide
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from tests.consent.case_factories import (
    CASES,
    FALLBACK,
    FATHER,
    FRIDAY,
    MONDAY,
    RULES,
    TUESDAY,
    accept,
    after,
    agree,
    asked,
    by_other_link,
    names,
    parent_reply,
    queued,
    refuse,
    refused_by_smsc,
    reminded,
    undeliverable,
    without_response,
)

MONTH = timedelta(days=30)

REPLY_AT_MONDAY = Reply("2026-11-23T10:00:00.000+05:00", False)
ACCEPTED = Event(EventType.REPLY_ACCEPTED, AcceptedReply("ops", "tele2", "hmac-sha256:00"))


@pytest.mark.parametrize("reply", [agree(), refuse()], ids=["agree", "refuse"])
@pytest.mark.parametrize("state", ["queued", "asked", "repeating", "reminded"])
def test_a_clear_reply_by_another_link_is_held_and_changes_no_state(state: str, reply: ParentReply) -> None:
    before = CASES[state]
    decision = decide(before, by_other_link(reply), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_HELD, HeldReply("tele2", "kcell")),)
    assert decision.case == before._replace(held=reply.verdict)
    assert decision.effects == ()


@pytest.mark.parametrize("verdict", [Verdict.UNCLEAR, Verdict.OTHER, Verdict.EMPTY])
def test_a_reply_by_another_link_that_is_not_clear_is_ignored(verdict: Verdict) -> None:
    decision = decide(asked(), by_other_link(parent_reply(verdict)), MONDAY, RULES)
    reason = ReplyOfReason("not by a link of the number", "hmac-sha256:00")
    assert decision.events == (Event(EventType.REPLY_IGNORED, reason),)
    assert decision.case == asked()


@pytest.mark.parametrize(
    "state", ["waiting", "refused", "no_answer", "cancelled", "parked at look-up", "parked at routing"]
)
def test_a_reply_by_another_link_is_not_held_when_no_question_is_open(state: str) -> None:
    decision = decide(CASES[state], by_other_link(refuse()), TUESDAY, RULES)
    assert names(decision) == ["reply_ignored"]
    assert decision.case == CASES[state]


def test_a_reply_by_another_link_before_the_question_was_submitted_is_not_held() -> None:
    early = parent_reply(Verdict.AGREE, submitted=False)
    assert names(decide(queued(), by_other_link(early), MONDAY, RULES)) == ["reply_ignored"]


def test_a_possible_redelivery_by_another_link_is_not_held() -> None:
    copy = replace(agree(), possible_redelivery=True)
    decision = decide(asked(), by_other_link(copy), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_IGNORED, Reason("may be a copy")),)
    assert decision.case.held is None


@pytest.mark.parametrize("state", ["asked", "reminded"])
def test_an_accepted_agreement_is_the_consent_of_the_time_at_which_it_came(state: str) -> None:
    holding = after(CASES[state], by_other_link(agree(MONDAY)))
    decision = decide(holding, accept(agree(MONDAY)), FRIDAY, RULES)
    assert decision.events == (ACCEPTED, Event(EventType.CONSENTED, REPLY_AT_MONDAY))
    assert decision.effects == (
        Effect.WITHDRAW,
        Effect.RELEASE_NUMBER,
        Send(text=Kind.AGREED, link="tele2"),
        Effect.FORM_VOUCHER,
    )
    case = decision.case
    assert (case.state, case.answered_at, case.evidence) == (State.CONSENTED, MONDAY, "sha256:00")
    assert (case.due_at, case.held) == (None, None)


def test_an_accepted_refusal_ends_the_case() -> None:
    decision = decide(after(asked(), by_other_link(refuse())), accept(refuse()), FRIDAY, RULES)
    assert decision.events == (ACCEPTED, Event(EventType.REFUSED, REPLY_AT_MONDAY))
    assert (decision.case.state, decision.case.ended_at) == (State.REFUSED, FRIDAY)
    assert Send(text=Kind.REFUSED, link="tele2") in decision.effects


def test_asked_is_reported_before_an_accepted_reply_to_a_question_under_way() -> None:
    holding = after(queued(), by_other_link(agree()))
    decision = decide(holding, accept(agree(), asked=False), MONDAY, RULES)
    assert names(decision) == ["reply_accepted", "asked", "consented"]


def test_a_reply_held_before_the_case_ended_without_an_answer_still_counts() -> None:
    ended = after(reminded(), by_other_link(agree(FRIDAY)), MeetDeadline(), now=TUESDAY)
    assert (ended.state, ended.held) == (State.NO_ANSWER, Verdict.AGREE)
    decision = decide(ended, accept(agree(FRIDAY)), TUESDAY, RULES)
    assert names(decision) == ["reply_accepted", "consented"]
    assert decision.effects == (Send(text=Kind.AGREED, link="tele2"), Effect.FORM_VOUCHER)
    assert (decision.case.state, decision.case.ended_at) == (State.CONSENTED, None)


def test_a_reply_held_before_the_texts_were_reported_undeliverable_still_counts() -> None:
    reported = after(reminded(), undeliverable(), undeliverable(repeat=1), by_other_link(refuse()), now=FRIDAY)
    ended = after(reported, MeetDeadline(), now=TUESDAY)
    assert ended.state is State.UNDELIVERABLE
    assert after(ended, accept(refuse()), now=TUESDAY).state is State.REFUSED


@pytest.mark.parametrize(
    "lapsing",
    [agree(), refuse(), Cancel(reason="moved away", by="ops"), accept(agree())],
    ids=["agree", "refuse", "cancel", "accepted already"],
)
def test_a_held_reply_lapses_once_the_question_has_another_end(lapsing: Input) -> None:
    case = after(asked(), by_other_link(agree()), lapsing)
    assert case.held is None
    assert decide(case, accept(agree()), MONDAY, RULES).rejected


def test_a_held_reply_lapses_when_the_question_is_refused_before_it_was_asked() -> None:
    ended = after(queued(), by_other_link(agree()), refused_by_smsc())
    assert (ended.state, ended.held) == (State.UNDELIVERABLE, None)
    assert decide(ended, accept(agree()), MONDAY, RULES).rejected


@pytest.mark.parametrize("rules", [RULES, FALLBACK], ids=["no fallback", "fallback"])
def test_a_held_reply_to_a_text_of_unknown_outcome_counts_after_the_case_has_ended(rules: Rules) -> None:
    holding = after(queued("mother", rules=rules), by_other_link(agree()), without_response(), rules=rules)
    ended = after(holding, MeetDeadline(), now=FRIDAY, rules=rules)
    assert (ended.state, ended.held) == (State.UNDELIVERABLE, Verdict.AGREE)
    decision = decide(ended, accept(agree(), asked=False), TUESDAY, rules)
    assert names(decision) == ["reply_accepted", "asked", "consented"]
    assert (decision.case.state, decision.case.answered_at) == (State.CONSENTED, MONDAY)


def test_a_held_reply_of_one_recipient_does_not_count_for_the_next() -> None:
    case = after(asked(), by_other_link(agree()), undeliverable(), UseNumber(msisdn=FATHER), rules=FALLBACK)
    assert case.held is None
    assert decide(case, accept(agree()), MONDAY, FALLBACK).rejected


def test_a_case_without_a_held_reply_rejects_its_acceptance() -> None:
    assert decide(asked(), accept(agree()), MONDAY, RULES).rejected
    assert decide(after(asked(), by_other_link(agree())), accept(None), MONDAY, RULES).rejected


@pytest.mark.parametrize("state", ["consented", "voucher_issued", "voucher_rejected", "parked at voucher"])
def test_a_refusal_by_another_link_after_the_consent_is_held_and_accepted_as_a_withdrawal(state: str) -> None:
    before = CASES[state]
    held = decide(before, by_other_link(refuse(MONDAY)), TUESDAY, RULES)
    assert held.events == (Event(EventType.REPLY_HELD, HeldReply("tele2", "kcell")),)
    assert held.case == before._replace(held=Verdict.REFUSE, due_at=MONDAY + MONTH)
    decision = decide(held.case, accept(refuse(MONDAY)), FRIDAY, RULES)
    assert decision.events == (ACCEPTED, Event(EventType.WITHDRAWAL_REQUESTED, REPLY_AT_MONDAY))
    assert (decision.case, decision.effects) == (before, ())
    assert decide(decision.case, accept(refuse(MONDAY)), FRIDAY, RULES).rejected


@pytest.mark.parametrize("reply", [agree(), parent_reply(Verdict.REFUSE, msisdn=FATHER)], ids=["agree", "other"])
def test_only_a_refusal_from_the_number_that_agreed_is_held_after_the_consent(reply: ParentReply) -> None:
    assert names(decide(CASES["voucher_issued"], by_other_link(reply), TUESDAY, RULES)) == ["reply_ignored"]


def test_a_held_withdrawal_is_kept_when_the_voucher_is_issued() -> None:
    case = after(CASES["consented"], by_other_link(refuse(MONDAY)), IssueVoucher(voucher_id="V-1"))
    assert (case.state, case.held, case.due_at) == (State.VOUCHER_ISSUED, Verdict.REFUSE, MONDAY + MONTH)


@pytest.mark.parametrize("state", ["consented", "voucher_issued", "voucher_rejected", "parked at voucher"])
def test_a_held_withdrawal_that_nobody_counts_lapses_after_30_days(state: str) -> None:
    before = CASES[state]
    held = after(before, by_other_link(refuse(MONDAY)))
    assert decide(held, MeetDeadline(), MONDAY + MONTH - timedelta(seconds=1), RULES).rejected
    lapsed = decide(held, MeetDeadline(), MONDAY + MONTH, RULES)
    assert lapsed.events == (Event(EventType.REPLY_IGNORED, Reason("held, and not counted")),)
    assert (lapsed.case, lapsed.effects) == (before, ())
    assert decide(lapsed.case, accept(refuse(MONDAY)), MONDAY + MONTH, RULES).rejected


def test_a_withdrawal_that_comes_again_is_held_for_30_days_from_then() -> None:
    assert (
        after(CASES["consented"], by_other_link(refuse(MONDAY)), by_other_link(refuse(FRIDAY))).due_at
        == FRIDAY + MONTH
    )


def test_a_held_refusal_stands_over_an_agreement_before_and_after_it() -> None:
    for first, second in ((agree(), refuse()), (refuse(), agree())):
        case = after(asked(), by_other_link(first), by_other_link(second))
        assert case.held is Verdict.REFUSE
        assert decide(case, accept(agree()), MONDAY, RULES).rejected
        assert after(case, accept(refuse())).state is State.REFUSED


def test_a_held_reply_keeps_the_deadline_and_the_repeat_of_the_question() -> None:
    holding = after(asked(), by_other_link(agree()))
    assert holding.due_at == asked().due_at
    decision = decide(holding, MeetDeadline(), FRIDAY, RULES)
    assert names(decision) == ["repeat_due"]
    assert decision.case.held is Verdict.AGREE
