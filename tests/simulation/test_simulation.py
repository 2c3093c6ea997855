"""Thousands of simulated campaigns: whatever fails, nothing is lost or invented. And a test of that test."""

from typing import Any

import pytest

from gateway.consent.case import Case, Rules, State
from gateway.consent.events import Event, EventType
from gateway.consent.inputs import Decision, Input, ParentReply, Send
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind
from tests.simulation.campaign import plain, run
from tests.simulation.simulated_gateway import Bug
from tests.simulation.simulated_rows import Decide
from tests.simulation.simulated_time import Timeline
from tests.simulation.simulated_truth import Broken

pytestmark = pytest.mark.no_cover  # tracing doubles its minute, and other tests cover the same lines
CAMPAIGNS = 10_000
AT_ONCE = 500
"""Campaigns of one test: several workers share them."""
FOUND_WITHIN = 1_000
"""Campaigns within which a planted bug shows."""
FAILED_ONCE: tuple[int, ...] = (25, 94, 195, 1296, 1744, 1854, 7658, 9077)
"""Seeds that found something when the simulation or the gateway was younger. Add each that fails."""


@pytest.mark.parametrize("first", range(0, CAMPAIGNS, AT_ONCE))
def test_no_campaign_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        run(seed)


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_what_failed_once_holds(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", [7, 4711])
def test_a_seed_replays_exactly(seed: int) -> None:
    assert run(seed) == run(seed)


def test_the_campaigns_see_every_end_and_much_trouble() -> None:
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
    """A journey that guesses."""
    if isinstance(given, ParentReply) and given.verdict is Verdict.UNCLEAR:
        given = ParentReply(
            msisdn=given.msisdn,
            verdict=Verdict.AGREE,
            normalised=True,
            reply_at=given.reply_at,
            submitted=given.submitted,
            evidence=given.evidence,
            link=given.link,
        )
    return plain(case, given, time, rules)


def test_a_consent_counted_from_an_unclear_reply_is_found() -> None:
    with pytest.raises(Broken, match=r"seed \d+: .* its parent has said"):
        run_many(decide=count_unclear_as_consent)


def told_besides(when: EventType, besides: EventType) -> Decide:
    """A journey that tells one thing more than happened."""

    def told(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
        decision = plain(case, given, time, rules)
        if all(event.name is not when for event in decision.events):
            return decision
        return decision._replace(events=(*decision.events, Event(besides)))

    return told


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
def test_a_status_out_of_order_is_found(when: EventType, besides: EventType, because: str) -> None:
    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(decide=told_besides(when, besides))


@pytest.mark.parametrize(("texts", "because"), [(0, "is consented, and was never told"), (2, "is told twice")])
def test_a_text_3_too_few_or_too_many_is_found(texts: int, because: str) -> None:
    def careless(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
        decision = plain(case, given, time, rules)
        answers = [
            effect for effect in decision.effects if isinstance(effect, Send) and effect.text is Kind.AGREED
        ]
        others = [effect for effect in decision.effects if effect not in answers]
        return decision._replace(effects=(*others, *answers * texts))

    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(decide=careless)


@pytest.mark.parametrize(
    ("bug", "because"),
    [
        (Bug.ACKNOWLEDGES_BEFORE_THE_COMMIT, "is acknowledged and not stored"),
        (Bug.TAKES_AN_ANSWER_FOR_DURABLE_BEFORE_THE_COMMIT, "its acceptance is durable"),
        (Bug.SENDS_WHAT_IS_ANSWERED_AGAIN, "its acceptance is durable"),
        (Bug.TAKES_EVERY_REPLY_FOR_NEW, "its parent has said"),
        (Bug.LEAVES_WHAT_IT_TOOK_UNAWARES, "stands still"),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, because: str) -> None:
    with pytest.raises(Broken, match=rf"seed \d+: .*{because}"):
        run_many(bugs=frozenset({bug}))
