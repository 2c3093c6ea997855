"""For ops: whether the process is alive and ready, its metrics, and which process holds which link."""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.api.cached import Cached
from gateway.api.lists import shown_state
from gateway.api.problems import Problem, not_found
from gateway.api.requests import Route, json_response, respond_in_pieces
from gateway.clock import Clock
from gateway.config.model import Durability
from gateway.consent.deadlines import Calendar
from gateway.logs.log import Event, get_logger
from gateway.metrics import REGISTRY
from gateway.store import nodes, queues, readiness
from gateway.store.database import Connection, Database
from gateway.store.queues import Waiting

log = get_logger()

OPENAPI = Path(__file__).with_name("openapi.json")

_DATABASE_TIMEOUT_SECONDS = 5.0  # a probe gives up not much later
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class OpsApi:
    """The handlers for probes and monitoring. Only the links need a token.

    What needs none is made at most once in `cache_seconds`: no number of callers costs more than one.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        calendar: Calendar,
        links: Sequence[str],
        durability: Durability,
        cache_seconds: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._calendar = calendar
        self._links = tuple(links)
        self._durability = durability
        self._openapi = OPENAPI.read_bytes()
        self._readiness = Cached(self._ready, cache_seconds)
        self._exposition = Cached(self._expose, cache_seconds)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/healthz", None, self.alive),
            Route("GET", "/readyz", None, self.ready),
            Route("GET", "/metrics", None, self.metrics),
            Route("GET", "/openapi.json", None, self.openapi),
            Route("GET", "/v1/links", ("ops",), self.links),
            Route("POST", "/v1/links/{link}/bind", ("ops",), self.bind),
        )

    async def alive(self, _request: web.Request) -> web.StreamResponse:
        return json_response({"alive": True})

    async def ready(self, _request: web.Request) -> web.StreamResponse:
        """Whether the cluster can do its work: the database is reachable and each link has a bound session."""
        if reason := await self._readiness.get():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, reason)
        return json_response({"ready": True, "links": list(self._links)})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """What this process has counted and, while the database is reachable, what waits there."""
        return await respond_in_pieces(request, await self._exposition.get(), {"Content-Type": _EXPOSITION})

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        return await respond_in_pieces(request, self._openapi, {"Content-Type": "application/json"})

    async def stop(self) -> None:
        self._readiness.stop()
        self._exposition.stop()

    async def _ready(self) -> str | None:
        """Why the cluster is not ready; None when it is."""
        try:
            async with asyncio.timeout(_DATABASE_TIMEOUT_SECONDS), self._database.acquire() as connection:
                state = await readiness.state(connection)
        except Exception as error:
            if self._database.exhausted:
                return "No connection to the database has been free for some time."
            return f"The database is not reachable ({type(error).__name__})."
        if state.rewind is not None:
            seq, known_seq = state.rewind
            return (
                f"The database was rewound: it ended at entry {seq}, {known_seq} is known. "
                f"Nothing is sent until `gateway accept-rewind`."
            )
        if self._durability == "replicated" and (shortfall := state.replication.shortfall):
            return f"Commits are not replicated: {shortfall}."
        bound = {link.link for link in state.links if link.bound}
        if unbound := [name for name in self._links if name not in bound]:
            return f"Not bound: {', '.join(unbound)}."
        silent = [
            f"{link.link} since {link.unaccepted_since.isoformat(timespec='seconds')}"
            for link in state.links
            if link.link in self._links and link.bound and link.unaccepted_since is not None
        ]
        return f"Bound, nothing accepted: {', '.join(silent)}." if silent else None

    async def _expose(self) -> bytes:
        waiting = None
        try:
            async with asyncio.timeout(_DATABASE_TIMEOUT_SECONDS), self._database.acquire() as connection:
                waiting = await queues.waiting(connection, queues.MAX_COUNTED_AT_ONCE)
        except Exception as error:
            log.warning(Event.HTTP_FAILED, reason=type(error).__name__)
        return generate_latest(REGISTRY) + generate_latest(database_metrics(waiting, self._clock))

    async def links(self, _request: web.Request) -> web.StreamResponse:
        """The configured links: who holds each, what its binds wait for, and how many texts wait for it."""
        async with self._database.acquire() as connection:
            return json_response({"links": await self._shown_links(connection)})

    async def bind(self, request: web.Request) -> web.StreamResponse:
        """Has the process that holds the link try to bind with its next heartbeat, not after its pause."""
        name = request.match_info["link"]
        if name not in self._links:
            raise not_found("link")
        async with self._database.acquire() as connection:
            (shown,) = [link for link in await self._shown_links(connection) if link["link"] == name]
            if shown["node"] is None:
                raise Problem(HTTPStatus.CONFLICT, "No living process holds the link; the next one binds at once.")
            await nodes.request_bind(connection, name)
        log.info(Event.LINK_BIND_REQUESTED, link=name)
        return json_response(shown)

    async def _shown_links(self, connection: Connection) -> list[dict[str, Any]]:
        held = {link.link: link for link in await queues.links(connection)}
        waiting = await queues.waiting_texts(connection)
        shown: list[dict[str, Any]] = []
        for name in self._links:
            link = held.get(name)
            next_bind_at = link.next_bind_at if link else None
            shown.append(
                {
                    "link": name,
                    "node": link.node if link else None,
                    "bound": link.bound if link else 0,
                    "queued": sum(queue.depth for queue in waiting if queue.link == name),
                    "bind_failure": link.bind_failure if link else None,
                    "next_bind_at": self._calendar.iso_local(next_bind_at) if next_bind_at else None,
                }
            )
        return shown


def database_metrics(waiting: Waiting | None, clock: Clock) -> CollectorRegistry:
    """The gauges of what waits in the database; None: it could not be queried."""
    registry = CollectorRegistry()
    up = Gauge("gateway_database_up", "1 while the database can be queried, else 0", registry=registry)
    if waiting is not None:
        up.set(1)
        registry.register(_WaitingCollector(waiting, clock))
    return registry


class _WaitingCollector(Collector):
    """Gauges of the rows that waited when the database was queried."""

    def __init__(self, waiting: Waiting, clock: Clock) -> None:
        self._waiting = waiting
        self._now = clock.now()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        depth = GaugeMetricFamily("gateway_queue_depth", "Rows that wait", labels=["queue"])
        age = GaugeMetricFamily(
            "gateway_queue_age_seconds",
            "How long the oldest row has waited, in business time",
            labels=["queue"],
        )
        for queue in self._waiting.queues:
            depth.add_metric([queue.name], queue.depth)
            age.add_metric([queue.name], (self._now - (queue.since or self._now)).total_seconds())
        texts = GaugeMetricFamily(
            "gateway_sms_queued", "Texts that wait for their link", labels=["link", "priority"]
        )
        texts_age = GaugeMetricFamily(
            "gateway_sms_queued_age_seconds",
            "How long the oldest text has waited, in business time",
            labels=["link", "priority"],
        )
        for text in self._waiting.sms:
            labels = [text.link, str(text.priority)]
            texts.add_metric(labels, text.depth)
            texts_age.add_metric(labels, (self._now - text.since).total_seconds())
        cases = GaugeMetricFamily("gateway_cases", "Cases by state", labels=["service", "state"])
        states: dict[tuple[str, str], int] = {}
        for service, state, number in self._waiting.cases:
            key = (service, shown_state(state))
            states[key] = states.get(key, 0) + number
        for labels_of_state, number in states.items():
            cases.add_metric(labels_of_state, number)
        held = GaugeMetricFamily(
            "gateway_cases_held", "Cases with a reply by this link that ops have to decide on", labels=["link"]
        )
        for link, number in self._waiting.held:
            held.add_metric([link], number)
        return depth, age, texts, texts_age, cases, held
