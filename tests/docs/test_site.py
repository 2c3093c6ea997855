"""The site of scripts/docs has every page, and no link that leads nowhere."""

import runpy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs.code_facts import ROOT

SITE = ROOT / "scripts" / "site"
NAVIGATION = yaml.safe_load((SITE / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
HOOK = runpy.run_path(str(SITE / "outside.py"))


def pages(entry: Any) -> Iterator[str]:
    match entry:
        case str():
            yield entry
        case dict():
            for part in entry.values():
                yield from pages(part)
        case list():
            for part in entry:
                yield from pages(part)


def test_the_navigation_has_every_page_once() -> None:
    existing = sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))
    assert sorted(pages(NAVIGATION)) == existing


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[a](../../README.md)", "a"),
        ("[a](../README.md)", "[a](../README.md)"),
        ("[a](../../gateway/app.py#x)", "a"),
        ("[a](sdu.md)", "[a](sdu.md)"),
        ("[a](../evidence.md#b)", "[a](../evidence.md#b)"),
        ("[a](#b)", "[a](#b)"),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("![a](../picture.svg)", "![a](../picture.svg)"),
    ],
)
def test_a_link_to_a_file_outside_the_docs_becomes_text_on_the_site(link: str, shown: str) -> None:
    assert HOOK["without_links_outside"](link, "partners/sdu.md") == shown
