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
from gateway.demo.parents import Exchange
from gateway.demo.partners import LIST_ID, SimulatedPartners, push_list, sdu_headers
from gateway.demo.process import GatewayError, GatewayProcess, configuration
from gateway.demo.report import report
from gateway.demo.screen import PLAIN_WIDTH, Figures, PipeConsole, PlainScreen, screen
from gateway.demo.visit import Visit
from gateway.simulators.playground.rejected import RejectedAct

POLL_SECONDS = 0.25
SETTLE_SECONDS = 1.0
"""The wait after the last case has ended, for texts and statuses that should not come."""
CLEANED_UP = "stopped; everything is cleaned up"
INTERRUPTED = 130
"""Exit status after SIGINT, SIGTERM or SIGHUP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the demo runs.

    `families` is the most of each kind; None: as many as it has; 0: nothing is scripted. With `visitors` the demo
    stays until it is interrupted, with so many families of the visitor. `log` is the gateway's; None: a temporary
    file, which a demo that succeeds removes. `port` is that of the page, the gateway has the next one; 0: any
    free ones.
    """

    families: int | None
    visitors: int
    day_seconds: float
    limit_seconds: float
    log: Path | None
    port: int


def run_demo(settings: Settings) -> int:
    """Runs the demo; its exit status, 0 when every case ended as its scenario requires."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has Kazakh letters
    is_terminal = sys.stdout.isatty()
    console = PipeConsole(force_terminal=is_terminal, width=None if is_terminal else PLAIN_WIDTH)
    log = settings.log or _temporary_log()
    status = 1
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        status = uvloop.run(_run_until_interrupted(settings, log, console))
    except (GatewayError, RejectedAct, aiohttp.ClientError, OSError) as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
    finally:
        if settings.log is None and status in (0, INTERRUPTED):
            log.unlink(missing_ok=True)
    return status


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="gateway-demo-", suffix=".log")
    os.close(handle)
    return Path(name)


async def _run_until_interrupted(settings: Settings, log: Path, console: Console) -> int:
    run = asyncio.create_task(_run(settings, log, console))

    def stop() -> None:
        if not run.cancelling():  # a second signal does not interrupt the clean-up
            run.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await run
    except asyncio.CancelledError:
        console.print(CLEANED_UP)
        return INTERRUPTED


async def _run(settings: Settings, log: Path, console: Console) -> int:
    families, clock = Families(settings.families), ObservedClock(settings.day_seconds)
    shown = screen(console, clock)
    listeners = [shown.add_exchange]

    def exchanged(exchange: Exchange) -> None:
        for listen in listeners:
            listen(exchange)

    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        partners = SimulatedPartners(families, clock, shown.add_news, exchanged)
        await stack.enter_async_context(partners.open())
        visit = Visit(partners, clock, settings.port) if settings.visitors else None
        if visit:
            await stack.enter_async_context(visit)
            listeners.append(visit.note)
        config = _write_configuration(directory, clock.rate, partners, visit.gateway_port if visit else 0)
        console.print(f"starting PostgreSQL and the gateway; its log is {log}", highlight=False)
        succeeded = True
        if families.families:
            succeeded = await _scripted(partners, shown, config, log, settings.limit_seconds)
        if visit:
            await _stay(visit, partners, console, config, log, settings.visitors)
    if settings.visitors:
        console.print(CLEANED_UP)
    return 0 if succeeded else 1


async def _scripted(
    partners: SimulatedPartners, shown: PlainScreen, config: Path, log: Path, limit: float
) -> bool:
    """Runs the scenarios and prints the report; whether every case ended as its own requires."""
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        gateway = await GatewayProcess.start(config, log)
        stack.push_async_callback(gateway.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession(gateway.url, headers=sdu_headers()))
        with shown.shown():
            partners.begin(gateway)
            response = await push_list(http, partners.families.lines())
            shown.add_news(
                f"SDU pushes {response['records']} records: {response['accepted']} accepted, "
                f"{response['duplicates']} duplicate, {response['rejected']} rejected"
            )
            await _watch(partners, shown, http, limit)
        ended = await outcomes(http, partners, response)
        counted = counts_agree(await _progress(http), ended)
        journal = await gateway.verify_journal()
        status = await gateway.stop()
        results = [counted, *checks(partners, journal, status, gateway.errors())]
    return report(shown.console, ended, results, time.monotonic() - started)


async def _stay(
    visit: Visit, partners: SimulatedPartners, console: Console, config: Path, log: Path, visitors: int
) -> None:
    """Runs the gateway for the visitor until the demo is interrupted."""
    async with AsyncExitStack() as stack:
        gateway = await GatewayProcess.start(config, log)
        stack.push_async_callback(gateway.stop)
        partners.watch_clock()
        await visit.begin(gateway, visitors)
        visit.print_addresses(console, gateway, config)
        with suppress(asyncio.CancelledError):
            await gateway.ended()


def _write_configuration(directory: Path, rate: float, partners: SimulatedPartners, http_port: int) -> Path:
    config = directory / "config.toml"
    urls = {name: partner.url for name, partner in partners.http_partners.items()}
    ports = {name: smsc.port for name, smsc in partners.smscs.items()}
    text = configuration(directory, rate=rate, partners=urls, ports=ports, http_port=http_port)
    config.write_text(text, encoding="utf-8")
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
