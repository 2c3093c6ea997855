"""Deadlines of repeats and ends, manual actions, and events of the wallet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.consent.case import ENDED, State
from gateway.consent.details import Voucher
from gateway.consent.events import STATUSES, Event, EventType
from gateway.consent.inputs import (
    ActivateVoucher,
    Cancel,
    Effect,
    IssueVoucher,
    MeetDeadline,
    Resend,
    Send,
    UseVoucher,
)
from gateway.consent.journey import decide
from gateway.consent.texts import Kind
from tests.consent.case_factories import (
    CASES,
    FRIDAY,
    MONDAY,
    RULES,
    accepted,
    after,
    agree,
    almaty,
    asked,
    names,
    queued,
    reminded,
)


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
def test_a_repeat_is_due_on_the_fourth_day_when_the_window_opens(accepted_at: str, repeat_at: str) -> None:
    case = after(queued(), accepted(almaty(accepted_at)))
    due_at = almaty(repeat_at)
    assert case.due_at == due_at
    assert decide(case, MeetDeadline(), due_at - timedelta(microseconds=1), RULES).rejected
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
def test_a_case_ends_at_the_fourth_midnight_after_the_repeat_plus_the_grace(accepted_at: str, end_at: str) -> None:
    repeating = CASES["repeating"]
    case = after(repeating, accepted(almaty(accepted_at), repeat=1))
    due_at = almaty(end_at)
    assert case.due_at == due_at
    last_moment = due_at - timedelta(microseconds=1)
    assert decide(case, MeetDeadline(), last_moment, RULES).rejected
    assert after(case, agree(last_moment), now=last_moment).state is State.CONSENTED
    assert after(case, MeetDeadline(), now=due_at).state is State.NO_ANSWER


def test_a_deadline_across_29_february_2024_has_25_hours_more() -> None:
    case = after(queued(), accepted(almaty("2024-02-25 12:00")))
    later = after(queued(), accepted(almaty("2024-02-26 12:00")))
    assert case.due_at is not None
    assert later.due_at is not None
    assert later.due_at - case.due_at == timedelta(hours=25)


@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_a_question_is_repeated_as_often_as_configured(repeats: int) -> None:
    rules = replace(RULES, repeats=repeats)
    case, sent = after(queued(), accepted(), rules=rules), 0
    while case.state not in ENDED:
        assert case.due_at is not None
        decision = decide(case, MeetDeadline(), case.due_at, rules)
        case = decision.case
        if decision.effects != (Effect.RELEASE_NUMBER,):
            sent += 1
            assert decision.effects == (Send(text=Kind.REPEAT, repeat=sent),)
            case = after(case, accepted(case.due_at or FRIDAY, repeat=sent), rules=rules)
    assert (sent, case.state) == (repeats, State.NO_ANSWER)


def test_a_resent_text_does_not_move_the_deadline() -> None:
    case = after(asked(), Resend(by="ops"), accepted(MONDAY + timedelta(days=2)))
    assert case == asked()


def test_a_voucher_use_before_the_voucher_response_is_reported_after_it() -> None:
    early = decide(CASES["consented"], UseVoucher(at=MONDAY), MONDAY, RULES)
    assert not {event.name for event in early.events} & STATUSES
    issued = decide(early.case, IssueVoucher(voucher_id="V-1"), MONDAY, RULES)
    assert names(issued) == ["voucher_issued", "service_received"]


def test_voucher_activation_and_first_use_are_reported_once() -> None:
    case = CASES["voucher_issued"]
    for given, status in (
        (ActivateVoucher(at=MONDAY), "voucher_activated"),
        (UseVoucher(at=MONDAY), "service_received"),
    ):
        first = decide(case, given, MONDAY, RULES)
        assert first.events == (Event(EventType(status), Voucher("V-1")),)
        case = first.case
        assert not decide(case, given, FRIDAY, RULES).events
        assert decide(case, given, FRIDAY, RULES).case == case


@pytest.mark.parametrize("state", ["refused", "voucher_issued"])
def test_an_erased_case_rejects_a_resend(state: str) -> None:
    assert decide(CASES[state]._replace(relations=()), Resend(by="ops"), MONDAY, RULES).rejected


def test_cancelling_a_case_withdraws_its_unsent_texts() -> None:
    for case in (queued(), asked(), reminded()):
        assert Effect.WITHDRAW in decide(case, Cancel(reason="moved away", by="ops"), MONDAY, RULES).effects
