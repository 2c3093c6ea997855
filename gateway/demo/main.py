"""`python -m rehearsal`: one run, from an empty folder to the verdict."""

import argparse
import asyncio
import io
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import uvloop
from rich.console import Console

from gateway.demo.cast import Cast
from gateway.demo.clock import ObservedClock
from gateway.demo.process import ROOT, GatewayError, GatewayProcess, configuration
from gateway.demo.report import report
from gateway.demo.screen import PLAIN_WIDTH, Figures, Plain, screen
from gateway.demo.stage import LIST_ID, Stage, push_list, sdu_headers
from gateway.demo.verdict import checks, counts_agree, endings, is_told

GLANCE = 0.25
AFTERMATH = 1.0
"""Seconds after the last case has ended, for what should not come any more."""
STOPPED_BY_HAND = 130


def main() -> int:
    arguments = _arguments()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has Kazakh letters
    is_terminal = sys.stdout.isatty()
    console = Console(force_terminal=is_terminal, width=None if is_terminal else PLAIN_WIDTH)
    try:
        return uvloop.run(_until_stopped(arguments, console))
    except (GatewayError, aiohttp.ClientError) as error:
        console.print(f"the gateway fails: {error}", style="red", markup=False)
        return 1


async def _until_stopped(arguments: argparse.Namespace, console: Console) -> int:
    run = asyncio.create_task(_run(arguments, console))

    def stop() -> None:
        if not run.cancelling():  # a second Ctrl-C does not stop the cleaning up
            run.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await run
    except asyncio.CancelledError:
        console.print("stopped; everything is cleaned up")
        return STOPPED_BY_HAND


async def _run(arguments: argparse.Namespace, console: Console) -> int:
    started = time.monotonic()
    cast, clock = Cast(arguments.families), ObservedClock(arguments.day)
    shown = screen(console, clock)
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        stage = await stack.enter_async_context(Stage(cast, clock, shown.tell, shown.hear).open())
        config = directory / "config.toml"
        config.write_text(
            configuration(
                directory,
                rate=clock.rate,
                partners={name: partner.url for name, partner in stage.partners.items()},
                ports={name: network.port for name, network in stage.networks.items()},
            ),
            encoding="utf-8",
        )
        console.print(f"starting PostgreSQL and the gateway; its log is {arguments.log}", highlight=False)
        gateway = await GatewayProcess.start(config, arguments.log)
        stack.push_async_callback(gateway.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession(gateway.url, headers=sdu_headers()))
        with shown.shown():
            stage.begin(gateway)
            answer = await push_list(http, cast)
            shown.tell(
                f"SDU pushes {answer['records']} records: {answer['accepted']} accepted, "
                f"{answer['duplicates']} duplicate, {answer['rejected']} rejected"
            )
            await _watch(stage, shown, http, arguments.limit)
        ended = await endings(http, stage, answer)
        counted = counts_agree(await _progress(http), ended)
        journal = await gateway.verify_journal()
        status = await gateway.stop()
        agreed = [counted, *checks(stage, journal, status, gateway.complaints())]
    return 0 if report(console, ended, agreed, time.monotonic() - started) else 1


async def _watch(stage: Stage, shown: Plain, http: aiohttp.ClientSession, limit: float) -> None:
    """Shows what happens until every script has been told, but no longer than the limit."""
    children = list(stage.cast.children)
    figures = Figures(cases=len(children))
    segments, at = 0, time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while figures.told < len(children):
                figures.progress = await _progress(http)
                figures.told = sum(is_told(child, stage) for child in children)
                now = time.monotonic()
                figures.segments = stage.segments
                figures.segments_a_second = (figures.segments - segments) / (now - at)
                segments, at = figures.segments, now
                figures.replies = sum(
                    delivered.kind == "reply" for smsc in stage.networks.values() for delivered in smsc.delivered
                )
                figures.statuses = len(stage.sdu.events)
                shown.draw(figures)
                await asyncio.sleep(GLANCE)
            await asyncio.sleep(AFTERMATH)


async def _progress(http: aiohttp.ClientSession) -> dict[str, int]:
    """Cases by state."""
    async with http.get(f"/v1/lists/{LIST_ID}") as response:
        response.raise_for_status()
        progress: dict[str, int] = (await response.json())["progress"]
        return progress


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="The order's journey end to end: a real gateway, and a simulated stage around it. "
        "Exit status 0 when every case ended as its script says.",
    )
    parser.add_argument("--day", type=float, default=5.0, metavar="SECONDS", help="how long a day lasts (5)")
    parser.add_argument("--families", type=int, metavar="N", help="at most so many of each kind")
    parser.add_argument("--limit", type=float, default=100.0, metavar="SECONDS", help="give up after (100)")
    parser.add_argument(
        "--log", type=Path, default=ROOT / "var" / "demo.log", metavar="FILE", help="the gateway's (var/demo.log)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
