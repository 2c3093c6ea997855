"""What a start finds in the database that the configuration no longer knows, and defects in single cases."""

from dataclasses import replace

import pytest

from gateway import app, config
from gateway.store.database import DatabaseError, connect
from tests.harness import Family, Harness


async def test_a_service_with_open_cases_can_not_be_left_out(harness: Harness, database_url: str) -> None:
    await harness.start()
    await harness.ask(Family(n=1))
    await harness.stop()
    known: config.Config = harness.configure(0)
    database = await connect(database_url, size=1)
    await app._prepare(known, database, migrate_now=False)
    unknown = replace(known, services={"4": known.services["3"]})
    with pytest.raises(DatabaseError, match=r"services\.3 is missing: 1 open cases need it"):
        await app._prepare(unknown, database, migrate_now=False)
    await database.close()


async def test_texts_of_a_link_that_is_gone_go_by_another(harness: Harness) -> None:
    await harness.start(journey={"send_window": "00:00-00:01"})
    family = Family(n=1)
    await harness.push(family)
    await harness.journaled(family, "text_queued")
    await harness.stop()
    await harness.connection.execute("UPDATE sms SET link = 'sold'")
    await harness.start()
    await harness.status(family, "asked")
    assert await harness.connection.fetchval("SELECT link FROM sms") == "kcell"


async def test_a_case_that_can_not_go_on_keeps_no_other(harness: Harness) -> None:
    await harness.start()
    stuck, other = Family(n=1), Family(n=2)
    await harness.ask(stuck, other)
    await harness.connection.execute(
        'UPDATE cases SET record = \'{"recipients": [{"relation": "mother"}]}\' WHERE case_id = $1',
        await harness.case_id(stuck),
    )
    await harness.connection.execute("UPDATE cases SET due_at = '2020-01-01'")
    await harness.status(other, "reminded")
    assert (await harness.case(stuck))["state"] == "asked"
