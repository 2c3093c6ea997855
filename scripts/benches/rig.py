"""What the benches stand on: a fresh PostgreSQL, the real gateway, an SMSC that costs next to nothing, partners.

Each is a process of its own and everything is measured from outside: the sink's counters, HTTP, the database,
and the CPU seconds that the operating system has charged to each process.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import asyncpg
import psutil

from gateway.logs import log
from gateway.store.database import connect
from gateway.store.embedded import EmbeddedServer
from gateway.store.migrations import migrate

ROOT = Path(__file__).parent.parent.parent
MAX_LINE_BYTES = 1 << 24  # of a child's JSON
READY_WITHIN = 60.0
STOP_WITHIN = 15.0
MAX_URGENT = -20
GLANCE = 0.1  # seconds between looks at something that is about to happen

_CONFIG = """
[gateway]
node = "bench"
database = "{database}"
[http]
port = {port}
tokens = {{ sdu = "bench-sdu", wallet = "bench-wallet", ops = "bench-ops" }}
[journey]
send_window = "00:00-24:00"
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
[mcb]
url = "{mcb}"
token = "bench"
batch = 100
[wallet]
url = "{wallet}"
token = "bench"
[sdu]
url = "{sdu}"
token = "bench"
signing_secret = "whsec_YmVuY2hlcyBzaWduIHdpdGggdGhpcyBzZWNyZXQ="
[[links]]
name = "sink"
host = "127.0.0.1"
port = {smsc}
system_id = "bench"
password = "bench"
source = "1414"
window = {window}
tps = {tps}
default = true
"""


class Child:
    """A process that obeys JSON lines and prints JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.usage = psutil.Process(process.pid)

    @classmethod
    async def start(cls, module: str, *arguments: str) -> tuple[Self, dict[str, Any]]:
        """The process of `python -m module`, and the line by which it says that it listens."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}, limit=MAX_LINE_BYTES,
        )  # fmt: skip
        child = cls(process)
        return child, await child.event("listening")

    async def tell(self, command: str, **fields: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cmd": command, **fields}).encode() + b"\n")
        await self._process.stdin.drain()

    async def event(self, name: str) -> dict[str, Any]:
        """The next line of that name; lines of other names before it are dropped."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said: dict[str, Any] = json.loads(line)
            if said["event"] == name:
                return said
        raise RuntimeError(f"the process ended before it said {name}")

    async def ask(self, command: str) -> dict[str, Any]:
        await self.tell(command)
        return await self.event(command)

    async def stop(self) -> None:
        with suppress(ConnectionError):
            await self.tell("quit")
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
                return
        self._process.kill()


class Gateway:
    """A `gateway serve` of its own process."""

    def __init__(self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession, log: Path) -> None:
        self._process = process
        self.http = http
        self.log = log
        self.usage = psutil.Process(process.pid)

    @property
    def rss_mb(self) -> float:
        return float(self.usage.memory_info().rss) / 1e6

    async def ready(self) -> None:
        """Returns once the links are bound."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN):
                while self._process.returncode is None:
                    with suppress(aiohttp.ClientError):
                        async with self.http.get("/readyz") as response:
                            if response.status == 200:
                                return
                    await asyncio.sleep(GLANCE)
        raise RuntimeError(f"the gateway is not ready:\n{self.log.read_text()[-3000:]}")

    async def push(self, list_id: str, body: bytes) -> dict[str, Any]:
        """Pushes a list and sees it taken."""
        headers = {"Content-Type": "application/x-ndjson"}
        async with self.http.put(f"/v1/lists/{list_id}", data=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != 201 or answer["rejected"] or answer["duplicates"]:
                raise RuntimeError(f"the list was not taken: {response.status} {answer}")
            return answer

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_WITHIN):
            if status := await self._process.wait():
                raise RuntimeError(f"the gateway ended with {status}:\n{self.log.read_text()[-3000:]}")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds by process, and how long it took."""

    seconds: float
    cpu: Mapping[str, float]

    def of_us(self) -> float:
        """Seconds of the gateway and its database."""
        return self.cpu["gateway"] + self.cpu["postgresql"]

    def table(self) -> str:
        return "  ".join(f"{name} {cpu:.1f} s" for name, cpu in self.cpu.items())


class Rig:
    """One bench's processes. Gateways and sinks come and go; PostgreSQL and the partners stay."""

    def __init__(self, directory: Path, url: str, database: asyncpg.Connection, partners: Child, at: Any) -> None:
        self.database = database
        self.partners = partners
        self._directory, self._url, self._at = directory, url, at
        self._gateways = 0

    @asynccontextmanager
    async def sink(self, *arguments: str) -> AsyncIterator[tuple[Child, int]]:
        """An SMSC and its port."""
        child, said = await Child.start("benches.sink", *arguments)
        with suppress(psutil.AccessDenied):
            child.usage.nice(MAX_URGENT)  # else its own delays would pass for bursts of the gateway
        try:
            yield child, said["port"]
        finally:
            await child.stop()

    @asynccontextmanager
    async def gateway(
        self, smsc: int, *, tps: int = 0, window: int = 100, push: bool = False
    ) -> AsyncIterator[Gateway]:
        """A gateway whose only link leads to that port, once it is bound; `push`: statuses go to SDU at once."""
        self._gateways += 1
        port = _free_port()
        config = self._directory / f"gateway-{self._gateways}.toml"
        log = config.with_suffix(".log")
        config.write_text(
            _CONFIG.format(
                database=self._url, port=port, smsc=smsc, tps=tps, window=window,
                mcb=self._at["mcb"], wallet=self._at["wallet"], sdu=self._at["sdu"] if push else "",
            )
        )  # fmt: skip
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *_serve(config), cwd=ROOT, stdout=output, stderr=output
            )
        headers = {"Authorization": "Bearer bench-sdu"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as http:
            gateway = Gateway(process, http, log)
            try:
                await gateway.ready()
                yield gateway
                await gateway.stop()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def meter(self, gateway: Gateway, sink: Child) -> Callable[[], Used]:
        """Starts to count; what it returns tells what has been used since."""
        began, before = time.monotonic(), self._cpu(gateway, sink)

        def used() -> Used:
            after = self._cpu(gateway, sink)
            return Used(time.monotonic() - began, {name: after[name] - before[name] for name in after})

        return used

    def _cpu(self, gateway: Gateway, sink: Child) -> dict[str, float]:
        return {
            "gateway": _seconds(gateway.usage),
            "postgresql": _with_children(self._postmaster()),
            "sink": _seconds(sink.usage),
            "partners": _seconds(self.partners.usage),
        }

    def _postmaster(self) -> psutil.Process:
        first_line = (self._directory / "postgresql" / "postmaster.pid").read_text().split("\n", 1)[0]
        return psutil.Process(int(first_line))

    async def cases(self, *states: str) -> int:
        """How many cases are in these states, as the gateway has counted them."""
        counted: int | None = await self.database.fetchval(
            "SELECT sum(cases) FROM progress WHERE state = ANY($1::text[])", list(states)
        )
        return counted or 0

    async def until(self, reached: Callable[[], Awaitable[bool]], within: float = 600.0) -> float:
        """The monotonic instant at which it first was so; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not await reached():  # noqa: ASYNC110 - other processes set no event of ours
                await asyncio.sleep(GLANCE)
        return time.monotonic()


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """A fresh rig, whose files are gone afterwards."""
    log.configure("warning")
    directory = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    server = EmbeddedServer(directory)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        url = await server.ensure()
        stack.callback(server.release)
        pool = await connect(url, size=1)
        async with pool.acquire() as connection:
            await migrate(connection)
        await pool.close()
        database = await asyncpg.connect(url, server_settings={"application_name": "bench"})
        stack.push_async_callback(database.close)
        partners, at = await Child.start("benches.partners")
        stack.push_async_callback(partners.stop)
        yield Rig(directory, url, database, partners, at)


def arguments(doc: str | None, **defaults: int) -> argparse.ArgumentParser:
    """A parser that knows --json and these whole numbers."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default:,}")
    return parser


def report(lines: Mapping[str, object], figures: Mapping[str, object], *, as_json: bool) -> None:
    """Prints what was measured, for people and, if asked for, for programs."""
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}", flush=True)
    if as_json:
        print(json.dumps(figures), flush=True)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def load() -> str:
    """How busy the machine is besides."""
    return "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def _serve(config: Path) -> list[str]:
    if (ROOT / "gateway" / "__main__.py").exists():
        serve = ["-m", "gateway", "serve", "--config", str(config)]
    else:
        code = (
            "import sys, uvloop, gateway.app, gateway.config, gateway.logs.log; gateway.log.configure();"
            "c = gateway.config.load(sys.argv[1]); raise SystemExit(uvloop.run(gateway.app.serve(c)))"
        )
        serve = ["-c", code, str(config)]
    if profile := os.environ.get("BENCH_PROFILE"):
        return ["-m", "cProfile", "-o", profile, *serve]
    return serve


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(process: psutil.Process) -> float:
    """Its own, that of its living children, and that of the children it has buried."""
    times = process.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            total += _seconds(child)
    return total
