"""Recipients, replies and undeliverable texts: decisions of the journey, also where the order has no rule."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.consent.case import State
from gateway.consent.details import Checked, Reason, Relation, Reply
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import (
    Cancel,
    Effect,
    Input,
    MeetDeadline,
    OpenQuestion,
    Park,
    Release,
    Send,
    SkipRecipient,
    UseNumber,
)
from gateway.consent.journey import decide
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from tests.consent.case_factories import (
    CASES,
    FALLBACK,
    FATHER,
    FRIDAY,
    MONDAY,
    MOTHER,
    RULES,
    TUESDAY,
    accepted,
    after,
    agree,
    almaty,
    asked,
    delivered,
    fresh,
    names,
    parent_reply,
    queued,
    refuse,
    refused_by_smsc,
    reminded,
    undeliverable,
    without_response,
)

END_OF_THURSDAY = almaty("2026-11-27 00:10")
"""The end of the days to reply to a request of MONDAY, with the grace."""


def test_recipients_are_looked_up_as_mother_father_then_representatives() -> None:
    case = fresh("mother", "father", "representative", "representative")
    for relation in ("father", "representative", "representative"):
        decision = decide(case, SkipRecipient(), MONDAY, RULES)
        assert decision.effects == (Effect.LOOK_UP,)
        case = decision.case
        assert (case.state, case.relation) == (State.LOOKING_UP, relation)
    assert case.position == 3


def test_a_case_ends_as_no_number_after_all_recipients_and_lists_their_relations() -> None:
    case = after(fresh("mother", "father", "representative"), SkipRecipient(), SkipRecipient())
    decision = decide(case, SkipRecipient(), MONDAY, RULES)
    assert decision.case.state is State.NO_NUMBER
    assert decision.case.ended_at == MONDAY
    assert decision.events[-1] == Event(EventType.NO_NUMBER, Checked(("mother", "father", "representative")))


def test_an_invalid_number_is_journaled_and_the_next_recipient_is_looked_up() -> None:
    decision = decide(fresh(), SkipRecipient(invalid=True), MONDAY, RULES)
    assert names(decision) == ["number_invalid"]
    assert decision.case.relation == "father"


def test_a_found_number_is_acquired_before_the_request_is_sent() -> None:
    found = decide(fresh(), UseNumber(msisdn=MOTHER, operator="kcell"), MONDAY, RULES)
    assert found.effects == (Effect.ACQUIRE_NUMBER,)
    assert found.events == (Event(EventType.NUMBER_FOUND, Relation("mother")),)
    assert decide(found.case, OpenQuestion(), MONDAY, RULES).effects == (Send(text=Kind.REQUEST),)


def test_a_case_parked_at_look_up_looks_up_the_same_recipient_once_released() -> None:
    parked = after(fresh(), SkipRecipient(), Park(reason="mcb: 404"))
    assert parked.resume is State.LOOKING_UP
    released = decide(parked, Release(by="ops"), MONDAY, RULES)
    assert released.effects == (Effect.LOOK_UP,)
    assert released.case.relation == "father"


def test_a_case_parked_without_a_route_releases_its_number_until_it_is_released() -> None:
    parked = decide(queued(), Park(reason="no_route"), MONDAY, RULES)
    assert parked.effects == (Effect.RELEASE_NUMBER,)
    assert decide(parked.case, Release(by="ops"), MONDAY, RULES).effects == (Effect.ACQUIRE_NUMBER,)


@pytest.mark.parametrize(
    "closing", [agree(), refuse(), Cancel(reason="moved away", by="ops")], ids=["agree", "refuse", "cancel"]
)
def test_closing_a_question_releases_its_number(closing: Input) -> None:
    for case in (queued(), asked(), reminded()):
        assert decide(case, closing, FRIDAY, RULES).effects.count(Effect.RELEASE_NUMBER) == 1


def test_the_deadline_of_the_last_repeat_releases_the_number() -> None:
    assert decide(reminded(), MeetDeadline(), TUESDAY, RULES).effects == (Effect.RELEASE_NUMBER,)


def test_a_case_whose_request_and_repeat_are_undeliverable_ends_as_undeliverable() -> None:
    case = after(asked(), undeliverable())
    assert case.state is State.ASKED
    case = after(case, MeetDeadline(), accepted(FRIDAY, repeat=1), undeliverable(repeat=1), now=FRIDAY)
    ended = decide(case, MeetDeadline(), TUESDAY, RULES)
    assert names(ended) == ["undeliverable"]
    assert ended.case.state is State.UNDELIVERABLE


def test_a_case_with_one_text_not_undeliverable_ends_as_no_answer() -> None:
    case = after(asked(), undeliverable(), MeetDeadline(), accepted(FRIDAY, repeat=1), now=FRIDAY)
    assert names(decide(case, MeetDeadline(), TUESDAY, RULES)) == ["no_answer"]


def test_a_case_whose_request_the_smsc_refuses_is_undeliverable_at_once() -> None:
    decision = decide(queued(), refused_by_smsc(), MONDAY, RULES)
    assert names(decision) == ["text_refused", "undeliverable"]
    assert decision.case.state is State.UNDELIVERABLE
    assert decision.case.ended_at == MONDAY
    assert decision.effects == (Effect.RELEASE_NUMBER,)


def test_a_case_whose_repeat_is_refused_keeps_the_deadline_of_the_repeat() -> None:
    case = after(asked(), MeetDeadline(), refused_by_smsc(repeat=1), now=FRIDAY)
    assert (case.state, case.due_at) == (State.ASKED, TUESDAY)
    assert after(case, agree(FRIDAY), now=FRIDAY).state is State.CONSENTED
    assert after(case, MeetDeadline(), now=TUESDAY).state is State.NO_ANSWER


@pytest.mark.parametrize("failure", [undeliverable(), refused_by_smsc()], ids=["reported", "refused"])
def test_with_fallback_on_undeliverable_a_failed_text_leads_to_the_next_recipient(failure: Input) -> None:
    decision = decide(queued(), failure, MONDAY, FALLBACK)
    assert "recipient_unreachable" in names(decision)
    assert (decision.case.state, decision.case.relation) == (State.LOOKING_UP, "father")
    assert decision.effects == (Effect.WITHDRAW, Effect.RELEASE_NUMBER, Effect.LOOK_UP)


def test_with_fallback_on_undeliverable_the_last_failed_recipient_ends_the_case() -> None:
    decision = decide(asked("mother"), undeliverable(), MONDAY, FALLBACK)
    assert decision.case.state is State.UNDELIVERABLE
    assert names(decision) == ["text_undeliverable", "recipient_unreachable", "undeliverable"]


def test_a_case_without_a_number_after_an_unreachable_recipient_is_undeliverable() -> None:
    case = after(asked(), undeliverable(), rules=FALLBACK)
    assert names(decide(case, SkipRecipient(), MONDAY, FALLBACK)) == ["number_missing", "undeliverable"]


@pytest.mark.parametrize(
    "of_the_earlier_text",
    [accepted(), refused_by_smsc(), undeliverable(), delivered()],
    ids=["accepted", "refused", "undeliverable", "delivered"],
)
@pytest.mark.parametrize("sent", [False, True], ids=["queued", "asked"])
def test_the_outcome_of_a_text_to_an_earlier_recipient_is_only_journaled(
    of_the_earlier_text: Input, sent: bool
) -> None:
    case = after(asked(), undeliverable(), UseNumber(msisdn=FATHER), OpenQuestion(), rules=FALLBACK)
    if sent:
        case = after(case, accepted(msisdn=FATHER), rules=FALLBACK)
    decision = decide(case, of_the_earlier_text, MONDAY, FALLBACK)
    assert decision.case == case
    assert not decision.effects
    assert decision.events


def test_a_reply_counts_once_a_segment_was_submitted_and_asked_is_reported_first() -> None:
    decision = decide(queued(), agree(), MONDAY, RULES)
    assert names(decision) == ["asked", "consented"]
    assert decision.case.state is State.CONSENTED


def test_asked_is_not_reported_again_by_a_response_after_the_reply() -> None:
    consented = after(queued(), agree())
    assert names(decide(consented, accepted(), MONDAY, RULES)) == ["text_accepted"]


def test_a_reply_before_the_first_submitted_segment_is_only_journaled() -> None:
    decision = decide(queued(), parent_reply(Verdict.AGREE, submitted=False), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_IGNORED, Reason("not asked yet")),)


@pytest.mark.parametrize("state", ["waiting", "parked at routing"])
def test_a_reply_to_a_question_that_was_never_sent_is_ignored(state: str) -> None:
    assert names(decide(CASES[state], agree(), MONDAY, RULES)) == ["reply_ignored"]


def test_unclear_replies_get_one_clarification_per_request_and_repeat() -> None:
    unclear = parent_reply(Verdict.UNCLEAR)
    first = decide(asked(), unclear, MONDAY, RULES)
    assert first.effects == (Send(text=Kind.CLARIFY, link="kcell"),)
    assert not decide(first.case, unclear, MONDAY, RULES).effects
    repeated = after(first.case, MeetDeadline(), accepted(FRIDAY, repeat=1), now=FRIDAY)
    second = decide(repeated, unclear, FRIDAY, RULES)
    assert second.effects == (Send(text=Kind.CLARIFY, repeat=1, link="kcell"),)
    assert not decide(second.case, unclear, FRIDAY, RULES).effects


def test_a_clarification_does_not_move_the_deadline() -> None:
    assert after(asked(), parent_reply(Verdict.UNCLEAR)).due_at == FRIDAY


def test_with_clarify_off_an_unclear_reply_is_only_journaled() -> None:
    decision = decide(asked(), parent_reply(Verdict.UNCLEAR), MONDAY, replace(RULES, clarify=False))
    assert names(decision) == ["reply_unclear"]
    assert not decision.effects


@pytest.mark.parametrize("first", [agree(), refuse()], ids=["agree", "refuse"])
def test_a_repeated_reply_is_only_journaled(first: Input) -> None:
    decision = decide(after(asked(), first), first, MONDAY, RULES)
    assert names(decision) == ["reply_repeated"]
    assert not decision.effects


@pytest.mark.parametrize("state", ["consented", "voucher_issued", "voucher_rejected", "parked at voucher"])
def test_a_refusal_after_a_consent_is_a_withdrawal_request(state: str) -> None:
    decision = decide(CASES[state], parent_reply(Verdict.REFUSE, normalised=True), MONDAY, RULES)
    reply = Reply("2026-11-23T10:00:00.000+05:00", True)
    assert decision.events == (Event(EventType.WITHDRAWAL_REQUESTED, reply),)
    assert decision.case == CASES[state]


def test_a_consent_after_a_refusal_is_a_late_reply() -> None:
    decision = decide(CASES["refused"], agree(), MONDAY, RULES)
    assert names(decision) == ["late_reply"]
    assert decision.case.state is State.REFUSED


@pytest.mark.parametrize("at", ["2026-11-26 23:59:59.999", "2026-11-27 08:59", "2026-11-27 09:00"])
def test_a_reply_after_three_days_but_before_the_end_counts(at: str) -> None:
    assert after(asked(), agree(almaty(at)), now=almaty(at)).state is State.CONSENTED


@pytest.mark.parametrize("verdict", [Verdict.AGREE, Verdict.REFUSE])
@pytest.mark.parametrize("state", ["no_answer", "undeliverable", "cancelled"])
def test_a_reply_after_the_end_is_a_late_reply_and_nothing_is_sent(state: str, verdict: Verdict) -> None:
    decision = decide(CASES[state], parent_reply(verdict), TUESDAY, RULES)
    assert names(decision) == ["late_reply"]
    assert not decision.effects


def test_an_unclear_reply_after_the_end_is_only_journaled() -> None:
    assert names(decide(CASES["no_answer"], parent_reply(Verdict.UNCLEAR), TUESDAY, RULES)) == ["reply_ignored"]


def test_text_3_is_sent_with_the_consent_and_does_not_wait_for_the_wallet() -> None:
    decision = decide(asked(), agree(), MONDAY, RULES)
    assert decision.effects == (
        Effect.WITHDRAW,
        Effect.RELEASE_NUMBER,
        Send(text=Kind.AGREED, link="kcell"),
        Effect.FORM_VOUCHER,
    )


def test_a_repeat_is_due_at_the_opening_of_the_window_and_an_end_at_night() -> None:
    assert asked().due_at == FRIDAY
    assert decide(asked(), MeetDeadline(), FRIDAY - timedelta(microseconds=1), RULES).rejected
    assert reminded().due_at == TUESDAY


@pytest.mark.parametrize("verdict", [Verdict.AGREE, Verdict.REFUSE])
def test_a_possible_redelivery_is_unclear(verdict: Verdict) -> None:
    decision = decide(CASES["asked"], replace(parent_reply(verdict), possible_redelivery=True), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_UNCLEAR, Reason("may be a copy")),)
    assert [effect.text for effect in decision.effects if isinstance(effect, Send)] == [Kind.CLARIFY]
    assert decision.case.state is State.ASKED


def test_a_possible_redelivery_gets_one_clarification_also_with_clarify_off() -> None:
    without_clarification = replace(RULES, clarify=False)
    possible_redelivery = replace(parent_reply(Verdict.AGREE), possible_redelivery=True)
    once = decide(CASES["asked"]._replace(clarified=0), possible_redelivery, MONDAY, without_clarification)
    assert [effect.text for effect in once.effects if isinstance(effect, Send)] == [Kind.CLARIFY]
    assert decide(once.case, possible_redelivery, MONDAY, without_clarification).effects == ()
    assert (
        decide(once.case, parent_reply(Verdict.AGREE), MONDAY, without_clarification).case.state is State.CONSENTED
    )


def test_a_possible_redelivery_does_not_withdraw_a_consent() -> None:
    decision = decide(
        CASES["consented"], replace(parent_reply(Verdict.REFUSE), possible_redelivery=True), MONDAY, RULES
    )
    assert decision.events == (Event(EventType.REPLY_IGNORED, Reason("may be a copy")),)


def test_a_request_whose_outcome_is_unknown_can_be_replied_to_until_its_days_to_reply_have_passed() -> None:
    case = after(queued(), without_response(), now=MONDAY)
    assert (case.state, case.due_at) == (State.QUEUED, END_OF_THURSDAY)
    assert after(case, agree(MONDAY), now=MONDAY).state is State.CONSENTED
    ended = decide(case, MeetDeadline(), END_OF_THURSDAY, RULES)
    assert names(ended) == ["undeliverable"]
    assert ended.effects == (Effect.RELEASE_NUMBER,)


def test_a_repeat_whose_outcome_is_unknown_keeps_the_deadline_of_the_repeat() -> None:
    for rules in (RULES, FALLBACK):
        case = decide(after(asked(), MeetDeadline(), now=FRIDAY), without_response(repeat=1), FRIDAY, rules).case
        assert (case.state, case.due_at) == (State.ASKED, TUESDAY)


def test_with_fallback_the_next_recipient_is_asked_once_the_days_to_reply_to_an_unknown_request_have_passed() -> (
    None
):
    case = decide(queued(), without_response(), MONDAY, FALLBACK).case
    assert (case.state, case.due_at) == (State.QUEUED, END_OF_THURSDAY)
    following = decide(case, MeetDeadline(), END_OF_THURSDAY, FALLBACK)
    assert names(following) == ["recipient_unreachable"]
    assert following.case.state is State.LOOKING_UP
