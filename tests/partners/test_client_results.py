"""What the clients make of responses that arrive whole, and contradict themselves or hold too much."""

from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses

from gateway.consent.inputs import RejectVoucher, UseNumber
from gateway.partners.mcb import MAX_CONSECUTIVE_FAILURES
from gateway.partners.responses import MAX_TEXT_LENGTH, Done
from tests.partners.http_failures import MockedResponse
from tests.partners.partner_calls import PATHS, Meaning, Partner, call, meaning, outcomes, stored
from tests.record_factories import MOTHER, PUPILS

URL = "http://partner.example"


def found(iin: str, number: str = "+77011234567") -> dict[str, object]:
    return {"iin": iin, "found": True, "msisdn": number}


def not_found(iin: str) -> dict[str, object]:
    return {"iin": iin, "found": False}


@pytest.mark.parametrize(
    "contradictory",
    [
        [found(MOTHER), not_found(MOTHER)],
        [not_found(MOTHER), found(MOTHER)],
        [found(MOTHER), found(MOTHER, "+77021234567")],
    ],
)
async def test_batch_with_two_results_for_one_person_is_asked_one_by_one(
    http: aiohttp.ClientSession, mocked: aioresponses, contradictory: list[dict[str, object]]
) -> None:
    results = {"results": [*contradictory, not_found(PUPILS[0])]}
    mocked.post(URL + PATHS[Partner.MCB_BATCH], payload=results, response_class=MockedResponse)
    for result in (found(MOTHER), found(PUPILS[0])):
        mocked.post(URL + PATHS[Partner.MCB], payload=result, response_class=MockedResponse)
    assert await call(Partner.MCB_BATCH, http, URL) == [Meaning.NUMBER, Meaning.NUMBER]


@pytest.mark.parametrize("number", ["tel:+77011234567", "tel:+7-701-123-45-67", "tel:87011234567"])
async def test_a_number_of_the_mcb_may_be_a_tel_uri(
    http: aiohttp.ClientSession, mocked: aioresponses, number: str
) -> None:
    mocked.post(URL + PATHS[Partner.MCB], payload=found(MOTHER, number), response_class=MockedResponse)
    (outcome,) = await outcomes(Partner.MCB, http, URL)
    assert isinstance(outcome, Done)
    assert outcome.given == UseNumber(msisdn="77011234567")


async def test_batch_with_the_same_result_twice_counts(http: aiohttp.ClientSession, mocked: aioresponses) -> None:
    results = {"results": [found(MOTHER), found(MOTHER), not_found(PUPILS[0])]}
    mocked.post(URL + PATHS[Partner.MCB_BATCH], payload=results, response_class=MockedResponse)
    assert await call(Partner.MCB_BATCH, http, URL) == [Meaning.NUMBER, Meaning.NO_NUMBER]


@pytest.mark.parametrize("field", ["note", "operator"])
async def test_results_nested_deeper_than_python_compares_are_compared_by_what_counts(
    http: aiohttp.ClientSession, mocked: aioresponses, field: str
) -> None:
    deep = "[" * 1020 + "]" * 1020
    twice = f'{{"iin": "{MOTHER}", "found": true, "msisdn": "77011234567", "{field}": {deep}}}'
    body = f'{{"results": [{twice}, {twice}, {{"iin": "{PUPILS[0]}", "found": false}}]}}'
    mocked.post(URL + PATHS[Partner.MCB_BATCH], body=body, response_class=MockedResponse)
    assert await call(Partner.MCB_BATCH, http, URL) == [Meaning.NUMBER, Meaning.NO_NUMBER]


async def test_results_of_a_batch_that_cannot_be_assigned_are_retried(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    results: dict[str, object] = {
        "results": [None, 7, [], {}, {"iin": 7, "found": False}, not_found("000000000000"), found(MOTHER)]
    }
    mocked.post(URL + PATHS[Partner.MCB_BATCH], payload=results, response_class=MockedResponse)
    assert await call(Partner.MCB_BATCH, http, URL) == [Meaning.NUMBER, Meaning.RETRIED]


@pytest.mark.parametrize("failure", [{"status": 503}, {"exception": TimeoutError()}])
async def test_lookups_one_by_one_end_once_the_mcb_is_unavailable(
    http: aiohttp.ClientSession, mocked: aioresponses, failure: dict[str, Any]
) -> None:
    cases = [stored(f"01KAN{n:021}") for n in range(1, 51)]
    mocked.post(URL + PATHS[Partner.MCB_BATCH], status=400, response_class=MockedResponse)
    for _ in range(20):
        mocked.post(URL + PATHS[Partner.MCB], payload=found(MOTHER), response_class=MockedResponse)
        mocked.post(URL + PATHS[Partner.MCB], **failure, response_class=MockedResponse)
    mocked.post(URL + PATHS[Partner.MCB], **failure, response_class=MockedResponse, repeat=True)
    results = await outcomes(Partner.MCB_BATCH, http, URL, cases=cases)
    assert [outcome.case_id for outcome in results] == [case.case_id for case in cases]
    assert [meaning(outcome) for outcome in results] == [
        *[Meaning.NUMBER, Meaning.RETRIED] * 20,
        *[Meaning.RETRIED] * 10,
    ]
    assert sum(len(calls) for calls in mocked.requests.values()) == 1 + 40 + MAX_CONSECUTIVE_FAILURES - 1


async def rejection(http: aiohttp.ClientSession, mocked: aioresponses, problem: dict[str, object]) -> str:
    """The reason of a 422 with that problem document."""
    mocked.post(URL + PATHS[Partner.WALLET], status=422, payload=problem, response_class=MockedResponse)
    (outcome,) = await outcomes(Partner.WALLET, http, URL)
    assert isinstance(outcome, Done)
    assert isinstance(outcome.given, RejectVoucher)
    return outcome.given.reason


@pytest.mark.parametrize("kept", range(1, 13))
async def test_number_at_the_end_of_a_shortened_reason_shows_no_digit(
    http: aiohttp.ClientSession, mocked: aioresponses, kept: int
) -> None:
    before = "x" * (MAX_TEXT_LENGTH - kept - 1) + " "
    reason = await rejection(http, mocked, {"reason": f"{before}{MOTHER} and more"})
    assert not any(character.isdigit() for character in reason)
    assert reason.startswith(before.rstrip())


async def test_reason_of_the_maximum_length_is_kept_whole(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    longest = "limit reached: 7".rjust(MAX_TEXT_LENGTH, "x")
    assert await rejection(http, mocked, {"reason": longest}) == longest


@pytest.mark.parametrize(
    "problem", [{}, {"reason": ""}, {"reason": 7}, {"reason": "a\nb"}, {"reason": "9" * 500}, {"code": ["x"]}]
)
async def test_rejection_without_a_usable_reason_is_a_rejection(
    http: aiohttp.ClientSession, mocked: aioresponses, problem: dict[str, object]
) -> None:
    assert await rejection(http, mocked, problem) == "refused"
