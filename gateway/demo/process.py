"""The real gateway in a process of its own, with a configuration written for this run."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

import gateway as package
from gateway.simulators.configuration import caller_tokens, config_toml, partner_tables
from gateway.simulators.identities import PREFIXES

READY_TIMEOUT_SECONDS = 90.0
"""The longest start: a new PostgreSQL, its schema and the binds."""
STOP_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.1
MAX_LOG_SHOWN = 2000
"""Characters from the end of the log in an error message."""
TOKEN = secrets.token_urlsafe(24)
"""The token that the gateway presents to its partners; with a suffix, that of callers of the gateway."""
PASSWORD = TOKEN[:8]
"""The password of the binds; eight characters are what SMPP 3.4 allows."""
SECRET = "whsec_cmVoZWFyc2FsIHNpZ25zIHdpdGggdGhpcyBzZWNyZXQ="

_OPERATORS = {"kcell": ["activ"], "beeline": ["tele2"]}


class GatewayError(Exception):
    """The gateway does not run; the message has the end of its log."""


def configuration(
    directory: Path, *, rate: float, partners: dict[str, str], ports: dict[str, int], http_port: int
) -> str:
    """`config.toml` for a gateway with these partners' URLs and these SMSCs' ports on localhost.

    `http_port` is the gateway's own; 0: any free one.
    """
    links = [
        {
            "name": name,
            "port": port,
            "password": PASSWORD,
            "tps": 1000,
            "prefixes": PREFIXES[name],
            "operators": _OPERATORS[name],
        }
        for name, port in ports.items()
    ]
    return config_toml(
        gateway={"node": "demo", "data_dir": str(directory)},
        clock={"rate": rate},
        http={"port": http_port, "tokens": caller_tokens(TOKEN)},
        **partner_tables(partners, token=TOKEN, secret=SECRET),
        links=links,
    )


class GatewayProcess:
    """`gateway serve`, from start to stop."""

    def __init__(self, process: subprocess.Popen[bytes], config: Path, log: Path, log_begins: int) -> None:
        self._process = process
        self._config = config
        self.log = log
        self._log_begins = log_begins  # octets of the file that are of an earlier process
        self.url = ""

    @classmethod
    async def start(cls, config: Path, log: Path) -> Self:
        """A gateway that responds 200 to /readyz; raises GatewayError. Its log is appended to the file."""
        with log.open("ab") as output:
            log_begins = output.tell()
            process = subprocess.Popen(  # noqa: ASYNC220 - returns at once; asyncio's own may miss the exit
                _command("serve", config),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,  # so that Ctrl-C reaches the demo only, which stops the gateway itself
            )
        gateway = cls(process, config, log, log_begins)
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await gateway._wait_until_ready()
        except BaseException as error:
            await gateway.stop()
            if isinstance(error, TimeoutError):
                raise GatewayError(
                    f"it is not ready after {READY_TIMEOUT_SECONDS:.0f} s:\n{gateway._end_of_log()}"
                ) from None
            raise
        return gateway

    async def stop(self) -> int:
        """Ends it with SIGTERM, after the timeout with SIGKILL; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await asyncio.to_thread(self._process.wait)
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    async def ended(self) -> None:
        """Returns only by GatewayError, when the process has ended by itself."""
        while True:
            if self._process.poll() is not None:
                raise GatewayError(f"the gateway ended:\n{self._end_of_log()}")
            await asyncio.sleep(POLL_SECONDS)

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

    def errors(self) -> list[dict[str, Any]]:
        """The lines of its log that are errors."""
        return [line for line in self._lines() if line.get("level") in ("error", "critical")]

    async def _wait_until_ready(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                if self._process.poll() is not None:
                    raise GatewayError(f"it ended during its start:\n{self._end_of_log()}")
                for line in self._lines():
                    if line.get("event") == "http_serving":
                        self.url = f"http://127.0.0.1:{line['port']}"
                if self.url:
                    async with http.get(f"{self.url}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(POLL_SECONDS)

    def _end_of_log(self) -> str:
        return self._log()[-MAX_LOG_SHOWN:]

    def _log(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_begins)
            return file.read().decode(errors="replace")

    def _lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self._log().splitlines():
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found


def _command(name: str, config: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "gateway", name, "--config", str(config)]


def _environment() -> dict[str, str]:
    """This process's environment, without settings for another gateway, and with this very package importable."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    assert package.__file__ is not None
    folder = str(Path(package.__file__).resolve().parent.parent)
    if folder not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        # A checkout, which Python does not find by itself: `-P` keeps the current folder out of its path.
        paths = (folder, environment.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment
