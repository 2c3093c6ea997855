"""After the time of keeping nobody can be found in the database any more; what was decided still stands."""

from datetime import timedelta

import pytest
from world import Family, World, world

from gateway.store import journal, privacy

__all__ = ["world"]

KEEP_NOTHING = timedelta()


async def traces(world: World, *secrets: str) -> dict[str, list[str]]:
    """Tables whose rows have one of these somewhere, as text, as UCS-2 or as octets."""
    wanted = {*secrets, *(s.encode("utf-16-be").hex() for s in secrets), *(s.encode().hex() for s in secrets)}
    tables = await world.connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    found: dict[str, list[str]] = {}
    for (table,) in tables:
        rows = await world.connection.fetch(f"SELECT t::text AS row FROM {table} AS t")
        if hits := sorted({secret for row in rows for secret in wanted if secret in row["row"]}):
            found[table] = hits
    return found


@pytest.fixture
async def lived(world: World) -> World:
    """A world in which everything has been said that has a name or a number in it."""
    await world.start()
    agreed, refused, nobody, siblings = (
        Family(n=1),
        Family(n=2),
        Family(n=3, mother=None, father=None),
        [Family(n=4, mother="77010000004"), Family(n=5, mother="77010000004")],
    )
    await world.ask(agreed, refused, siblings[0])
    await world.push(nobody, siblings[1])
    for number in (agreed.number, refused.number):
        await world.smsc.reply(number, "Ахметова 8703")
    await world.smsc.reply(agreed.number, "3#1")
    await world.smsc.reply(refused.number, "3#2")
    await world.status(agreed, "voucher_issued")
    await world.smsc.reply(agreed.number, "3#2")
    for sibling in siblings:
        await world.status(sibling, "asked")
        await world.act(sibling, "cancel", {"reason": "the school has closed"})
    await world.status(nobody, "no_number")
    await world.text(refused, "бас тарттыңыз")
    await world.text(agreed, "socwallet")
    await world.smsc.reply("77019999999", "бұл Ахметова")
    await world.stop()
    return world


SECRETS = ["Ахметова", "Айгүл", "Нұрлан", "77010000001", "77010000002", "77010000004", "77019999999"]


async def erase(world: World) -> int:
    connection = world.connection
    now = await connection.fetchval("SELECT clock_timestamp() + interval '1 s'")
    async with connection.transaction():
        erased = await privacy.erase_ended(connection, now, now, lambda octets: "hash", 500)
        await privacy.erase_stray_replies(connection, now)
    return len(erased)


async def test_no_name_and_no_number_is_left_anywhere(lived: World) -> None:
    iins = [Family(n=n).pupil_iin for n in range(1, 6)]
    assert await traces(lived, *SECRETS, *iins)
    assert await erase(lived) == 5
    assert await traces(lived, *SECRETS, *iins) == {}


async def test_what_was_decided_and_its_evidence_stay(lived: World) -> None:
    before = await lived.connection.fetch(
        "SELECT case_id, state, evidence, voucher_id FROM cases ORDER BY case_id"
    )
    while await journal.seal(lived.connection):
        pass
    await erase(lived)
    after = await lived.connection.fetch("SELECT case_id, state, evidence, voucher_id FROM cases ORDER BY case_id")
    assert after == before
    assert (await journal.verify(lived.connection)).fault is None
    verdicts = await lived.connection.fetch(
        "SELECT verdict FROM replies WHERE source_addr = 'hash' ORDER BY verdict"
    )
    assert [row["verdict"] for row in verdicts] == ["agree", "refuse", "refuse", "unclear", "unclear"]
    kept = await lived.connection.fetch("SELECT template, message_ids FROM sms WHERE body IS NULL")
    assert all(row["template"] for row in kept)


async def test_an_open_case_keeps_what_it_needs(world: World) -> None:
    await world.start()
    ended, still_open = Family(n=1, mother="77010000001"), Family(n=2, mother="77010000001")
    await world.ask(ended)
    await world.push(still_open)
    await world.smsc.reply(ended.number, "3#2")
    await world.status(still_open, "asked")
    assert await erase(world) == 1
    await world.smsc.reply(still_open.number, "3#1 иә")
    await world.status(still_open, "voucher_issued")
    assert await world.connection.fetchval("SELECT count(*) FROM subscribers") == 1


async def test_erasing_twice_erases_once(lived: World) -> None:
    assert (await erase(lived), await erase(lived)) == (5, 0)


async def test_a_text_that_never_left_is_not_sent_without_its_words(world: World) -> None:
    await world.start()
    family = Family(n=1)
    await world.ask(family)
    await world.stop()
    await world.connection.execute(
        "UPDATE cases SET state = 'refused', ended_at = now() - interval '1 day', due_at = NULL;"
        "UPDATE sms SET state = 'queued', node = NULL"
    )
    await erase(world)
    await world.start()
    await world.ask(Family(n=2))
    assert await world.connection.fetchval("SELECT state FROM sms ORDER BY sms_id LIMIT 1") == "cancelled"
