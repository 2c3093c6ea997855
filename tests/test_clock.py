"""Business time against real time."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import gateway
from gateway.clock import Clock, wall_now

ORIGIN = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class Wall:
    """A wall clock that is set by the test."""

    def __init__(self, at: datetime = ORIGIN) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def test_at_rate_1_business_time_is_real_time_for_any_origin() -> None:
    wall = Wall(ORIGIN + DAY * 1000)
    clock = Clock(ORIGIN, 1.0, wall)
    assert clock.now() == clock.wall() == wall.at
    assert clock.real(ORIGIN) == ORIGIN
    assert clock.until(wall.at + timedelta(minutes=1)) == 60


def test_at_rate_86400_a_day_lasts_a_second() -> None:
    wall = Wall()
    clock = Clock(ORIGIN, 86400, wall)
    wall.at += timedelta(seconds=6)
    assert clock.now() == ORIGIN + 6 * DAY
    assert clock.real(ORIGIN + 7 * DAY) == ORIGIN + timedelta(seconds=7)
    assert clock.until(ORIGIN + 7 * DAY) == 1
    assert clock.wall() == wall.at


def test_until_an_instant_in_the_past_is_0() -> None:
    assert Clock(ORIGIN, 2.0, Wall(ORIGIN + DAY)).until(ORIGIN) == 0


def test_processes_that_share_the_origin_share_business_time() -> None:
    wall = Wall(ORIGIN + timedelta(hours=3))
    assert Clock(ORIGIN, 600, wall).now() == Clock(ORIGIN, 600, wall).now()


@given(
    st.floats(min_value=0.01, max_value=100_000),
    st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)),
)
def test_real_time_is_the_inverse_of_business_time(rate: float, passed: timedelta) -> None:
    wall = Wall(ORIGIN + passed / rate)
    clock = Clock(ORIGIN, rate, wall)
    tolerance = timedelta(microseconds=2) + timedelta(microseconds=1) / min(rate, 1.0)
    assert abs(clock.real(clock.now()) - wall.at) <= tolerance


def test_the_wall_clock_is_utc() -> None:
    assert wall_now().utcoffset() == timedelta(0)


def test_no_module_but_the_clock_reads_the_wall_clock() -> None:
    reads = re.compile(r"\btime\.time(_ns)?\(|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(")
    package = Path(gateway.__file__).parent
    reading = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if reads.search(path.read_text())
    }
    assert reading == {"clock.py"}
