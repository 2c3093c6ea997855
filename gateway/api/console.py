"""``GET /console``: the page for ops, without data: the browser requests them from the API with ops' token."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gateway.api.problems import not_found
from gateway.api.requests import Route, respond_in_pieces

FOLDER = Path(__file__).parent.parent / "console"
PAGE = "index.html"

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# No content of other origins, none inline, no HTML out of strings; no framing; no Referer.
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
    """The handlers of the page and its files, which are read once."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.suffix in _TYPES}

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/console", None, self.page),
            Route("GET", "/console/{file}", None, self.file),
        )

    async def page(self, request: web.Request) -> web.StreamResponse:
        return await self._response(request, PAGE)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in self._files:
            raise not_found("file")
        return await self._response(request, name)

    async def _response(self, request: web.Request, name: str) -> web.StreamResponse:
        content_type = {"Content-Type": f"{_TYPES[Path(name).suffix]}; charset=utf-8"}
        return await respond_in_pieces(request, self._files[name], HEADERS | content_type)
