"""Short torture runs: the real gateway, ended again and again. `scripts/torture` makes the long ones."""

import sys
from pathlib import Path

import pytest
from ordeal import disk, main
from ordeal.run import Settings, torture

KILLS = 20
RESTARTS = 8


async def test_nothing_is_lost_or_invented_by_a_gateway_that_is_killed_at_random_instants(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(cases=70, kills=KILLS, seed=4, day=0.9, longest=2.0, url=database_url)
    wrongs, counts = await torture(settings, tmp_path)
    assert wrongs == []
    assert counts["kills"] == KILLS


async def test_a_rolling_restart_loses_invents_and_repeats_nothing(database_url: str, tmp_path: Path) -> None:
    settings = Settings(
        cases=60, kills=RESTARTS, seed=5, day=0.9, processes=2, rolling=True, longest=1.0, url=database_url
    )
    wrongs, counts = await torture(settings, tmp_path)
    assert wrongs == []
    assert counts["SIGTERM, then exit 0"] == RESTARTS


def test_without_the_right_to_mount_a_disk_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disk, "why_not", lambda: "unshare failed: Operation not permitted")
    monkeypatch.setattr(sys, "argv", ["torture", "--full-disk"])
    assert main.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("cannot be mounted here: unshare failed: Operation not permitted\n")
    assert err.count("\n") == 1
