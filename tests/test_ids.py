"""ULIDs: shape, order, uniqueness."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.ids import _Source, new_ulid

SHAPE = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
INSTANTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 (Hypothesis wants the bounds naive)
    max_value=datetime(2900, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_the_time_of_a_ulid_is_encoded_as_specified() -> None:
    at = datetime.fromtimestamp(1469918176.385, UTC)
    assert new_ulid(at)[:10] == "01ARYZ6S41"
    assert new_ulid(datetime(1970, 1, 1, tzinfo=UTC))[:10] == "0000000000"


@given(INSTANTS)
def test_a_ulid_has_26_crockford_characters(at: datetime) -> None:
    assert SHAPE.fullmatch(new_ulid(at))


@given(INSTANTS, st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=9000)))
def test_ulids_of_later_instants_sort_later(at: datetime, later: timedelta) -> None:
    assert new_ulid(at) < new_ulid(at + later)


def test_ulids_of_one_instant_differ_and_sort_in_order() -> None:
    at = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    ids = [new_ulid(at) for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_ulids_of_one_instant_sort_in_order_past_a_million() -> None:
    source = _Source()
    source.next(1)
    source._random = (1 << 20) - 3
    ids = [source.next(1) for _ in range(6)]
    assert ids == sorted(set(ids))
    assert [one[10:] for one in ids[1:3]] == ["000000000000ZZZZ", "0000000000010000"]


def test_ulids_of_different_instants_have_different_random_bits() -> None:
    at = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    first = new_ulid(at)
    new_ulid(at + timedelta(seconds=1))
    assert new_ulid(at)[10:] != first[10:]
