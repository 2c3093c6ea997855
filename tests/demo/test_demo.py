"""The demo: its people could exist, it succeeds, notices what is missing, and leaves nothing behind."""

import contextlib
import os
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from gateway.consent.identity import IinFault, canonical_msisdn, iin_fault
from gateway.demo.cast import Cast, Family
from gateway.demo.repertoire import ROLES
from gateway.intake.records import Record, read_record

DEMO = Path(__file__).parents[2] / "scripts" / "demo"
ONE_OF_EACH = ("--families", "1")


@pytest.fixture
def cast() -> Cast:
    return Cast()


def test_the_cast_is_some_two_hundred_pupils_of_every_kind(cast: Cast) -> None:
    assert 200 <= len(list(cast.children)) <= 250
    assert {family.role.name for family in cast.families} == {role.name for role in ROLES}
    assert len({role.name for role in ROLES}) == len(ROLES)


def test_every_record_but_the_wrong_ones_can_be_taken(cast: Cast) -> None:
    for child, line in zip(cast.children, cast.lines(), strict=True):
        record = read_record(line)
        if child.script.state == "rejected":
            assert record == (child.record_id, [("/pupil/iin", IinFault.CHECKSUM)])
        else:
            assert isinstance(record, Record), (child.record_id, record)


def test_nobody_shares_an_iin_or_a_number_beyond_the_family(cast: Cast) -> None:
    def people(family: Family) -> set[str]:
        return {p.iin for p in (*family.relatives.values(), *(child.pupil for child in family.children))}

    iins = Counter(iin for family in cast.families for iin in people(family))
    numbers = Counter(family.msisdn for family in cast.families if family.msisdn)
    assert set(iins.values()) == set(numbers.values()) == {1}
    assert not any(iin_fault(iin) for iin in iins)
    assert all(canonical_msisdn(number) == number for number in numbers)


def test_every_case_ends_as_its_script_says(tmp_path: Path) -> None:
    demo = subprocess.run(
        [DEMO, *ONE_OF_EACH, "--day", "2", "--log", tmp_path / "gateway.logs.log"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    out = demo.stdout
    assert demo.returncode == 0, out + demo.stderr
    assert f"All {len(list(Cast(1).children))} records ended as told" in out
    for role in ROLES:
        states = ", ".join(dict.fromkeys(script.state for script in role.children))
        row = rf"^ ?{re.escape(role.name)} +{len(role.children)} +{states} +{len(role.children)} *$"
        assert re.search(row, out, re.MULTILINE), role.name
    assert len(re.findall("^ ok ", out, re.MULTILINE)) == 7
    assert "\x1b" not in out


def test_what_the_script_wants_and_did_not_come_is_told_by_record(tmp_path: Path) -> None:
    demo = subprocess.run(
        [DEMO, *ONE_OF_EACH, "--limit", "0.5", "--log", tmp_path / "gateway.logs.log"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert demo.returncode == 1, demo.stdout + demo.stderr
    assert re.search("^ r-001  is .*, must be voucher_issued$", demo.stdout, re.MULTILINE)
    assert "records did not end as told" in demo.stdout


def test_stopping_it_leaves_nothing_behind(tmp_path: Path, data_dir: Path) -> None:
    with subprocess.Popen(
        [DEMO, "--log", tmp_path / "gateway.logs.log"], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(data_dir)},
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        next(line for line in demo.stdout if "SDU pushes" in line)
        assert _processes_about(data_dir)
        demo.send_signal(signal.SIGINT)
        assert demo.stdout.read().endswith("everything is cleaned up\n")
    assert demo.returncode == 130
    assert not list(data_dir.glob("gateway-demo-*"))
    assert not _processes_about(data_dir)
    assert '"event":"stopped"' in (tmp_path / "gateway.logs.log").read_text()


def _processes_about(directory: Path) -> list[str]:
    """Command lines that name the folder: the gateway's and PostgreSQL's."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(process.read_text(errors="replace"))
    return [line for line in found if str(directory) in line]
