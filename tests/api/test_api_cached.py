"""Responses that are made once for everybody who asks."""

import asyncio

import pytest

from gateway.api.cached import Cached


class Maker:
    """Makes 1, 2, 3 …, when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.begun = asyncio.Event()
        self.made = 0
        self.fails = False

    async def __call__(self) -> int:
        self.begun.set()
        await self.may.wait()
        if self.fails:
            raise ConnectionRefusedError
        self.made += 1
        return self.made


async def test_a_cached_response_is_made_once_for_all_concurrent_and_later_callers() -> None:
    maker = Maker()
    cached = Cached(maker, 3600)
    waiting = [asyncio.create_task(cached.get()) for _ in range(100)]
    await maker.begun.wait()
    maker.may.set()
    assert set(await asyncio.gather(*waiting)) == {1}
    assert await cached.get() == 1


async def test_a_cached_response_is_made_although_its_first_caller_is_cancelled() -> None:
    maker = Maker()
    cached = Cached(maker, 3600)
    leaving, staying = asyncio.create_task(cached.get()), asyncio.create_task(cached.get())
    await maker.begun.wait()
    leaving.cancel()
    maker.may.set()
    assert await staying == 1
    assert await cached.get() == 1


async def test_a_cached_response_that_is_too_old_is_made_again() -> None:
    maker = Maker()
    maker.may.set()
    cached = Cached(maker, 0)
    assert [await cached.get(), await cached.get()] == [1, 2]


async def test_a_cached_failure_is_kept_no_longer_than_a_response() -> None:
    maker = Maker()
    maker.may.set()
    maker.fails = True
    cached = Cached(maker, 0)
    with pytest.raises(ConnectionRefusedError):
        await cached.get()
    maker.fails = False
    assert await cached.get() == 1


async def test_stopping_a_cache_cancels_the_response_being_made() -> None:
    maker = Maker()
    cached = Cached(maker, 3600)
    cached.stop()
    waiting = asyncio.create_task(cached.get())
    await maker.begun.wait()
    cached.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
