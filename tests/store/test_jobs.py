"""Claims of the jobs that one process of the cluster runs."""

import asyncio

import pytest

from gateway.store import jobs
from gateway.store.database import Database


async def claim(database: Database, node: str) -> bool:
    async with database.acquire() as connection:
        return await jobs.claim(connection, "erase", node, interval_seconds=3600.0, retry_seconds=60.0)


async def due_in(database: Database) -> float:
    async with database.acquire() as connection:
        due = "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM jobs WHERE job = 'erase'"
        seconds: float = await connection.fetchval(due)
        return seconds


@pytest.mark.parametrize("due", ["-infinity", "2020-01-01", "2999-01-01", "infinity"])
async def test_a_due_job_is_claimed_by_one_node(database: Database, due: str) -> None:
    """Also a job due later than its interval allows: it was written while the clock was wrong."""
    async with database.acquire() as connection:
        await connection.execute(f"INSERT INTO jobs (job, node, due_at) VALUES ('erase', 'a', '{due}')")
    assert sorted(await asyncio.gather(*(claim(database, node) for node in "abc"))) == [False, False, True]


async def test_a_job_that_never_ran_is_claimed_by_one_node(database: Database) -> None:
    assert sorted(await asyncio.gather(*(claim(database, node) for node in "abc"))) == [False, False, True]


async def test_a_failed_job_is_due_again_soon_and_a_finished_one_after_its_interval(
    database: Database,
) -> None:
    assert await claim(database, "a")
    assert 0 < await due_in(database) <= 60  # for any node
    async with database.acquire() as connection:
        await jobs.finish(connection, "erase", "b", interval_seconds=3600.0)  # not the node that runs it
        assert await due_in(database) <= 60
        await jobs.finish(connection, "erase", "a", interval_seconds=3600.0)
    assert 3500 < await due_in(database) <= 3600
    assert not await claim(database, "b")
