"""The gateway's processes and their database: started, killed, paused, and started again at once."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import aiohttp

from chaos import disk
from chaos.families import PREFIXES
from chaos.partners import WALLET_TOKEN, Neighbours

ROOT = Path(__file__).parent.parent.parent
SDU_TOKEN = "ordeal-sdu"
EMBEDDED = "embedded"
STOP_WITHIN = 12.0
SERVES_WITHIN = 60.0
PAUSE = 30.0
"""Seconds for which a process is stopped: long enough to be taken for dead."""
FULL = 6.0
"""Seconds for which the database's disk is full."""
FULL_TIMES = 4
CLEAN = 0.2
"""The chance that a process is ended by SIGTERM before one is killed."""
CLEAN_ENDS = (0, 75)
"""Drained; fenced just then."""
EARLY = 0.3
"""The chance that a process is killed within its first second, while it starts."""

_CONFIG = """
[gateway]
database = "{url}"
data_dir = "{data}"
[clock]
rate = {rate}
[http]
port = {port}
tokens = {{ sdu = "{sdu_token}", wallet = "{wallet_token}", ops = "ordeal-ops" }}
[journey]
send_window = "{window}"
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
[mcb]
url = "{mcb}"
token = "ordeal-mcb"
batch = 20
timeout = "{patience:.0f}s"
[wallet]
url = "{wallet}"
token = "ordeal-wallet-in"
timeout = "{patience:.0f}s"
[sdu]
url = "{sdu}"
token = "ordeal-sdu-in"
signing_secret = "{secret}"
"""
_LINK = """
[[links]]
name = "{link}"
host = "127.0.0.1"
port = {port}
system_id = "ordeal"
password = "ordeal"
source = "1414"
window = 50
tps = 2000
prefixes = ["{prefix}"]
default = {default}
response_timeout = "{patience:.0f}s"
enquire_link = "2s"
"""


class Cluster:
    """So many processes over one database, an embedded one in `directory` unless `url` leads elsewhere."""

    def __init__(
        self,
        directory: Path,
        partners: Neighbours,
        *,
        processes: int,
        rate: float,
        window: str,
        secret: str,
        patience: float = 2.0,
        url: str = EMBEDDED,
    ) -> None:
        """`patience`: seconds for which an answer of an SMSC, the MCB or the wallet is waited for."""
        self.upheavals: list[float] = []
        """When the database was killed, its disk full, or a process paused, in monotonic seconds."""
        self.counts: Counter[str] = Counter()
        self.unclean: list[int] = []
        """Exit statuses of processes that SIGTERM has ended otherwise than it should."""
        self.directory = directory
        self._processes: list[asyncio.subprocess.Process | None] = [None] * processes
        self._paused: set[int] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._ports = [_free_port() for _ in range(processes)]
        for n, port in enumerate(self._ports):
            text = _CONFIG.format(
                url=url, data=directory / "data", rate=rate, port=port, window=window, secret=secret,
                mcb=partners.mcb.url, wallet=partners.wallet.url, sdu=partners.sdu.url,
                sdu_token=SDU_TOKEN, wallet_token=WALLET_TOKEN, patience=patience,
            )  # fmt: skip
            for link, smsc in partners.smscs.items():
                default = str(link == next(iter(PREFIXES))).lower()
                text += _LINK.format(
                    link=link, port=smsc.port, prefix=PREFIXES[link][1:], default=default, patience=patience
                )
            (directory / f"{n}.toml").write_text(text)

    def url(self) -> str:
        """The address of one of them, each in turn."""
        self.counts["calls"] += 1
        return f"http://127.0.0.1:{self._ports[self.counts['calls'] % len(self._ports)]}"

    async def start(self) -> None:
        """Starts all, and whichever of them ends at once again until `stop`."""
        for n in range(len(self._processes)):
            await self._start(n)
            self._keepers.append(asyncio.create_task(self._keep(n)))

    async def stop(self) -> list[int]:
        """Ends all with SIGTERM; their exit statuses, -9 for one that had to be killed.

        One that has only just been started has no handler for it yet, and would die of it.
        """
        await self._all_serve()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        return [await self._stop(process) for process in self._processes if process is not None]

    async def _all_serve(self) -> None:
        async with aiohttp.ClientSession() as http:
            with suppress(TimeoutError):
                async with asyncio.timeout(SERVES_WITHIN):
                    while True:
                        if all([await _serves(http, port) for port in self._ports]):
                            return
                        await asyncio.sleep(0.1)

    async def torment(
        self, kills: int, seed: int, *, longest: float, database: bool, full_disk: bool, pause: bool
    ) -> None:
        """Kills a process so many times, at random instants at most `longest` seconds apart.

        Now and then one is ended by SIGTERM before: a clean end may lose and invent as little.
        With `database` every tenth time that is killed too; with `full_disk` its disk runs full a few times, with
        kills in between and without; with `pause` a process is stopped twice.
        """
        dice = random.Random(seed)
        full: asyncio.Task[None] | None = None
        for number in range(1, kills + 1):
            early = dice.random() < EARLY
            await asyncio.sleep(dice.uniform(0.0, 1.0) if early else dice.uniform(1.0, longest))
            victim = dice.randrange(len(self._processes))
            if database and number % 10 == 0:
                await self._kill_database(immediate=dice.random() < 0.5)
            if full_disk and number % (kills // FULL_TIMES or 1) == 0:
                if full is not None:
                    await full
                full = asyncio.create_task(self._fill_disk())
                await asyncio.sleep(dice.uniform(0.0, 2.0) * FULL)
            if pause and number % (kills // 2 or 1) == 1:
                await self._pause(victim)
            if dice.random() < CLEAN:
                await self._end(victim)
            await self._kill(victim)
        if full is not None:
            await full

    async def roll(self, restarts: int, seed: int, *, longest: float) -> None:
        """Ends one process after the other by SIGTERM, each as soon as the one before has its successor."""
        dice = random.Random(seed)
        for number in range(restarts):
            await self._all_serve()
            await asyncio.sleep(dice.uniform(0.0, longest))
            await self._end(number % len(self._processes))

    async def push(self, list_id: str, body: bytes) -> None:
        """Pushes a list until it is taken."""
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
                sys.executable, "-m", "gateway", "serve", "--config", str(self.directory / f"{n}.toml"),
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip

    async def _keep(self, n: int) -> None:
        while True:
            process = self._processes[n]
            assert process is not None
            self.counts[f"exit {await process.wait()}"] += 1
            await self._start(n)

    async def _living(self, victim: int) -> asyncio.subprocess.Process:
        """The process, also one that has only just been started anew."""
        process = self._processes[victim]
        while process is None or process.returncode is not None:
            await asyncio.sleep(0.01)
            process = self._processes[victim]
        return process

    async def _kill(self, victim: int) -> None:
        process = await self._living(victim)
        self.counts["kills"] += 1
        process.kill()
        await process.wait()

    async def _end(self, victim: int) -> None:
        process = await self._living(victim)
        handled = _handles_sigterm(process.pid)
        status = await self._stop(process)
        self.counts[f"SIGTERM, then exit {status}"] += 1
        if status not in CLEAN_ENDS and not (status == -signal.SIGTERM and not handled):
            self.unclean.append(status)

    async def _kill_database(self, *, immediate: bool) -> None:
        """SIGKILL to the postmaster, or SIGQUIT: an immediate shutdown. The gateway starts it again."""
        with suppress(OSError, ValueError, ProcessLookupError):
            pid = int((self.directory / "data/postgresql/postmaster.pid").read_text().split()[0])
            self.upheavals.append(time.monotonic())
            os.kill(pid, signal.SIGQUIT if immediate else signal.SIGKILL)
            self.counts["database kills"] += 1

    async def _fill_disk(self) -> None:
        """Leaves no room for new rows, every other time none for the WAL either: then PostgreSQL ends itself."""
        data = self.directory / "data"
        self.upheavals.append(time.monotonic())
        self.counts["full disks"] += 1
        await asyncio.to_thread(disk.fill, data)
        if self.counts["full disks"] % 2:
            await disk.exhaust_wal(data / "postgresql")
        await asyncio.sleep(FULL)
        disk.free(data)
        self.upheavals.append(time.monotonic())

    async def _pause(self, victim: int) -> None:
        """SIGSTOP, and SIGCONT when everybody takes the process for dead."""
        process = self._processes[victim]
        if process is None or process.returncode is not None:
            return
        self.upheavals.append(time.monotonic())
        self.counts["pauses"] += 1
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE)
        process.send_signal(signal.SIGCONT)
        self.upheavals.append(time.monotonic())
        await asyncio.sleep(3.0)  # time to do the harm that it must not do

    async def _stop(self, process: asyncio.subprocess.Process) -> int:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_WITHIN):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode


def _handles_sigterm(pid: int) -> bool:
    """Whether the process catches SIGTERM yet: one that has only just been started simply dies of it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


async def _serves(http: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with http.get(f"http://127.0.0.1:{port}/healthz") as response:
            return response.status == HTTPStatus.OK
    except aiohttp.ClientError:
        return False


def log_lines(directory: Path, processes: int) -> Mapping[str, int]:
    """How often each event stands in the gateway's log, from warnings up."""
    counted: Counter[str] = Counter()
    for n in range(processes):
        for line in (directory / f"{n}.log").read_bytes().splitlines():
            for level in (b'"warning"', b'"error"', b'"critical"'):
                if level in line:
                    counted[line.partition(b'"event":"')[2].partition(b'"')[0].decode()] += 1
    return counted


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
