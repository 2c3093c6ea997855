"""The result of a rehearsal: as JSON, and the rows of its tables."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.config import Config, Link
from gateway.rehearsal.load import SECONDS_PER_HOUR, HourOfLink
from gateway.rehearsal.main import Comparison, Rehearsal, Settings
from gateway.rehearsal.parents import MEDIAN_REPLY_HOURS, Behaviour
from gateway.rehearsal.plan import Plan


def as_json(config: Config, settings: Settings, rehearsal: Rehearsal) -> dict[str, Any]:
    """Everything that was found, for programs."""
    plan = rehearsal.plan
    load = [hour._asdict() for hour in sorted(plan.load.hours())]
    return {
        "records": plan.records,
        "accepted": plan.accepted,
        "duplicates": plan.duplicates,
        "rejected": plan.rejected,
        "waited": plan.waited,
        "outcomes": {state.value: cases for state, cases in plan.outcomes.most_common()},
        "texts": {kind.value: {"texts": plan.texts[kind], "segments": plan.segments[kind]} for kind in plan.texts},
        "links": [_of_link(link, plan) for link in config.links],
        "cost": costs(config.links, plan),
        "load": load,
        "assumptions": {
            "replies": behaviours(settings),
            "median_reply_hours": MEDIAN_REPLY_HOURS,
            "seed": settings.seed,
        },
        "machinery": None if rehearsal.comparison is None else _compared(rehearsal.comparison),
    }


def behaviours(settings: Settings) -> dict[str, float]:
    """The share of every behaviour, with that of the silent."""
    given = {one.value: share for one, share in settings.shares.items()}
    return given | {Behaviour.SILENT.value: round(max(1.0 - sum(given.values()), 0.0), 6)}


def costs(links: Sequence[Link], plan: Plan) -> dict[str, float]:
    """The price of all segments, by currency; links without a price are not in it."""
    found: dict[str, float] = defaultdict(float)
    for link in links:
        if link.price:
            found[link.currency] += link.price * plan.load.by_link[link.name]
    return {currency: round(cost, 2) for currency, cost in found.items()}


def hours_at_tps(link: Link, plan: Plan) -> float | None:
    """Of sending at the link's tps without a pause; None where it is not paced."""
    return plan.load.by_link[link.name] / link.tps / SECONDS_PER_HOUR if link.tps else None


def days(hours: Sequence[HourOfLink]) -> Iterator[tuple[int, str, int, str, int]]:
    """By day and link: segments, the busiest hour, and the segments in it."""
    by_day: dict[tuple[int, str], list[HourOfLink]] = defaultdict(list)
    for hour in hours:
        by_day[hour.day, hour.link].append(hour)
    for (day, link), of_day in sorted(by_day.items()):
        busiest = max(of_day, key=lambda hour: hour.segments)
        total = sum(hour.segments for hour in of_day)
        yield day, link, total, f"{busiest.hour:02}:00", busiest.segments


def _of_link(link: Link, plan: Plan) -> dict[str, Any]:
    segments, hours = plan.load.by_link[link.name], hours_at_tps(link, plan)
    return {
        "link": link.name,
        "segments": segments,
        "tps": link.tps,
        "hours": None if hours is None else round(hours, 3),
        "price": link.price or None,
        "currency": link.currency if link.price else None,
        "cost": round(link.price * segments, 2) if link.price else None,
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    plan, result = comparison.plan, comparison.result
    return {
        "records": plan.records,
        "whole_list": comparison.whole,
        "drawn_by": "the seed and the IIN of the first recipient: children of one parent stay together",
        "cases": {"calculated": plan.accepted, "found": result.accepted},
        "duplicates": {"calculated": plan.duplicates, "found": result.duplicates},
        "rejected": {"calculated": plan.rejected, "found": result.rejected},
        "segments": {
            link: {"calculated": plan.load.by_link[link], "found": found}
            for link, found in result.segments.items()
        },
        "cases_unfinished": comparison.unfinished,
        "cases_that_differ": dict(comparison.differing),
        "share_that_differs_at_most": round(comparison.differing_at_most, 6),
        "confidence": 0.95,
        "contract_violations": result.failures,
        "seconds": round(result.seconds, 1),
        "virtual_days": round(result.days, 1),
    }
