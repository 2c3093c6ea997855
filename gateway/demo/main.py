"""One run of the demo, from an empty folder to the report."""

import asyncio
import io
import os
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import uvloop
from rich.console import Console

from gateway.demo.checks import checks, counts_agree, is_complete, outcomes
from gateway.demo.clock import ObservedClock
from gateway.demo.families import Families
from gateway.demo.partners import LIST_ID, SimulatedPartners, push_list, sdu_headers
from gateway.demo.process import GatewayError, GatewayProcess, configuration
from gateway.demo.report import report
from gateway.demo.screen import PLAIN_WIDTH, Figures, PipeConsole, PlainScreen, screen

POLL_SECONDS = 0.25
SETTLE_SECONDS = 1.0
"""After the last case has ended: time for texts and statuses that should not come."""
INTERRUPTED = 130
"""Exit status after SIGINT, SIGTERM or SIGHUP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    families: int | None
    day_seconds: float
    limit_seconds: float
    log: Path


def run_demo(*, day_seconds: float, families: int | None, limit_seconds: float, log: Path | None) -> int:
    """Runs the demo; its exit status, 0 when every case ended as its scenario requires.

    `families` is the most of each kind. `log` is the gateway's; None: a temporary file, which a demo that
    succeeds removes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has Kazakh letters
    is_terminal = sys.stdout.isatty()
    console = PipeConsole(force_terminal=is_terminal, width=None if is_terminal else PLAIN_WIDTH)
    path = log or _temporary_log()
    settings = _Settings(families=families, day_seconds=day_seconds, limit_seconds=limit_seconds, log=path)
    status = 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        status = uvloop.run(_run_until_interrupted(settings, console))
    except (GatewayError, aiohttp.ClientError, OSError) as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
    finally:
        if log is None and status in (0, INTERRUPTED):
            path.unlink(missing_ok=True)
    return status


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="gateway-demo-", suffix=".log")
    os.close(handle)
    return Path(name)


async def _run_until_interrupted(settings: _Settings, console: Console) -> int:
    run = asyncio.create_task(_run(settings, console))

    def stop() -> None:
        if not run.cancelling():  # a second signal does not interrupt the clean-up
            run.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await run
    except asyncio.CancelledError:
        console.print("stopped; everything is cleaned up")
        return INTERRUPTED


async def _run(settings: _Settings, console: Console) -> int:
    started = time.monotonic()
    families, clock = Families(settings.families), ObservedClock(settings.day_seconds)
    shown = screen(console, clock)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        partners = SimulatedPartners(families, clock, shown.add_news, shown.add_exchange)
        await stack.enter_async_context(partners.open())
        config = _write_configuration(directory, clock.rate, partners)
        console.print(f"starting PostgreSQL and the gateway; its log is {settings.log}", highlight=False)
        gateway = await GatewayProcess.start(config, settings.log)
        stack.push_async_callback(gateway.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession(gateway.url, headers=sdu_headers()))
        with shown.shown():
            partners.begin(gateway)
            response = await push_list(http, families)
            shown.add_news(
                f"SDU pushes {response['records']} records: {response['accepted']} accepted, "
                f"{response['duplicates']} duplicate, {response['rejected']} rejected"
            )
            await _watch(partners, shown, http, settings.limit_seconds)
        ended = await outcomes(http, partners, response)
        counted = counts_agree(await _progress(http), ended)
        journal = await gateway.verify_journal()
        status = await gateway.stop()
        results = [counted, *checks(partners, journal, status, gateway.errors())]
    return 0 if report(console, ended, results, time.monotonic() - started) else 1


def _write_configuration(directory: Path, rate: float, partners: SimulatedPartners) -> Path:
    config = directory / "config.toml"
    urls = {name: partner.url for name, partner in partners.http_partners.items()}
    ports = {name: smsc.port for name, smsc in partners.smscs.items()}
    config.write_text(configuration(directory, rate=rate, partners=urls, ports=ports), encoding="utf-8")
    return config


async def _watch(
    partners: SimulatedPartners, shown: PlainScreen, http: aiohttp.ClientSession, limit: float
) -> None:
    """Shows the run until every case is complete, for `limit` seconds at most."""
    children = list(partners.families.children)
    figures = Figures(cases=len(children))
    segments, at = 0, time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while figures.complete < len(children):
                figures.progress = await _progress(http)
                figures.complete = sum(is_complete(child, partners) for child in children)
                now = time.monotonic()
                figures.segments = partners.segments
                figures.segments_per_second = (figures.segments - segments) / (now - at)
                segments, at = figures.segments, now
                figures.replies = sum(
                    delivered.kind == "reply" for smsc in partners.smscs.values() for delivered in smsc.delivered
                )
                figures.statuses = len(partners.sdu.events)
                shown.draw(figures)
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)


async def _progress(http: aiohttp.ClientSession) -> dict[str, int]:
    """Cases by state."""
    async with http.get(f"/v1/lists/{LIST_ID}") as response:
        response.raise_for_status()
        progress: dict[str, int] = (await response.json())["progress"]
        return progress
