"""Time-out and backoff of the push to SDU, as they are injected."""

import asyncio
from typing import Any, cast

import aiohttp
from aioresponses import aioresponses

from gateway.backoff import Backoff
from gateway.cluster.wakeups import WakeUp
from gateway.config.model import Sdu as SduConfig
from gateway.config.policy import PartnerPolicy
from gateway.partners.sdu import Delivery, SduClient, SduPush
from gateway.simulators.sdu import new_secret
from gateway.store.rewinds import Head
from gateway.usecases.status_feed import StatusBatch
from tests.partners.http_failures import MockedResponse, raw_server, silent
from tests.partners.partner_calls import PATHS, TOKEN, Partner

URL = "http://sdu.example"
BODY = b'{"events": []}'
BATCH = StatusBatch([{"case_id": "01KAN000000000000000000001"}], 1, Head(1, b""))
MOMENT = Backoff(first_seconds=0.001, max_seconds=0.002)
MINUTE = Backoff(first_seconds=60.0, max_seconds=60.0)


def sdu_push(http: aiohttp.ClientSession, url: str = URL, *, backoff: Backoff, **timeout: Any) -> SduPush:
    """One without a database: it can deliver a body, and nothing else."""
    config = SduConfig(url=url, token=TOKEN, signing_secret=new_secret(), batch=500)
    client = SduClient(http, config, **timeout)
    return SduPush(
        client, cast("Any", None), batch=500, wakeup=WakeUp(), policy=PartnerPolicy(push=backoff, pause=backoff)
    )


async def test_body_is_pushed_again_after_the_backoff_until_sdu_accepts_it(http: aiohttp.ClientSession) -> None:
    with aioresponses() as mocked:
        for failure in ({"status": 503}, {"status": 302}, {"exception": aiohttp.ServerDisconnectedError()}):
            mocked.post(URL + PATHS[Partner.SDU], response_class=MockedResponse, **failure)
        mocked.post(URL + PATHS[Partner.SDU], status=204, response_class=MockedResponse)
        assert await sdu_push(http, backoff=MOMENT)._deliver(BODY, BATCH) is Delivery.ACCEPTED
        (calls,) = mocked.requests.values()
        assert [call.kwargs["headers"]["webhook-id"] for call in calls] == 4 * [
            calls[0].kwargs["headers"]["webhook-id"]
        ]


async def test_stop_ends_the_backoff(http: aiohttp.ClientSession) -> None:
    with aioresponses() as mocked:
        mocked.post(URL + PATHS[Partner.SDU], status=503, response_class=MockedResponse)
        push = sdu_push(http, backoff=MINUTE)
        delivery = asyncio.create_task(push._deliver(BODY, BATCH))
        await asyncio.sleep(0.05)
        assert not delivery.done()
        async with asyncio.timeout(30):
            await push.stop()
            assert await delivery is Delivery.STOPPED


async def test_push_that_hangs_is_given_up_after_the_timeout(http: aiohttp.ClientSession) -> None:
    async with raw_server(silent) as server:
        push = sdu_push(http, server.url, backoff=MOMENT, timeout=aiohttp.ClientTimeout(total=0.05))
        delivery = asyncio.create_task(push._deliver(BODY, BATCH))
        async with asyncio.timeout(30):
            while server.connections < 3:
                await server.closed.wait()
                server.closed.clear()
            await push.stop()
            assert await delivery is Delivery.STOPPED
