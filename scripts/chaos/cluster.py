"""The gateway's processes and their database: started, killed, paused, and restarted at once."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from logged import exceptions
from ports import free_port

from chaos import disk
from chaos.families import PREFIXES
from chaos.partners import WALLET_TOKEN, Partners
from chaos.profiles import RESPONSE_TIMEOUT_SECONDS, WAITS_SCALE, WINDOW, WINDOW_OF_SLOW_LINKS
from gateway.simulators.configuration import config_toml

ROOT = Path(__file__).parent.parent.parent
SDU_TOKEN = "chaos-token-of-sdu"
EMBEDDED = "embedded"
STOP_TIMEOUT_SECONDS = 30.0
"""`gateway serve` takes 10 at the longest, on an idle machine."""
SERVE_TIMEOUT_SECONDS = 60.0
PAUSE_SECONDS = 30.0
"""The time for which a process is stopped: long enough for its eviction."""
AFTER_PAUSE_SECONDS = 3.0
FULL_DISK_SECONDS = 6.0
FULL_DISKS = 4
SIGTERM_PROBABILITY = 0.2
"""The probability that a process is stopped by SIGTERM before one is killed."""
CLEAN_EXITS = (0, 75)
"""The exit statuses of a process that was drained, and of one that was fenced in the meantime."""
EARLY_PROBABILITY = 0.3
"""The probability that a process is killed within its first second, while it starts."""


class Cluster:
    """Several processes on one database, an embedded one in `directory` unless `url` is that of another."""

    def __init__(
        self,
        directory: Path,
        partners: Partners,
        *,
        processes: int,
        rate: float,
        window: str,
        secret: str,
        partner_timeout: float = 2.0,
        url: str = EMBEDDED,
        profile: str = "",
        hurry: float = 1.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`partner_timeout`: seconds after which a response of an SMSC, the MCB or the wallet is given up.

        `profile` is that of the SMSCs: the waits of the links to such ones are scaled (serve.py).
        A silent database is left `hurry` times as soon as by default.
        """
        scale = WAITS_SCALE if profile else 1.0
        pause_seconds = 3600.0 * scale if profile else 3600.0 / rate  # an hour, as the links or the days have it
        self._command = ["chaos.serve", str(scale), str(pause_seconds), str(hurry)]
        self._environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}", **(environment or {})}
        self.disruptions: list[float] = []
        """The instants at which the database was killed, its disk was full, or a process was paused; monotonic
        seconds.
        """
        self.counts: Counter[str] = Counter()
        self.unclean: list[int] = []
        """Exit statuses of processes that did not stop cleanly on SIGTERM."""
        self.directory = directory
        self._processes: list[asyncio.subprocess.Process | None] = [None] * processes
        self._paused: set[int] = set()
        self._restarters: list[asyncio.Task[None]] = []
        self._ports = [free_port() for _ in range(processes)]
        tables = _tables(partners, rate=rate, window=window, secret=secret, partner_timeout=partner_timeout)
        for link in tables["links"]:
            link["window"] = WINDOW_OF_SLOW_LINKS if profile == "slow" else WINDOW
        gateway = {"database": url, "data_dir": str(directory / "data")}
        tokens = {"sdu": SDU_TOKEN, "wallet": WALLET_TOKEN, "ops": "chaos-token-of-ops"}
        for n, port in enumerate(self._ports):
            text = config_toml(gateway=gateway, http={"port": port, "tokens": tokens}, **tables)
            (directory / f"{n}.toml").write_text(text)

    def url(self) -> str:
        """The address of one of them, each in turn."""
        self.counts["calls"] += 1
        return f"http://127.0.0.1:{self._ports[self.counts['calls'] % len(self._ports)]}"

    def ended(self) -> Mapping[str, int]:
        """How many processes ended before `stop`, by exit status."""
        return {name: n for name, n in self.counts.items() if name.startswith("exit ")}

    async def start(self) -> None:
        """Starts all, and restarts at once whichever ends, until `stop`."""
        for n in range(len(self._processes)):
            await self._start(n)
            self._restarters.append(asyncio.create_task(self._restart(n)))

    async def stop(self) -> list[int]:
        """Stops all by SIGTERM; their exit statuses, -9 for one that had to be killed.

        Waits until all serve: SIGTERM would kill one that has no handler for it yet.
        """
        await self._all_serve()
        for restarter in self._restarters:
            restarter.cancel()
        await asyncio.gather(*self._restarters, return_exceptions=True)
        return [await self._stop(process) for process in self._processes if process is not None]

    async def all_ready(self, within: float) -> None:
        """Returns once all read the database and are ready, at the latest after so many seconds."""
        await self._all_respond("v1/lists", within)
        await self._all_respond("readyz", within)

    async def _all_serve(self) -> None:
        await self._all_respond("healthz", SERVE_TIMEOUT_SECONDS)

    async def _all_respond(self, path: str, within: float) -> None:
        headers = {"Authorization": f"Bearer {SDU_TOKEN}"}
        timeout = aiohttp.ClientTimeout(total=RESPONSE_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    while True:
                        if all([await _serves(http, f"http://127.0.0.1:{port}/{path}") for port in self._ports]):
                            return
                        await asyncio.sleep(0.1)

    async def kill_repeatedly(
        self, kills: int, seed: int, *, max_pause: float, database: bool, full_disk: bool, pause: bool
    ) -> None:
        """Kills a process so many times, at random instants at most `max_pause` seconds apart.

        Sometimes one is stopped by SIGTERM before. With `database` every tenth kill hits that, too. With
        `full_disk` the disk is filled a few times, with kills meanwhile and without. With `pause` a process is
        stopped and continued twice.
        """
        rng = random.Random(seed)
        full: asyncio.Task[None] | None = None
        for number in range(1, kills + 1):
            early = rng.random() < EARLY_PROBABILITY
            await asyncio.sleep(rng.uniform(0.0, 1.0) if early else rng.uniform(1.0, max_pause))
            target = rng.randrange(len(self._processes))
            if database and number % 10 == 0:
                await self._kill_database(immediate=rng.random() < 0.5)
            if full_disk and number % (kills // FULL_DISKS or 1) == 0:
                if full is not None:
                    await full
                full = asyncio.create_task(self._fill_disk())
                await asyncio.sleep(rng.uniform(0.0, 2.0) * FULL_DISK_SECONDS)
            if pause and number % (kills // 2 or 1) == 1:
                await self._pause(target)
            if rng.random() < SIGTERM_PROBABILITY:
                await self._terminate(target)
            await self._kill(target)
        if full is not None:
            await full

    async def roll(self, restarts: int, seed: int, *, max_pause: float) -> None:
        """Stops one process after the other by SIGTERM, each once the previous one was restarted."""
        rng = random.Random(seed)
        for number in range(restarts):
            await self._all_serve()
            await asyncio.sleep(rng.uniform(0.0, max_pause))
            await self._terminate(number % len(self._processes))

    async def push(self, list_id: str, body: bytes) -> None:
        """Pushes a list until it is accepted."""
        headers = {"Authorization": f"Bearer {SDU_TOKEN}", "Content-Type": "application/x-ndjson"}
        async with aiohttp.ClientSession(headers=headers) as http:
            while True:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with http.put(f"{self.url()}/v1/lists/{list_id}", data=body) as response:
                        if response.status in (200, 201):
                            return
                self.counts["pushes repeated"] += 1
                await asyncio.sleep(0.1)

    async def _start(self, n: int) -> None:
        with (self.directory / f"{n}.log").open("ab") as log:
            self._processes[n] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *self._command, str(self.directory / f"{n}.toml"),
                cwd=ROOT, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip

    async def _restart(self, n: int) -> None:
        while True:
            process = self._processes[n]
            assert process is not None
            self.counts[f"exit {await process.wait()}"] += 1
            await self._start(n)

    async def _running(self, target: int) -> asyncio.subprocess.Process:
        """The process, once it is restarted if it has just ended."""
        process = self._processes[target]
        while process is None or process.returncode is not None:
            await asyncio.sleep(0.01)
            process = self._processes[target]
        return process

    async def _kill(self, target: int) -> None:
        process = await self._running(target)
        self.counts["kills"] += 1
        process.kill()
        await process.wait()

    async def _terminate(self, target: int) -> None:
        process = await self._running(target)
        handled = _handles_sigterm(process.pid)
        status = await self._stop(process)
        self.counts[f"SIGTERM, then exit {status}"] += 1
        if status not in CLEAN_EXITS and not (status == -signal.SIGTERM and not handled):
            self.unclean.append(status)

    async def _kill_database(self, *, immediate: bool) -> None:
        """SIGKILL to the postmaster, or SIGQUIT: an immediate shutdown. The gateway starts it again."""
        with suppress(OSError, ValueError, ProcessLookupError):
            pid = int((self.directory / "data/postgresql/postmaster.pid").read_text().split()[0])
            self.disruptions.append(time.monotonic())
            os.kill(pid, signal.SIGQUIT if immediate else signal.SIGKILL)
            self.counts["database kills"] += 1

    async def _fill_disk(self) -> None:
        """Fills the disk; every other time also exhausts the WAL, so that PostgreSQL panics."""
        data = self.directory / "data"
        self.disruptions.append(time.monotonic())
        self.counts["full disks"] += 1
        await asyncio.to_thread(disk.fill, data)
        if self.counts["full disks"] % 2:
            await disk.exhaust_wal(data / "postgresql")
        await asyncio.sleep(FULL_DISK_SECONDS)
        disk.free(data)
        self.disruptions.append(time.monotonic())

    async def _pause(self, target: int) -> None:
        """SIGSTOP, and SIGCONT after the process was evicted."""
        process = self._processes[target]
        if process is None or process.returncode is not None:
            return
        self.disruptions.append(time.monotonic())
        self.counts["pauses"] += 1
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)
        process.send_signal(signal.SIGCONT)
        self.disruptions.append(time.monotonic())
        await asyncio.sleep(AFTER_PAUSE_SECONDS)  # it must do no harm when it continues

    async def _stop(self, process: asyncio.subprocess.Process) -> int:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode


def _tables(
    partners: Partners, *, rate: float, window: str, secret: str, partner_timeout: float
) -> dict[str, Any]:
    """The tables of `config.toml` that all processes share, and their links."""
    timeout = f"{partner_timeout:.0f}s"
    link = {
        "password": "chaos",
        "tps": 2000,
        "response_timeout": timeout,
        "enquire_link": "2s",
    }
    return {
        "clock": {"rate": rate},
        "journey": {"send_window": window},
        "mcb": {"url": partners.mcb.url, "token": "chaos-mcb", "batch": 20, "timeout": timeout},
        "wallet": {"url": partners.wallet.url, "token": "chaos-wallet-in", "timeout": timeout},
        "sdu": {"url": partners.sdu.url, "token": "chaos-sdu-in", "signing_secret": secret},
        "links": [
            {
                **link,
                "name": name,
                "port": smsc.port,
                "prefixes": [PREFIXES[name][1:]],
                "default": name == next(iter(PREFIXES)),
            }
            for name, smsc in partners.smscs.items()
        ],
    }


def _handles_sigterm(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM yet; before that, SIGTERM kills it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


async def _serves(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError):
        return False


def log_lines(directory: Path, processes: int) -> Mapping[str, int]:
    """How often each event is in the gateway's log, of level warning and above."""
    counted: Counter[str] = Counter()
    for n in range(processes):
        for line in (directory / f"{n}.log").read_bytes().splitlines():
            for level in (b'"warning"', b'"error"', b'"critical"'):
                if level in line:
                    counted[line.partition(b'"event":"')[2].partition(b'"')[0].decode()] += 1
    return counted


def logged_exceptions(directory: Path, processes: int) -> Counter[str]:
    """How often each exception is in the gateway's log that no peer, database or kill can cause."""
    return sum((exceptions((directory / f"{n}.log").read_bytes()) for n in range(processes)), Counter())
