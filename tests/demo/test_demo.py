"""The demo: its records are valid, it succeeds, it reports what is missing, and it leaves nothing behind."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from gateway.consent.identity import IinFault, canonical_msisdn, iin_fault
from gateway.demo.clock import ObservedClock
from gateway.demo.families import Families, Family
from gateway.demo.partners import SimulatedPartners
from gateway.demo.process import GatewayError
from gateway.demo.scenarios import KINDS
from gateway.demo.visit import Visit
from gateway.intake.records import Record, read_record

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "scripts" / "demo"
ONE_OF_EACH = ("--families", "1")
TIMEOUT_SECONDS = 600


@pytest.fixture
def families() -> Families:
    return Families()


def test_there_are_some_two_hundred_pupils_and_every_kind_of_family(families: Families) -> None:
    assert 200 <= len(list(families.children)) <= 250
    assert {family.kind.name for family in families.families} == {kind.name for kind in KINDS}
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_every_record_but_the_deliberately_wrong_ones_is_valid(families: Families) -> None:
    for child, line in zip(families.children, families.lines(), strict=True):
        record = read_record(line)
        if child.scenario.state == "rejected":
            assert record == (child.record_id, [("/pupil/iin", IinFault.CHECKSUM)])
        else:
            assert isinstance(record, Record), (child.record_id, record)


def test_no_iin_and_no_number_is_shared_between_families(families: Families) -> None:
    def iins_of(family: Family) -> set[str]:
        return {p.iin for p in (*family.relatives.values(), *(child.pupil for child in family.children))}

    iins = Counter(iin for family in families.families for iin in iins_of(family))
    numbers = Counter(family.msisdn for family in families.families if family.msisdn)
    assert set(iins.values()) == set(numbers.values()) == {1}
    assert not any(iin_fault(iin) for iin in iins)
    assert all(canonical_msisdn(number) == number for number in numbers)


@pytest.mark.long
def test_every_case_ends_as_its_scenario_requires(tmp_path: Path) -> None:
    demo = subprocess.run(
        [DEMO, *ONE_OF_EACH, "--day", "2", "--limit", "500", "--log", tmp_path / "gateway.logs.log"],
        capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    out = demo.stdout
    assert demo.returncode == 0, out + demo.stderr
    assert f"All {len(list(Families(1).children))} records ended as expected" in out
    for kind in KINDS:
        states = ", ".join(dict.fromkeys(scenario.state for scenario in kind.children))
        row = rf"^ ?{re.escape(kind.name)} +{len(kind.children)} +{states} +{len(kind.children)} *$"
        assert re.search(row, out, re.MULTILINE), kind.name
    assert len(re.findall("^ ok ", out, re.MULTILINE)) == 7
    assert "\x1b" not in out


@pytest.mark.long
def test_the_demo_stops_and_leaves_nothing_behind_when_its_reader_leaves(tmp_path: Path, data_dir: Path) -> None:
    with subprocess.Popen(
        [DEMO, *ONE_OF_EACH, "--log", tmp_path / "gateway.logs.log"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(data_dir)},
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        assert demo.stderr is not None
        next(demo.stdout)
        demo.stdout.close()
        assert demo.stderr.read() == ""
    assert demo.returncode == 130
    assert not list(data_dir.glob("gateway-demo-*"))
    assert not _processes_about(data_dir)


@pytest.mark.long
def test_the_demo_stopped_before_its_verdict_leaves_nothing_behind(tmp_path: Path, data_dir: Path) -> None:
    log = tmp_path / "gateway.logs.log"
    with subprocess.Popen(
        [DEMO, "--log", log], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(data_dir)}
    ) as demo:
        assert demo.stdout is not None
        next(line for line in demo.stdout if "SDU pushes" in line)
        assert _processes_about(data_dir)
        demo.send_signal(signal.SIGINT)
        assert demo.stdout.read().endswith("everything is cleaned up\n")
    assert demo.returncode == 130
    assert not list(data_dir.glob("gateway-demo-*"))
    assert not _processes_about(data_dir)
    assert '"event":"stopped"' in log.read_text()


@pytest.mark.long
def test_the_demo_stays_after_its_verdict_and_leaves_nothing_behind_when_it_is_stopped(
    tmp_path: Path, data_dir: Path
) -> None:
    log = tmp_path / "gateway.logs.log"
    settings = f"families=1, visitors=1, day_seconds=5, limit_seconds=0.5, log=Path({str(log)!r}), port=0"
    program = f"from gateway.demo.main import *; sys.exit(run_demo(Settings({settings})))"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(data_dir)},
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        printed = ""
        for line in demo.stdout:
            printed += line
            if "a list of your own" in line:
                break
        assert "records did not end as expected" in printed
        assert re.search(r"the simulators' page +http://127\.0\.0\.1:\d+/#key=\S{20,}$", printed, re.MULTILINE)
        assert re.search(r"the console +http://127\.0\.0\.1:\d+/console#token=\S{20,}$", printed, re.MULTILINE)
        assert _processes_about(data_dir)
        demo.send_signal(signal.SIGINT)
        assert demo.stdout.read().endswith("everything is cleaned up\n")
    assert demo.returncode == 1  # the verdict's
    assert not list(data_dir.glob("gateway-demo-*"))
    assert not _processes_about(data_dir)
    assert log.read_text().count('"event":"stopped"') == 2


async def test_a_port_in_use_is_an_error_with_what_to_do() -> None:
    clock, ignore = ObservedClock(1), lambda _: None
    partners = SimulatedPartners(Families(0), clock, ignore, ignore)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for given in (port, port - 1):  # the page's, and the gateway's
            in_use = f"port ({given}|{given + 1}) is in use"  # the other one may be another program's
            with pytest.raises(GatewayError, match=f"{in_use}: .* give another with --port"):
                async with Visit(partners, clock, given):
                    raise AssertionError("the port is taken")


@pytest.mark.long
def test_a_demo_that_fails_names_the_records_and_keeps_its_temporary_log(data_dir: Path) -> None:
    """Its current folder is one in which it may not write."""
    demo = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "demo", *ONE_OF_EACH, "--limit", "0.5"],
        capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(data_dir)},
    )  # fmt: skip
    assert demo.returncode == 1, demo.stdout + demo.stderr
    assert re.search("^ r-001  is .*, must be voucher_issued$", demo.stdout, re.MULTILINE)
    assert "records did not end as expected" in demo.stdout
    (log,) = data_dir.glob("gateway-demo-*")
    assert f"its log is {log}" in demo.stdout
    assert '"event":"stopped"' in log.read_text()


def _processes_about(directory: Path) -> list[str]:
    """Command lines that name the folder: the gateway's and PostgreSQL's."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(process.read_text(errors="replace"))
    return [line for line in found if str(directory) in line]
