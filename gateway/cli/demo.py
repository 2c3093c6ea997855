"""`gateway demo`: the main job end to end, the real gateway between simulated partners."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from gateway.cli import numbers


def add_options(command: ArgumentParser) -> None:
    """Adds the options of `gateway demo`."""
    command.add_argument(
        "--day", type=numbers.seconds(0.1, 86_400), default=5.0, metavar="SECONDS", help="how long a day lasts (5)"
    )
    command.add_argument("--families", type=numbers.whole(1), metavar="N", help="at most so many of each kind")
    command.add_argument(
        "--limit", type=numbers.seconds(0.1), default=100.0, metavar="SECONDS", help="stop after (100)"
    )
    command.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="the gateway's log; default: a temporary file, kept only when the demo fails",
    )


def run(arguments: Namespace) -> int:
    """Runs the demo; 0 when every case ended as its scenario requires."""
    # Imported here: `gateway serve` must not load the simulators.
    from gateway.demo.main import run_demo

    return run_demo(
        day_seconds=arguments.day, families=arguments.families, limit_seconds=arguments.limit, log=arguments.log
    )
