"""The trace context of requests to partners: `traceparent`, as W3C Trace Context writes it."""

import re
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from gateway.ids import new_ulid
from gateway.tracing.context import trace_of_batch, trace_of_case, traceparent
from tests.partners.http_failures import MockedResponse
from tests.partners.partner_calls import CASES, PATHS, SUCCESS, Partner, call

PARTNER = "http://partner.example"


@pytest.mark.parametrize(
    ("case_id", "trace_id"),
    [  # the ULID specification's example, as its 128 bits, and the smallest and the largest
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01563e3ab5d3d6764c61efb99302bd5b"),
        ("00000000000000000000000001", f"{1:032x}"),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "f" * 32),
    ],
)
def test_the_trace_of_a_case_is_its_case_id(case_id: str, trace_id: str) -> None:
    assert trace_of_case(case_id) == trace_id


def test_the_instant_of_a_case_begins_its_trace() -> None:
    at = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    assert UUID(trace_of_case(new_ulid(at))).int >> 80 == int(at.timestamp() * 1000)


def test_each_request_has_a_parent_of_its_own() -> None:
    values = {traceparent("ab" * 16) for _ in range(100)}
    assert len(values) == 100
    assert all(re.fullmatch(rf"00-{'ab' * 16}-[0-9a-f]{{16}}-01", value) for value in values)


async def headers_of(partner: Partner, http: aiohttp.ClientSession, mocked: aioresponses) -> dict[str, str]:
    mocked.post(PARTNER + PATHS[partner], body=SUCCESS[partner], response_class=MockedResponse)
    await call(partner, http, PARTNER)
    ((request, *_),) = (mocked.requests["POST", URL(PARTNER + PATHS[partner])],)
    headers: dict[str, str] = dict(request.kwargs["headers"])
    return headers


@pytest.mark.parametrize("partner", [Partner.MCB, Partner.WALLET])
async def test_a_call_for_a_case_is_of_its_trace(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner
) -> None:
    headers = await headers_of(partner, http, mocked)
    assert headers["traceparent"].split("-")[1] == trace_of_case(CASES[0].case_id)


async def test_a_push_of_statuses_is_of_the_trace_that_its_webhook_id_names(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    headers = await headers_of(Partner.SDU, http, mocked)
    assert f"msg_{headers['traceparent'].split('-')[1]}" == headers["webhook-id"]


async def test_a_look_up_of_several_people_has_a_trace_of_its_own(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    headers = await headers_of(Partner.MCB_BATCH, http, mocked)
    assert headers["traceparent"].split("-")[1] == trace_of_batch(case.case_id for case in CASES)
