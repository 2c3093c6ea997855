"""The pace of responses to requests without a token."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.api.callers import CALLER, Caller
from gateway.api.pacing import LIVENESS_ROUTE, Pace, paced
from gateway.config.policy import HttpPolicy


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(round(seconds, 3))
        self.now += seconds


async def test_responses_of_one_second_go_at_once_and_further_ones_at_the_pace() -> None:
    clock = Clock()
    pace = Pace(10, now=lambda: clock.now, sleep=clock.sleep)
    for _ in range(13):
        await pace.acquire()
    assert clock.waits == [0.1, 0.1, 0.1]
    clock.now += 0.5
    for _ in range(6):
        await pace.acquire()
    assert clock.waits[3:] == [0.1]


async def test_callers_that_wait_for_the_pace_go_one_after_the_other() -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(round(seconds, 3))

    pace = Pace(10, now=lambda: 100.0, sleep=note)
    for _ in range(14):
        await pace.acquire()
    assert waits == [0.1, 0.2, 0.3, 0.4]


async def test_the_pace_holds_back_only_responses_without_a_token() -> None:
    async def respond(request: web.Request) -> web.Response:
        if "Authorization" in request.headers:
            request[CALLER] = Caller("ops", None)
        return web.Response()

    app = web.Application(middlewares=[paced(HttpPolicy(anonymous_per_second=0.01))])
    app.router.add_get(LIVENESS_ROUTE, respond)
    app.router.add_get("/metrics", respond)
    async with TestClient(TestServer(app)) as client:
        held = asyncio.create_task(client.get("/metrics"))
        for _ in range(3):
            assert (await client.get("/metrics", headers={"Authorization": "Bearer a"})).status == 200
            assert (await client.get(LIVENESS_ROUTE)).status == 200
        assert not held.done()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_a_caller_cancelled_while_it_waits_uses_no_slot_of_the_pace() -> None:
    clock, asleep = Clock(), asyncio.Event()

    async def sleep_for_ever(_seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    pace = Pace(10, at_once=1, now=lambda: clock.now, sleep=sleep_for_ever)
    await pace.acquire()
    for _ in range(3):  # the first of those who wait sleeps, and leaves; the others wait behind it
        leaving = [asyncio.create_task(pace.acquire()) for _ in range(100)]
        await asyncio.wait_for(asleep.wait(), 10)
        asleep.clear()
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving, timeout=10)
    clock.now += 0.1
    await asyncio.wait_for(pace.acquire(), 10)
