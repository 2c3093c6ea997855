"""Pages for a browser: the files that one consists of, and the headers that keep the content of others out."""

from pathlib import Path
from typing import Final, NamedTuple

SHARED: Final = Path(__file__).parent
"""The folder of the scripts that every page has."""
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# No content of other origins, none inline, no HTML out of strings; no framing; no Referer.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class PageFile(NamedTuple):
    """One file, as a browser gets it."""

    octets: bytes
    content_type: str


def page_files(folder: Path) -> dict[str, PageFile]:
    """The files of the page in this folder by their names, with those that every page has."""
    paths = [path for home in (SHARED, folder) for path in home.iterdir() if path.suffix in _TYPES]
    return {path.name: PageFile(path.read_bytes(), _TYPES[path.suffix]) for path in paths}
