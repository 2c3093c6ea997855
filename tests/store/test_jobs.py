"""Whose turn it is to run a job of the cluster."""

import asyncio

import pytest

from gateway.store import jobs
from gateway.store.database import Database


async def claimed(database: Database, node: str) -> bool:
    async with database.acquire() as connection:
        return await jobs.claim(connection, "erase", node, 60.0)


@pytest.mark.parametrize("due", ["-infinity", "yesterday", "tomorrow", "infinity"])
async def test_a_job_that_is_due_is_one_nodes(database: Database, due: str) -> None:
    """So is one that is due later than it could be: the clock that said so was wrong, and was put right."""
    async with database.acquire() as connection:
        await connection.execute(f"INSERT INTO jobs (job, node, due_at) VALUES ('erase', 'a', '{due}')")
    assert sorted(await asyncio.gather(*(claimed(database, node) for node in "abc"))) == [False, False, True]


async def test_a_job_that_nobody_ever_ran_is_one_nodes(database: Database) -> None:
    assert sorted(await asyncio.gather(*(claimed(database, node) for node in "abc"))) == [False, False, True]
