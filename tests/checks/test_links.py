"""The check of the Markdown pages' links."""

from pathlib import Path

import pytest
from checks.links import broken_links


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder with a page that others link to."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text("# The guide: `part` 1\n\n## Twice\n\n## Twice\n\n## Über Маған\n")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "[a file](docs/guide.md)",
        "[a folder](docs)",
        "[a heading](docs/guide.md#the-guide-part-1)",
        "[the second of a name](docs/guide.md#twice-1)",
        "[letters of other scripts](docs/guide.md#über-маған)",
        "[escaped](docs/guide%2Emd)",
        "[this page](#top) \n# Top",
        "[another host](https://example.org/none.md) and [mail](mailto:ops@example.org)",
        "`[code](none.md)`",
        "```\n[code](none.md)\n```",
    ],
)
def test_link_that_leads_somewhere_is_no_fault(line: str, pages: Path) -> None:
    (pages / "README.md").write_text(line)
    assert list(broken_links(pages)) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[none](docs/none.md)", "README.md:3: docs/none.md: no such file"),
        ("![none](none.svg)", "README.md:3: none.svg: no such file"),
        ("[none]: docs/none.md", "README.md:3: docs/none.md: no such file"),
        ("[none](docs/guide.md#none)", "README.md:3: docs/guide.md#none: no such heading"),
        ("[none](docs/guide.md#twice-2)", "README.md:3: docs/guide.md#twice-2: no such heading"),
        ("[none](#none)", "README.md:3: #none: no such heading"),
        ("[out](../other.md)", "README.md:3: ../other.md: leads out of the repository"),
    ],
)
def test_link_that_leads_nowhere_is_named_with_its_line(line: str, fault: str, pages: Path) -> None:
    (pages / "README.md").write_text(f"# A page\n\n{line}\n")
    assert list(broken_links(pages)) == [fault]
