"""Steps of the wall clock and of the database's clock: what runs on, and what is moved with them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from gateway.clock import STEP_LASTS_SECONDS, Clock, SteadyTime
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.scheduler import Job, Scheduler
from gateway.components import longest_waits
from gateway.config.policy import Policy
from gateway.store import dialogues, nodes, sms
from gateway.store.database import Database, load_clock
from gateway.store.dialogues import Dialogue
from tests.entries import change_rows
from tests.harness import WITHIN, Family, Harness, eventually, harness, metric
from tests.store.rows import add_case

__all__ = ["harness"]

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LONGEST = longest_waits(Policy())


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


def watching(times: Times, clock: Clock, wall_stepped: Callable[[], None] = lambda: None) -> ClockWatch:
    return ClockWatch(
        clock, wall_stepped, longest=LONGEST, wall=lambda: times.wall, monotonic=lambda: times.monotonic
    )


@pytest.mark.parametrize("step", [timedelta(seconds=-10), -HOUR, timedelta(days=30)])
def test_business_time_runs_on_through_a_step_that_does_not_last(
    times: Times, steady: SteadyTime, step: timedelta
) -> None:
    times.database += step
    for _ in range(60):
        times.passes(2.0)
        steady.follow(times.database)
    assert steady.step_seconds == step.total_seconds()
    times.database -= step
    steady.follow(times.database)
    assert (steady(), steady.step_seconds) == (NOON + timedelta(minutes=2), 0.0)


def test_business_time_follows_a_step_ahead_that_lasts(times: Times, steady: SteadyTime) -> None:
    times.database += HOUR
    steady.follow(times.database)
    times.passes(STEP_LASTS_SECONDS)
    steady.follow(times.database)
    assert (steady(), steady.step_seconds) == (times.database, 0.0)


def test_business_time_stands_still_after_a_step_back_until_the_clock_has_caught_up(
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
    watch = watching(times, Clock(NOON, wall=steady), lambda: restarts.append(1))
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
    watch = watching(times, Clock(NOON, wall=steady))
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


QUEUE = """
WITH text AS (INSERT INTO sms (kind, repeat, link, msisdn, priority, template, body, long_messages, segments,
                               reference, created_at, next_at, expires_at)
              VALUES ('refused', 0, 'kcell', '77011234567', 0, 'v', 'text', 'udh8', 1, 0, clock_timestamp(),
                      clock_timestamp() + $1, clock_timestamp() + $2)
              RETURNING link, priority, sms_id, next_at, expires_at)
INSERT INTO outbox (link, priority, sms_id, next_at, expires_at) SELECT * FROM text
"""
WAIT = "SELECT min(next_at - clock_timestamp()) FROM outbox"


@pytest.mark.parametrize("step", [timedelta(seconds=10), HOUR, timedelta(days=30)])
async def test_a_pause_of_an_hour_lasts_through_a_step_ahead_of_the_databases_clock(
    times: Times, steady: SteadyTime, database: Database, step: timedelta
) -> None:
    """The rows are as after the step: the text has half an hour to wait by the clock as it was."""
    clock = Clock(NOON, wall=steady)
    watch = watching(times, clock)
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        times.database = await connection.fetchval("SELECT clock_timestamp()") - step
        await nodes.join(connection, "node", "node", ["kcell"])
        await connection.execute(QUEUE, HOUR / 2 - step, None)
        await watch.observe(connection, times.database)

        async def claimed() -> list[int]:
            ends_at = clock.waits_end_at()
            rows = await sms.claim(connection, "node", "kcell", bulk=True, limit=9, waits_end_at=ends_at)
            return [row.sms_id for row in rows]

        times.database += step
        times.passes(2.0)
        assert await claimed() == []  # before anybody has seen the step
        await watch.observe(connection, times.database)
        assert await claimed() == []
        assert HOUR / 2 - MINUTE < await connection.fetchval(WAIT) < HOUR / 2 + MINUTE
        times.passes(1_900.0)
        await connection.execute("UPDATE outbox SET next_at = next_at - interval '1900 s'")
        assert len(await claimed()) == 1


async def test_a_dialogue_outlives_a_step_ahead_of_the_databases_clock(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    """The row is as after the step, before and after somebody has seen it."""
    clock = Clock(NOON, wall=steady)
    watch = watching(times, clock)
    key, dialogue = ("kcell", "77011234567"), Dialogue(session=b"1", service="3", case_id="case", menus=1)
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        await add_case(connection, "case")
        times.database = await connection.fetchval("SELECT clock_timestamp()") - HOUR
        await watch.observe(connection, times.database)
        await dialogues.save(connection, {key: dialogue}, lifetime_seconds=90.0 - HOUR.total_seconds())
        times.database += HOUR
        times.passes(2.0)
        assert await dialogues.lock(connection, [key], clock.waits_end_at()) == {key: dialogue}
        await watch.observe(connection, times.database)
        assert await dialogues.lock(connection, [key], clock.waits_end_at()) == {key: dialogue}
        await connection.execute("UPDATE dialogues SET expires_at = expires_at - interval '95 s'")
        assert await dialogues.lock(connection, [key], clock.waits_end_at()) == {}


async def test_rows_released_after_a_step_ahead_do_not_wait_for_the_clock_to_catch_up(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    watch = watching(times, Clock(NOON, wall=steady))
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        await watch.observe(connection, times.database)
        await connection.execute(QUEUE, MINUTE, None)
        times.database += timedelta(days=30)
        await watch.observe(connection, times.database)
        assert await connection.fetchval(WAIT) <= MINUTE


async def test_a_step_forth_and_back_within_seconds_moves_rows_twice(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    """So that they are where they were: the clock of this test's database stands still meanwhile."""
    watch = watching(times, Clock(NOON, wall=steady))
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        await connection.execute(QUEUE, HOUR / 2, None)
        await watch.observe(connection, times.database)
        for step, wait in ((-600, 20 * MINUTE), (600, 30 * MINUTE)):
            times.database += timedelta(seconds=step)
            times.passes(2.0)
            await watch.observe(connection, times.database)
            assert wait - MINUTE < await connection.fetchval(WAIT) <= wait


async def test_a_step_is_seen_again_when_its_rows_could_not_be_moved(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    watch = watching(times, Clock(NOON, wall=steady))
    async with database.acquire() as connection, database.acquire() as other:
        await load_clock(connection, 1.0)
        await connection.execute(QUEUE, HOUR, None)
        await watch.observe(connection, times.database)
        times.database -= HOUR
        async with other.transaction():
            await other.execute("LOCK TABLE clock")
            await connection.execute("SET statement_timeout = '100ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await watch.observe(connection, times.database)
        await connection.execute("RESET statement_timeout")
        await watch.observe(connection, times.database)
        assert await connection.fetchval(WAIT) < MINUTE


async def test_a_clock_that_was_read_too_slowly_has_not_stepped(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    watch = watching(times, Clock(NOON, wall=steady))
    before = metric("clock_steps_total", clock="database")
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        await watch.observe(connection, times.database, times.monotonic)
        read, asked_at = times.database, times.monotonic
        times.passes(8.0)
        await watch.observe(connection, read, asked_at)
        await watch.observe(connection, times.database, times.monotonic)
    assert metric("clock_steps_total", clock="database") == before


async def test_nothing_waits_longer_than_it_may_after_a_clock_that_went_back_while_no_process_ran(
    harness: Harness,
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    await harness.stop()
    connection = harness.connection
    ahead = timedelta(days=30)
    await connection.execute(QUEUE, ahead, ahead)
    await connection.execute(
        "INSERT INTO calls (case_id, kind, next_at) SELECT case_id, 'voucher', clock_timestamp() + $1 FROM cases",
        ahead,
    )
    await connection.execute("UPDATE receipts_expected SET expires_at = clock_timestamp() + $1", ahead)
    await connection.execute(
        "INSERT INTO unacknowledged_periods VALUES ('kcell', clock_timestamp() + $1, clock_timestamp() + $1)",
        ahead,
    )
    await harness.start()
    assert await connection.fetchval(WAIT) <= LONGEST.text
    assert await connection.fetchval("SELECT max(next_at) - clock_timestamp() FROM sms") <= LONGEST.text
    assert await connection.fetchval("SELECT max(expires_at) - clock_timestamp() FROM sms") <= LONGEST.dialogue
    assert await connection.fetchval("SELECT max(next_at) - clock_timestamp() FROM calls") <= LONGEST.call
    expected = "SELECT max(expires_at) - clock_timestamp() FROM receipts_expected"
    assert await connection.fetchval(expected) <= LONGEST.expected_receipt
    assert await connection.fetchval("SELECT max(ended_at) <= clock_timestamp() FROM unacknowledged_periods")


async def test_clocks_that_differ_from_the_start_are_said_once_and_again_when_that_changes(
    times: Times, steady: SteadyTime, database: Database
) -> None:
    watch = watching(times, Clock(NOON, wall=steady))
    before = metric("clock_differences_total")
    times.wall += MINUTE
    async with database.acquire() as connection:
        await load_clock(connection, 1.0)
        with capture_logs() as lines:
            for ahead in (0.0, 0.0, 1.5, 3.0, 0.0, -63.0, 0.0):
                times.wall += timedelta(seconds=ahead)
                times.passes(2.0)
                await watch.observe(connection, times.database)
    said = [line["seconds"] for line in lines if line["event"] == "clocks_differ"]
    assert said == [60.0, 64.5]
    assert metric("clock_differences_total") == before + 2
