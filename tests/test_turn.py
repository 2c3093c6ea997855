"""Long work gives way to other tasks."""

import asyncio

from gateway.turn import Turn


async def test_long_work_gives_way_to_other_tasks() -> None:
    done: list[str] = []

    async def work(name: str, turn: Turn) -> None:
        for n in range(3):
            await turn.give_way()
            done.append(f"{name}{n}")

    await asyncio.gather(work("a", Turn(max_seconds=0.0)), work("b", Turn(max_seconds=0.0)))
    assert done == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_short_work_is_done_in_one_turn() -> None:
    done: list[str] = []

    async def work(name: str, turn: Turn) -> None:
        for n in range(3):
            await turn.give_way()
            done.append(f"{name}{n}")

    await asyncio.gather(work("a", Turn(max_seconds=60.0)), work("b", Turn(max_seconds=60.0)))
    assert done == ["a0", "a1", "a2", "b0", "b1", "b2"]
