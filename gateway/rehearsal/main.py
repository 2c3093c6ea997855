"""One rehearsal: the whole list is calculated, a sample goes through the machinery, and the two are compared."""

import asyncio
import math
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.config import Config, Service
from gateway.intake.records import Record, read_record
from gateway.rehearsal.machinery import HOURS_PER_DAY, Result, differences, run_machinery
from gateway.rehearsal.parents import Behaviour, Parents, link_shares
from gateway.rehearsal.plan import Plan
from gateway.rehearsal.reading import Sample, records

_REPORTED_RECORDS = 100_000
_Z = 1.96  # of a confidence of 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person chose; shares are of all persons, and of all numbers."""

    shares: Mapping[Behaviour, float]
    links: Mapping[str, float]
    seed: int
    sample: int  # records that go through the machinery at most; 0: none do
    day_seconds: float
    limit_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The sample as calculated and as the gateway treated it."""

    whole: bool  # the sample is the list
    plan: Plan  # of the sample alone
    result: Result
    differing: Counter[str]  # `calculated → found`
    unfinished: int  # cases that had not ended when the time was up: they are not compared

    @property
    def compared(self) -> int:
        """Cases that have ended."""
        return self.plan.accepted - self.unfinished

    @property
    def agrees(self) -> bool:
        """Whether the gateway did what was calculated; segments are compared only when every case has ended."""
        plan, found = self.plan, self.result
        counts = (plan.accepted, plan.duplicates, plan.rejected) == (
            found.accepted,
            found.duplicates,
            found.rejected,
        )
        same_segments = bool(self.unfinished) or plan.load.by_link == found.segments
        return counts and same_segments and not self.differing and not found.failures

    @property
    def differing_at_most(self) -> float:
        """The share of all cases that differ, with 95 % confidence at most so much (Wilson's upper bound)."""
        cases, wrong = max(self.compared, 1), self.differing.total()
        share, square = wrong / cases, _Z * _Z
        spread = _Z * math.sqrt(share * (1 - share) / cases + square / (4 * cases * cases))
        return min((share + square / (2 * cases) + spread) / (1 + square / cases), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsal has found."""

    plan: Plan  # of the whole list
    comparison: Comparison | None  # None: nothing went through the machinery


def rehearse(
    config: Config, service: Service, path: Path, settings: Settings, report: Callable[[str], None]
) -> Rehearsal:
    """The rehearsal of a list. Raises ListError, and GatewayError when the scratch gateway does not run."""
    parents = Parents(
        settings.shares,
        link_shares(config.links, settings.links),
        seed=settings.seed,
        max_hours=config.journey.answer_days * HOURS_PER_DAY - 1.0,
    )
    plan, sample = Plan(config, service, parents), Sample(settings.sample, parents)
    for line, record in records(path, config.http.max_list_bytes, config.http.max_list_records):
        content = None if record is None else orjson.loads(record.content)
        plan.add(record, content)
        if settings.sample:
            sample.offer(line, content)
        if plan.records % _REPORTED_RECORDS == 0:
            report(f"{plan.records:,} records calculated")
    plan.forget()
    comparison = None
    if settings.sample:
        comparison = _compare(config, service, parents, sample, settings, report)
    return Rehearsal(plan=plan, comparison=comparison)


def _compare(
    config: Config,
    service: Service,
    parents: Parents,
    sample: Sample,
    settings: Settings,
    report: Callable[[str], None],
) -> Comparison:
    plan, lines = Plan(config, service, parents, keep_outcomes=True), sample.lines()
    for line in lines:
        record = read_record(line)
        plan.add(record if isinstance(record, Record) else None)
    assert plan.outcome_of is not None, "they are kept"
    running = run_machinery(
        config, service, parents, lines, sorted(plan.lost),
        day_seconds=settings.day_seconds, limit_seconds=settings.limit_seconds, report=report,
    )  # fmt: skip
    result = asyncio.run(until_interrupted(running))
    differing, unfinished = differences(plan.outcome_of, result)
    return Comparison(whole=sample.whole, plan=plan, result=result, differing=differing, unfinished=unfinished)


async def until_interrupted(running: Coroutine[Any, Any, Result]) -> Result:
    """The result; whoever ends the command ends the gateway too and removes its database: KeyboardInterrupt."""
    task = asyncio.ensure_future(running)

    def stop() -> None:
        if not task.cancelling():  # a second signal does not interrupt the clean-up
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
