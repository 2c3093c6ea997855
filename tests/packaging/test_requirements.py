"""The locks: every pin has hashes, they agree, and what pyproject.toml asks for is in them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-supply.lock", "requirements-otel.lock")


def pins(lock: str) -> dict[str, str]:
    """The version of each package in the lock."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_a_hash_or_a_comment(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    a_pin = re.compile(r"[a-z0-9-]+==[^ \\]+( ; [^\\]+)? \\")
    a_hash = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    for number, line in enumerate(lines):
        assert line.startswith("#") or a_pin.fullmatch(line) or a_hash.fullmatch(line), f"{lock}:{number + 1}"


def test_all_locks_pin_the_same_versions() -> None:
    run, dev, supply, otel = map(pins, LOCKS)
    assert run.items() <= otel.items() <= dev.items()
    assert {name: supply[name] for name in supply.keys() & dev.keys()}.items() <= dev.items()


def test_locks_satisfy_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-otel.lock": project["project"]["optional-dependencies"]["otel"],
        "requirements-supply.lock": project["dependency-groups"]["supply"],
        "requirements-dev.lock": [*project["dependency-groups"]["dev"], *project["build-system"]["requires"]],
    }
    for lock, requirements in groups.items():
        pinned = pins(lock)
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
