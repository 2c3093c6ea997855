"""All connections to the database are taken: nobody waits for ever, nothing is lost, and later all goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from smpplib import consts
from world import TOKENS, Family, World, metric, world

from gateway import app, steady
from gateway.api import app as api
from gateway.operators import receiving
from gateway.store import database
from gateway.store.database import Database

__all__ = ["world"]

SOON = 0.3


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes ten seconds takes a moment."""
    monkeypatch.setattr(database, "ACQUIRED_WITHIN", SOON)
    monkeypatch.setattr(receiving, "STORE_WITHIN", SOON)
    monkeypatch.setattr(receiving, "NOTE_AGAIN", 0.05)
    monkeypatch.setattr(app, "HEARTBEAT", 0.05)
    monkeypatch.setattr(steady, "RETRY", (0.02, 0.1))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Database]:
    """The databases that gateways of this test have opened."""
    opened, open_pool = [], app.open_pool

    async def open_and_tell(*arguments: Any, **more: Any) -> Database:
        opened.append(await open_pool(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr(app, "open_pool", open_and_tell)
    return opened


@asynccontextmanager
async def all_taken(opened: Database) -> AsyncIterator[None]:
    """Every connection but the one that the heartbeat keeps is in somebody's hands."""
    async with AsyncExitStack() as held:
        for _ in range(opened.pool.get_max_size() - 1):
            await held.enter_async_context(opened.pool.acquire())
        yield


async def ask(world: World, method: str, path: str, role: str, **more: Any) -> tuple[int, str | None]:
    """(status, Retry-After) of the gateway's answer."""
    headers = {"Authorization": f"Bearer {TOKENS[role]}", "Content-Type": "application/x-ndjson"}
    async with world.http.request(method, world.running[0].url + path, headers=headers, **more) as response:
        return response.status, response.headers.get("Retry-After")


async def beats(world: World, *, times: int = 3) -> None:
    """Returns when the node has given so many signs of life."""
    for _ in range(times):
        seen = await world.connection.fetchval("SELECT seen_at FROM nodes")
        async with asyncio.timeout(5):
            while await world.connection.fetchval("SELECT seen_at FROM nodes, pg_sleep(0.02)") == seen:
                pass


async def test_a_reply_stays_with_the_smsc_until_there_is_a_connection(
    world: World, opened: list[Database]
) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    before = metric("inbound_not_stored_total", link="kcell")
    async with all_taken(opened[0]):
        assert await world.smsc.reply(family.number, "3#1") == consts.SMPP_ESME_RX_T_APPN
        assert metric("inbound_not_stored_total", link="kcell") == before + 1
        assert await world.connection.fetchval("SELECT count(*) FROM replies") == 0
    assert await world.smsc.reply(family.number, "3#1", insist=True) == 0
    await world.status(family, "voucher_issued")
    assert (await world.events(family)).count("consented") == 1
    assert len(world.smsc.connections) == 1
    world.no_complaints()


async def test_http_is_told_to_come_again_and_the_process_stays_alive(
    world: World, opened: list[Database]
) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    case = f"/v1/cases/{await world.case_id(family)}"
    async with all_taken(opened[0]):
        answers = await asyncio.gather(
            ask(world, "PUT", "/v1/lists/refused", "sdu", data=b"{}\n"),
            ask(world, "GET", case, "ops"),
            ask(world, "POST", f"{case}/resend", "ops"),
            ask(world, "GET", "/v1/lists", "ops"),
            ask(world, "GET", "/v1/statuses?wait=5", "sdu"),
            ask(world, "GET", "/v1/links", "ops"),
        )
        assert [status for status, _ in answers] == [503] * len(answers)
        assert all(retry_after for _, retry_after in answers)
        assert (await ask(world, "GET", "/healthz", "ops"))[0] == 200
        await beats(world)
    other = Family(n=2)
    await world.ask(other)
    assert await world.connection.fetchval("SELECT count(*) FROM lists") == 2
    assert not world.running[0].task.done()


async def test_waiting_readers_of_statuses_hold_no_connection(world: World, opened: list[Database]) -> None:
    await world.start()
    polls = [asyncio.create_task(ask(world, "GET", "/v1/statuses?after=1000000&wait=2", "sdu")) for _ in range(20)]
    family = Family(n=1)
    await world.ask(family)
    async with all_taken(opened[0]):
        pass
    assert {status for status, _ in await asyncio.gather(*polls)} == {200}


async def test_a_request_whose_statement_hangs_is_told_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "ANSWERED_WITHIN", SOON)
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    path = f"/v1/cases/{await world.case_id(family)}"
    async with world.connection.transaction():
        await world.connection.execute("LOCK TABLE cases IN ACCESS EXCLUSIVE MODE")
        status, retry_after = await ask(world, "GET", path, "ops")
        assert (status, retry_after is not None) == (503, True)
    assert (await ask(world, "GET", path, "ops"))[0] == 200


async def test_whoever_waits_behind_a_lock_goes_on_when_it_is_gone(world: World) -> None:
    """Somebody keeps a table to himself: transactions hang with their connections, until none is left."""
    await world.start()
    families = [Family(n=n) for n in range(1, 4)]
    await world.ask(*families)
    cases = [f"/v1/cases/{await world.case_id(family)}" for family in families]
    locker = await asyncpg.connect(world.database_url)
    try:
        async with locker.transaction():
            await locker.execute("LOCK TABLE cases IN ACCESS EXCLUSIVE MODE")
            hanging = [asyncio.create_task(ask(world, "GET", cases[n % 3], "ops")) for n in range(12)]
            done, _ = await asyncio.wait(hanging, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result()[0] for task in done} == {503}
            statuses = [await world.smsc.reply(family.number, "3#1") for family in families]
            assert statuses == [consts.SMPP_ESME_RX_T_APPN] * 3
            assert (await ask(world, "PUT", "/v1/lists/refused", "sdu", data=b"{}\n"))[0] == 503
            await beats(world)
    finally:
        await locker.close()
    for family in families:
        assert await world.smsc.reply(family.number, "3#1", insist=True) == 0
        await world.status(family, "voucher_issued")
        assert (await world.events(family)).count("consented") == 1
    assert 200 in {status for status, _ in await asyncio.gather(*hanging)}
    assert not world.running[0].task.done()
    world.no_complaints()
