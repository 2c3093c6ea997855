"""What the simulated HTTP partners share: a server on localhost that records every call and fails on demand."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import orjson
from aiohttp import web

from gateway.simulators.observable import Observable

Handler = Callable[["Call"], Awaitable[web.Response]]


@dataclass(slots=True, eq=False)
class Call:
    """One request; `at` and `responded_at` are monotonic seconds, `status` is None until the response."""

    at: float
    method: str
    path: str
    headers: Any
    raw: bytes
    body: Any
    """The JSON of the body, None when there is none."""
    status: int | None = None
    responded_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a call fails."""

    status: int = 503
    retry_after: int | str | None = None
    body: bytes | str | None = None
    """Sent as it is; a problem document when None."""
    content_type: str = "application/json"
    hang: bool = False
    """No response until the caller closes the connection."""
    cut: bool = False
    """The TCP connection is aborted without a response."""
    after: bool = False
    """The call is carried out first: only its response is lost."""
    containing: str = ""
    """Only calls whose body contains these characters."""

    def response(self) -> web.Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.body is None:
            return problem(self.status, "an injected fault", headers)
        raw = self.body.encode() if isinstance(self.body, str) else self.body
        return web.Response(status=self.status, body=raw, content_type=self.content_type, headers=headers)


def fault_settings(words: Iterable[str]) -> dict[str, Any]:
    """Fields of Fault from `status=429 retry_after=1 hang=yes`; ValueError names what is wrong."""
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in Fault.__slots__:
            raise ValueError(f"{word}: KEY=VALUE is expected, KEY one of {', '.join(Fault.__slots__)}")
        settings[key] = int(value) if key == "status" else value
        if key in ("hang", "cut", "after"):
            if value not in ("yes", "no"):
                raise ValueError(f"{key}: yes or no is expected")
            settings[key] = value == "yes"
    return settings


class PartnerSimulator(Observable):
    """A server that listens as long as the `async with` block lasts; `port` 0 is any free one.

    With `token` None no authorization is required. With `record` False only counters are kept, for benches.
    `latency` is in seconds.
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
        """Every request in the order of arrival, failed ones too."""
        self.called = 0
        self.failed = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.complaints: list[str] = []
        """Contract violations of the gateway; empty for a conforming one."""
        self.on_event: Callable[[str, dict[str, Any]], object] | None = None
        """Called with the name and the details of every event."""
        self._routes: dict[tuple[str, str], Handler] = {}
        self._faults: deque[Fault] = deque()
        self._outage: Fault | None = None
        self._random_faults: tuple[float, random.Random, tuple[Fault, ...]] | None = None
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def is_down(self) -> bool:
        """Whether `down` fails every call."""
        return self._outage is not None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; after `stop` on the same port."""
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
        """Every call fails until `up` or `end_outage`; fields of Fault, 503 by default."""
        self._outage = Fault(**fault)

    def end_outage(self) -> None:
        """Ends `down` only."""
        self._outage = None

    def up(self) -> None:
        """Ends `down`, `fail` and `fail_randomly`."""
        self._outage = self._random_faults = None
        self._faults.clear()

    def fail_randomly(self, probability: float, *faults: Fault, seed: int = 0) -> None:
        """Calls fail at random with one of these faults, until `up`."""
        self._random_faults = (probability, random.Random(seed), faults or (Fault(),))

    def summary(self) -> str:
        return f"{type(self).__name__} had {self.called} calls ({self.failed} failed); {self.complaints}"

    def complain(self, reason: str, status: int = 400) -> web.Response:
        """Records a contract violation; the response that reports it."""
        self.note_violation(reason)
        return problem(status, reason)

    def note_violation(self, reason: str) -> None:
        self.complaints.append(reason)
        self.emit("complaint", reason=reason)

    def emit(self, event: str, **detail: Any) -> None:
        """Calls `on_event`, if it is set."""
        if self.on_event is not None:
            self.on_event(event, detail)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError:
            body = None
        now = asyncio.get_running_loop().time
        call = Call(now(), request.method, request.path, request.headers, raw, body)
        self.called += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self.record:
            self.calls.append(call)
        self.changed()
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            response = await self._respond(request, call)
            call.status, call.responded_at = response.status, now()
            self.emit("called", method=call.method, path=call.path, status=call.status)
            return response
        finally:
            self.in_flight -= 1
            self.changed()

    async def _respond(self, request: web.BaseRequest, call: Call) -> web.Response:
        handler = self._routes.get((call.method, call.path))
        if handler is None:
            return self.complain(f"{call.method} {call.path} is not in the contract", 404)
        if self.token is not None and call.headers.get("Authorization") != f"Bearer {self.token}":
            return self.complain("no bearer token or a wrong one", 401)
        if call.body is None:
            return self.complain(f"{call.path}: the body is not JSON")
        fault = self._next_fault(call)
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

    def _next_fault(self, call: Call) -> Fault | None:
        for fault in self._faults:
            if fault.containing.encode() in call.raw:
                self._faults.remove(fault)
                return fault
        if self._outage is not None and self._outage.containing.encode() in call.raw:
            return self._outage
        if self._random_faults is not None:
            probability, generator, faults = self._random_faults
            if generator.random() < probability:
                return generator.choice(faults)
        return None


def json_response(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """An RFC 9457 problem document."""
    body = orjson.dumps({"type": "about:blank", "title": "Refused", "status": status, "detail": detail})
    return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers or {})
