"""Whom the order asks, and where it is silent: what the journey decides there."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.consent.case import State
from gateway.consent.events import Checked, Event, EventType, Reason, Relation, Reply
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
    answer,
    asked,
    delivered,
    fresh,
    names,
    queued,
    refuse,
    refused_by_smsc,
    reminded,
    undeliverable,
)


def test_mother_then_father_then_each_representative_is_looked_up() -> None:
    case = fresh("mother", "father", "representative", "representative")
    for relation in ("father", "representative", "representative"):
        decision = decide(case, SkipRecipient(), MONDAY, RULES)
        assert decision.effects == (Effect.LOOK_UP,)
        case = decision.case
        assert (case.state, case.relation) == (State.LOOKING_UP, relation)
    assert case.position == 3


def test_no_number_is_everybodys_and_says_whom_was_asked_for() -> None:
    case = after(fresh("mother", "father", "representative"), SkipRecipient(), SkipRecipient())
    decision = decide(case, SkipRecipient(), MONDAY, RULES)
    assert decision.case.state is State.NO_NUMBER
    assert decision.case.ended_at == MONDAY
    assert decision.events[-1] == Event(EventType.NO_NUMBER, Checked(("mother", "father", "representative")))


def test_an_invalid_number_counts_as_none_and_is_journaled_as_invalid() -> None:
    decision = decide(fresh(), SkipRecipient(invalid=True), MONDAY, RULES)
    assert names(decision) == ["number_invalid"]
    assert decision.case.relation == "father"


def test_a_found_number_waits_for_its_turn_before_anything_is_sent() -> None:
    found = decide(fresh(), UseNumber(msisdn=MOTHER, operator="kcell"), MONDAY, RULES)
    assert found.effects == (Effect.ACQUIRE_NUMBER,)
    assert found.events == (Event(EventType.NUMBER_FOUND, Relation("mother")),)
    assert decide(found.case, OpenQuestion(), MONDAY, RULES).effects == (Send(text=Kind.REQUEST),)


def test_a_neighbours_nonsense_parks_the_case_and_a_release_asks_for_the_same_person() -> None:
    parked = after(fresh(), SkipRecipient(), Park(reason="mcb: 404"))
    assert parked.resume is State.LOOKING_UP
    released = decide(parked, Release(), MONDAY, RULES)
    assert released.effects == (Effect.LOOK_UP,)
    assert released.case.relation == "father"


def test_a_case_without_a_link_gives_its_turn_back_until_it_is_released() -> None:
    parked = decide(queued(), Park(reason="no_route"), MONDAY, RULES)
    assert parked.effects == (Effect.RELEASE_NUMBER,)
    assert decide(parked.case, Release(), MONDAY, RULES).effects == (Effect.ACQUIRE_NUMBER,)


@pytest.mark.parametrize(
    "closing", [agree(), refuse(), Cancel(reason="moved away")], ids=["agree", "refuse", "cancel"]
)
def test_a_question_that_is_closed_lets_the_next_siblings_out(closing: Input) -> None:
    for case in (queued(), asked(), reminded()):
        assert decide(case, closing, FRIDAY, RULES).effects.count(Effect.RELEASE_NUMBER) == 1


def test_the_end_lets_the_next_siblings_question_out() -> None:
    assert decide(reminded(), MeetDeadline(), TUESDAY, RULES).effects == (Effect.RELEASE_NUMBER,)


def test_undeliverable_for_good_is_still_repeated_and_ends_as_undeliverable_when_the_repeat_fails_too() -> None:
    case = after(asked(), undeliverable())
    assert case.state is State.ASKED
    case = after(case, MeetDeadline(), accepted(FRIDAY, repeat=1), undeliverable(repeat=1), now=FRIDAY)
    ended = decide(case, MeetDeadline(), TUESDAY, RULES)
    assert names(ended) == ["undeliverable"]
    assert ended.case.state is State.UNDELIVERABLE


def test_one_text_that_arrived_makes_silence_no_answer() -> None:
    case = after(asked(), undeliverable(), MeetDeadline(), accepted(FRIDAY, repeat=1), now=FRIDAY)
    assert names(decide(case, MeetDeadline(), TUESDAY, RULES)) == ["no_answer"]


def test_refused_by_the_smsc_for_good_ends_at_once_as_undeliverable() -> None:
    decision = decide(queued(), refused_by_smsc(), MONDAY, RULES)
    assert names(decision) == ["text_refused", "undeliverable"]
    assert decision.case.state is State.UNDELIVERABLE
    assert decision.case.ended_at == MONDAY
    assert decision.effects == (Effect.RELEASE_NUMBER,)


def test_a_refused_repeat_leaves_the_days_that_it_would_have_given() -> None:
    case = after(asked(), MeetDeadline(), refused_by_smsc(repeat=1), now=FRIDAY)
    assert (case.state, case.due_at) == (State.ASKED, TUESDAY)
    assert after(case, agree(FRIDAY), now=FRIDAY).state is State.CONSENTED
    assert after(case, MeetDeadline(), now=TUESDAY).state is State.NO_ANSWER


@pytest.mark.parametrize("failure", [undeliverable(), refused_by_smsc()], ids=["reported", "refused"])
def test_with_the_switch_an_undeliverable_text_leads_to_the_next_recipient(failure: Input) -> None:
    decision = decide(queued(), failure, MONDAY, FALLBACK)
    assert "recipient_unreachable" in names(decision)
    assert (decision.case.state, decision.case.relation) == (State.LOOKING_UP, "father")
    assert decision.effects == (Effect.WITHDRAW, Effect.RELEASE_NUMBER, Effect.LOOK_UP)


def test_with_the_switch_the_last_unreachable_recipient_makes_the_case_undeliverable() -> None:
    decision = decide(asked("mother"), undeliverable(), MONDAY, FALLBACK)
    assert decision.case.state is State.UNDELIVERABLE
    assert names(decision) == ["text_undeliverable", "recipient_unreachable", "undeliverable"]


def test_nobody_left_after_an_unreachable_mother_is_undeliverable_and_not_no_number() -> None:
    case = after(asked(), undeliverable(), rules=FALLBACK)
    assert names(decide(case, SkipRecipient(), MONDAY, FALLBACK)) == ["number_missing", "undeliverable"]


@pytest.mark.parametrize(
    "of_the_mother",
    [accepted(), refused_by_smsc(), undeliverable(), delivered()],
    ids=["accepted", "refused", "undeliverable", "delivered"],
)
@pytest.mark.parametrize("sent", [False, True], ids=["queued", "asked"])
def test_what_becomes_of_a_text_to_the_mother_says_nothing_of_the_father(of_the_mother: Input, sent: bool) -> None:
    case = after(asked(), undeliverable(), UseNumber(msisdn=FATHER), OpenQuestion(), rules=FALLBACK)
    if sent:
        case = after(case, accepted(msisdn=FATHER), rules=FALLBACK)
    decision = decide(case, of_the_mother, MONDAY, FALLBACK)
    assert decision.case == case
    assert not decision.effects
    assert decision.events


def test_an_answer_counts_from_the_first_segment_handed_and_asked_is_told_before_it() -> None:
    decision = decide(queued(), agree(), MONDAY, RULES)
    assert names(decision) == ["asked", "consented"]
    assert decision.case.state is State.CONSENTED


def test_asked_is_told_once_when_the_last_response_comes_after_the_answer() -> None:
    consented = after(queued(), agree())
    assert names(decide(consented, accepted(), MONDAY, RULES)) == ["text_accepted"]


def test_an_answer_before_the_first_segment_is_only_journaled() -> None:
    decision = decide(queued(), answer(Verdict.AGREE, submitted=False), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_IGNORED, Reason("not asked yet")),)


@pytest.mark.parametrize("state", ["waiting", "parked at routing"])
def test_an_answer_to_a_question_that_never_went_out_is_no_late_reply(state: str) -> None:
    assert names(decide(CASES[state], agree(), MONDAY, RULES)) == ["reply_ignored"]


def test_an_unclear_reply_gets_one_clarification_a_question_and_stage() -> None:
    unclear = answer(Verdict.UNCLEAR)
    first = decide(asked(), unclear, MONDAY, RULES)
    assert first.effects == (Send(text=Kind.CLARIFY, link="kcell"),)
    assert not decide(first.case, unclear, MONDAY, RULES).effects
    repeated = after(first.case, MeetDeadline(), accepted(FRIDAY, repeat=1), now=FRIDAY)
    second = decide(repeated, unclear, FRIDAY, RULES)
    assert second.effects == (Send(text=Kind.CLARIFY, repeat=1, link="kcell"),)
    assert not decide(second.case, unclear, FRIDAY, RULES).effects


def test_a_clarification_does_not_move_the_deadline() -> None:
    assert after(asked(), answer(Verdict.UNCLEAR)).due_at == FRIDAY


def test_without_the_switch_nothing_is_clarified() -> None:
    decision = decide(asked(), answer(Verdict.UNCLEAR), MONDAY, replace(RULES, clarify=False))
    assert names(decision) == ["reply_unclear"]
    assert not decision.effects


@pytest.mark.parametrize("first", [agree(), refuse()], ids=["agree", "refuse"])
def test_the_same_answer_again_is_only_journaled(first: Input) -> None:
    decision = decide(after(asked(), first), first, MONDAY, RULES)
    assert names(decision) == ["reply_repeated"]
    assert not decision.effects


@pytest.mark.parametrize("state", ["consented", "voucher_issued", "voucher_rejected", "parked at voucher"])
def test_a_refusal_after_a_consent_is_a_request_to_withdraw_it(state: str) -> None:
    decision = decide(CASES[state], answer(Verdict.REFUSE, normalised=True), MONDAY, RULES)
    reply = Reply("2026-11-23T10:00:00.000+05:00", True)
    assert decision.events == (Event(EventType.WITHDRAWAL_REQUESTED, reply),)
    assert decision.case == CASES[state]


def test_a_consent_after_a_refusal_is_a_late_reply() -> None:
    decision = decide(CASES["refused"], agree(), MONDAY, RULES)
    assert names(decision) == ["late_reply"]
    assert decision.case.state is State.REFUSED


@pytest.mark.parametrize("at", ["2026-11-26 23:59:59.999", "2026-11-27 08:59", "2026-11-27 09:00"])
def test_an_answer_after_three_days_but_before_the_end_counts(at: str) -> None:
    assert after(asked(), agree(almaty(at)), now=almaty(at)).state is State.CONSENTED


@pytest.mark.parametrize("verdict", [Verdict.AGREE, Verdict.REFUSE])
@pytest.mark.parametrize("state", ["no_answer", "undeliverable", "cancelled"])
def test_an_answer_after_the_end_is_a_late_reply_and_nothing_is_sent(state: str, verdict: Verdict) -> None:
    decision = decide(CASES[state], answer(verdict), TUESDAY, RULES)
    assert names(decision) == ["late_reply"]
    assert not decision.effects


def test_an_unclear_reply_after_the_end_is_only_journaled() -> None:
    assert names(decide(CASES["no_answer"], answer(Verdict.UNCLEAR), TUESDAY, RULES)) == ["reply_ignored"]


def test_text_three_goes_out_with_the_consent_and_does_not_wait_for_the_wallet() -> None:
    decision = decide(asked(), agree(), MONDAY, RULES)
    assert decision.effects == (
        Effect.WITHDRAW,
        Effect.RELEASE_NUMBER,
        Send(text=Kind.AGREED, link="kcell"),
        Effect.FORM_VOUCHER,
    )


def test_an_end_in_the_night_is_the_end_and_a_repeat_waits_for_the_window() -> None:
    assert asked().due_at == FRIDAY
    assert decide(asked(), MeetDeadline(), FRIDAY - timedelta(microseconds=1), RULES).rejected
    assert reminded().due_at == TUESDAY


@pytest.mark.parametrize("verdict", [Verdict.AGREE, Verdict.REFUSE])
def test_what_may_be_another_answers_copy_is_unclear(verdict: Verdict) -> None:
    decision = decide(CASES["asked"], replace(answer(verdict), possible_redelivery=True), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_UNCLEAR, Reason("may be a copy")),)
    assert [effect.text for effect in decision.effects if isinstance(effect, Send)] == [Kind.CLARIFY]
    assert decision.case.state is State.ASKED


def test_an_answer_that_may_be_a_copy_is_asked_for_again_once_a_text_whatever_the_switch() -> None:
    silent = replace(RULES, clarify=False)
    possible_redelivery = replace(answer(Verdict.AGREE), possible_redelivery=True)
    once = decide(CASES["asked"]._replace(clarified=0), possible_redelivery, MONDAY, silent)
    assert [effect.text for effect in once.effects if isinstance(effect, Send)] == [Kind.CLARIFY]
    assert decide(once.case, possible_redelivery, MONDAY, silent).effects == ()
    assert decide(once.case, answer(Verdict.AGREE), MONDAY, silent).case.state is State.CONSENTED


def test_what_may_be_another_answers_copy_withdraws_no_consent() -> None:
    decision = decide(CASES["consented"], replace(answer(Verdict.REFUSE), possible_redelivery=True), MONDAY, RULES)
    assert decision.events == (Event(EventType.REPLY_IGNORED, Reason("may be a copy")),)
