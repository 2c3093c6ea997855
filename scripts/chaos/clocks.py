"""Wall clocks that step while processes use them: libfaketime, which reads their offsets from files."""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from gateway.store.embedded import EmbeddedServer
from gateway.store.migrations import migrate

STEPS_SECONDS = (-3600.0, -10.0, 30 * 86_400.0)
BETWEEN_STEPS_SECONDS = (4.0, 9.0)
"""The time between two steps, longer than two heartbeats and libfaketime's cache: each step is noticed before the
next one.
"""
PUT_RIGHT_PROBABILITY = 0.4
"""The probability that a clock which is wrong is put right instead of stepping again."""
_FOLDERS = ("/usr/lib/*/faketime", "/usr/lib64/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")
_MULTI_THREADED, _SINGLE_THREADED = "libfaketimeMT.so.1", "libfaketime.so.1"
_TRIAL = "import time; print(time.time(), time.monotonic())"
_TRIAL_TOLERANCE_SECONDS = 60.0


class HostClock:
    """The wall clock of the processes that run in its `environment`; their monotonic time is the real one."""

    def __init__(self, file: Path, *, multi_threaded: bool) -> None:
        self._file = file
        self._multi_threaded = multi_threaded
        self.offset = 0.0
        self.set(0.0)

    @property
    def environment(self) -> Mapping[str, str]:
        """Of processes that have this clock. PostgreSQL reads clocks in signal handlers: no mutex for it."""
        library = _library(_MULTI_THREADED if self._multi_threaded else _SINGLE_THREADED)
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset: float) -> None:
        """The clock is ahead by so many seconds from now on, within a second."""
        self.offset = offset
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+.0f}\n", encoding="ascii")
        new.chmod(0o644)
        new.replace(self._file)


class Clocks:
    """The clocks of a run: that of the gateways' host, and that of their database."""

    def __init__(self, directory: Path, *, with_database: bool = False) -> None:
        """`with_database`: its clock steps as well."""
        directory.chmod(0o755)  # the database may run as another user
        self._with_database = with_database
        self.counts: Counter[str] = Counter()
        self.gateways = HostClock(directory / "gateways.clock", multi_threaded=True)
        self.database = HostClock(directory / "database.clock", multi_threaded=False)

    async def step(self, seed: int) -> None:
        """Steps a clock at random instants until cancelled, then puts all right."""
        rng = random.Random(seed)
        clocks = {"wall": self.gateways}
        if self._with_database:
            clocks["database"] = self.database
        try:
            while True:
                await asyncio.sleep(rng.uniform(*BETWEEN_STEPS_SECONDS))
                names = rng.choice([[name] for name in clocks] + [list(clocks)])
                puts_right = rng.random() < PUT_RIGHT_PROBABILITY
                seconds = rng.choice(STEPS_SECONDS)
                for name in names:
                    clock = clocks[name]
                    clock.set(0.0 if puts_right and clock.offset else clock.offset + seconds)
                    self.counts[f"steps of the {name} clock"] += 1
        finally:
            for clock in clocks.values():
                clock.set(0.0)

    def unnoticed(self, directory: Path, processes: int) -> Iterator[str]:
        """The clocks that stepped without a line in a gateway's log: they did not step for it."""
        log = b"".join((directory / f"{n}.log").read_bytes() for n in range(processes))
        for name in ("wall", "database"):
            noticed = sum(
                b'"event":"clock_stepped"' in line and f'"clock":"{name}"'.encode() in line
                for line in log.splitlines()
            )
            self.counts[f"steps of the {name} clock noticed"] = noticed
            if self.counts[f"steps of the {name} clock"] and not noticed:
                yield f"the {name} clock stepped, and no process noticed"


@asynccontextmanager
async def database(directory: Path, clock: HostClock) -> AsyncIterator[str]:
    """The URL of a migrated database whose server has this clock."""
    server = EmbeddedServer(directory / "data")
    with in_environment(clock.environment):
        url = await server.ensure()
    try:
        connection = await asyncpg.connect(url)
        await migrate(connection)
        await connection.close()
        yield url
    finally:
        await asyncio.to_thread(server.release)


def why_not(folders: Iterable[str] = _FOLDERS) -> str | None:
    """Why clocks cannot step here, and what helps; None when they can."""
    if not all(_library(name, folders) for name in (_MULTI_THREADED, _SINGLE_THREADED)):
        return "libfaketime is not installed: apt-get install libfaketime"
    with tempfile.TemporaryDirectory() as directory:
        clock = HostClock(Path(directory) / "trial.clock", multi_threaded=True)
        clock.set(STEPS_SECONDS[-1])
        real, faked = _trial({}), _trial(clock.environment)
    wall, monotonic = (after - before for before, after in zip(real, faked, strict=True))
    if abs(wall - STEPS_SECONDS[-1]) > _TRIAL_TOLERANCE_SECONDS or abs(monotonic) > _TRIAL_TOLERANCE_SECONDS:
        return f"libfaketime does not move the wall clock of {sys.executable}, or moves its monotonic clock"
    return None


def _trial(environment: Mapping[str, str]) -> list[float]:
    """(wall, monotonic) of a process."""
    trial = subprocess.run(
        [sys.executable, "-c", _TRIAL], env={**os.environ, **environment}, capture_output=True, check=True
    )
    return [float(word) for word in trial.stdout.split()]


def _library(name: str, folders: Iterable[str] = _FOLDERS) -> Path | None:
    found = (path for pattern in folders for path in Path("/").glob(f"{pattern[1:]}/{name}"))
    return next(found, None)


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment, for the programs that it starts in the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
