"""The journey of a case, decided without database, network or clock."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.consent.deadlines import Calendar, load_timezone, parse_send_window
from gateway.consent.journey import (
    ENDED,
    STATUSES,
    ActivateVoucher,
    Answer,
    Cancel,
    Case,
    ConfirmAccepted,
    Decision,
    Effect,
    Event,
    Happened,
    Input,
    IssueVoucher,
    MeetDeadline,
    Park,
    RejectVoucher,
    Release,
    ReportDelivered,
    ReportRefused,
    ReportUndeliverable,
    Resend,
    Rules,
    Send,
    SkipRecipient,
    State,
    TakeTurn,
    UseNumber,
    UseVoucher,
    decide,
)
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind

ALMATY = load_timezone("Asia/Almaty")
OPENS, CLOSES = parse_send_window("09:00-21:00")
CALENDAR = Calendar(
    timezone=ALMATY,
    answer_days=3,
    grace=timedelta(minutes=10),
    window_opens=OPENS,
    window_closes=CLOSES,
)
RULES = Rules(calendar=CALENDAR)
FALLBACK = replace(RULES, fallback_on_undeliverable=True)
MOTHER, FATHER = "77011234567", "77021234567"


def almaty(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ALMATY).astimezone(UTC)


MONDAY = almaty("2026-11-23 10:00")
FRIDAY = almaty("2026-11-27 09:00")
TUESDAY = almaty("2026-12-01 00:10")


def fresh(*relations: str) -> Case:
    return Case(state=State.LOOKING_UP, relations=relations or ("mother", "father"))


def accepted(at: datetime = MONDAY, *, repeat: int = 0, msisdn: str = MOTHER) -> ConfirmAccepted:
    text = Kind.REPEAT if repeat else Kind.REQUEST
    return ConfirmAccepted(text=text, repeat=repeat, msisdn=msisdn, at=at, detail={})


def refused_by_smsc(*, repeat: int = 0, text: Kind | None = None) -> ReportRefused:
    text = text or (Kind.REPEAT if repeat else Kind.REQUEST)
    return ReportRefused(text=text, repeat=repeat, msisdn=MOTHER, detail={"command_status": 11})


def undeliverable(*, repeat: int = 0, msisdn: str = MOTHER) -> ReportUndeliverable:
    text = Kind.REPEAT if repeat else Kind.REQUEST
    return ReportUndeliverable(text=text, repeat=repeat, msisdn=msisdn, detail={})


def delivered(*, repeat: int = 0, msisdn: str = MOTHER) -> ReportDelivered:
    return ReportDelivered(text=Kind.REPEAT if repeat else Kind.REQUEST, repeat=repeat, msisdn=msisdn)


def answer(
    verdict: Verdict, at: datetime = MONDAY, *, msisdn: str = MOTHER, handed: bool = True, normalised: bool = False
) -> Answer:
    return Answer(
        msisdn=msisdn,
        verdict=verdict,
        normalised=normalised,
        reply_at=at,
        handed=handed,
        evidence="sha256:00",
        link="kcell",
    )


def agree(at: datetime = MONDAY) -> Answer:
    return answer(Verdict.AGREE, at)


def refuse(at: datetime = MONDAY) -> Answer:
    return answer(Verdict.REFUSE, at)


def after(case: Case, *inputs: Input, now: datetime = MONDAY, rules: Rules = RULES) -> Case:
    for given in inputs:
        decision = decide(case, given, now, rules)
        assert not decision.refused, given
        case = decision.case
    return case


def names(decision: Decision) -> list[str]:
    return [event.name.value for event in decision.events]


def queued(*relations: str, rules: Rules = RULES) -> Case:
    return after(fresh(*relations), UseNumber(msisdn=MOTHER), TakeTurn(), rules=rules)


def asked(*relations: str, rules: Rules = RULES) -> Case:
    return after(queued(*relations), accepted(), rules=rules)


def reminded(*, rules: Rules = RULES) -> Case:
    repeating = after(asked(), MeetDeadline(), now=FRIDAY, rules=rules)
    return after(repeating, accepted(FRIDAY, repeat=1), now=FRIDAY, rules=rules)


# --- every (state, input) pair ------------------------------------------------------------------------------

CASES: Mapping[str, Case] = {
    "looking_up": fresh(),
    "waiting": after(fresh(), UseNumber(msisdn=MOTHER)),
    "queued": queued(),
    "asked": asked(),
    "repeating": after(asked(), MeetDeadline(), now=FRIDAY),
    "reminded": reminded(),
    "consented": after(asked(), agree()),
    "voucher_issued": after(asked(), agree(), IssueVoucher(voucher_id="V-1")),
    "voucher_rejected": after(asked(), agree(), RejectVoucher(reason="not entitled")),
    "refused": after(asked(), refuse()),
    "no_number": after(fresh("mother"), SkipRecipient()),
    "no_answer": after(reminded(), MeetDeadline(), now=TUESDAY),
    "undeliverable": after(queued(), refused_by_smsc()),
    "cancelled": after(asked(), Cancel(reason="moved away")),
    "parked at look-up": after(fresh(), Park(reason="mcb: 404")),
    "parked at routing": after(queued(), Park(reason="no_route")),
    "parked at voucher": after(asked(), agree(), Park(reason="wallet: 404")),
}

INPUTS: Mapping[str, Input] = {
    "UseNumber": UseNumber(msisdn=MOTHER, operator="kcell"),
    "SkipRecipient": SkipRecipient(),
    "TakeTurn": TakeTurn(),
    "ConfirmAccepted request": accepted(),
    "ConfirmAccepted repeat": accepted(FRIDAY, repeat=1),
    "ConfirmAccepted text 3": ConfirmAccepted(text=Kind.AGREED, msisdn=MOTHER, at=MONDAY, detail={}),
    "ReportRefused request": refused_by_smsc(),
    "ReportRefused repeat": refused_by_smsc(repeat=1),
    "ReportRefused text 2": refused_by_smsc(text=Kind.REFUSED),
    "ReportDelivered request": delivered(),
    "ReportDelivered text 3": ReportDelivered(text=Kind.AGREED, msisdn=MOTHER),
    "ReportUndeliverable request": undeliverable(),
    "ReportUndeliverable clarification": ReportUndeliverable(text=Kind.CLARIFY, msisdn=MOTHER, detail={}),
    "agree": agree(),
    "agree, not handed": answer(Verdict.AGREE, handed=False),
    "agree elsewhere": answer(Verdict.AGREE, msisdn=FATHER),
    "refuse": refuse(),
    "unclear": answer(Verdict.UNCLEAR),
    "other": answer(Verdict.OTHER),
    "empty": answer(Verdict.EMPTY),
    "MeetDeadline": MeetDeadline(),
    "IssueVoucher": IssueVoucher(voucher_id="V-2"),
    "RejectVoucher": RejectVoucher(reason="not entitled"),
    "ActivateVoucher": ActivateVoucher(at=MONDAY),
    "UseVoucher": UseVoucher(at=MONDAY),
    "Park": Park(reason="no_route"),
    "Release": Release(),
    "Resend": Resend(),
    "Cancel": Cancel(reason="moved away"),
}

MOVES: Mapping[tuple[str, str], State] = {
    ("looking_up", "UseNumber"): State.WAITING,
    ("looking_up", "SkipRecipient"): State.LOOKING_UP,
    ("looking_up", "Park"): State.PARKED,
    ("looking_up", "Cancel"): State.CANCELLED,
    ("waiting", "TakeTurn"): State.QUEUED,
    ("waiting", "Cancel"): State.CANCELLED,
    ("queued", "ConfirmAccepted request"): State.ASKED,
    ("queued", "ReportRefused request"): State.UNDELIVERABLE,
    ("queued", "ReportUndeliverable request"): State.QUEUED,
    ("queued", "agree"): State.CONSENTED,
    ("queued", "refuse"): State.REFUSED,
    ("queued", "unclear"): State.QUEUED,
    ("queued", "Park"): State.PARKED,
    ("queued", "Cancel"): State.CANCELLED,
    ("asked", "ReportUndeliverable request"): State.ASKED,
    ("asked", "agree"): State.CONSENTED,
    ("asked", "agree, not handed"): State.CONSENTED,
    ("asked", "refuse"): State.REFUSED,
    ("asked", "unclear"): State.ASKED,
    ("asked", "MeetDeadline"): State.ASKED,
    ("asked", "Resend"): State.ASKED,
    ("asked", "Cancel"): State.CANCELLED,
    ("repeating", "ConfirmAccepted repeat"): State.REMINDED,
    ("repeating", "ReportRefused repeat"): State.ASKED,
    ("repeating", "ReportUndeliverable request"): State.ASKED,
    ("repeating", "agree"): State.CONSENTED,
    ("repeating", "agree, not handed"): State.CONSENTED,
    ("repeating", "refuse"): State.REFUSED,
    ("repeating", "unclear"): State.ASKED,
    ("repeating", "Cancel"): State.CANCELLED,
    ("reminded", "ReportUndeliverable request"): State.REMINDED,
    ("reminded", "agree"): State.CONSENTED,
    ("reminded", "agree, not handed"): State.CONSENTED,
    ("reminded", "refuse"): State.REFUSED,
    ("reminded", "unclear"): State.REMINDED,
    ("reminded", "MeetDeadline"): State.NO_ANSWER,
    ("reminded", "Resend"): State.REMINDED,
    ("reminded", "Cancel"): State.CANCELLED,
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
def test_every_input_moves_the_case_or_leaves_it_alone(state: str, given: str) -> None:
    case = CASES[state]
    decision = decide(case, INPUTS[given], now=TUESDAY, rules=RULES)
    if (state, given) in MOVES:
        assert not decision.refused
        assert decision.case.state is MOVES[state, given]
        assert decision.case != case or decision.effects
    else:
        assert decision.case == case
        assert not decision.effects
        assert bool(decision.events) is not decision.refused


def test_the_cases_above_stand_in_every_state() -> None:
    assert {case.state for case in CASES.values()} == set(State)


def test_the_inputs_above_are_of_every_kind() -> None:
    assert {type(given) for given in INPUTS.values()} == set(Input.__args__)  # type: ignore[attr-defined]


# --- from number to number (§7–8) ---------------------------------------------------------------------------


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
    assert decision.events[-1] == Event(Happened.NO_NUMBER, {"checked": ["mother", "father", "representative"]})


def test_an_invalid_number_counts_as_none_and_is_journaled_as_invalid() -> None:
    decision = decide(fresh(), SkipRecipient(invalid=True), MONDAY, RULES)
    assert names(decision) == ["number_invalid"]
    assert decision.case.relation == "father"


def test_a_found_number_waits_for_its_turn_before_anything_is_sent() -> None:
    found = decide(fresh(), UseNumber(msisdn=MOTHER, operator="kcell"), MONDAY, RULES)
    assert found.effects == (Effect.ASK_TURN,)
    assert found.events == (Event(Happened.NUMBER_FOUND, {"relation": "mother"}),)
    assert decide(found.case, TakeTurn(), MONDAY, RULES).effects == (Send(text=Kind.REQUEST),)


def test_a_neighbours_nonsense_parks_the_case_and_a_release_asks_for_the_same_person() -> None:
    parked = after(fresh(), SkipRecipient(), Park(reason="mcb: 404"))
    assert parked.resume is State.LOOKING_UP
    released = decide(parked, Release(), MONDAY, RULES)
    assert released.effects == (Effect.LOOK_UP,)
    assert released.case.relation == "father"


def test_a_case_without_a_link_gives_its_turn_back_until_it_is_released() -> None:
    parked = decide(queued(), Park(reason="no_route"), MONDAY, RULES)
    assert parked.effects == (Effect.GIVE_TURN,)
    assert decide(parked.case, Release(), MONDAY, RULES).effects == (Effect.ASK_TURN,)


# --- where the order is silent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "closing", [agree(), refuse(), Cancel(reason="moved away")], ids=["agree", "refuse", "cancel"]
)
def test_a_question_that_is_closed_lets_the_next_siblings_out(closing: Input) -> None:
    for case in (queued(), asked(), reminded()):
        assert decide(case, closing, FRIDAY, RULES).effects.count(Effect.GIVE_TURN) == 1


def test_the_end_lets_the_next_siblings_question_out() -> None:
    assert decide(reminded(), MeetDeadline(), TUESDAY, RULES).effects == (Effect.GIVE_TURN,)


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
    assert decision.effects == (Effect.GIVE_TURN,)


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
    assert decision.effects == (Effect.WITHDRAW, Effect.GIVE_TURN, Effect.LOOK_UP)


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
    case = after(asked(), undeliverable(), UseNumber(msisdn=FATHER), TakeTurn(), rules=FALLBACK)
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
    decision = decide(queued(), answer(Verdict.AGREE, handed=False), MONDAY, RULES)
    assert decision.events == (Event(Happened.REPLY_IGNORED, {"reason": "not asked yet"}),)


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
    told = {"reply_at": "2026-11-23T10:00:00.000+05:00", "normalised": True}
    assert decision.events == (Event(Happened.WITHDRAWAL_REQUESTED, told),)
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
        Effect.GIVE_TURN,
        Send(text=Kind.AGREED, link="kcell"),
        Effect.FORM_VOUCHER,
    )


def test_an_end_in_the_night_is_the_end_and_a_repeat_waits_for_the_window() -> None:
    assert asked().due_at == FRIDAY
    assert decide(asked(), MeetDeadline(), FRIDAY - timedelta(microseconds=1), RULES).refused
    assert reminded().due_at == TUESDAY


# --- rules of the field: time -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted_at", "repeat_at"),
    [
        ("2026-11-23 10:00", "2026-11-27 09:00"),  # Monday, Friday
        ("2026-11-23 09:00", "2026-11-27 09:00"),  # the window opens
        ("2026-11-23 20:59:59.999999", "2026-11-27 09:00"),  # the window closes
        ("2026-11-23 23:59:59.999999", "2026-11-27 09:00"),
        ("2026-11-24 00:00", "2026-11-28 09:00"),
        ("2024-02-25 10:00", "2024-02-29 09:00"),  # the day of 25 hours
        ("2024-02-26 10:00", "2024-03-01 09:00"),
    ],
)
def test_the_repeat_is_due_on_the_fourth_day_when_the_window_opens(accepted_at: str, repeat_at: str) -> None:
    case = after(queued(), accepted(almaty(accepted_at)))
    due_at = almaty(repeat_at)
    assert case.due_at == due_at
    assert decide(case, MeetDeadline(), due_at - timedelta(microseconds=1), RULES).refused
    assert decide(case, MeetDeadline(), due_at, RULES).effects == (Send(text=Kind.REPEAT, repeat=1),)


@pytest.mark.parametrize(
    ("accepted_at", "end_at"),
    [
        ("2026-11-27 09:00", "2026-12-01 00:10"),  # Friday, Tuesday
        ("2026-11-27 23:59:59.999999", "2026-12-01 00:10"),
        ("2024-02-25 10:00", "2024-02-29 00:10"),
        ("2024-02-26 10:00", "2024-03-01 00:10"),
    ],
)
def test_the_end_is_the_fourth_midnight_after_the_repeat_and_the_grace(accepted_at: str, end_at: str) -> None:
    repeating = CASES["repeating"]
    case = after(repeating, accepted(almaty(accepted_at), repeat=1))
    due_at = almaty(end_at)
    assert case.due_at == due_at
    last_moment = due_at - timedelta(microseconds=1)
    assert decide(case, MeetDeadline(), last_moment, RULES).refused
    assert after(case, agree(last_moment), now=last_moment).state is State.CONSENTED
    assert after(case, MeetDeadline(), now=due_at).state is State.NO_ANSWER


def test_29_february_2024_was_an_hour_longer_for_the_parent() -> None:
    case = after(queued(), accepted(almaty("2024-02-25 12:00")))
    later = after(queued(), accepted(almaty("2024-02-26 12:00")))
    assert case.due_at is not None
    assert later.due_at is not None
    assert later.due_at - case.due_at == timedelta(hours=25)


@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_the_question_is_repeated_as_often_as_configured(repeats: int) -> None:
    rules = replace(RULES, repeats=repeats)
    case, sent = after(queued(), accepted(), rules=rules), 0
    while case.state not in ENDED:
        assert case.due_at is not None
        decision = decide(case, MeetDeadline(), case.due_at, rules)
        case = decision.case
        if decision.effects != (Effect.GIVE_TURN,):
            sent += 1
            assert decision.effects == (Send(text=Kind.REPEAT, repeat=sent),)
            case = after(case, accepted(case.due_at or FRIDAY, repeat=sent), rules=rules)
    assert (sent, case.state) == (repeats, State.NO_ANSWER)


# --- what people and the wallet do --------------------------------------------------------------------------


def test_a_resent_text_moves_no_deadline() -> None:
    case = after(asked(), Resend(), accepted(MONDAY + timedelta(days=2)))
    assert case == asked()


def test_the_wallets_news_may_overtake_its_answer() -> None:
    early = decide(CASES["consented"], UseVoucher(at=MONDAY), MONDAY, RULES)
    assert not {event.name for event in early.events} & STATUSES
    issued = decide(early.case, IssueVoucher(voucher_id="V-1"), MONDAY, RULES)
    assert names(issued) == ["voucher_issued", "service_received"]


def test_activation_and_first_use_are_told_once() -> None:
    case = CASES["voucher_issued"]
    for given, status in (
        (ActivateVoucher(at=MONDAY), "voucher_activated"),
        (UseVoucher(at=MONDAY), "service_received"),
    ):
        first = decide(case, given, MONDAY, RULES)
        assert first.events == (Event(Happened(status), {"voucher_id": "V-1"}),)
        case = first.case
        assert not decide(case, given, FRIDAY, RULES).events
        assert decide(case, given, FRIDAY, RULES).case == case


@pytest.mark.parametrize("state", ["refused", "voucher_issued"])
def test_an_erased_case_has_nobody_to_send_a_text_to(state: str) -> None:
    assert decide(replace(CASES[state], relations=()), Resend(), MONDAY, RULES).refused


def test_cancelling_withdraws_what_has_not_left() -> None:
    for case in (queued(), asked(), reminded()):
        assert Effect.WITHDRAW in decide(case, Cancel(reason="moved away"), MONDAY, RULES).effects


# --- any inputs in any order --------------------------------------------------------------------------------

AFTER_THE_END = {
    Happened.LATE_REPLY,
    Happened.WITHDRAWAL_REQUESTED,
    Happened.VOUCHER_ACTIVATED,
    Happened.SERVICE_RECEIVED,
    Happened.DELIVERED,
    Happened.TEXT_ACCEPTED,
    Happened.TEXT_REFUSED,
    Happened.TEXT_DELIVERED,
    Happened.TEXT_UNDELIVERABLE,
    Happened.REPLY_OTHER,
    Happened.REPLY_IGNORED,
    Happened.REPLY_REPEATED,
    Happened.RESENT,
}
OPEN_QUESTION = {State.QUEUED, State.ASKED, State.REMINDED}
PLACES = ("mother", "father", "representative")


class Journey(RuleBasedStateMachine):
    """A case that meets whatever may come, and what its whole story must never say."""

    def __init__(self) -> None:
        super().__init__()
        self.case = fresh(*PLACES)
        self.rules = RULES
        self.now = MONDAY
        self.told: list[Happened] = []
        self.turns = 0
        self.given_back = 0
        self.answers_sent: list[Kind] = []
        self.clarified: set[tuple[int, int]] = set()

    @initialize(
        repeats=st.integers(0, 2), clarify=st.booleans(), fallback=st.booleans(), relations=st.integers(1, 3)
    )
    def begin(self, repeats: int, clarify: bool, fallback: bool, relations: int) -> None:
        self.rules = Rules(calendar=CALENDAR, repeats=repeats, clarify=clarify, fallback_on_undeliverable=fallback)
        self.case = fresh(*PLACES[:relations])

    def give(self, given: Input) -> Decision:
        before = self.case
        decision = decide(before, given, self.now, self.rules)
        self.case = decision.case
        if decision.refused:
            assert decision == Decision(case=before, refused=True)
        if before.state in ENDED:
            assert {event.name for event in decision.events} <= AFTER_THE_END
            assert decision.case.state is before.state
            assert decision.case.ended_at == before.ended_at
        if decision.case.state is State.CONSENTED and before.state not in (State.CONSENTED, State.PARKED):
            assert isinstance(given, Answer)
            assert given.verdict is Verdict.AGREE
            assert before.state in OPEN_QUESTION
        for event in decision.events:
            if event.name in (Happened.CONSENTED, Happened.REFUSED):
                assert Happened.ASKED in self.told
            self.told.append(event.name)
        self.turns += isinstance(given, TakeTurn) and not decision.refused
        for effect in decision.effects:
            self.note(effect, before, resent=isinstance(given, Resend))
        return decision

    def note(self, effect: Effect | Send, before: Case, *, resent: bool) -> None:
        match effect:
            case Effect.GIVE_TURN:
                assert before.msisdn is not None
                self.given_back += 1
            case Send(text=Kind.CLARIFY):
                question = (before.position, before.repeat)
                assert question not in self.clarified
                self.clarified.add(question)
            case Send(text=Kind.AGREED | Kind.REFUSED) if not resent:
                self.answers_sent.append(effect.text)

    @rule(choice=st.randoms(use_true_random=False))
    def go_on(self, choice: random.Random) -> None:
        """What the journey waits for, so that it gets somewhere."""
        self.give(choice.choice(self.expected()))

    @rule(choice=st.randoms(use_true_random=False))
    def disturb(self, choice: random.Random) -> None:
        """What may come at any time, fitting or not."""
        self.now += timedelta(hours=choice.randrange(0, 50))
        self.give(choice.choice(self.anything(choice)))

    def expected(self) -> list[Input]:
        own, at = self.case.msisdn or MOTHER, self.now
        match self.case.state:
            case State.LOOKING_UP:
                return [UseNumber(msisdn=MOTHER), UseNumber(msisdn=FATHER), SkipRecipient(), Park(reason="404")]
            case State.WAITING:
                return [TakeTurn()]
            case State.QUEUED | State.ASKED | State.REMINDED if self.case.due_at is None:
                taken = accepted(at, repeat=self.case.repeat, msisdn=own)
                return [taken, taken, replace(refused_by_smsc(repeat=self.case.repeat), msisdn=own)]
            case State.ASKED | State.REMINDED:
                self.now = max(at, self.case.due_at or at)
                unclear = answer(Verdict.UNCLEAR, at, msisdn=own)
                failed = undeliverable(repeat=self.case.repeat, msisdn=own)
                return [MeetDeadline(), unclear, unclear, failed]
            case State.CONSENTED:
                return [IssueVoucher(voucher_id="V-1"), RejectVoucher(reason="no"), Park(reason="404")]
            case State.PARKED:
                return [Release()]
        return [UseVoucher(at=at)]

    def anything(self, choice: random.Random) -> list[Input]:
        own, at = self.case.msisdn or MOTHER, self.now
        number = choice.choice([own, MOTHER, FATHER])
        text, repeat = choice.choice([(kind, n) for kind in Kind for n in range(3)])
        told: Mapping[str, Any] = {"text": text, "repeat": repeat, "msisdn": number}
        replies: list[Input] = []
        if self.turns:  # who was never asked has nothing to answer
            replies = [
                answer(verdict, at, msisdn=number, handed=handed)
                for verdict in (Verdict.AGREE, Verdict.REFUSE, *Verdict)
                for handed in (True, True, False)
            ]
        return [
            *replies,
            UseNumber(msisdn=number),
            SkipRecipient(invalid=True),
            TakeTurn(),
            ConfirmAccepted(at=at, detail={}, **told),
            ReportRefused(detail={}, **told),
            ReportDelivered(**told),
            ReportUndeliverable(detail={}, **told),
            MeetDeadline(),
            IssueVoucher(voucher_id="V-1"),
            RejectVoucher(reason="no"),
            ActivateVoucher(at=at),
            UseVoucher(at=at),
            Park(reason="nonsense"),
            Release(),
            Resend(),
            Cancel(reason="moved away"),
        ]

    @invariant()
    def one_answer_at_most(self) -> None:
        answers = [name for name in self.told if name in (Happened.CONSENTED, Happened.REFUSED)]
        assert len(answers) <= 1
        texts = {Happened.CONSENTED: Kind.AGREED, Happened.REFUSED: Kind.REFUSED}
        assert self.answers_sent == [texts[name] for name in answers]

    @invariant()
    def each_turn_is_held_while_the_question_is_open_and_given_back_once(self) -> None:
        assert self.turns - self.given_back == (self.case.state in OPEN_QUESTION)

    @invariant()
    def deadlines_are_for_open_questions(self) -> None:
        assert self.case.due_at is None or self.case.state in (State.ASKED, State.REMINDED)

    @invariant()
    def an_end_has_its_instant(self) -> None:
        assert (self.case.ended_at is not None) is (self.case.state in ENDED)

    @invariant()
    def only_a_parked_case_knows_where_to_go_on(self) -> None:
        assert (self.case.resume is not None) is (self.case.state is State.PARKED)

    @invariant()
    def an_open_question_always_has_a_way_on(self) -> None:
        """It waits for the SMSC's word on a text, or for its deadline."""
        if self.case.state in (State.ASKED, State.REMINDED) and self.case.due_at is None:
            assert Happened.REPEAT_DUE in self.told


Journey.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestJourney = Journey.TestCase
