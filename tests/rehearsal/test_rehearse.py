"""`gateway rehearse` with the real gateway: it does what is calculated, and nothing leaves the machine."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.rehearsal.main import until_interrupted
from tests.rehearsal.rehearsed_lists import BEELINE, KCELL, configuration, record, written

ROOT = Path(__file__).parents[2]


class Trap:
    """A port that the configuration names for every partner and link: who connects to it is noted."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:  # it is closed
                return
            self.connections += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


@pytest.mark.long
def test_the_gateway_ends_every_case_as_calculated_and_contacts_nobody(
    tmp_path: Path, data_dir: Path, trap: Trap
) -> None:
    real = [{**link, "port": trap.port} for link in (KCELL, {**BEELINE, "long_messages": "sar", "price": 4.5})]
    config = configuration(tmp_path, *real, port=trap.port)
    records = [record(number) for number in range(12)] + [record(12, pupil=None)]
    replies = "agree=0.3,refuse=0.2,unclear=0.15,undeliverable=0.1,no_number=0.1"
    rehearsal = subprocess.run(
        [
            sys.executable, "-P", "-m", "gateway", "rehearse", "--config", config, "--json", "--day", "2",
            "--list", written(tmp_path, records), "--replies", replies, "--seed", "11", "--limit", "90",
        ],
        capture_output=True, text=True, timeout=150, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(data_dir)},
    )  # fmt: skip
    assert rehearsal.stdout, rehearsal.stderr
    found = json.loads(rehearsal.stdout)
    machinery = found["machinery"]
    assert machinery["whole_list"]
    assert machinery["cases"] == {"calculated": 12, "found": 12}
    assert machinery["rejected"] == {"calculated": 1, "found": 1}
    assert machinery["cases_that_differ"] == {}
    assert machinery["contract_violations"] == []
    assert all(link["calculated"] == link["found"] > 0 for link in machinery["segments"].values())
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert len(found["outcomes"]) == 5, "the seed has every outcome"
    assert trap.connections == 0
    assert not list(data_dir.iterdir()), "the scratch database is gone"


def test_hours_and_cost_are_those_of_each_links_tps_and_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, {**KCELL, "price": 4.5, "currency": "KZT"})
    path = written(tmp_path, [record(1)])
    asked = ["rehearse", "--config", str(config), "--list", str(path), "--sample", "0", "--replies", "agree=1"]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (link,) = found["links"]
    assert link["segments"] == found["texts"]["request"]["segments"] + found["texts"]["agreed"]["segments"]
    assert link["hours"] == pytest.approx(link["segments"] / 10 / 3600, abs=1e-3)
    assert found["cost"] == {"KZT": link["segments"] * 4.5}
    assert found["machinery"] is None
    assert main(asked) == 0
    assert "nothing went through the gateway" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--replies", "maybe=0.5"], "there is no 'maybe'; there are agree"),
        (["--links", "kcel=1"], "there is no 'kcel'; there are kcell"),
        (["--links", "kcell=0.5"], "must add up to 1"),
        (["--list", "nowhere.ndjson"], "cannot be read: No such file"),
    ],
)
def test_a_list_that_cannot_be_rehearsed_is_a_one_line_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    path = written(tmp_path, [record(1)])
    asked = ["rehearse", "--config", str(configuration(tmp_path)), "--list", str(path), *options]
    assert main(asked) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("shares", ["agree=2", "agree=0.7,refuse=0.7", "agree", "agree=nan"])
def test_rehearse_rejects_invalid_shares_of_replies(shares: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["rehearse", "--list", "x", "--replies", shares])
    assert stopped.value.code == 2
    assert "--replies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has no records"),
        (b"\n \n", "has no records"),
        (b'{"record_id": "\xff"}\n', "is not UTF-8"),
        (b"\x1f\x8b\x08\x00", "cannot be read: the gzip"),
    ],
)
def test_a_list_that_the_gateway_would_reject_as_a_whole_is_not_rehearsed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    path = tmp_path / "list.ndjson"
    path.write_bytes(content)
    asked = ["rehearse", "--config", str(configuration(tmp_path)), "--list", str(path), "--sample", "0"]
    assert main(asked) == 1
    assert said in capsys.readouterr().err


def test_lines_that_are_too_long_are_rejected_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [record(1), record(2, school={"bin": "990240001234", "name": "ш" * 70_000})])
    asked = ["rehearse", "--config", str(configuration(tmp_path)), "--list", str(path), "--sample", "0", "--json"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["records"], found["rejected"]) == (2, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_gateway_and_its_database_before_the_command(number: signal.Signals) -> None:
    ended = []

    async def running() -> Any:
        asyncio.get_running_loop().call_soon(signal.raise_signal, number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(until_interrupted(running()))
    assert ended == [number]
