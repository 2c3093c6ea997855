"""The version is written in `gateway/__init__.py`; what repeats it agrees."""

import json
import re
from pathlib import Path

import pytest

import gateway

ROOT = Path(__file__).parents[2]
RELEASE = gateway.__version__.partition(".dev")[0]
"""The version itself, or the release that a version in development becomes."""


def test_version_is_a_release_or_the_development_of_one() -> None:
    """As PEP 440 writes them: 0.2.0, 0.2.0.dev0."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", gateway.__version__)


def test_api_description_has_the_version_of_the_package() -> None:
    description = json.loads((ROOT / "gateway" / "api" / "openapi.json").read_text(encoding="utf-8"))
    assert description["info"]["version"] == gateway.__version__


def test_changelog_has_a_section_for_the_version() -> None:
    section = "Unreleased" if ".dev" in gateway.__version__ else gateway.__version__
    assert f"## {section}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()


def test_changelog_has_no_section_for_a_version_in_development() -> None:
    sections = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert ".dev" not in gateway.__version__ or RELEASE not in sections


@pytest.mark.parametrize(
    "name",
    [
        "Dockerfile",
        "deploy/kubernetes/kustomization.yaml",
        "deploy/kubernetes/migrate.yaml",
        "docs/ops/deployment.md",
    ],
)
def test_installation_files_name_the_release(name: str) -> None:
    versions = re.findall(
        r"(?:\bv|gateway[:-]|migrate-|newTag: |VERSION=)(\d+\.\d+\.\d+)", (ROOT / name).read_text(encoding="utf-8")
    )
    assert set(versions) == {RELEASE}
