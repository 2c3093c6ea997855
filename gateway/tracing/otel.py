"""The spans of OpenTelemetry. Only a process that exports traces imports this module: it needs the extra `otel`.

The trace of a case has a span for each status and each request for the case, below a root that is written with the
status that ends it. The ids of trace and root follow from the case_id, so every process writes into the same one.
Spans have no personal data.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace

import aiohttp
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace import set_span_in_context as with_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway import __version__
from gateway.tracing.context import HEADER, root_of, trace_of_case, trace_of_list
from gateway.tracing.traces import Traces

SHUTDOWN_TIMEOUT_SECONDS = 2.0
_NANOSECONDS = 1_000_000_000
_CLIENT_ERROR = 400
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_LIST = "list"
_CASE = "case"


def exported(node: str) -> Traces:
    """Traces exported by OTLP over HTTP, as the variables OTEL_* say."""
    return OtelTraces(BatchSpanProcessor(OTLPSpanExporter()), node=node)


class OtelTraces(Traces):
    """Writes the spans of lists, cases and requests to one processor."""

    def __init__(self, processor: SpanProcessor, *, node: str) -> None:
        ours = {"service.name": "gateway", "service.version": __version__, "service.instance.id": node}
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create(ours).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("gateway", __version__)
        self._callers = TraceContextTextMapPropagator()

    def of_requests(self) -> Sequence[aiohttp.TraceConfig]:
        hooks = aiohttp.TraceConfig()
        hooks.on_request_start.append(self._request_started)
        hooks.on_request_end.append(self._request_ended)
        hooks.on_request_exception.append(self._request_failed)
        return (hooks,)

    def list_accepted(
        self, list_id: str, *, headers: Mapping[str, str], began_at: datetime, created: bool, records: int
    ) -> None:
        trace_id = trace_of_list(list_id)
        facts: dict[str, str | int] = {"gateway.list_id": list_id, "gateway.records": records}
        given = {HEADER: headers[HEADER]} if HEADER in headers else {}
        caller = self._callers.extract(given, context=Context())
        request = self._tracer.start_span(
            "PUT /v1/lists/{list_id}",
            caller if caller else self._child_of(trace_id),
            kind=SpanKind.SERVER,
            attributes=facts,
            links=[_link(trace_id)],
            start_time=_nanoseconds(began_at),
        )
        request.end()
        if created:
            links = [Link(request.get_span_context())]
            self._root(trace_id, _LIST, facts, links, start_time=_nanoseconds(began_at)).end()

    def case_status(
        self,
        case_id: str,
        status: str,
        *,
        list_id: str,
        service: str,
        opened_at: datetime,
        ended_at: datetime | None,
    ) -> None:
        trace_id = trace_of_case(case_id)
        facts: dict[str, str | int] = {
            "gateway.case_id": case_id,
            "gateway.list_id": list_id,
            "gateway.service": service,
        }
        facts["gateway.status"] = status
        self._tracer.start_span(status, self._child_of(trace_id), attributes=facts).end()
        if ended_at is not None:
            links = [_link(trace_of_list(list_id))]
            self._root(trace_id, _CASE, facts, links, start_time=_nanoseconds(opened_at)).end(
                _nanoseconds(ended_at)
            )

    def close(self) -> None:
        shutdown = threading.Thread(target=self._provider.shutdown, daemon=True)  # waits for the exporter: 30 s
        shutdown.start()
        shutdown.join(SHUTDOWN_TIMEOUT_SECONDS)

    def _child_of(self, trace_id: str) -> Context:
        """A context below the trace's root, which may not be written yet; sampled as the root is."""
        decision = self._provider.sampler.should_sample(None, int(trace_id, 16), _CASE).decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        return with_span(NonRecordingSpan(_context(trace_id, sampled=sampled)), Context())

    def _root(
        self, trace_id: str, name: str, facts: Mapping[str, str | int], links: Sequence[Link], *, start_time: int
    ) -> Span:
        self._ids.next_trace, self._ids.next_span = int(trace_id, 16), int(root_of(trace_id), 16)
        return self._tracer.start_span(name, Context(), attributes=facts, links=links, start_time=start_time)

    async def _request_started(
        self, _: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        """Begins the span of a request of a known trace; the partner gets it as its parent."""
        request.span = None
        if (given := params.headers.get(HEADER)) is None:
            return
        of_cases: Iterable[str] = request.trace_request_ctx or ()
        request.span = span = self._tracer.start_span(
            f"{params.method} {params.url.path}",
            self._child_of(given.split("-")[1]),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": params.method,
                "server.address": params.url.host or "",
                "server.port": params.url.port or 0,
                "url.path": params.url.path,
            },
            links=[_link(trace_of_case(case_id)) for case_id in of_cases],
        )
        sent: dict[str, str] = {}
        self._callers.inject(sent, with_span(span, Context()))
        params.headers[HEADER] = sent[HEADER]

    async def _request_ended(
        self, _: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if request.span is not None:
            request.span.set_attribute("http.response.status_code", params.response.status)
            if params.response.status >= _CLIENT_ERROR:
                request.span.set_status(StatusCode.ERROR)
            request.span.end()

    async def _request_failed(
        self, _: aiohttp.ClientSession, request: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        if request.span is not None:
            request.span.set_attribute("error.type", type(params.exception).__name__)
            request.span.set_status(StatusCode.ERROR)
            request.span.end()


class _Ids(RandomIdGenerator):
    """Random ids, and those that the next root has to have."""

    next_trace: int | None = None
    next_span: int | None = None

    def generate_trace_id(self) -> int:
        given, self.next_trace = self.next_trace, None
        return super().generate_trace_id() if given is None else given

    def generate_span_id(self) -> int:
        given, self.next_span = self.next_span, None
        return super().generate_span_id() if given is None else given

    def is_trace_id_random(self) -> bool:
        return False


def _context(trace_id: str, *, sampled: bool = True) -> SpanContext:
    """Of the trace's root."""
    flags = _SAMPLED if sampled else TraceFlags()
    return SpanContext(int(trace_id, 16), int(root_of(trace_id), 16), is_remote=True, trace_flags=flags)


def _link(trace_id: str) -> Link:
    return Link(_context(trace_id))


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * _NANOSECONDS)
