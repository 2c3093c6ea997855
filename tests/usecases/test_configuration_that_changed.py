"""Rows of services and links that are no longer configured, and defects in single cases."""

from dataclasses import replace

import pytest

from gateway import app, config
from gateway.store.database import DatabaseError, connect
from tests.entries import change_rows
from tests.harness import Family, Harness, set_due


async def test_a_service_with_open_cases_cannot_be_removed_from_the_configuration(
    harness: Harness, database_url: str
) -> None:
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


async def test_texts_of_a_removed_link_are_sent_by_another_link(harness: Harness) -> None:
    await harness.start(journey={"send_window": "00:00-00:01"})
    family = Family(n=1)
    await harness.push(family)
    await harness.journaled(family, "text_queued")
    await harness.stop()
    await change_rows(harness.connection, "UPDATE sms SET link = 'removed'")
    await harness.start()
    await harness.status(family, "asked")
    assert await harness.connection.fetchval("SELECT link FROM sms") == "kcell"


async def test_a_case_that_cannot_be_processed_does_not_block_other_cases(harness: Harness) -> None:
    await harness.start()
    defective, other = Family(n=1), Family(n=2)
    await harness.ask(defective, other)
    await harness.connection.execute(
        'UPDATE records SET record = \'{"recipients": [{"relation": "mother"}]}\' WHERE case_id = $1',
        await harness.case_id(defective),
    )
    await set_due(harness.connection, "'2020-01-01'")
    await harness.status(other, "reminded")
    assert (await harness.case(defective))["state"] == "asked"
