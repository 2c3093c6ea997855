"""A hook of mkdocs: links to files outside of docs/ become plain text, since a site cannot follow them."""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def is_outside(page: str, target: str) -> bool:
    """Whether a link leads out of docs/; `page` is its page, relative to docs/."""
    if re.match(r"[a-z]+:|#|/", target):
        return False
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target.partition("#")[0])).startswith("..")


def without_links_outside(markdown: str, page: str) -> str:
    """The page's Markdown."""
    return _LINK.sub(lambda link: link[1] if is_outside(page, link[2]) else link[0], markdown)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return without_links_outside(markdown, page.file.src_uri)
