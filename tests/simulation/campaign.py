"""One simulated campaign, determined by its seed."""

import random
from dataclasses import dataclass
from datetime import timedelta

from gateway.config.timezones import load_timezone
from gateway.consent.case import Case, Rules, State
from gateway.consent.deadlines import Calendar, parse_send_window
from gateway.consent.events import EventType
from gateway.consent.inputs import Decision, Effect, Input
from gateway.consent.journey import decide
from tests.simulation.simulated_gateway import Bug, Gateway
from tests.simulation.simulated_rows import Decide, Rows
from tests.simulation.simulated_smsc import Faults, Manner, Parents, Smsc
from tests.simulation.simulated_time import DAY, Timeline
from tests.simulation.simulated_truth import Broken, Truth

_OPENS, _CLOSES = parse_send_window("09:00-21:00")
CALENDAR = Calendar(
    timezone=load_timezone("Asia/Almaty"),
    answer_days=3,
    grace=timedelta(minutes=10),
    window_opens=_OPENS,
    window_closes=_CLOSES,
)
OVER = 45 * DAY
MAX_STEPS = 20_000
LAGGING = 10
"""The base lags in one campaign of so many."""
_SIBLINGS = (Manner.AGREES, Manner.REFUSES, Manner.WAITS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a campaign; two runs of one seed have the same."""

    states: tuple[State, ...]
    happened: tuple[tuple[EventType, ...], ...]
    steps: int
    kills: int
    repeated: int


def plain(case: Case, given: Input, time: Timeline, rules: Rules) -> Decision:
    """The journey of production."""
    return decide(case, given, time.at, rules)


def run(seed: int, *, bugs: frozenset[Bug] = frozenset(), decide: Decide = plain) -> Outcome:
    """Runs the campaign to its end; raises Broken, with the seed, when an invariant does not hold."""
    try:
        return _run(random.Random(seed), bugs, decide, base_lags=seed % LAGGING == LAGGING - 1)
    except Broken as broken:
        raise Broken(f"seed {seed}: {broken}") from None


def _run(dice: random.Random, bugs: frozenset[Bug], decide: Decide, *, base_lags: bool) -> Outcome:
    time = Timeline()
    window, tps = dice.choice((1, 3, 10)), dice.choice((0, 5, 50))
    truth = Truth(window, tps, base_lags=base_lags)
    numbers, manners, siblings = _families(dice)
    rules = Rules(
        calendar=CALENDAR,
        repeats=dice.choice((0, 1, 1, 2)),
        clarify=dice.random() < 0.8,
        # Receipts may be false: an abandoned question may get a reply after the sibling's was sent.
        fallback_on_undeliverable=not siblings and dice.random() < 0.2,
    )
    bad = dice.random()  # scales all faults of the campaign
    faults = Faults(busy=0.05 * bad, unanswered=0.05 * bad, lost=0.03 * bad, cut=0.03 * bad)
    smsc = Smsc(dice, time, truth, faults)
    Parents(smsc, dice, time, truth, manners, siblings)
    rows = Rows(time, truth, rules, decide)
    for case_id, known in numbers.items():
        rows.cases[case_id] = Case(state=State.LOOKING_UP, relations=("mother", "father")[: len(known)])
        rows.calls[case_id] = Effect.LOOK_UP
        truth.happened[case_id] = [EventType.RECEIVED]
    gateway = Gateway(
        dice, time, truth, rows, smsc,
        numbers=numbers, window=window, tps=tps, kill=0.08 * bad, away=0.04 * bad, bugs=bugs,
        base_lags=base_lags,
    )  # fmt: skip
    gateway.start()
    while time.now < OVER and time.steps < MAX_STEPS and time.step() and not _is_over(rows, smsc, gateway):
        pass
    for case_id, case in rows.cases.items():
        truth.over(case_id, ended=case.ended_at is not None, asked_again=rules.repeats > 0)
    return Outcome(
        states=tuple(case.state for case in rows.cases.values()),
        happened=tuple(tuple(truth.happened[case_id]) for case_id in rows.cases),
        steps=time.steps,
        kills=gateway.kills,
        repeated=truth.repeated,
    )


def _families(
    dice: random.Random,
) -> tuple[dict[str, list[str | None]], dict[str, Manner], frozenset[str]]:
    """(numbers of the recipients by case, manner of the parent by case, cases with siblings)."""
    together: set[str] = set()
    numbers: dict[str, list[str | None]] = {}
    manners: dict[str, Manner] = {}
    for family in range(dice.choice((1, 1, 2))):
        siblings = dice.random() < 0.5
        last = "9" if dice.random() < 0.05 else "1"  # of a number that the SMSC refuses
        number = f"7701000{family:03}{last}" if dice.random() < 0.95 else None
        before: list[str | None] = [] if dice.random() < 0.8 else [None]
        for child in range(dice.choice((2, 3)) if siblings else 1):
            case_id = f"c{len(numbers)}{child}{dice.randrange(10)}"
            numbers[case_id] = [*before, number]
            if siblings:
                together.add(case_id)
            manners[case_id] = dice.choice(_SIBLINGS if siblings else tuple(Manner))
    return numbers, manners, frozenset(together)


def _is_over(rows: Rows, smsc: Smsc, gateway: Gateway) -> bool:
    return (
        all(case.ended_at is not None for case in rows.cases.values())
        and not smsc.parents.replying
        and not smsc.undelivered
        and not gateway.deciding
        and not any(sms.state in ("queued", "sending") for sms in rows.sms.values())
    )
