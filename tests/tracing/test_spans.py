"""The trace of a case: one from its record to its voucher, across processes, and partners are in it."""

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from gateway.clock import wall_now
from gateway.partners.http_session import partner_session
from gateway.simulators.mcb import McbSimulator
from gateway.tracing.context import root_of, trace_of_batch, trace_of_case, trace_of_list
from gateway.tracing.otel import OtelTraces
from gateway.tracing.traces import Traces, are_wanted
from tests.harness import Family, Harness, harness
from tests.partners.partner_calls import CASES, Partner, outcomes

__all__ = ["harness"]

CASE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
AT = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"  # the specification's example
PARENT = "00f067aa0ba902b7"
VARIABLES = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED", "OTEL_SERVICE_NAME")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> OtelTraces:
    return traces_into(exporter)


def traces_into(exporter: SpanExporter) -> OtelTraces:
    return OtelTraces(SimpleSpanProcessor(exporter), node="a")


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def trace_id(span: ReadableSpan) -> str:
    return f"{context_of(span).trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    return f"{context_of(span).span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links(span: ReadableSpan) -> list[str]:
    return [f"{link.context.trace_id:032x}" for link in span.links]


def end(traces: Traces) -> None:
    traces.case_status(CASE, "refused", list_id="list-1", service="3", opened_at=AT, ended_at=AT)


async def test_one_trace_leads_from_the_record_to_the_voucher(
    harness: Harness, exporter: InMemorySpanExporter
) -> None:
    harness.traces = traces_into(exporter)
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.running[0].stop()
    harness.traces = traces_into(exporter)  # as another process has them
    await harness.start()
    assert await harness.smsc.reply(family.number, "3#1") == 0
    await harness.status(family, "voucher_issued")
    await harness.stop()
    case = trace_of_case(await harness.case_id(family))
    spans = {span.name: span for span in exporter.get_finished_spans() if trace_id(span) == case}
    root = spans.pop("case")
    assert (parent_id(root), span_id(root)) == (None, root_of(case))
    assert spans.keys() == {
        "POST /v1/lookup", "number_found", "asked", "consented", "POST /v1/vouchers", "voucher_issued",
    }  # fmt: skip
    assert {parent_id(span) for span in spans.values()} == {root_of(case)}
    for partner, name in ((harness.mcb, "POST /v1/lookup"), (harness.wallet, "POST /v1/vouchers")):
        assert partner.calls[0].headers["traceparent"] == f"00-{case}-{span_id(spans[name])}-01"
    pushes = [span for span in exporter.get_finished_spans() if span.name == "POST /v1/statuses"]
    assert [one.headers["traceparent"].split("-")[2] for one in harness.sdu.calls] == [*map(span_id, pushes)]
    assert all(case in links(push) for push in pushes)


def test_a_list_is_in_the_trace_of_its_caller_and_its_cases_know_of_it(
    traces: OtelTraces, exporter: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{CALLER}-{PARENT}-01"}
    for created in (True, False):  # pushed, and pushed again
        traces.list_accepted("list-1", headers=headers, began_at=wall_now(), created=created, records=3)
    end(traces)
    put, of_list, again, _, case = exporter.get_finished_spans()
    assert put.kind is SpanKind.SERVER
    assert [(trace_id(one), parent_id(one)) for one in (put, again)] == 2 * [(CALLER, PARENT)]
    assert (trace_id(of_list), span_id(of_list)) == (trace_of_list("list-1"), root_of(trace_of_list("list-1")))
    assert (links(put), links(of_list), links(case)) == ([trace_id(of_list)], [CALLER], [trace_id(of_list)])


@pytest.mark.parametrize("header", ["", "00", f"00-{'0' * 32}-{PARENT}-01", f"ff-{CALLER}-{PARENT}-01", "9" * 999])
def test_a_traceparent_that_is_none_begins_the_trace_of_the_list(
    traces: OtelTraces, exporter: InMemorySpanExporter, header: str
) -> None:
    traces.list_accepted("list-1", headers={"traceparent": header}, began_at=wall_now(), created=True, records=1)
    assert {trace_id(span) for span in exporter.get_finished_spans()} == {trace_of_list("list-1")}


@pytest.mark.parametrize(("ratio", "flag", "spans"), [("0.0", "00", 0), ("1.0", "01", 1)])
async def test_partners_are_told_whether_the_trace_is_sampled(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, ratio: str, flag: str, spans: int
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    traces = traces_into(exporter)
    async with McbSimulator() as mcb, partner_session(traces.of_requests()) as http:
        await outcomes(Partner.MCB, http, mcb.url)
    assert mcb.calls[0].headers["traceparent"].rpartition("-")[2] == flag
    assert len(exporter.get_finished_spans()) == spans


async def test_a_look_up_of_several_people_leads_to_each_case(
    traces: OtelTraces, exporter: InMemorySpanExporter
) -> None:
    async with McbSimulator() as mcb, partner_session(traces.of_requests()) as http:
        await outcomes(Partner.MCB_BATCH, http, mcb.url)
    (span,) = exporter.get_finished_spans()
    case_ids = [case.case_id for case in CASES]
    assert (trace_id(span), links(span)) == (trace_of_batch(case_ids), [*map(trace_of_case, case_ids)])


async def test_a_failed_request_to_a_partner_is_an_error_in_the_trace(
    traces: OtelTraces, exporter: InMemorySpanExporter
) -> None:
    async with McbSimulator() as mcb, partner_session(traces.of_requests()) as http:
        mcb.down(status=503)
        await outcomes(Partner.MCB, http, mcb.url)
        await mcb.stop()
        await outcomes(Partner.MCB, http, mcb.url)
    refused, unreachable = exporter.get_finished_spans()
    assert [one.status.status_code for one in (refused, unreachable)] == 2 * [StatusCode.ERROR]
    assert refused.attributes is not None
    assert unreachable.attributes is not None
    assert refused.attributes["http.response.status_code"] == 503
    assert unreachable.attributes["error.type"] in ("ClientConnectorError", "ClientOSError")


def test_an_exporter_that_hangs_does_not_hold_up_the_end(exporter: InMemorySpanExporter) -> None:
    released = threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            released.wait()

    traces_into(Hanging()).close()
    released.set()


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "gateway"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_recorded_when_the_variables_of_opentelemetry_ask_for_them(
    variables: dict[str, str], wanted: bool
) -> None:
    assert are_wanted(variables) is wanted


def test_a_process_without_traces_does_not_import_opentelemetry() -> None:
    code = "import sys, gateway.__main__, gateway.app; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, timeout=60, check=False).returncode == 0
