"""All connections of the pool are in use: no request waits forever, nothing is lost, and work continues after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from smpplib import consts

from gateway.backoff import Backoff
from gateway.store.database import Database, open_pool
from tests.harness import TOKENS, Family, Harness, harness, metric

__all__ = ["harness"]

SHORT_SECONDS = 0.3


@pytest.fixture(autouse=True)
def _short_timeouts(harness: Harness) -> None:
    """Time-outs of ten seconds are short here."""
    harness.set_policy(
        acquire_timeout_seconds=SHORT_SECONDS,
        receiver={"store_timeout_seconds": SHORT_SECONDS, "note_retry_seconds": 0.05},
        membership={"heartbeat_seconds": 0.05},
        task_retry=Backoff(first_seconds=0.02, max_seconds=0.1),
    )


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """The databases that gateways of this test have opened."""
    opened: list[Database] = []

    async def open_and_record(*arguments: Any, **more: Any) -> Database:
        opened.append(await open_pool(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr("gateway.app.open_pool", open_and_record)
    return opened


@asynccontextmanager
async def pool_exhausted(opened: Database) -> AsyncIterator[None]:
    """Every connection is in use but the one of the heartbeat."""
    async with AsyncExitStack() as held:
        for _ in range(opened.pool.get_max_size() - 1):
            await held.enter_async_context(opened.pool.acquire())
        yield


async def ask(harness: Harness, method: str, path: str, role: str, **more: Any) -> tuple[int, str | None]:
    """(status, Retry-After) of the gateway's response."""
    headers = {"Authorization": f"Bearer {TOKENS[role]}", "Content-Type": "application/x-ndjson"}
    async with harness.http.request(method, harness.running[0].url + path, headers=headers, **more) as response:
        return response.status, response.headers.get("Retry-After")


async def wait_for_heartbeats(harness: Harness, *, times: int = 3) -> None:
    """Returns after so many further heartbeats of the node."""
    for _ in range(times):
        seen = await harness.connection.fetchval("SELECT seen_at FROM nodes")
        async with asyncio.timeout(30):
            while await harness.connection.fetchval("SELECT seen_at FROM nodes, pg_sleep(0.02)") == seen:
                pass


async def test_replies_get_rx_t_appn_until_a_database_connection_is_free(
    harness: Harness, opened: list[Database]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    before = metric("inbound_not_stored_total", link="kcell")
    async with pool_exhausted(opened[0]):
        assert await harness.smsc.reply(family.number, "3#1") == consts.SMPP_ESME_RX_T_APPN
        assert metric("inbound_not_stored_total", link="kcell") == before + 1
        assert await harness.connection.fetchval("SELECT count(*) FROM replies") == 0
    assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
    await harness.status(family, "voucher_issued")
    assert (await harness.events(family)).count("consented") == 1
    assert len(harness.smsc.connections) == 1
    harness.no_complaints()


async def test_http_requests_get_503_while_the_pool_is_exhausted_and_the_process_keeps_its_heartbeat(
    harness: Harness, opened: list[Database]
) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    case = f"/v1/cases/{await harness.case_id(family)}"
    async with pool_exhausted(opened[0]):
        responses = await asyncio.gather(
            ask(harness, "PUT", "/v1/lists/refused", "sdu", data=b"{}\n"),
            ask(harness, "GET", case, "ops"),
            ask(harness, "POST", f"{case}/resend", "ops"),
            ask(harness, "GET", "/v1/lists", "ops"),
            ask(harness, "GET", "/v1/statuses?wait=5", "sdu"),
            ask(harness, "GET", "/v1/links", "ops"),
        )
        assert [status for status, _ in responses] == [503] * len(responses)
        assert all(retry_after for _, retry_after in responses)
        assert (await ask(harness, "GET", "/healthz", "ops"))[0] == 200
        status, problem = await harness.request("GET", "/readyz")
        assert (status, problem["detail"]) == (503, "No connection to the database has been free for some time.")
        await wait_for_heartbeats(harness)
    other = Family(n=2)
    await harness.ask(other)
    assert await harness.connection.fetchval("SELECT count(*) FROM lists") == 2
    assert not harness.running[0].task.done()


async def test_waiting_long_polls_hold_no_database_connection(harness: Harness, opened: list[Database]) -> None:
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    seq = int(harness.sdu.events[-1]["seq"])
    polls = [
        asyncio.create_task(ask(harness, "GET", f"/v1/statuses?after={seq}&wait=2", "sdu")) for _ in range(20)
    ]
    async with pool_exhausted(opened[0]):
        pass
    assert {status for status, _ in await asyncio.gather(*polls)} == {200}


async def test_a_request_whose_statement_hangs_gets_503_with_retry_after(harness: Harness) -> None:
    harness.set_policy(http={"request_timeout_seconds": SHORT_SECONDS})
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    path = f"/v1/cases/{await harness.case_id(family)}"
    async with harness.connection.transaction():
        await harness.connection.execute("LOCK TABLE cases IN ACCESS EXCLUSIVE MODE")
        status, retry_after = await ask(harness, "GET", path, "ops")
        assert (status, retry_after is not None) == (503, True)
    assert (await ask(harness, "GET", path, "ops"))[0] == 200


async def test_requests_and_replies_behind_a_table_lock_continue_after_it(harness: Harness) -> None:
    """A table is locked: transactions hang with their connections until the pool is exhausted."""
    await harness.start()
    families = [Family(n=n) for n in range(1, 4)]
    await harness.ask(*families)
    cases = [f"/v1/cases/{await harness.case_id(family)}" for family in families]
    locker = await asyncpg.connect(harness.database_url)
    try:
        async with locker.transaction():
            await locker.execute("LOCK TABLE cases IN ACCESS EXCLUSIVE MODE")
            hanging = [asyncio.create_task(ask(harness, "GET", cases[n % 3], "ops")) for n in range(12)]
            done, _ = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result()[0] for task in done} == {503}
            statuses = [await harness.smsc.reply(family.number, "3#1") for family in families]
            assert statuses == [consts.SMPP_ESME_RX_T_APPN] * 3
            assert (await ask(harness, "PUT", "/v1/lists/refused", "sdu", data=b"{}\n"))[0] == 503
            await wait_for_heartbeats(harness)
    finally:
        await locker.close()
    for family in families:
        assert await harness.smsc.reply(family.number, "3#1", until_accepted=True) == 0
        await harness.status(family, "voucher_issued")
        assert (await harness.events(family)).count("consented") == 1
    assert 200 in {status for status, _ in await asyncio.gather(*hanging)}
    assert not harness.running[0].task.done()
    harness.no_complaints()
