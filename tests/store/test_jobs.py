"""Whose turn it is to run a job of the cluster."""

import asyncio

import pytest

from gateway.store import jobs
from gateway.store.database import Database


async def claimed(database: Database, node: str) -> bool:
    async with database.acquire() as connection:
        return await jobs.claim(connection, "erase", node, interval_seconds=3600.0, retry_seconds=60.0)


async def due_in(database: Database) -> float:
    async with database.acquire() as connection:
        due = "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM jobs WHERE job = 'erase'"
        seconds: float = await connection.fetchval(due)
        return seconds


@pytest.mark.parametrize("due", ["-infinity", "yesterday", "tomorrow", "infinity"])
async def test_a_job_that_is_due_is_one_nodes(database: Database, due: str) -> None:
    """So is one that is due later than it could be: the clock that said so was wrong, and was put right."""
    async with database.acquire() as connection:
        await connection.execute(f"INSERT INTO jobs (job, node, due_at) VALUES ('erase', 'a', '{due}')")
    assert sorted(await asyncio.gather(*(claimed(database, node) for node in "abc"))) == [False, False, True]


async def test_a_job_that_nobody_ever_ran_is_one_nodes(database: Database) -> None:
    assert sorted(await asyncio.gather(*(claimed(database, node) for node in "abc"))) == [False, False, True]


async def test_a_run_that_fails_is_made_good_soon_and_one_that_is_finished_is_not_run_again(
    database: Database,
) -> None:
    assert await claimed(database, "a")
    assert 0 < await due_in(database) <= 60  # whoever looks then
    async with database.acquire() as connection:
        await jobs.finish(connection, "erase", "b", interval_seconds=3600.0)  # which is not its run
        assert await due_in(database) <= 60
        await jobs.finish(connection, "erase", "a", interval_seconds=3600.0)
    assert 3500 < await due_in(database) <= 3600
    assert not await claimed(database, "b")
