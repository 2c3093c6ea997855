"""Long work yields to other tasks."""

import asyncio

from gateway.time_slice import TimeSlice


async def test_long_work_yields_to_other_tasks() -> None:
    done: list[str] = []

    async def work(name: str, time_slice: TimeSlice) -> None:
        for n in range(3):
            await time_slice.yield_if_spent()
            done.append(f"{name}{n}")

    await asyncio.gather(work("a", TimeSlice(max_seconds=0.0)), work("b", TimeSlice(max_seconds=0.0)))
    assert done == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_short_work_is_done_in_one_time_slice() -> None:
    done: list[str] = []

    async def work(name: str, time_slice: TimeSlice) -> None:
        for n in range(3):
            await time_slice.yield_if_spent()
            done.append(f"{name}{n}")

    await asyncio.gather(work("a", TimeSlice(max_seconds=60.0)), work("b", TimeSlice(max_seconds=60.0)))
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2"]
