"""The version is written in `gateway/__init__.py`; what repeats it agrees."""

import json
from pathlib import Path

import gateway

ROOT = Path(__file__).parents[2]


def test_api_description_has_the_version_of_the_package() -> None:
    description = json.loads((ROOT / "gateway" / "api" / "openapi.json").read_text(encoding="utf-8"))
    assert description["info"]["version"] == gateway.__version__


def test_changelog_has_a_section_for_the_version() -> None:
    assert f"## {gateway.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
