"""``GET /console``: the page for ops, without data: the browser requests them from the API with ops' token."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from gateway.api.problems import not_found
from gateway.api.requests import Route, respond_in_pieces
from gateway.pages import SECURITY_HEADERS, page_files

FOLDER = Path(__file__).parent.parent / "console"
PAGE = "index.html"

HEADERS = SECURITY_HEADERS | {"Cache-Control": "no-cache"}


class ConsoleApi:
    """The handlers of the page and its files, which are read once."""

    def __init__(self) -> None:
        self._files = page_files(FOLDER)

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
        octets, content_type = self._files[name]
        return await respond_in_pieces(
            request, octets, HEADERS | {"Content-Type": f"{content_type}; charset=utf-8"}
        )
