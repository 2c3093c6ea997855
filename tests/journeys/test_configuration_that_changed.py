"""What a start finds in the database that the configuration no longer knows, and defects in single cases."""

from dataclasses import replace

import pytest
from world import Family, World

from gateway import app, config
from gateway.store.database import DatabaseError, connect


async def test_a_service_with_open_cases_can_not_be_left_out(world: World, database_url: str) -> None:
    await world.start()
    await world.ask(Family(n=1))
    await world.stop()
    known: config.Config = world.configure(0)
    database = await connect(database_url, size=1)
    await app._prepare(known, database, migrate_now=False)
    unknown = replace(known, services={"4": known.services["3"]})
    with pytest.raises(DatabaseError, match=r"services\.3 is missing: 1 open cases need it"):
        await app._prepare(unknown, database, migrate_now=False)
    await database.close()


async def test_texts_of_a_link_that_is_gone_go_by_another(world: World) -> None:
    await world.start(journey={"send_window": "00:00-00:01"})
    family = Family(n=1)
    await world.push(family)
    await world.journaled(family, "text_queued")
    await world.stop()
    await world.connection.execute("UPDATE sms SET link = 'sold'")
    await world.start()
    await world.status(family, "asked")
    assert await world.connection.fetchval("SELECT link FROM sms") == "kcell"


async def test_a_case_that_can_not_go_on_keeps_no_other(world: World) -> None:
    await world.start()
    stuck, other = Family(n=1), Family(n=2)
    await world.ask(stuck, other)
    await world.connection.execute(
        'UPDATE cases SET record = \'{"recipients": [{"relation": "mother"}]}\' WHERE case_id = $1',
        await world.case_id(stuck),
    )
    await world.connection.execute("UPDATE cases SET due_at = '2020-01-01'")
    await world.status(other, "reminded")
    assert (await world.case(stuck))["state"] == "asked"
