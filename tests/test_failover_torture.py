"""The primary fails in the middle of a short campaign. `scripts/torture --failover` makes longer ones."""

from collections import Counter
from pathlib import Path

import pytest
from chaos.failover import Kind
from chaos.failover_runs import DAY_SECONDS, all_back, first_reply, settings_of, too_slow
from chaos.run import Settings, torture

WITHIN_SECONDS = 120.0
"""The limit on a busy machine; what an idle one takes is measured by `scripts/torture --failover`."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "standby_first", "processes", "hurry"),
    [(Kind.KILL, False, 2, 1.0), (Kind.FREEZE, True, 1, 4.0), (Kind.CUT, False, 1, 4.0)],
)
async def test_nothing_is_lost_or_invented_when_the_primary_fails_and_its_standby_is_promoted(
    kind: Kind, standby_first: bool, processes: int, hurry: float, data_dir: Path
) -> None:
    settings = Settings(
        cases=20,
        kills=0,
        seed=8,
        day=DAY_SECONDS,  # the outage is shorter than the days in which a question is open
        failover=kind,
        standby_first=standby_first,
        processes=processes,
        hurry=hurry,
    )
    violations, counts = await torture(settings, data_dir)
    assert violations == []
    assert 0.0 < first_reply(counts) <= all_back(counts) <= WITHIN_SECONDS


def test_twelve_runs_have_every_kind_with_both_orders_of_hosts_and_one_process_and_three() -> None:
    runs = [settings_of(run, cases=9, seed=0) for run in range(12)]
    assert len({(run.failover, run.standby_first, run.processes) for run in runs}) == 12
    assert all((run.cases, run.kills, run.day, run.hurry) == (9, 0, DAY_SECONDS, 1.0) for run in runs)


@pytest.mark.parametrize(
    ("reply", "voucher", "violations"), [(10_000, 20_000, 0), (10_001, 11_000, 1), (10_001, 20_001, 2)]
)
def test_a_gateway_that_is_back_too_late_is_a_violation(reply: int, voucher: int, violations: int) -> None:
    counts = Counter({"ms, reply acknowledged": reply, "ms, voucher formed": voucher, "kills": 90_000})
    assert len(list(too_slow(counts))) == violations
