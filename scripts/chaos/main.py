"""Kills the gateway at random instants and checks that nothing is lost and nothing invented."""

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chaos import clocks, disk
from chaos.cluster import log_lines
from chaos.failover_runs import failovers
from chaos.profiles import PROFILES
from chaos.run import DAY_WITH_SMSC_SECONDS, DAY_WITH_STEPS_SECONDS, Settings, torture
from gateway.logs import log

MAX_SHOWN = 40
"""Violations that are printed."""
CASES, CASES_OF_FAILOVER = 2000, 300
DISK_MEGABYTES = 256
DISK_MEGABYTES_PER_CASE = 0.1
"""The size of the small disk: enough for the run, so that it is full only when it is filled on purpose."""


def main() -> int:
    """0 when the audit finds no violation."""
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--kills", type=int, help="SIGKILLs to the gateway (200; none with --smsc or --clock)")
    parser.add_argument("--cases", type=int, help="pupils (2000; 300 in each run with --failover)")
    parser.add_argument("--processes", type=int, default=1, help="gateways on one database (1)")
    parser.add_argument("--database", action="store_true", help="kill PostgreSQL as well, with every tenth kill")
    parser.add_argument("--full-disk", action="store_true", help="fill the database's disk, four times")
    parser.add_argument("--pause", action="store_true", help="SIGSTOP a process for 30 s, twice, then SIGCONT")
    parser.add_argument(
        "--rolling", action="store_true",
        help="instead of kills stop one process after the other by SIGTERM; the partners never fail",
    )  # fmt: skip
    parser.add_argument("--smsc", choices=PROFILES, default="", help="both SMSCs are such ones; no partner fails")
    parser.add_argument(
        "--clock", action="store_true",
        help="step the wall clocks of gateway and database by hours and days (with --kills the gateway's only)",
    )  # fmt: skip
    parser.add_argument(
        "--failover", action="store_true",
        help="instead of kills: kill, freeze or cut off the primary and promote its standby, one kind a run",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=20, help="with --failover (20)")
    parser.add_argument("--seed", type=int, help="of everything that is random here")
    parser.add_argument("--day", type=float, help="seconds that a day lasts; derived from the kills by default")
    parser.add_argument("--window", default="06:00-23:00", help="journey.send_window")
    parser.add_argument("--keep", action="store_true", help="keep database and logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)  # for the run on the small disk
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    if given.failover:
        log.configure("error")
        cases = given.cases or CASES_OF_FAILOVER
        return failovers(given.runs, cases=cases, seed=seed, keep=given.keep, as_json=given.json)
    given.cases = given.cases or CASES
    if given.full_disk and given.directory is None and not given.clock:
        return _on_small_disk(given.cases, keep=given.keep)
    if given.clock and (given.database or given.full_disk or given.rolling or given.smsc):
        parser.error("--clock: not together with --database, --full-disk, --rolling or --smsc")
    if given.clock and (reason := clocks.why_not()):
        print(f"--clock: clocks cannot step here: {reason}", file=sys.stderr)
        return 2
    directory = given.directory or _new_directory()
    log.configure("error")
    kills = given.kills if given.kills is not None else 0 if given.smsc or given.clock else 200
    day = Settings.fitting_day(kills)
    if given.smsc or given.clock:
        day = DAY_WITH_SMSC_SECONDS if given.smsc else max(day, DAY_WITH_STEPS_SECONDS)
    settings = Settings(
        cases=given.cases, kills=kills, processes=given.processes, database=given.database,
        full_disk=given.full_disk, pause=given.pause, rolling=given.rolling, smsc=given.smsc,
        clock=given.clock, window=given.window,
        day=given.day or day, seed=seed,
    )  # fmt: skip
    return _report(settings, directory, keep=given.keep, as_json=given.json)


def _new_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="gateway-torture-"))


def _on_small_disk(cases: int, *, keep: bool) -> int:
    """The same command again, with the database's folder on a small disk that is unmounted at its end."""
    if reason := disk.why_not():
        print(f"--full-disk needs a disk of its own, which cannot be mounted here: {reason}", file=sys.stderr)
        return 2
    directory = _new_directory()
    megabytes = DISK_MEGABYTES + int(DISK_MEGABYTES_PER_CASE * cases)
    (directory / "data").mkdir()
    again = (sys.executable, "-m", "chaos.main", *sys.argv[1:], "--directory", str(directory))
    try:
        command = disk.on_small_disk(directory / "data", megabytes, *again)
        return subprocess.run(command, check=False).returncode
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def _report(settings: Settings, directory: Path, *, keep: bool, as_json: bool) -> int:
    print(settings, flush=True)
    began = time.monotonic()
    try:
        violations, counts = asyncio.run(torture(settings, directory))
        lines = log_lines(directory, settings.processes)
    finally:
        if keep:
            print(f"database and logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    counts["seconds"] = round(time.monotonic() - began)
    for name, count in sorted(counts.items()):
        print(f"{name:<34} {count:>9,}")
    print("the gateway's log:", ", ".join(f"{event} {n}" for event, n in sorted(lines.items())))
    if accepted := counts["segments accepted"]:
        print(f"copies per segment: {1 + counts['copies of segments accepted'] / accepted:.3f}")
    ended = sum(n for name, n in counts.items() if name.startswith("exit "))
    print(f"processes that ended, and were started again: {ended}")
    for violation in violations[:MAX_SHOWN]:
        print("VIOLATION", violation)
    print(f"{len(violations)} violations (seed {settings.seed})")
    if as_json:
        print(json.dumps({"violations": len(violations), "seed": settings.seed, **counts}))
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
