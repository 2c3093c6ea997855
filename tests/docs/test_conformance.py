"""Every test that docs/smpp-conformance.md names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_conformance_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/smpp-conformance.md").read_text(encoding="utf-8")))
    assert len(named) > 100
    files = (file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    existing = {name for file in files for name in re.findall(r"def (test_\w+)\(", file)}
    assert named - existing == set()
