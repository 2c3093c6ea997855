"""scripts/torture: the gateway is killed at random instants, and nothing may be lost or invented."""

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chaos import disk
from chaos.cluster import log_lines
from chaos.run import Settings, torture
from gateway.logs import log

SHOWN = 40
"""Violations printed."""
DISK = 256, 0.1
"""Megabytes of a small disk, and for each case: it is to run full only when it is made to."""


def main() -> int:
    """0 when the audit finds nothing wrong."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs to the gateway (200)")
    parser.add_argument("--cases", type=int, default=2000, help="pupils (2000)")
    parser.add_argument("--processes", type=int, default=1, help="gateways on one database (1)")
    parser.add_argument("--database", action="store_true", help="kill PostgreSQL as well, with every tenth kill")
    parser.add_argument("--full-disk", action="store_true", help="let the database's disk run full, four times")
    parser.add_argument("--pause", action="store_true", help="stop a process for 30 s, twice, and let it go on")
    parser.add_argument(
        "--rolling", action="store_true",
        help="instead of kills end one process after the other by SIGTERM, among partners that never fail",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="of everything that is random here")
    parser.add_argument("--day", type=float, help="seconds that a day lasts; fits the kills by default")
    parser.add_argument("--window", default="06:00-23:00", help="journey.send_window")
    parser.add_argument("--keep", action="store_true", help="keep database and logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)  # of a run on a small disk
    given = parser.parse_args()
    if given.full_disk and given.directory is None:
        return _on_small_disk(given.cases, keep=given.keep)
    directory = given.directory or _new_directory()
    log.configure("error")
    settings = Settings(
        cases=given.cases, kills=given.kills, processes=given.processes, database=given.database,
        full_disk=given.full_disk, pause=given.pause, rolling=given.rolling,
        window=given.window,
        day=given.day or Settings.fitting_day(given.kills),
        seed=given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000),
    )  # fmt: skip
    return _report(settings, directory, keep=given.keep, as_json=given.json)


def _new_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="gateway-torture-"))


def _on_small_disk(cases: int, *, keep: bool) -> int:
    """The same command again, where the database's folder is a disk of its own, which ends with it."""
    if reason := disk.why_not():
        print(f"--full-disk needs a disk of its own, which cannot be mounted here: {reason}", file=sys.stderr)
        return 2
    directory, (least, each) = _new_directory(), DISK
    (directory / "data").mkdir()
    again = (sys.executable, "-m", "ordeal.main", *sys.argv[1:], "--directory", str(directory))
    try:
        command = disk.on_small_disk(directory / "data", least + int(each * cases), *again)
        return subprocess.run(command, check=False).returncode
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _report(settings: Settings, directory: Path, *, keep: bool, as_json: bool) -> int:
    print(settings, flush=True)
    began = time.monotonic()
    try:
        wrongs, counts = asyncio.run(torture(settings, directory))
        lines = log_lines(directory, settings.processes)
    finally:
        if keep:
            print(f"database and logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    counts += Counter(seconds=round(time.monotonic() - began))
    for name, count in sorted(counts.items()):
        print(f"{name:<34} {count:>9,}")
    print("the gateway's log:", ", ".join(f"{event} {n}" for event, n in sorted(lines.items())))
    for wrong in wrongs[:SHOWN]:
        print("VIOLATION", wrong)
    print(f"{len(wrongs)} violations (seed {settings.seed})")
    if as_json:
        print(json.dumps({"violations": len(wrongs), "seed": settings.seed, **counts}))
    return 1 if wrongs else 0


if __name__ == "__main__":
    raise SystemExit(main())
