"""Simulators as programs: one JSON object a line on standard output, one command a line on standard input."""

import asyncio
import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from gateway.simulators.commands import Simulator, execute

READ_BYTES = 65_536
Emit = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Simulators that one process runs, by name.

    One simulator prints its events and takes its commands as they are. Of several, each event has the
    simulator's name as `simulator`, and each command begins with it.
    """

    simulators: Mapping[str, Simulator]
    started: Callable[[], dict[str, Any]]
    """Details of the `listening` event, once all of them listen."""
    gateway_url: str = ""
    """The address to which the wallet posts its events."""
    gateway_token: str = ""

    async def run(self) -> None:
        """Runs until SIGINT, SIGTERM or `quit`; the end of standard input ends nothing."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            for name, simulator in self.simulators.items():
                simulator.on_event = self._printer(name)
                await stack.enter_async_context(simulator)
            _print({"event": "listening", **self.started()})
            lines: asyncio.Queue[str] = asyncio.Queue()
            threading.Thread(target=_read_lines, args=(loop, lines), daemon=True).start()
            commands = loop.create_task(self._execute_all(lines, stop))
            await stop.wait()
            commands.cancel()
            await asyncio.gather(commands, return_exceptions=True)

    def _printer(self, name: str) -> Emit:
        several = {"simulator": name} if len(self.simulators) > 1 else {}
        return lambda event, detail: _print({"event": event, **several, **detail})

    async def _execute_all(self, lines: asyncio.Queue[str], stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                line = await lines.get()
                try:
                    words = shlex.split(line)
                except ValueError as error:
                    _print({"event": "error", "command": line, "reason": str(error)})
                    continue
                if words == ["quit"]:
                    stop.set()
                elif words:
                    tasks.create_task(self._execute(words))

    async def _execute(self, words: list[str]) -> None:
        """Executes one command; a failure is printed as an `error` event."""
        try:
            name, rest = self._addressed(words)
            state = await execute(self.simulators[name], rest, self.gateway_url, self.gateway_token)
            if state is not None:
                self._printer(name)("state", state)
        except Exception as error:  # whatever fails in one command must not end the program
            reason = f"{type(error).__name__}: {error}"
            _print({"event": "error", "command": shlex.join(words), "reason": reason})

    def _addressed(self, words: list[str]) -> tuple[str, list[str]]:
        if len(self.simulators) == 1:
            return next(iter(self.simulators)), words
        name, *rest = words
        if name not in self.simulators or not rest:
            raise ValueError(f"a command begins with one of {', '.join(self.simulators)}, or is quit")
        return name, rest


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str]) -> None:
    """Puts each line of standard input into the queue.

    A thread, because asyncio cannot read a regular file or /dev/null; os.read, because a thread that waits in
    sys.stdin would block the interpreter's exit.
    """
    rest = b""
    while octets := os.read(0, READ_BYTES):
        *whole, rest = (rest + octets).split(b"\n")
        for line in whole:
            try:
                loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace"))
            except RuntimeError:  # the loop is closed: the program ends
                return


def _print(line: dict[str, Any]) -> None:
    stamped = {"at": round(time.monotonic(), 6), **line}
    sys.stdout.write(json.dumps(stamped, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()
