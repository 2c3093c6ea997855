"""Retries end with their task, whatever becomes of its cancellation."""

import asyncio

import pytest

from gateway.backoff import Backoff
from gateway.cluster.retry import run_with_retry


async def test_work_that_makes_another_error_of_a_cancellation_is_not_tried_again() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("the ROLLBACK failed") from None

    task = asyncio.create_task(run_with_retry(work, "work", backoff=Backoff(first_seconds=0.01, max_seconds=0.02)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await task
