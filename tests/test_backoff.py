"""Waits between retries: doubled, limited, with jitter."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backoff import Backoff

BACKOFF = Backoff(first_seconds=0.5, max_seconds=30.0)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (8, 30.0), (1000, 30.0)]
)
def test_the_backoff_ceiling_doubles_with_each_failure_up_to_the_maximum(failures: int, ceiling: float) -> None:
    assert BACKOFF.ceiling(failures) == ceiling


def test_the_backoff_ceiling_of_0_failures_is_that_of_the_first() -> None:
    assert BACKOFF.ceiling(0) == BACKOFF.ceiling(1)


def test_a_backoff_maximum_below_the_first_wait_is_kept() -> None:
    assert Backoff(first_seconds=5.0, max_seconds=0.1).ceiling(1) == 0.1


@given(
    failures=st.integers(min_value=0, max_value=10**30),
    first=st.floats(min_value=1e-6, max_value=1e6),
    longest=st.floats(min_value=1e-6, max_value=1e6),
    seed=st.integers(),
)
def test_a_backoff_delay_is_between_half_the_ceiling_and_the_ceiling(
    failures: int, first: float, longest: float, seed: int
) -> None:
    random.seed(seed)
    backoff = Backoff(first_seconds=first, max_seconds=longest)
    assert 0.5 * backoff.ceiling(failures) <= backoff.delay(failures) <= backoff.ceiling(failures) <= longest


def test_backoff_delays_spread_over_the_whole_range() -> None:
    random.seed(1)
    delays = [BACKOFF.delay(2) for _ in range(1000)]
    assert min(delays) < 0.51
    assert max(delays) > 0.99


def test_the_backoff_ceiling_never_shrinks_with_more_failures() -> None:
    ceilings = [BACKOFF.ceiling(failures) for failures in range(2000)]
    assert ceilings == sorted(ceilings)
