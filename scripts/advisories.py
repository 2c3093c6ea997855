"""Looks the requirements of all locks up in a database of advisories, by pip-audit; scripts/audit runs it.

Exit status 1 when there is an advisory. What could not be looked up, for want of a network or of data, is said,
and is no failure.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
LOCKS = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-otel.lock",
    "requirements-supply.lock",
    "requirements-docs.lock",
)
TIMEOUT_SECONDS = 300
"""The longest look-up of one lock."""
MAX_REASON_CHARACTERS = 200


class Finding(NamedTuple):
    """What there is to say, in lines, and whether a requirement has an advisory."""

    lines: list[str]
    has_advisory: bool


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/audit", description=__doc__)
    parser.add_argument("--tool", type=Path, required=True, help="the pip-audit to run")
    given = parser.parse_args()
    finding = look_up(given.tool)
    print("\n".join(finding.lines))
    return 1 if finding.has_advisory else 0


def look_up(tool: Path) -> Finding:
    """What there is to say of all locks. Each is looked up alone: pip-audit takes no requirement twice."""
    found: list[Mapping[str, Any]] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for lock in LOCKS:
            report = Path(folder) / f"{lock}.json"
            reason = _write_report(tool, lock, report)
            if report.exists():
                found += json.loads(report.read_bytes())["dependencies"]
            else:
                lines += not_checked(f"{lock}: {reason}").lines
    finding = read_report({"dependencies": found})
    return Finding([*finding.lines, *lines], finding.has_advisory)


def _write_report(tool: Path, lock: str, report: Path) -> str:
    """Writes the report of a lock, where that is possible; else says why not."""
    options = [
        "--disable-pip",
        "--require-hashes",
        "--progress-spinner=off",
        "--format=json",
        f"--output={report}",
        f"--requirement={ROOT / lock}",
    ]
    try:
        done = subprocess.run(
            [tool, *options], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:MAX_REASON_CHARACTERS]


def not_checked(reason: str) -> Finding:
    """Nothing could be looked up."""
    return Finding([f"advisories: NOT CHECKED: {reason}"], has_advisory=False)


def read_report(report: Mapping[str, Any]) -> Finding:
    """What a report of pip-audit (`--format=json`) says."""
    packages = {f"{one['name']} {one.get('version', '')}".strip(): one for one in report["dependencies"]}
    skipped = [name for name, one in packages.items() if "skip_reason" in one]
    lines = [
        f"advisories: {name}: {advisory['id']}, fixed in {', '.join(advisory['fix_versions']) or 'no version'}"
        for name, one in packages.items()
        for advisory in one.get("vulns", ())
    ]
    has_advisory = bool(lines)
    checked = len(packages) - len(skipped)
    if checked:
        lines.append(
            f"advisories: {checked} requirements checked, {'see above' if has_advisory else 'none has any'}"
        )
    if skipped:
        lines.append(f"advisories: NOT CHECKED: {len(skipped)} requirements, of which the database has no data")
    return Finding(lines, has_advisory)


if __name__ == "__main__":
    sys.exit(main())
