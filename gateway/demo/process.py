"""The real gateway in a process of its own, with a configuration written for this run."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from gateway.demo.people import PREFIXES

ROOT = Path(__file__).parent.parent.parent
READY_WITHIN = 90.0
"""Seconds for a new PostgreSQL, its schema and the binds."""
STOP_WITHIN = 15.0
GLANCE = 0.1
TOKEN = secrets.token_urlsafe(24)
"""The one that the gateway shows its partners, and begins those with that it wants to be shown."""
SECRET = "whsec_cmVoZWFyc2FsIHNpZ25zIHdpdGggdGhpcyBzZWNyZXQ="

_CONFIG = """
[gateway]
node = "demo"
data_dir = "{directory}"
[clock]
rate = {rate}
[http]
port = 0
tokens = {{ sdu = "{token}-sdu", wallet = "{token}-wallet", ops = "{token}-ops" }}
[journey]
[services.3]
name = "school-meals"
link = "https://egovmobile.page.link/socwallet"
[mcb]
url = "{mcb}"
token = "{token}"
[wallet]
url = "{wallet}"
token = "{token}"
[sdu]
url = "{sdu}"
token = "{token}"
signing_secret = "{secret}"
"""

_LINK = """
[[links]]
name = "{name}"
host = "127.0.0.1"
port = {port}
system_id = "gateway"
password = "{token:.8}"
source = "1414"
tps = 1000
prefixes = {prefixes}
operators = {operators}
"""
_OPERATORS = {"kcell": ["activ"], "beeline": ["tele2"]}


class GatewayError(Exception):
    """The gateway does not run; the message has the end of its log."""


def configuration(directory: Path, *, rate: float, partners: dict[str, str], ports: dict[str, int]) -> str:
    """`config.toml` with everything in it that has no default; `ports` are the SMSCs'."""
    links = [
        _LINK.format(name=name, port=port, token=TOKEN, prefixes=list(PREFIXES[name]), operators=_OPERATORS[name])
        for name, port in ports.items()
    ]
    main = _CONFIG.format(directory=directory, rate=rate, token=TOKEN, secret=SECRET, **partners)
    return main + "".join(links)


class GatewayProcess:
    """`gateway serve`, from start to stop."""

    def __init__(self, process: subprocess.Popen[bytes], config: Path, log: Path) -> None:
        self._process = process
        self._config = config
        self.log = log
        self.url = ""

    @classmethod
    async def start(cls, config: Path, log: Path) -> Self:
        """A gateway that answers 200 to /readyz; raises GatewayError."""
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - returns at once; asyncio's own may miss the exit
                _command("serve", config),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        gateway = cls(process, config, log)
        try:
            async with asyncio.timeout(READY_WITHIN):
                await gateway._ready()
        except BaseException as error:
            await gateway.stop()
            if isinstance(error, TimeoutError):
                raise GatewayError(f"it is not ready within {READY_WITHIN:.0f} s:\n{gateway._end()}") from None
            raise
        return gateway

    async def stop(self) -> int:
        """Ends it by SIGTERM, and its exit status; by SIGKILL, if that is not enough."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_WITHIN):
                await asyncio.to_thread(self._process.wait)
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    async def verify_journal(self) -> tuple[int, str]:
        """Exit status and output (JSON) of `gateway verify-journal`."""
        process = await asyncio.create_subprocess_exec(
            *_command("verify-journal", self._config),
            "--json",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode().strip()

    def complaints(self) -> list[dict[str, Any]]:
        """Lines of its log that are errors."""
        return [line for line in self._lines() if line.get("level") in ("error", "critical")]

    async def _ready(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                if self._process.poll() is not None:
                    raise GatewayError(f"it ended at once:\n{self._end()}")
                for line in self._lines():
                    if line.get("event") == "http_serving":
                        self.url = f"http://127.0.0.1:{line['port']}"
                if self.url:
                    async with http.get(f"{self.url}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(GLANCE)

    def _end(self) -> str:
        return self.log.read_text(encoding="utf-8")[-2000:]

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found


def _command(name: str, config: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "gateway", name, "--config", str(config)]


def _environment() -> dict[str, str]:
    # What the caller's shell says of some gateway is not about this one.
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return {**mine, "PYTHONPATH": str(ROOT)}
