"""Every test that the pages with promises name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "at_least"), [("docs/smpp-conformance.md", 100), ("docs/smsc-habits.md", 30), ("SECURITY.md", 30)]
)
def test_every_test_that_a_page_names_exists(page: str, at_least: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / page).read_text(encoding="utf-8")))
    assert len(named) > at_least
    files = (file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    existing = {name for file in files for name in re.findall(r"def (test_\w+)\(", file)}
    assert named - existing == set()


def test_every_test_that_the_page_about_security_names_exists() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page))
    assert named
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []
