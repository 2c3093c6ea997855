"""Programs that take one command a line and print one event (JSON) a line: both ends of their pipes."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).parent.parent.parent
MAX_LINE_BYTES = 1 << 24
"""A command may list many numbers, an event many instants."""
STOP_TIMEOUT_SECONDS = 15.0


class Child:
    """Such a program, run by this one."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.usage = psutil.Process(process.pid)

    @classmethod
    async def start(cls, module: str, *arguments: str, cwd: Path = ROOT, stdin: int = PIPE) -> Self:
        """The process of `python -m module`, with the packages of this checkout."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, *arguments, stdin=stdin, stdout=PIPE, cwd=cwd,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}, limit=MAX_LINE_BYTES,
        )  # fmt: skip
        return cls(process)

    async def write(self, line: str) -> None:
        """Writes a command, or several lines of them."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def send(self, command: str, **fields: Any) -> None:
        """Writes a command that is JSON."""
        await self.write(json.dumps({"cmd": command, **fields}))

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name; events of other names before it are dropped."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event
        raise RuntimeError(f"the process ended before the event {name}")

    async def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The event of the same name, after a command that is JSON."""
        await self.send(command, **fields)
        return await self.event(command)

    async def stop(self) -> int:
        """Ends it by `quit`, after the timeout by SIGKILL; its exit status."""
        with suppress(ConnectionError):
            await self.send("quit")
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                return await self.process.wait()
        self.process.kill()
        return await self.process.wait()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """The commands on standard input, until its end."""
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def print_event(event: str, **detail: Any) -> None:
    """Prints an event."""
    print(json.dumps({"event": event, **detail}), flush=True)
