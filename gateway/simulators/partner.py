"""What the fake HTTP partners share: a server on localhost that records every call and fails on demand."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import orjson
from aiohttp import web

from gateway.simulators.watched import Watched

Handler = Callable[["Call"], Awaitable[web.Response]]


@dataclass(slots=True, eq=False)
class Call:
    """One request; `at` and `answered_at` are monotonic seconds, `status` is None until it is answered."""

    at: float
    method: str
    path: str
    headers: Any
    raw: bytes
    body: Any
    """The JSON of the body, None when there is none."""
    status: int | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a call fails."""

    status: int = 503
    retry_after: int | str | None = None
    body: bytes | str | None = None
    """Sent as it is; a problem document when None."""
    content_type: str = "application/json"
    hang: bool = False
    """No answer until the caller gives up."""
    cut: bool = False
    """The TCP connection is cut without an answer."""
    after: bool = False
    """The call is carried out first: only its answer is lost."""
    containing: str = ""
    """Only calls whose body has these characters."""

    def response(self) -> web.Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.body is None:
            return problem(self.status, "a fault that was asked for", headers)
        raw = self.body.encode() if isinstance(self.body, str) else self.body
        return web.Response(status=self.status, body=raw, content_type=self.content_type, headers=headers)


class Partner(Watched):
    """A server that listens as long as the `async with` block lasts; `port` 0 takes a free one.

    `token` None lets anybody in. `record` False keeps counters only, for benches. `latency` is in seconds.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        token: str | None = None,
        latency: float = 0.0,
        record: bool = True,
    ) -> None:
        super().__init__()
        self.host, self.port, self.token = host, port, token
        self.latency, self.record = latency, record
        self.calls: list[Call] = []
        """Every request in the order of arrival, the failed ones too."""
        self.called = 0
        self.failed = 0
        self.under_way = 0
        self.most_under_way = 0
        self.complaints: list[str] = []
        """What the gateway did against the contract; empty for a good one."""
        self._routes: dict[tuple[str, str], Handler] = {}
        self._faults: deque[Fault] = deque()
        self._outage: Fault | None = None
        self._chaos: tuple[float, random.Random, tuple[Fault, ...]] | None = None
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens, on the same port as before if it did already."""
        self._closing.clear()
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening: connections are refused until `start`."""
        if self._runner is not None:
            self._closing.set()
            await self._runner.cleanup()
            self._runner = None

    def fail(self, times: int = 1, **fault: Any) -> None:
        """The next calls fail; fields of Fault: `fail(3, status=429, retry_after=1)`, `fail(hang=True)`."""
        self._faults.extend([Fault(**fault)] * times)

    def down(self, **fault: Any) -> None:
        """Every call fails until `up`; fields of Fault, 503 by default."""
        self._outage = Fault(**fault)

    def up(self) -> None:
        """Ends `down`, `fail` and `chaos`."""
        self._outage = self._chaos = None
        self._faults.clear()

    def chaos(self, probability: float, *faults: Fault, seed: int = 0) -> None:
        """Calls fail at random with one of these faults, until `up`."""
        self._chaos = (probability, random.Random(seed), faults or (Fault(),))

    def seen(self) -> str:
        return f"{type(self).__name__} saw {self.called} calls ({self.failed} failed); {self.complaints}"

    def complain(self, reason: str, status: int = 400) -> web.Response:
        """Notes what the gateway did wrong, and the answer that says so."""
        self.complaints.append(reason)
        return problem(status, reason)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            body = None
        now = asyncio.get_running_loop().time
        call = Call(now(), request.method, request.path, request.headers, raw, body)
        self.called += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        if self.record:
            self.calls.append(call)
        self.changed()
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            response = await self._respond(request, call)
            call.status, call.answered_at = response.status, now()
            return response
        finally:
            self.under_way -= 1
            self.changed()

    async def _respond(self, request: web.BaseRequest, call: Call) -> web.Response:
        handler = self._routes.get((call.method, call.path))
        if handler is None:
            return self.complain(f"{call.method} {call.path} is not in the contract", 404)
        if self.token is not None and call.headers.get("Authorization") != f"Bearer {self.token}":
            return self.complain("no or a wrong bearer token", 401)
        if call.body is None:
            return self.complain(f"{call.path}: the body is no JSON")
        fault = self._fault(call)
        if fault is None:
            return await handler(call)
        self.failed += 1
        if fault.after:
            await handler(call)
        self.changed()
        if fault.hang:
            await self._closing.wait()
        if (fault.cut or fault.hang) and request.transport is not None:
            request.transport.abort()
        return fault.response()

    def _fault(self, call: Call) -> Fault | None:
        for fault in self._faults:
            if fault.containing.encode() in call.raw:
                self._faults.remove(fault)
                return fault
        if self._outage is not None and self._outage.containing.encode() in call.raw:
            return self._outage
        if self._chaos is not None:
            probability, dice, faults = self._chaos
            if dice.random() < probability:
                return dice.choice(faults)
        return None


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """An RFC 9457 problem document."""
    body = orjson.dumps({"type": "about:blank", "title": "Refused", "status": status, "detail": detail})
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers or {})
