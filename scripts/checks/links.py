"""Links of the Markdown pages: each relative one leads to a file that exists, and to a heading of it.

Links to other hosts are not followed.
"""

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

NOT_OURS = frozenset({".git", ".venv", "build", "dist", "var"})
_FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+).+?\1", re.DOTALL)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?(?P<target>[^\s>]+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(?P<title>.+?)[ \t]*#*$", re.MULTILINE)
_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"(?P<name>[^\"]+)\"")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def broken_links(root: Path) -> Iterator[str]:
    """One line for each link of a page under the folder that leads nowhere: `page:line: target: reason`."""
    for page in sorted(root.rglob("*.md")):
        if NOT_OURS.isdisjoint(page.relative_to(root).parts):
            yield from _broken_links_of(page, root)


def _broken_links_of(page: Path, root: Path) -> Iterator[str]:
    text = _without_code(page.read_text(encoding="utf-8"))
    for pattern in (_LINK, _REFERENCE):
        for found in pattern.finditer(text):
            target = found["target"]
            if not _ELSEWHERE.match(target) and (reason := _fault(page, target, root)):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{page.relative_to(root)}:{line}: {target}: {reason}"


def _fault(page: Path, target: str, root: Path) -> str:
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page.resolve()
    if not file.is_relative_to(root.resolve()):
        return "leads out of the repository"
    if not file.exists():
        return "no such file"
    if anchor and file.suffix == ".md" and anchor not in _anchors(file.read_text(encoding="utf-8")):
        return "no such heading"
    return ""


def _anchors(text: str) -> set[str]:
    """The anchors that a Markdown viewer makes of the headings: a title that comes again gets a number."""
    text = _FENCE.sub("", text)
    anchors = {found["name"] for found in _ANCHOR.finditer(text)}
    seen: Counter[str] = Counter()
    for found in _HEADING.finditer(text):
        slug = _slug(found["title"])
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def _slug(title: str) -> str:
    title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
    kept = (c for c in title if c in " -_" or unicodedata.category(c)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


def _without_code(text: str) -> str:
    """The text with code blanked out, its lines kept."""
    for pattern in (_FENCE, _CODE):
        text = pattern.sub(lambda found: "\n" * found[0].count("\n"), text)
    return text


def main() -> int:
    """Prints every broken link of the current folder; the exit status."""
    faults = list(broken_links(Path.cwd()))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
