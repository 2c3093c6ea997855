"""Two whole gateways at once in two schemas of one database, with everything named alike."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.store import journal, journal_check
from gateway.store.database import connect
from gateway.store.migrations import migrate
from tests.harness import Family, Harness, simulated_partners

SCHEMAS = ("almaty", "astana")


@pytest.fixture
async def regions(bare_database_url: str, tmp_path: Path) -> AsyncIterator[list[Harness]]:
    """Each with its own partners; list, records, pupils, numbers, link and process have the same names in both."""
    async with AsyncExitStack() as stack:
        harnesses = []
        for schema in SCHEMAS:
            database = await connect(bare_database_url, size=1, schema=schema)
            async with database.acquire() as connection:
                await migrate(connection, schema=schema)
            await database.close()
            (tmp_path / schema).mkdir()
            harnesses.append(
                await stack.enter_async_context(simulated_partners(bare_database_url, tmp_path / schema, schema))
            )
        yield harnesses


async def test_each_region_asks_and_records_for_itself(regions: list[Harness]) -> None:
    almaty, astana = regions
    agrees, refuses, only_here = (Family(n=n) for n in (1, 2, 3))
    for region in regions:
        await region.start(gateway={"node": "gateway-1"})
    await almaty.ask(agrees, refuses)
    await astana.ask(agrees, refuses, only_here)
    assert await almaty.smsc.reply(agrees.number, "3#1") == 0
    assert await astana.smsc.reply(agrees.number, "3#2") == 0
    await almaty.status(agrees, "voucher_issued")
    await astana.status(agrees, "refused")

    for region, families in ((almaty, 2), (astana, 3)):
        _, lists = await region.request("GET", "/v1/lists", role="sdu")
        assert [(one["list_id"], one["accepted"]) for one in lists["lists"]] == [("list-1", families)]
        assert (await region.case(refuses))["state"] == "asked"
        assert await region.connection.fetchval("SELECT count(*) FROM cases") == families
        assert await region.connection.fetchval("SELECT count(*) FROM nodes") == 1
        while await journal.seal(region.connection):
            pass
        check = await journal_check.verify(region.connection)
        assert check.fault is None
        assert check.entries == (await journal.head(region.connection))[0]
        foreign = (
            "SELECT count(*) FROM journal WHERE case_id IS NOT NULL AND case_id NOT IN (SELECT case_id FROM cases)"
        )
        assert await region.connection.fetchval(foreign) == 0
    assert await almaty.connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0

    assert await almaty.stop() == [0]
    assert await astana.smsc.reply(only_here.number, "3#1") == 0
    await astana.status(only_here, "voucher_issued")
    for region in regions:
        region.no_complaints()
