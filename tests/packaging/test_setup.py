"""scripts/setup on a machine that has little beside bash and Python."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = '#!/usr/bin/env bash\n[[ "$1" == -c ]]'  # says that its version is fit, and installs nothing
LOCKS = ("requirements.lock", "requirements-dev.lock")


def test_a_complete_environment_is_not_installed_again_without_cmp(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    for lock in LOCKS:
        shutil.copy(ROOT / lock, tmp_path)
        shutil.copy(ROOT / lock, tmp_path / ".venv" / f".installed-{lock}")
    assert set_up(tmp_path) == set_up(tmp_path, "--dev") == (0, "")
    with (tmp_path / LOCKS[1]).open("a") as lock_file:
        lock_file.write("# changed\n")
    assert set_up(tmp_path) == (0, "")
    status, told = set_up(tmp_path, "--dev")
    assert status != 0
    assert f"installing what {LOCKS[1]} lists" in told


def set_up(root: Path, *options: str) -> tuple[int, str]:
    """The exit status and the output of the script, which finds no programs but these."""
    programs = root / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("bash", "dirname", "readlink"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(found)
    done = subprocess.run(
        ["bash", root / "scripts" / "setup", *options],
        env={"PATH": str(programs)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr
