"""413: a request is made with half as many records, down to one; the size that works is kept."""

from collections.abc import Mapping
from typing import Any, cast

import aiohttp
import orjson
import pytest
from aioresponses import CallbackResult, aioresponses

from gateway.backoff import Backoff
from gateway.cluster.wakeups import WakeUp
from gateway.config.model import Mcb as McbConfig
from gateway.config.model import Sdu as SduConfig
from gateway.config.policy import PartnerPolicy
from gateway.partners.batch_size import GROW_AFTER, BatchSize
from gateway.partners.mcb import Mcb
from gateway.partners.responses import Done, Invalid
from gateway.partners.sdu import SduClient, SduPush
from gateway.simulators.identities import nth_iin
from gateway.simulators.sdu import new_secret
from gateway.store.rewinds import Head
from gateway.usecases.status_feed import StatusBatch
from tests.partners.http_failures import MockedResponse
from tests.partners.partner_calls import PATHS, TIMEOUT, TOKEN, Partner, stored

URL = "http://partner.example"
MOMENT = Backoff(first_seconds=0.001, max_seconds=0.002)


class Accepting:
    """A partner that responds with 413 to more than `most` records; `sizes` are those of all its requests."""

    def __init__(self, mocked: aioresponses, *paths: str, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []
        for path in paths:
            mocked.post(URL + path, callback=self._respond, repeat=True)

    def _respond(self, _url: object, **request: Any) -> CallbackResult:
        body = request["json"] if request.get("json") else orjson.loads(request["data"].read())
        records = body.get("iins") or body.get("events") or [body["iin"]]
        self.sizes.append(len(records))
        if len(records) > self.most:
            return CallbackResult(status=413, response_class=MockedResponse)
        results = [{"iin": iin, "found": False} for iin in records] if "events" not in body else []
        payload: Mapping[str, Any] = {"results": results} if "iins" in body else {"found": False}
        return CallbackResult(status=200, body=orjson.dumps(payload), response_class=MockedResponse)


def mcb(http: aiohttp.ClientSession, batch: int) -> Mcb:
    return Mcb(http, McbConfig(url=URL, token=TOKEN, batch=batch, concurrency=1, timeout=TIMEOUT))


CASES = [stored(f"01KAN{n:021}", nth_iin(n)) for n in range(1, 21)]


@pytest.mark.parametrize(
    ("most", "sizes"), [(10, [20, 10, 10]), (3, [20, 10, 5, *[2] * 10]), (1, [20, 10, 5, 2, *[1] * 20])]
)
async def test_batch_of_lookups_is_halved_until_the_mcb_accepts_it(
    http: aiohttp.ClientSession, mocked: aioresponses, most: int, sizes: list[int]
) -> None:
    server = Accepting(mocked, PATHS[Partner.MCB_BATCH], most=most)
    client = mcb(http, 20)
    outcomes = await client.call(CASES)
    assert server.sizes == sizes
    assert sorted(outcome.case_id for outcome in outcomes) == sorted(case.case_id for case in CASES)
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert client.batch == sizes[-1]
    server.sizes.clear()
    await client.call(CASES[: client.batch])
    assert server.sizes == [client.batch]


async def test_single_lookup_that_is_too_large_is_invalid(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    Accepting(mocked, PATHS[Partner.MCB_BATCH], PATHS[Partner.MCB], most=0)
    outcomes = await mcb(http, 2).call(CASES[:2])
    assert outcomes == [Invalid(case.case_id, "mcb: 413") for case in CASES[:2]]


class Feed:
    """Statuses in memory."""

    def __init__(self, events: int) -> None:
        self.acknowledged = 0
        self._events = events

    async def claim(self, limit: int) -> StatusBatch | None:
        until = min(self.acknowledged + limit, self._events)
        events = [{"case_id": f"01KAN{seq:021}"} for seq in range(self.acknowledged, until)]
        return StatusBatch(events, until, Head(until, b"")) if events else None

    async def acknowledge(self, batch: StatusBatch) -> None:
        self.acknowledged = batch.cursor


@pytest.mark.parametrize(("most", "sizes"), [(10, [20, 10, 10, 5]), (1, [20, 10, 5, 2, *[1] * 25])])
async def test_batch_of_statuses_is_halved_until_sdu_accepts_it(
    http: aiohttp.ClientSession, mocked: aioresponses, most: int, sizes: list[int]
) -> None:
    server, feed = Accepting(mocked, PATHS[Partner.SDU], most=most), Feed(25)
    config = SduConfig(url=URL, token=TOKEN, signing_secret=new_secret(), batch=20)
    push = SduPush(
        SduClient(http, config),
        cast("Any", feed),
        batch=config.batch,
        wakeup=WakeUp(),
        policy=PartnerPolicy(push=MOMENT, pause=MOMENT),
    )
    while await push._push():
        pass
    assert server.sizes == sizes
    assert feed.acknowledged == 25


def test_batch_grows_again_after_many_full_requests() -> None:
    size = BatchSize(500)
    size.too_large(500)
    size.too_large(500)  # a second request of that size was under way
    assert size.records == 250
    for _ in range(GROW_AFTER):
        size.accepted(7)
    assert size.records == 250
    for _ in range(GROW_AFTER):
        size.accepted(250)
    assert size.records == 500


def test_batch_is_never_empty() -> None:
    size = BatchSize(3)
    for records in (3, 1, 1):
        size.too_large(records)
    assert size.records == 1
