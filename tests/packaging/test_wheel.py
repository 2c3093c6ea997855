"""The wheel and the source distribution: what they hold, and that the wheel's command runs from any folder."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import gateway

ROOT = Path(__file__).parents[2]
SOURCES = (
    "gateway",
    "migrations",
    "setup.py",
    "MANIFEST.in",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "THIRD_PARTY_LICENSES.md",
    "config.toml",
)
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info")
SECRETS = {
    name: name.lower() for name in re.findall(r"env:(\w+)", (ROOT / "config.toml").read_text(encoding="utf-8"))
}
SECRETS["KCELL_PASSWORD"] = "secret"  # SMPP allows eight characters


def build(kind: str, source: Path, target: Path) -> Path:
    """The only file that `python -m build` makes; without a network, with the tools of this environment."""
    subprocess.run(
        [sys.executable, "-P", "-m", "build", "--no-isolation", f"--{kind}", "--outdir", target, source],
        check=True,
        capture_output=True,
        cwd=target.parent,
    )
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=NOT_SOURCES)
        else:
            shutil.copy(ROOT / name, checkout / name)
    return build("sdist", checkout, folder / "dist")


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution alone."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(
            tarfile, "data_filter", None
        )  # Python 3.11.4 is the first that has one
        archive.extractall(folder)
    return build("wheel", folder / f"gateway-{gateway.__version__}", folder / "dist")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its path, into which the wheel alone was installed."""
    target = tmp_path_factory.mktemp("a folder") / "site packages"
    pip = [sys.executable, "-P", "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--root-user-action=ignore", "--target", str(target)]
    subprocess.run([*pip, *options, wheel], check=True, capture_output=True)
    return target


def run(installed: Path, elsewhere: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The installed gateway, started in another folder, with nothing of the checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "gateway", *words],
        cwd=elsewhere,
        env={**environment, **SECRETS, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gateway").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files |= {f"gateway/migrations/{path.name}" for path in (ROOT / "migrations").glob("*.sql")}
    files |= {"gateway/config.toml"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files


def test_wheel_holds_the_files_as_they_are_in_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("gateway/config.toml") == (ROOT / "config.toml").read_bytes()
        for path in (ROOT / "migrations").glob("*.sql"):
            assert archive.read(f"gateway/migrations/{path.name}") == path.read_bytes()


def test_wheel_holds_the_licences_of_the_gateway_and_of_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in ("LICENSE", "THIRD_PARTY_LICENSES.md"):
            (held,) = (held for held in archive.namelist() if held.endswith(f".dist-info/licenses/{name}"))
            assert archive.read(held) == (ROOT / name).read_bytes()


def test_source_distribution_holds_the_migrations_and_the_example_configuration(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "migrations").glob("*.sql")} <= held
    assert {"config.toml", "setup.py", "LICENSE", "README.md"} <= held


def test_installed_command_prints_its_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"gateway {gateway.__version__}\n")


def test_installed_command_shows_its_help(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: gateway")


def test_installed_entry_point_is_the_command_line(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert archive.read(name).decode().split() == [
            "[console_scripts]",
            "gateway",
            "=",
            "gateway.__main__:main",
        ]


def test_missing_configuration_names_the_installed_example(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "check-config")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"; an example is {installed}/gateway/config.toml\n")


def test_installed_example_configuration_is_valid(installed: Path, tmp_path: Path) -> None:
    shutil.copy(installed / "gateway" / "config.toml", tmp_path)
    done = run(installed, tmp_path, "check-config")
    assert done.returncode == 0
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        "gateway: warning: http.tokens.ops:",  # people are to have names
        "gateway: warning: services.3.link: egovmobile.page.link",  # it is the order's
    ]
    assert done.stdout == "config.toml is valid: services 3 (school-meals); links kcell\n"


def test_installed_package_finds_all_its_migrations(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from gateway.store.migrations import migrations; print(len(migrations()))"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == len(list((ROOT / "migrations").glob("*.sql"))) > 0
