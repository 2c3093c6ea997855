"""Runs of every kind of failover in turn, with their figures."""

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from chaos.failover import Kind
from chaos.run import Settings, torture

DAY_SECONDS = 2.0
MAX_FIRST_REPLY_SECONDS = 10.0
MAX_ALL_BACK_SECONDS = 20.0
"""The longest time from the promotion until all tasks are back."""
MAX_SHOWN = 20
"""Violations of a run that are printed."""
_PROCESSES = (1, 3)
_MS = "ms, "


def settings_of(run: int, *, cases: int, seed: int) -> Settings:
    """Twelve runs have each kind with each order of hosts and number of processes."""
    return Settings(
        cases=cases,
        kills=0,
        seed=seed + run,
        day=DAY_SECONDS,
        failover=list(Kind)[run % 3],
        standby_first=bool(run % 2),
        processes=_PROCESSES[(run // 3 + run // 6) % 2],
    )


def failovers(runs: int, *, cases: int, seed: int, keep: bool, as_json: bool) -> int:
    """0 when no run has a violation."""
    print(f"{'run':>3} {'primary':<8} {'first host':<10} {'processes':>9} {'first reply':>12} {'all back':>9}")
    faulty = 0
    for run in range(runs):
        settings = settings_of(run, cases=cases, seed=seed)
        directory = Path(tempfile.mkdtemp(prefix="gateway-torture-"))
        try:
            violations, counts = asyncio.run(torture(settings, directory))
        finally:
            if keep:
                print(f"databases and logs are in {directory}")
            else:
                shutil.rmtree(directory, ignore_errors=True)
        violations += too_slow(counts)
        faulty += bool(violations)
        host = "standby" if settings.standby_first else "primary"
        print(
            f"{run + 1:>3} {settings.failover:<8} {host:<10} {settings.processes:>9} "
            f"{first_reply(counts):>10.1f} s {all_back(counts):>7.1f} s",
            flush=True,
        )
        for violation in violations[:MAX_SHOWN]:
            print("VIOLATION", violation)
        if as_json:
            print(json.dumps({"run": run + 1, "violations": len(violations), "seed": settings.seed, **counts}))
    print(f"{faulty} of {runs} runs have violations (seed {seed})")
    return 1 if faulty else 0


def first_reply(counts: Counter[str]) -> float:
    """Seconds from the promotion to the first acknowledged reply."""
    return counts[f"{_MS}reply acknowledged"] / 1000


def all_back(counts: Counter[str]) -> float:
    """Seconds from the promotion until every task has succeeded once."""
    return max((ms for name, ms in counts.items() if name.startswith(_MS)), default=0) / 1000


def too_slow(counts: Counter[str]) -> Iterator[str]:
    """A violation for each figure that is above its limit."""
    if (seconds := first_reply(counts)) > MAX_FIRST_REPLY_SECONDS:
        yield f"the first reply was acknowledged {seconds:.1f} s after the promotion"
    if (seconds := all_back(counts)) > MAX_ALL_BACK_SECONDS:
        late = {name: ms for name, ms in counts.items() if name.startswith(_MS) and ms == round(seconds * 1000)}
        yield f"not all tasks were back {MAX_ALL_BACK_SECONDS:.0f} s after the promotion: {late}"
