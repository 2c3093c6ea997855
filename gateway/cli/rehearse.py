"""`gateway rehearse`: a real list against simulated partners; nothing leaves the machine."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from gateway.cli import numbers
from gateway.cli.errors import CommandError
from gateway.cli.preview import service_of
from gateway.cli.terminal import remark, say, show_json, show_table
from gateway.config import Config, Link, load

if TYPE_CHECKING:
    from gateway.rehearsal.main import Rehearsal
    from gateway.rehearsal.plan import Plan

_BEHAVIOURS = "agree, refuse, unclear, undeliverable, no_number"
_ROUNDING = 1e-9


def add_options(command: ArgumentParser) -> None:
    """Adds the options of `gateway rehearse`."""
    command.add_argument("--list", metavar="FILE", required=True, help="the list: NDJSON, also gzip")
    command.add_argument("--service", metavar="CODE", help="default: the only one configured")
    command.add_argument(
        "--replies", type=_shares, default={}, metavar="NAME=SHARE,…",
        help=f"of all persons: {_BEHAVIOURS}; the rest is silent "
        "(agree=0.55,refuse=0.08,unclear=0.04,undeliverable=0.03,no_number=0.05)",
    )  # fmt: skip
    command.add_argument(
        "--links", type=_shares, default={}, metavar="LINK=SHARE,…",
        help="of all numbers, by link; default: in proportion to their prefixes",
    )  # fmt: skip
    command.add_argument("--seed", type=numbers.whole(0), default=0, metavar="N", help="of all chance (0)")
    command.add_argument(
        "--sample", type=numbers.whole(0, 100_000), default=500, metavar="RECORDS",
        help="how many go through the gateway itself at most (500); 0: all is calculated only",
    )  # fmt: skip
    command.add_argument(
        "--day", type=numbers.seconds(1, 86_400), default=4.0, metavar="SECONDS", help="how long a day lasts (4)"
    )
    command.add_argument(
        "--limit", type=numbers.seconds(1), default=120.0, metavar="SECONDS", help="the gateway stops after (120)"
    )


def run(arguments: Namespace) -> int:
    """Status 0 when the gateway did what was calculated, with every case and segment."""
    # Imported here: `gateway serve` must not load the simulators.
    from gateway.demo.process import GatewayError
    from gateway.rehearsal.main import Settings, rehearse
    from gateway.rehearsal.parents import DEFAULT_SHARES, Behaviour
    from gateway.rehearsal.reading import ListError
    from gateway.rehearsal.report import as_json

    config = load(arguments.config, secrets=False)
    service = service_of(config, arguments.service)
    _check_names("--links", arguments.links, [link.name for link in config.links])
    names = [one.value for one in Behaviour if one is not Behaviour.SILENT]
    _check_names("--replies", arguments.replies, names)
    if arguments.links and abs(sum(arguments.links.values()) - 1.0) > 1e-3:
        raise CommandError("--links: the shares must add up to 1")
    settings = Settings(
        shares={Behaviour(name): share for name, share in arguments.replies.items()} or DEFAULT_SHARES,
        links=arguments.links,
        seed=arguments.seed,
        sample=arguments.sample,
        day_seconds=arguments.day,
        limit_seconds=arguments.limit,
    )
    try:
        rehearsal = rehearse(config, service, Path(arguments.list), settings, remark)
    except (GatewayError, ListError) as error:
        raise CommandError(str(error)) from None
    except aiohttp.ClientError as error:
        raise CommandError(f"the gateway of the rehearsal has failed ({type(error).__name__})") from None
    if arguments.json:
        show_json(as_json(config, settings, rehearsal))
    else:
        _show(config, rehearsal, _assumptions(arguments))
    return 0 if rehearsal.comparison is None or rehearsal.comparison.agrees else 1


def _shares(text: str) -> Mapping[str, float]:
    shares: dict[str, float] = {}
    for word in text.split(","):
        name, _, share = word.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise argparse.ArgumentTypeError(f"NAME=SHARE is expected, such as 0.6, not {word!r}") from None
    if not all(0.0 <= share <= 1.0 for share in shares.values()) or sum(shares.values()) > 1.0 + _ROUNDING:
        raise argparse.ArgumentTypeError("shares are from 0 to 1, and at most 1 together")
    return shares


def _check_names(option: str, given: Mapping[str, float], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise CommandError(f"{option}: there is no {name!r}; there are {', '.join(known)}")


def _assumptions(arguments: Namespace) -> str:
    from gateway.rehearsal.parents import MEDIAN_REPLY_HOURS

    replies = ", ".join(f"{name} {share:.0%}" for name, share in arguments.replies.items()) or "the default shares"
    return (
        f"Assumed, not known: how parents behave ({replies}), half of the replies within {MEDIAN_REPLY_HOURS:g} "
        f"hours, and which number is on which link; seed {arguments.seed}."
    )


def _show(config: Config, rehearsal: "Rehearsal", assumptions: str) -> None:
    from gateway.rehearsal.report import costs, days, hours_at_tps

    plan = rehearsal.plan
    say(
        f"{plan.records:,} records: {plan.accepted:,} accepted, {plan.duplicates:,} duplicates, "
        f"{plan.rejected:,} rejected; {plan.waited:,} wait for a sibling's reply"
    )
    accepted = plan.accepted or 1
    outcomes = [(state.value, cases, f"{cases / accepted:.1%}") for state, cases in plan.outcomes.most_common()]
    show_table("Outcomes", ("outcome", "cases", "share"), outcomes, empty="No record was accepted.")
    texts = [(kind.value, plan.texts[kind], plan.segments[kind]) for kind in plan.texts]
    show_table("Texts", ("text", "texts", "segments"), texts, empty="Nothing is sent.")
    rows = []
    for link in config.links:
        hours = hours_at_tps(link, plan)
        shown = "not paced" if hours is None else f"{hours:,.2f}"
        rows.append((link.name, plan.load.by_link[link.name], f"{link.tps:g}", shown, _cost(link, plan)))
    show_table("Links", ("link", "segments", "tps", "hours at tps", "cost"), rows, empty="")
    for currency, cost in costs(config.links, plan).items():
        say(f"cost: {cost:,.2f} {currency}".rstrip())
    columns = ("day", "link", "segments", "busiest hour", "segments in it")
    show_table("Load", columns, days(list(plan.load.hours())), empty="")
    say(assumptions)
    _show_machinery(rehearsal)


def _cost(link: Link, plan: "Plan") -> str:
    if not link.price:
        return "–"
    return f"{link.price * plan.load.by_link[link.name]:,.2f} {link.currency}".rstrip()


def _show_machinery(rehearsal: "Rehearsal") -> None:
    comparison = rehearsal.comparison
    if comparison is None:
        say("All of it is calculated: nothing went through the gateway.")
        return
    plan, result = comparison.plan, comparison.result
    what = "The whole list" if comparison.whole else f"A sample of {plan.records:,} records"
    how = "" if comparison.whole else (
        ", drawn by the seed and the first recipient's IIN so that siblings stay together,"
    )  # fmt: skip
    say(
        f"{what}{how} went through the gateway itself in {result.days:.1f} virtual days ({result.seconds:.0f} s); "
        "outcomes, segments, hours and load above are calculated for all records."
    )
    if comparison.differing:
        shown = ", ".join(f"{cases:,} {which}" for which, cases in comparison.differing.most_common())
        wrong = comparison.differing.total()
        say(f"{wrong:,} of {comparison.compared:,} cases ended otherwise than calculated: {shown}")
    else:
        say(f"All {comparison.compared:,} cases of it that ended did so as calculated.")
    if comparison.unfinished:
        say(f"{comparison.unfinished:,} cases had not ended when the time was up: --limit gives more.")
    if not comparison.whole:
        say(f"Of all cases, at most {comparison.differing_at_most:.2%} end otherwise (95 % confidence).")
    for link, found in () if comparison.unfinished else result.segments.items():
        if found != (calculated := plan.load.by_link[link]):
            say(f"link {link}: {found:,} segments were sent, {calculated:,} calculated")
    for failure in result.failures:
        say(f"a partner complains: {failure}")
