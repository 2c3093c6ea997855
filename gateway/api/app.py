"""The HTTP server: routes, roles, limits, TLS."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.auth import Tokens
from gateway.api.callers import CALLER
from gateway.api.connections import ConnectionLimiter, PendingConnection
from gateway.api.pacing import Pace, paced
from gateway.api.problems import SERVER, observe, respond_with_problems
from gateway.api.protocol import HttpProtocol, Tally
from gateway.api.requests import HTTP_POLICY, MAX_JSON_BYTES, Route
from gateway.config.model import Http, Oidc
from gateway.config.policy import HttpPolicy, OidcPolicy
from gateway.logs.log import Event, get_logger

if TYPE_CHECKING:
    from gateway.api.oidc import IdentityProvider

log = get_logger()

_BACKLOG = 256


@runtime_checkable
class Stoppable(Protocol):
    """A part with requests that have to end when the process stops."""

    async def stop(self) -> None: ...


class Api(Protocol):
    """A part of the HTTP interface: handlers and their routes."""

    def routes(self) -> Sequence[Route]: ...


def build_app(http: Http, apis: Sequence[Api], limiter: ConnectionLimiter, policy: HttpPolicy) -> web.Application:
    """The application."""
    provider = _identity_provider(http.oidc, policy.oidc) if http.oidc is not None else None
    tokens = Tokens(http.tokens, http.users, provider)
    app = web.Application(
        middlewares=[paced(policy), observe, respond_with_problems], client_max_size=MAX_JSON_BYTES
    )
    app[HTTP_POLICY] = policy
    routes = [route for api in apis for route in api.routes()]
    for route in routes:
        pattern = _pattern(route.path, {other.path for other in routes})
        handler = _guarded(route, tokens, limiter, policy.request_timeout_seconds)
        app.router.add_route(route.method, pattern, handler)
        if route.method == "GET" and route.roles is None:  # load balancers probe with HEAD
            app.router.add_route("HEAD", pattern, handler)

    async def stop(_app: web.Application) -> None:
        for api in apis:
            if isinstance(api, Stoppable):
                await api.stop()
        if provider is not None:
            await provider.close()

    async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER
        response.headers.setdefault("Cache-Control", "no-store")

    app.on_shutdown.append(stop)
    app.on_response_prepare.append(set_headers)
    return app


@asynccontextmanager
async def serve_http(http: Http, apis: Sequence[Api], policy: HttpPolicy) -> AsyncIterator[int]:
    """Serves requests inside the block; yields the port, which the system has chosen where the file says 0.

    Afterwards requests under way get `stop_timeout_seconds`. Raises OSError when the address is not
    available, and ssl.SSLError when the certificates are invalid.
    """
    tls = _tls(http)
    limiter = ConnectionLimiter(policy)
    # With handler_cancellation a request ends with its connection, when the client has gone.
    runner = web.AppRunner(
        build_app(http, apis, limiter, policy),
        access_log=None,
        shutdown_timeout=policy.stop_timeout_seconds,
        handler_cancellation=True,
    )
    await runner.setup()
    loop = asyncio.get_running_loop()
    protocol = partial(
        HttpProtocol,
        cast("web.Server", runner.server),
        Tally(policy.limited_log_seconds),
        policy=policy,
        loop=loop,
        keepalive_timeout=policy.keepalive_seconds,
        lingering_time=policy.linger_seconds,
    )
    handshakes = Pace(policy.handshakes_per_second, at_once=policy.handshakes_at_once)
    buffer = memoryview(bytearray(policy.read_bytes))
    try:
        listener = await loop.create_server(
            partial(PendingConnection, limiter, protocol, buffer, tls, handshakes, policy),
            http.host,
            http.port,
            backlog=_BACKLOG,
        )
        port: int = listener.sockets[0].getsockname()[1]
        log.info(Event.HTTP_SERVING, host=http.host, port=port, tls=tls is not None)
        try:
            yield port
        finally:
            listener.close()
    finally:
        await runner.cleanup()


def _identity_provider(oidc: Oidc, policy: OidcPolicy) -> "IdentityProvider":
    """Its libraries take 9 MB: they are loaded where a provider is configured."""
    from gateway.api.oidc import IdentityProvider

    return IdentityProvider(oidc, policy)


def _pattern(path: str, paths: Collection[str]) -> str:
    """The path as the router takes it. One that ends in a parameter leaves other paths what is theirs.

    `/v1/cases/release` is no case: without this its `Allow` would name the methods of cases, too.
    """
    above, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path
    siblings = (other.rpartition("/") for other in paths)
    named = [re.escape(name) for parent, _, name in siblings if parent == above and not name.startswith("{")]
    return f"{above}/{{{last[1:-1]}:(?!(?:{'|'.join(named)})$)[^{{}}/]+}}" if named else path


def _guarded(route: Route, tokens: Tokens, limiter: ConnectionLimiter, request_timeout_seconds: float) -> Handler:
    """The route's handler, called only with a token of its roles: nothing else of a request is read before."""
    if route.roles is None:
        return route.handler
    roles = route.roles

    async def handler(request: web.Request) -> web.StreamResponse:
        request[CALLER] = await tokens.require(request, roles)
        with limiter.request(request):
            async with asyncio.timeout(None if route.long else request_timeout_seconds):
                return await route.handler(request)

    return handler


def _tls(http: Http) -> ssl.SSLContext | None:
    if http.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake without end in one connection
    context.load_cert_chain(http.tls_cert, http.tls_key)
    if http.client_ca is not None:
        context.load_verify_locations(http.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
