"""`gateway demo`: the main job end to end, the real gateway between simulated partners."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gateway.cli import numbers

SCRIPTED_DAY_SECONDS = 5.0
VISITOR_DAY_SECONDS = 15.0
"""The length of a day that leaves a visitor time to read a text before it comes again."""
MIN_LIMIT_SECONDS = 100.0
LIMIT_DAYS = 20
PORT = 8100


def add_options(command: ArgumentParser) -> None:
    """Adds the options of `gateway demo`."""
    add = command.add_argument
    add(
        "--day",
        type=numbers.seconds(0.1, 86_400),
        metavar="SECONDS",
        help=f"how long a day lasts ({SCRIPTED_DAY_SECONDS:g}; with --stay {VISITOR_DAY_SECONDS:g})",
    )
    add(
        "--families",
        type=numbers.whole(1),
        metavar="N",
        help="at most so many of each kind; with --stay so many for you alone, and nobody else acts",
    )
    add(
        "--limit",
        type=numbers.seconds(0.1),
        metavar="SECONDS",
        help=f"end the scenarios after ({LIMIT_DAYS} days, at least {MIN_LIMIT_SECONDS:g})",
    )
    add(
        "--log",
        type=Path,
        metavar="FILE",
        help="the gateway's log; default: a temporary file, kept only when the demo fails",
    )
    add("--stay", action="store_true", help="then keep everything running, to be played in a browser")
    add(
        "--port",
        type=numbers.whole(0, 65_534),
        default=PORT,
        metavar="N",
        help="with --stay: of the page to play on; the gateway has the next one; 0: any free ones (%(default)s)",
    )


def run(arguments: Namespace) -> int:
    """Runs the demo; 0 when every case ended as its scenario requires."""
    # Imported here: `gateway serve` must not load the simulators.
    from gateway.demo.main import Settings, run_demo

    day = arguments.day or (VISITOR_DAY_SECONDS if arguments.stay else SCRIPTED_DAY_SECONDS)
    is_for_visitor_alone = arguments.stay and arguments.families is not None
    return run_demo(
        Settings(
            families=0 if is_for_visitor_alone else arguments.families,
            visitors=(arguments.families or 1) if arguments.stay else 0,
            day_seconds=day,
            limit_seconds=arguments.limit or max(MIN_LIMIT_SECONDS, LIMIT_DAYS * day),
            log=arguments.log,
            port=arguments.port,
        )
    )
