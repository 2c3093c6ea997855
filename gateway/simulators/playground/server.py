"""The page's HTTP server: on this machine only, for who has its key, and not for other pages of the browser."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import hdrs, web

from gateway.pages import SECURITY_HEADERS, page_files
from gateway.simulators.partner import json_response, problem
from gateway.simulators.playground.acts import act
from gateway.simulators.playground.environment import SimulatedEnvironment
from gateway.simulators.playground.rejected import RejectedAct, Rejection

HOST = "127.0.0.1"
FOLDER = Path(__file__).parent / "page"
PAGE = "index.html"
MAX_BODY_BYTES = 16_384
JOIN_SECONDS = 0.1
"""Changes within this time are sent together."""
CLOCK_SECONDS = 5.0
"""The clock is sent so often, which also shows that the connection lives."""
_HOSTS = ("127.0.0.1", "localhost")
HEADERS = SECURITY_HEADERS | {"Cache-Control": "no-store"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """The page, as long as the `async with` block lasts; `port` 0 is any free one.

    `url` has the key as its fragment, which browsers send to nobody: the page exchanges it for a cookie.
    """

    def __init__(self, environment: SimulatedEnvironment, port: int = 0) -> None:
        self.environment, self.port = environment, port
        self.key = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)
        self._files = page_files(FOLDER)
        self._closing = False
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/#key={self.key}"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guarded], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_add_headers)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/page/{file}", self._file),
                web.post("/session", self._log_in),
                web.get("/events", self._events),
                web.post("/acts", self._act),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self.environment.changed()
        if self._runner is not None:
            await self._runner.cleanup()

    # Who may

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The response, unless the name of the server is another one or the request comes from a foreign page."""
        if request.host.rpartition(":")[0] not in _HOSTS:  # a foreign name may lead here: DNS rebinding
            return problem(421, "this server has the name 127.0.0.1 or localhost")
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            if request.headers.get(hdrs.ORIGIN) != f"http://{request.host}":
                return problem(403, "the request is not from this server's page")
            if request.content_type != "application/json":
                return problem(415, "application/json is expected")
        if request.path in ("/events", "/acts") and not self._has_session(request):
            return problem(401, "open the address that the terminal shows: it has the key")
        return await handler(request)

    def _has_session(self, request: web.Request) -> bool:
        return secrets.compare_digest(request.cookies.get(self._cookie, "").encode(), self._session.encode())

    @property
    def _cookie(self) -> str:
        return f"simulators-{self.port}"  # cookies of one host are not told apart by port

    async def _log_in(self, request: web.Request) -> web.Response:
        match await _json(request):
            case {"key": str(key)} if secrets.compare_digest(key.encode(), self.key.encode()):
                response = web.Response(status=204)
                response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict")
                return response
        return problem(401, "the key is wrong: open the address that the terminal shows")

    # What is served

    async def _page(self, _: web.Request) -> web.Response:
        return self._content(PAGE)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        return self._content(name) if name in self._files else problem(404, "there is no such file")

    def _content(self, name: str) -> web.Response:
        octets, content_type = self._files[name]
        return web.Response(body=octets, content_type=content_type, charset="utf-8")

    async def _act(self, request: web.Request) -> web.Response:
        try:
            return json_response(await act(self.environment, await _json(request)))
        except ValueError as error:
            return problem(422, str(error))
        except RejectedAct as rejected:
            return _rejection(rejected)
        except OSError as error:
            return _rejection(RejectedAct(Rejection.FAILED, reason=str(error) or type(error).__name__))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `clock`, and `section` with [name, content] for each section that has changed."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        sent: dict[str, bytes] = {}
        while not self._closing:
            version = self.environment.version
            chunks = [_event("clock", orjson.dumps(self.environment.clock()))]
            for name, content in self.environment.sections():
                data = orjson.dumps([name, content])
                if sent.get(name) != data:
                    sent[name] = data
                    chunks.append(_event("section", data))
            await response.write(b"".join(chunks))
            await self._next_change(version)
        return response

    async def _next_change(self, version: int) -> None:
        try:
            await self.environment.wait_for(
                lambda: self._closing or self.environment.version != version or None, within=CLOCK_SECONDS
            )
        except TimeoutError:
            return
        await asyncio.sleep(JOIN_SECONDS)


def _rejection(rejected: RejectedAct) -> web.Response:
    """A problem document whose `code` and `fields` are the sentence that the page shows."""
    sentence = {"code": rejected.rejection, "fields": rejected.fields}
    body = {"type": "about:blank", "title": "Refused", "status": 409, **sentence}
    return web.Response(status=409, body=orjson.dumps(body), content_type="application/problem+json")


def _event(name: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


async def _json(request: web.Request) -> Any:
    """The body's JSON, None when it is none."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return None


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
