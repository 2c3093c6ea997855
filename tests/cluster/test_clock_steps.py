"""Steps of the wall clock and of the database's clock: what runs on, and what is moved with them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import STEP_LASTS_SECONDS, Clock, SteadyTime
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.scheduler import Job, Scheduler
from gateway.store.database import Database
from tests.entries import change_rows
from tests.harness import WITHIN, Family, Harness, eventually, harness, metric

__all__ = ["harness"]

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Times:
    """Monotonic seconds and the clocks that a test sets."""

    def __init__(self) -> None:
        self.monotonic = 1_000.0
        self.wall = self.database = NOON

    def passes(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += timedelta(seconds=seconds)
        self.database += timedelta(seconds=seconds)


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def steady(times: Times) -> SteadyTime:
    return SteadyTime(times.database, None, lambda: times.monotonic)


@pytest.mark.parametrize("step", [timedelta(seconds=-10), -HOUR, timedelta(days=30)])
def test_business_time_runs_on_through_a_step_that_does_not_last(
    times: Times, steady: SteadyTime, step: timedelta
) -> None:
    times.database += step
    for _ in range(60):
        times.passes(2.0)
        steady.follow(times.database)
    times.database -= step
    steady.follow(times.database)
    assert steady() == NOON + timedelta(minutes=2)


def test_business_time_follows_a_step_ahead_that_lasts(times: Times, steady: SteadyTime) -> None:
    times.database += HOUR
    steady.follow(times.database)
    times.passes(STEP_LASTS_SECONDS)
    steady.follow(times.database)
    assert steady() == times.database


def test_business_time_stands_after_a_step_back_that_lasts_until_the_clock_has_caught_up(
    times: Times, steady: SteadyTime
) -> None:
    steady()
    times.database -= HOUR
    steady.follow(times.database)
    times.passes(STEP_LASTS_SECONDS)
    reached = steady()
    steady.follow(times.database)
    assert steady() == reached
    assert steady.ahead_seconds == pytest.approx(3600.0)
    times.passes(3600.0)
    assert steady() == reached
    times.passes(1.0)
    assert steady() == reached + timedelta(seconds=1)


def test_business_time_begins_no_earlier_than_it_was(times: Times) -> None:
    steady = SteadyTime(NOON - HOUR, NOON, lambda: times.monotonic)
    assert steady() == NOON
    times.passes(60.0)
    assert steady() == NOON


def test_a_timestamp_for_others_neither_stands_nor_steps(times: Times) -> None:
    clock = Clock(NOON, wall=SteadyTime(NOON, NOON + HOUR, lambda: times.monotonic))
    times.passes(60.0)
    assert clock.now() == NOON + HOUR
    assert clock.timestamp() == times.database
    clock.follow(times.database + timedelta(days=30))
    times.passes(60.0)
    assert clock.timestamp() == times.database


def test_a_small_drift_is_followed_at_once(times: Times, steady: SteadyTime) -> None:
    times.passes(2.0)
    steady.follow(times.database + timedelta(seconds=1.5))
    assert steady() == times.database + timedelta(seconds=1.5)


async def test_a_step_of_the_wall_clock_is_counted_and_restarts_the_timers(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    restarts: list[int] = []
    watch = ClockWatch(
        Clock(NOON, wall=steady),
        lambda: restarts.append(1),
        wall=lambda: times.wall,
        monotonic=lambda: times.monotonic,
    )
    before = metric("clock_steps_total", clock="wall")
    async with database.acquire() as connection:
        await watch.observe(connection, times.database)
        times.passes(2.0)
        await watch.observe(connection, times.database)
        times.wall -= HOUR
        times.passes(2.0)
        await watch.observe(connection, times.database)
    assert (len(restarts), metric("clock_steps_total", clock="wall")) == (1, before + 1)
    drift = (times.wall - times.database).total_seconds()
    assert metric("clock_drift_seconds", of="database") == drift < -3500.0


async def test_jobs_run_on_when_their_timers_are_restarted(database: Database) -> None:
    ran = asyncio.Event()

    async def run() -> None:
        ran.set()

    scheduler = Scheduler([Job(name="job", run=run, every_seconds=0.05)], database=database, node="test")
    scheduler.start()
    scheduler._scheduler.modify_job("job", next_run_time=datetime.now(UTC) + HOUR)
    scheduler.restart_timers()
    async with asyncio.timeout(WITHIN):
        await ran.wait()
    scheduler.stop()


async def test_jobs_do_not_make_up_for_the_runs_that_a_step_ahead_has_passed(database: Database) -> None:
    """Of an interval of 0.1 s there are 26 million in 30 days: to enumerate them would hold up the event loop."""
    runs, enough = 0, asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()

    scheduler = Scheduler([Job(name="job", run=run, every_seconds=0.1)], database=database, node="test")
    scheduler.start()
    scheduler._scheduler.modify_job("job", next_run_time=datetime.now(UTC) - timedelta(days=30))
    async with asyncio.timeout(WITHIN):
        await enough.wait()
    scheduler.stop()
    assert runs == 3


@pytest.mark.parametrize("step", [10.0, 3600.0])
async def test_a_step_back_of_the_databases_clock_moves_what_waits_for_an_instant(
    times: Times, steady: SteadyTime, harness: Harness, step: float
) -> None:
    """The rows are as before the step; the clock that is put back is the test's."""
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    connection = harness.connection
    await change_rows(
        connection,
        f"""UPDATE sms SET state = 'queued', node = NULL,
            next_at = clock_timestamp() + make_interval(secs => {step} + 5)""",
    )
    watch = ClockWatch(
        Clock(NOON, wall=steady), lambda: None, wall=lambda: times.wall, monotonic=lambda: times.monotonic
    )
    await watch.observe(connection, times.database)
    times.database -= timedelta(seconds=step)
    times.passes(2.0)
    await watch.observe(connection, times.database)
    wait = await connection.fetchval("SELECT next_at - clock_timestamp() FROM sms")
    assert wait < timedelta(seconds=6)


async def test_a_reply_from_before_a_step_back_is_not_held_against_the_same_text_for_the_next_child(
    harness: Harness,
) -> None:
    await harness.start()
    first, second = Family(n=1), Family(n=2, mother=Family(n=1).number)
    await harness.push(first, second)
    await harness.status(first, "asked")
    await harness.smsc.reply(first.number, "3#1")
    await harness.status(second, "asked")
    await harness.connection.execute("UPDATE replies SET arrived_at = clock_timestamp() + interval '8 s'")
    await harness.smsc.reply(first.number, "3#1")
    await harness.status(second, "consented")


async def test_a_reply_that_is_delivered_twice_is_counted(harness: Harness) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    before = metric("replies_total", link="kcell", verdict="redelivered")
    await harness.smsc.reply(family.number, "3#1")
    await harness.smsc.reply(family.number, "3#1")
    await eventually(lambda: metric("replies_total", link="kcell", verdict="redelivered") == before + 1)
    assert await harness.connection.fetchval("SELECT redelivered FROM replies") == 1
