"""openapi.json is valid and served, and has exactly the routes of the server."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway.api.app import build_app
from gateway.api.cases import _reason
from gateway.api.connections import ConnectionLimiter
from gateway.api.lists import shown_progress
from gateway.api.problems import Problem
from gateway.api.search import MAX_MSISDN_LENGTH, MSISDN_PATTERN, _search
from gateway.components import Components
from gateway.config import Config
from gateway.consent.events import STATUSES
from gateway.consent.identity import canonical_msisdn
from gateway.intake.fields import DETAILS, MAX_ID_LENGTH, Code, text_fault
from gateway.limits import MAX_MSISDN_CHARACTERS
from gateway.shells import apis_of
from tests.api.apiclient import DOCUMENT, NDJSON, Api


def test_openapi_json_is_valid() -> None:
    validate(DOCUMENT)


async def test_openapi_json_is_served(api: Api) -> None:
    assert (await api.call("GET", "/openapi.json")).json == DOCUMENT


async def test_openapi_json_has_every_route_and_no_other(config: Config, components: Components) -> None:
    policy = components.policy.http
    app = build_app(config.http, apis_of(config, components), ConnectionLimiter(policy), policy)
    served = set()
    for route in app.router.routes():
        assert route.resource is not None, route
        if route.method != "HEAD":  # what GET responds, without the body
            served.add((route.method, route.resource.canonical))
    described = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert served == described


def test_codes_states_and_statuses_of_openapi_json_equal_those_of_the_program() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["RecordError"]["properties"]["code"]["enum"] == list(Code) == list(DETAILS)
    assert set(schemas["StatusEvent"]["properties"]["status"]["enum"]) == set(STATUSES)
    assert set(schemas["State"]["enum"]) == set(shown_progress({})) == set(schemas["Progress"]["properties"])


def test_openapi_json_marks_all_paths_that_need_a_token() -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert ("401" in operation["responses"]) == bool(operation["security"]) == path.startswith("/v1/")


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in the JSON, itself included."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(part)


def test_every_const_of_openapi_json_has_its_type_for_generators_of_clients() -> None:
    assert [schema for schema in objects(DOCUMENT) if "const" in schema and "type" not in schema] == []


def test_ndjson_of_openapi_json_is_octets_to_generators_and_has_the_schema_of_its_lines() -> None:
    bodies = [content[NDJSON]["schema"] for content in objects(DOCUMENT) if NDJSON in content]
    assert {(body["type"], body["format"], body["contentMediaType"]) for body in bodies} == {
        ("string", "binary", NDJSON)
    }
    lines = [body["contentSchema"]["items"]["$ref"].rpartition("/")[2] for body in bodies]
    assert lines == ["Record", "RecordError"]


REASONS = [
    " moved ", "moved", "\u00a0x", "😀", "", " ", "\u3000", "a\nb", "a\n", "\u2028x", "x\u0085", "x\x7f", "é" * 9,
    "x" * 500, "x" * 501,
]  # fmt: skip


def test_the_pattern_of_a_reason_is_what_the_program_accepts() -> None:
    validator = Draft202012Validator(DOCUMENT["components"]["schemas"]["Reason"])
    for reason in REASONS:
        try:
            _reason({"reason": reason})
        except Problem:
            accepted = False
        else:
            accepted = True
        assert validator.is_valid({"reason": reason}) == accepted, ascii(reason)


SEARCH = DOCUMENT["components"]["schemas"]["Search"]["properties"]
NUMBER = re.compile(SEARCH["msisdn"]["pattern"])
LONGEST = SEARCH["msisdn"]["maxLength"]


def finds(body: dict[str, Any]) -> bool:
    """Whether a search accepts the body."""
    try:
        _search(body)
    except Problem:
        return False
    return True


def test_the_pattern_of_a_searched_number_is_that_of_the_program() -> None:
    assert SEARCH["msisdn"]["pattern"] == MSISDN_PATTERN
    assert LONGEST == MAX_MSISDN_LENGTH


@given(st.from_regex(NUMBER).filter(lambda number: len(number) <= LONGEST))
def test_a_number_that_fits_the_pattern_of_openapi_json_is_searched_for(number: str) -> None:
    assert finds({"msisdn": number})


@given(st.text("0178+ -()\u2013\n\tx", max_size=70) | st.from_regex(r"[+0178 ]{0,4}7[0-9 -]{0,5}[0-9]{7,9}"))
@example("8 (701) 123-45-67")
@example("+77011234567")
@example("8-10-7-701-1234567")
@example("00 7 701 1234567")
@example("7011234567")
@example(" +7 701 123 45 67 ")
@example("7701    1234567")
@example("77011234567x")
@example("77031234567")
@example("79991234567")
@example("٧٧٠١١٢٣٤٥٦٧")
def test_a_search_accepts_exactly_the_numbers_that_fit_the_pattern_of_openapi_json(number: str) -> None:
    described = len(number) <= LONGEST and NUMBER.search(number) is not None
    assert finds({"msisdn": number}) == described
    if described and len(number) <= MAX_MSISDN_CHARACTERS:
        assert canonical_msisdn(number) is not None


@given(st.text(max_size=8) | st.from_regex(r"[0-9\x00-\x1f\x85\u2028]{1,7}"))
def test_a_service_and_a_record_are_searched_for_by_what_their_schemas_accept(text: str) -> None:
    service = Draft202012Validator(SEARCH["service"]).is_valid(text)
    assert finds({"msisdn": "77011234567", "service": text}) == service
    record = Draft202012Validator(DOCUMENT["components"]["schemas"]["RecordId"]).is_valid(text)
    assert (text_fault(text, MAX_ID_LENGTH) is None) == record


async def test_the_path_cases_release_is_not_routed_as_a_case_id(api: Api) -> None:
    token = "ops-token-of-tests"
    for method in ("GET", "DELETE"):
        response = await api.call(method, "/v1/cases/release", token=token)
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    response = await api.call("DELETE", "/v1/cases/01KAN00000000000000000000A", token=token)
    assert (response.status, response.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/console", "/console/console.js", "/metrics"])
async def test_head_of_a_public_path_is_get_without_the_body(api: Api, path: str) -> None:
    async with api.call.session.head(path) as head:
        assert (head.status, await head.read()) == (200, b"")
        async with api.call.session.get(path) as response:
            body = await response.read()
    assert head.headers["Content-Type"] == response.headers["Content-Type"]
    assert path == "/metrics" or int(head.headers["Content-Length"]) == len(body)
