"""When a partner is paused, for how long, and what ends it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from gateway.backoff import Backoff
from gateway.config.policy import PartnerPolicy
from gateway.partners.availability import Availability
from gateway.partners.responses import FailureKind, at_least, failure_kind
from tests.harness import metric

POLICY = PartnerPolicy(
    cooldown=Backoff(first_seconds=1.0, max_seconds=2.0), pause=Backoff(first_seconds=100.0, max_seconds=400.0)
)
PAUSING = (FailureKind.CREDENTIALS, FailureKind.ADDRESS, FailureKind.TOO_LARGE, FailureKind.INVALID)


@pytest.fixture
def availability() -> Iterator[Availability]:
    partner = Availability("lookup", outage=POLICY.cooldown, policy=POLICY)
    yield partner
    partner.close()


def paused() -> set[str]:
    return {kind.value for kind in FailureKind if metric("partner_paused", kind="lookup", why=kind.value)}


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((408, 425, 429, 500, 501, 502, 503, 504, 511, 599), FailureKind.OUTAGE),
        ((401, 403, 407), FailureKind.CREDENTIALS),
        ((300, 301, 302, 303, 304, 307, 308, 399, 404, 405), FailureKind.ADDRESS),
        ((413,), FailureKind.TOO_LARGE),
        ((201, 299, 400, 406, 409, 410, 415, 418, 422, 451, 499), FailureKind.INVALID),
    ],
)
def test_kind_of_a_failure_by_its_status(statuses: tuple[int, ...], kind: FailureKind) -> None:
    assert {failure_kind(status) for status in statuses} == {kind}


@pytest.mark.parametrize("wait", [None, timedelta(), timedelta(seconds=0.1), timedelta(seconds=-5)])
def test_wait_is_never_shorter_than_the_backoff(availability: Availability, wait: timedelta | None) -> None:
    assert all(availability.failed(FailureKind.OUTAGE, "503", wait) >= 0.5 for _ in range(100))
    assert at_least(7.0, wait) == 7.0


def test_wait_is_as_long_as_the_partner_says() -> None:
    assert at_least(7.0, timedelta(minutes=1)) == 60.0


@pytest.mark.parametrize("kind", PAUSING)
def test_pause_waits_long_and_is_shown_until_a_request_succeeds(
    availability: Availability, kind: FailureKind
) -> None:
    availability.failed(FailureKind.OUTAGE, "503", None)
    waits = [availability.failed(kind, "x", None) for _ in range(4)]
    assert 50 <= waits[0] <= 100
    assert 200 <= waits[-1] <= 400
    assert paused() == {kind}
    availability.succeeded()
    assert paused() == set()
    assert availability.failed(FailureKind.OUTAGE, "503", None) <= 1.0


def test_outage_within_a_pause_does_not_end_it(availability: Availability) -> None:
    availability.failed(FailureKind.CREDENTIALS, "401", None)
    assert availability.failed(FailureKind.OUTAGE, "TimeoutError", None) >= 50
    assert paused() == {FailureKind.CREDENTIALS}


def test_pause_shows_its_latest_reason_alone(availability: Availability) -> None:
    availability.failed(FailureKind.CREDENTIALS, "401", None)
    availability.failed(FailureKind.ADDRESS, "404", None)
    assert paused() == {FailureKind.ADDRESS}


def test_process_that_has_stopped_shows_no_pause(availability: Availability) -> None:
    availability.failed(FailureKind.CREDENTIALS, "401", None)
    availability.close()
    assert paused() == set()


def test_twentieth_invalid_response_in_a_row_is_the_partners_fault(availability: Availability) -> None:
    assert [availability.count_invalid() for _ in range(22)] == [False] * 19 + [True] * 3


def test_acceptable_response_between_invalid_ones_restarts_the_count_from_zero(availability: Availability) -> None:
    assert not any(availability.count_invalid() for _ in range(19))
    availability.responded()
    assert not any(availability.count_invalid() for _ in range(19))


def test_outage_between_invalid_responses_does_not_restart_the_count(availability: Availability) -> None:
    assert not any(availability.count_invalid() for _ in range(19))
    availability.failed(FailureKind.OUTAGE, "503", None)
    assert availability.count_invalid()


def test_failures_in_a_row_are_shown_until_a_request_succeeds(availability: Availability) -> None:
    shown = []
    for _ in range(3):
        availability.failed(FailureKind.OUTAGE, "503", None)
        shown.append(metric("partner_failures", kind="lookup"))
    availability.succeeded()
    assert [*shown, metric("partner_failures", kind="lookup")] == [1, 2, 3, 0]
