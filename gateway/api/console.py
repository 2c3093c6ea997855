"""``GET /console``: the page for ops. It holds no data; the browser asks the API for them, with ops' token."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gateway.api.problems import not_found
from gateway.api.requests import Route

FOLDER = Path(__file__).parent.parent / "console"
PAGE = "index.html"

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# Nothing from elsewhere, nothing inline, no markup out of strings; in nobody's frame; told to nobody as Referer.
HEADERS = {
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
    "Cache-Control": "no-cache",
}


class ConsoleApi:
    """The page and its files, read once."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in _TYPES}

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/console", None, self.page),
            Route("GET", "/console/{file}", None, self.file),
        )

    async def page(self, _request: web.Request) -> web.StreamResponse:
        return self._answer(PAGE)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in self._files:
            raise not_found("file")
        return self._answer(name)

    def _answer(self, name: str) -> web.StreamResponse:
        return web.Response(
            body=self._files[name],
            content_type=_TYPES[Path(name).suffix],
            charset="utf-8",
            headers=HEADERS,
        )
