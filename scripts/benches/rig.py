"""What the benches run on: a fresh PostgreSQL, the real gateway, the sink as SMSC, and simulated partners.

Each is a process of its own, and everything is measured from outside: by the sink's counters, HTTP, the database,
and the CPU seconds of each process.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
from ports import free_port

from benches.json_lines import ROOT, STOP_TIMEOUT_SECONDS, Child
from gateway.logs import log
from gateway.simulators.configuration import caller_tokens, config_toml, partner_tables
from gateway.store.embedded import EmbeddedServer

READY_TIMEOUT_SECONDS = 60.0
HIGHEST_PRIORITY = -20
POLL_SECONDS = 0.1

SIGNING_SECRET = "whsec_YmVuY2hlcyBzaWduIHdpdGggdGhpcyBzZWNyZXQ="


class Gateway:
    """A process of `gateway serve`."""

    def __init__(
        self, process: asyncio.subprocess.Process, http: aiohttp.ClientSession, port: int, log: Path
    ) -> None:
        self._process = process
        self.port = port
        self.http = http
        self.log = log
        self.usage = psutil.Process(process.pid)

    @property
    def rss_mb(self) -> float:
        return float(self.usage.memory_info().rss) / 1e6

    async def ready(self) -> None:
        """Returns once the links are bound."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                while self._process.returncode is None:
                    with suppress(aiohttp.ClientError):
                        async with self.http.get("/readyz") as response:
                            if response.status == 200:
                                return
                    await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(f"the gateway is not ready:\n{self.log.read_text()[-3000:]}")

    async def push(self, list_id: str, content: bytes) -> dict[str, Any]:
        """Pushes a list; the gateway's response. RuntimeError unless every record was accepted."""
        headers = {"Content-Type": "application/x-ndjson"}
        async with self.http.put(f"/v1/lists/{list_id}", data=content, headers=headers) as response:
            body: dict[str, Any] = await response.json(content_type=None)
            if response.status != 201 or body["rejected"] or body["duplicates"]:
                raise RuntimeError(f"the list was not accepted: {response.status} {body}")
            return body

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
            if status := await self._process.wait():
                raise RuntimeError(f"the gateway ended with {status}:\n{self.log.read_text()[-3000:]}")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds by process, and the elapsed seconds."""

    seconds: float
    cpu: Mapping[str, float]

    def gateway_and_database(self) -> float:
        """Seconds of the gateway and its database."""
        return self.cpu["gateway"] + self.cpu["postgresql"]

    def table(self) -> str:
        return "  ".join(f"{name} {cpu:.1f} s" for name, cpu in self.cpu.items())


class Rig:
    """One bench's processes: PostgreSQL and the partners for all of it, gateways and sinks as needed."""

    def __init__(
        self, directory: Path, url: str, database: asyncpg.Connection, partners: Child, urls: Any
    ) -> None:
        """`url` is the database's, `urls` are the partners' by name."""
        self.database = database
        self.partners = partners
        self._directory, self._url, self._urls = directory, url, urls
        self._gateways = 0

    @asynccontextmanager
    async def sink(self, *arguments: str) -> AsyncIterator[tuple[Child, int]]:
        """A sink and its port."""
        child = await Child.start("benches.sink", *arguments)
        listening = await child.event("listening")
        with suppress(psutil.AccessDenied):
            child.usage.nice(HIGHEST_PRIORITY)  # its own delays would look like bursts of the gateway
        try:
            yield child, listening["port"]
        finally:
            await child.stop()

    @asynccontextmanager
    async def gateway(
        self,
        smsc: int | Mapping[str, Any],
        *,
        tps: int = 0,
        window: int = 100,
        push: bool = False,
        links: Sequence[Mapping[str, Any]] = (),
        output: int | None = None,
        tls: bool = False,
    ) -> AsyncIterator[Gateway]:
        """A gateway with a link to that port, once all its links are bound; `push`: statuses are pushed to SDU.

        Instead of a port, the keys of the link may be given. `links` are further ones. `output` is the file
        descriptor of its log, instead of a file. `tls`: its HTTP port speaks TLS, with a certificate that is made.
        """
        self._gateways += 1
        port = free_port()
        config = self._directory / f"gateway-{self._gateways}.toml"
        log = config.with_suffix(".log")
        urls = self._urls if push else {**self._urls, "sdu": ""}
        link = {"port": smsc, "tps": tps, "window": window} if isinstance(smsc, int) else smsc
        http = {"port": port, **(_certificate(self._directory) if tls else {})}
        _write_config(config, urls, database=self._url, http=http, links=[link, *links])
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *_gateway("serve", config), cwd=ROOT, stdout=output or file, stderr=output or file
            )
        headers = {"Authorization": "Bearer bench-callers-sdu"}
        async with aiohttp.ClientSession(
            f"http{'s' if tls else ''}://127.0.0.1:{port}",
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=not tls),  # it was made for this run: nothing to verify
        ) as client:
            gateway = Gateway(process, client, port, log)
            try:
                await gateway.ready()
                yield gateway
                await gateway.stop()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def meter(self, gateway: Gateway, sink: Child) -> Callable[[], Used]:
        """Starts to measure; the returned function gives what has been used since."""
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
        """How many cases are in these states, by the gateway's own counts."""
        counted: int | None = await self.database.fetchval(
            "SELECT sum(cases) FROM progress WHERE state = ANY($1::text[])", list(states)
        )
        return counted or 0

    async def until(self, reached: Callable[[], Awaitable[bool]], within: float = 600.0) -> float:
        """The monotonic instant at which the condition was first true; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not await reached():  # noqa: ASYNC110 - another process cannot set an event here
                await asyncio.sleep(POLL_SECONDS)
        return time.monotonic()


@asynccontextmanager
async def rig(*partners_arguments: str) -> AsyncIterator[Rig]:
    """A fresh rig; its files are removed afterwards."""
    log.configure("warning")
    directory = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    server = EmbeddedServer(directory)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        url = await server.ensure()
        stack.callback(server.release)
        partners = await Child.start("benches.partners", *partners_arguments)
        stack.push_async_callback(partners.stop)
        urls = await partners.event("listening")
        await _migrate(directory / "migrate.toml", urls, url)
        database = await asyncpg.connect(url, server_settings={"application_name": "bench"})
        stack.push_async_callback(database.close)
        yield Rig(directory, url, database, partners, urls)


async def _migrate(config: Path, urls: Mapping[str, str], url: str) -> None:
    """Applies the migrations by the gateway's own command."""
    _write_config(config, urls, database=url, http={"port": 0}, links=[{"port": 1}])
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_gateway("migrate", config), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the migrations failed:\n{output.decode()}")


def _write_config(
    path: Path,
    urls: Mapping[str, str],
    *,
    database: str,
    http: Mapping[str, Any],
    links: Sequence[Mapping[str, Any]],
) -> None:
    tables = partner_tables(urls, token="bench", secret=SIGNING_SECRET)
    tables["mcb"]["batch"] = 100
    text = config_toml(
        gateway={"node": "bench", "database": database},
        http={**http, "tokens": caller_tokens("bench-callers")},
        journey={"send_window": "00:00-24:00"},
        **tables,
        links=[{"name": "sink", "password": "bench", "default": n == 0, **link} for n, link in enumerate(links)],
    )
    path.write_text(text)


def _certificate(directory: Path) -> dict[str, str]:
    """Keys of `[http]` with a certificate of its own signature, made by openssl."""
    key, certificate = directory / "http.key", directory / "http.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key)]
    command = ["openssl", "req", "-x509", "-days", "2", *subject, "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return {"tls_cert": str(certificate), "tls_key": str(key)}


def arguments(doc: str | None, **defaults: int) -> argparse.ArgumentParser:
    """A parser with --json and an integer option for each default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default:,}")
    return parser


def report(lines: Mapping[str, object], figures: Mapping[str, object], *, as_json: bool) -> None:
    """Prints the measurements as text and, with `as_json`, the figures as one JSON object."""
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}", flush=True)
    if as_json:
        print(json.dumps(figures), flush=True)


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def load() -> str:
    """The load averages of the machine."""
    return "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


def _gateway(command: str, config: Path) -> list[str]:
    """Arguments for Python; with BENCH_PROFILE, `serve` is profiled into that file."""
    arguments = ["-m", "gateway", command, "--config", str(config)]
    if command == "serve" and (profile := os.environ.get("BENCH_PROFILE")):
        return ["-m", "cProfile", "-o", profile, *arguments]
    return arguments


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(process: psutil.Process) -> float:
    """Its own CPU seconds, those of its running children, and those of the children it has waited for."""
    times = process.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            total += _seconds(child)
    return total
