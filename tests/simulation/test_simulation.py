"""Thousands of simulated campaigns: whatever fails, nothing is lost or invented. Planted bugs are found."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.consent.case import Case, Rules, State
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Decision, HoldReply, Input, ParentReply, Send
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from tests.simulation.campaign import plain, run
from tests.simulation.simulated_gateway import Bug
from tests.simulation.simulated_rows import Decide
from tests.simulation.simulated_time import Timeline
from tests.simulation.simulated_truth import Broken

pytestmark = pytest.mark.no_cover  # tracing doubles its minute, and other tests cover the same lines
CAMPAIGNS = 10_000
CAMPAIGNS_PER_TEST = 500
"""Several workers share the tests."""
FOUND_WITHIN = 1_000
"""Campaigns within which a planted bug shows."""
FAILED_ONCE: tuple[int, ...] = (25, 94, 195, 1296, 1744, 1854, 7658, 9077)
"""Seeds that failed with earlier versions of the simulation or the gateway. Add each one that fails."""


@pytest.mark.parametrize("first", range(0, CAMPAIGNS, CAMPAIGNS_PER_TEST))
def test_no_simulated_campaign_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + CAMPAIGNS_PER_TEST):
        run(seed)


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_seeds_that_failed_once_break_no_invariant(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", [7, 4711])
def test_a_simulated_campaign_is_the_same_for_the_same_seed(seed: int) -> None:
    assert run(seed) == run(seed)


def test_simulated_campaigns_reach_every_end_state_and_many_faults() -> None:
    outcomes = [run(seed) for seed in range(300)]
    ends = {state for outcome in outcomes for state in outcome.states}
    assert ends == {
        State.VOUCHER_ISSUED, State.VOUCHER_REJECTED, State.REFUSED, State.NO_NUMBER, State.NO_ANSWER,
        State.UNDELIVERABLE,
    }  # fmt: skip
    assert sum(outcome.kills for outcome in outcomes) > 100
    assert sum(outcome.repeated for outcome in outcomes) > 1000


def run_many(**how: Any) -> None:
    for seed in range(FOUND_WITHIN):
        run(seed, **how)


def count_unclear_as_consent(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
    """A journey that counts unclear replies as consents."""
    if isinstance(given, ParentReply) and given.verdict is Verdict.UNCLEAR:
        given = replace(given, verdict=Verdict.AGREE, normalised=True)
    return plain(case, given, time, rules)


def test_the_simulation_finds_a_consent_counted_from_an_unclear_reply() -> None:
    with pytest.raises(Broken, match=r"seed \d+: .* its parent has replied"):
        run_many(decide=count_unclear_as_consent)


def count_held_replies(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
    """A journey that counts replies by a link that may not carry the number."""
    return plain(case, given.reply if isinstance(given, HoldReply) else given, time, rules)


def test_the_simulation_finds_a_held_reply_counted_without_a_decision_of_ops() -> None:
    with pytest.raises(Broken, match=r"seed \d+: .* without a decision of ops"):
        run_many(decide=count_held_replies)


def test_simulated_bases_lag_and_ops_count_held_replies_also_after_the_end() -> None:
    happened = [case for seed in range(9, 1000, 10) for case in run(seed).happened]
    accepted = [case for case in happened if EventType.REPLY_ACCEPTED in case]
    assert {EventType.CONSENTED, EventType.REFUSED} <= {event for case in accepted for event in case}
    assert any(EventType.NO_ANSWER in case for case in accepted)


def with_extra_event(when: EventType, besides: EventType) -> Decide:
    """A journey with an extra event `besides` at every event `when`."""

    def changed(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
        decision = plain(case, given, time, rules)
        if all(event.name is not when for event in decision.events):
            return decision
        return decision._replace(events=(*decision.events, Event(besides)))

    return changed


@pytest.mark.parametrize(
    ("when", "besides", "because"),
    [
        (EventType.REFUSED, EventType.NO_ANSWER, "no_answer after .*refused"),
        (EventType.NO_ANSWER, EventType.NO_ANSWER, "no_answer after .*no_answer"),
        (EventType.NUMBER_FOUND, EventType.DELIVERED, "delivered before asked"),
        (EventType.VOUCHER_ISSUED, EventType.VOUCHER_ISSUED, "voucher_issued after .*voucher_issued"),
        (EventType.ASKED, EventType.LATE_REPLY, "late_reply before its end"),
    ],
)
def test_the_simulation_finds_a_status_out_of_order(when: EventType, besides: EventType, because: str) -> None:
    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(decide=with_extra_event(when, besides))


@pytest.mark.parametrize(
    ("texts", "because"), [(0, "is consented, and never got its text"), (2, "gets the text of consented twice")]
)
def test_the_simulation_finds_a_missing_or_duplicate_text_3(texts: int, because: str) -> None:
    def with_wrong_texts(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
        decision = plain(case, given, time, rules)
        texts_3 = [
            effect for effect in decision.effects if isinstance(effect, Send) and effect.text is Kind.AGREED
        ]
        others = [effect for effect in decision.effects if effect not in texts_3]
        return decision._replace(effects=(*others, *texts_3 * texts))

    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(decide=with_wrong_texts)


@pytest.mark.parametrize(
    ("bug", "because"),
    [
        (Bug.ACKNOWLEDGES_BEFORE_THE_COMMIT, "is acknowledged and not stored"),
        (Bug.TREATS_RESPONSES_AS_DURABLE_BEFORE_THE_COMMIT, "its acceptance is durable"),
        (Bug.SENDS_ACCEPTED_SEGMENTS_AGAIN, "its acceptance is durable"),
        (Bug.IGNORES_POSSIBLE_REDELIVERIES, "its parent has replied"),
        (Bug.LEAVES_TEXTS_OF_UNSEEN_COMMITS, "has not ended"),
    ],
)
def test_the_simulation_finds_every_planted_bug(bug: Bug, because: str) -> None:
    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(bugs=frozenset({bug}))
