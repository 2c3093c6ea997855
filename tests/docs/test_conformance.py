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


def test_the_table_of_peers_has_the_marks_of_the_sources_of_each_habit() -> None:
    page = (ROOT / "docs/smsc-habits.md").read_text(encoding="utf-8")
    habits, peers = (table_rows(part) for part in page.split("## Peers"))
    sources = {row[0]: set(re.findall(r"\]\[([a-z]+)-", row[2])) for row in habits}
    heading, *marks = peers
    kinds = [name.lower() for name in heading[1:]]
    marked = {habit: {kind for kind, mark in zip(kinds, row, strict=True) if mark} for habit, *row in marks}
    assert marked == {habit: found for habit, found in sources.items() if found}


def test_every_source_of_a_habit_is_a_link_and_every_link_is_used() -> None:
    page = (ROOT / "docs/smsc-habits.md").read_text(encoding="utf-8")
    defined = re.findall(r"^\[([\w-]+)\]: https?://\S+$", page, re.MULTILINE)
    assert set(re.findall(r"\]\[([\w-]+)\]", page)) == set(defined)


def table_rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables, their headings included."""
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")
    ]


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
