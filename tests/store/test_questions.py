"""One open question per number and service, whoever asks at the same time."""

import asyncio

import pytest

from gateway.store import questions
from gateway.store.database import Connection, Database
from gateway.store.questions import NumberClaim
from tests.store.rows import add_case

NUMBER = "77010000001"


@pytest.fixture(autouse=True)
async def cases(database: Database) -> None:
    """Those that the tests do not add themselves."""
    async with database.acquire() as connection:
        for case_id in ("x", "y", "z", *(f"case-{n}" for n in range(20))):
            await add_case(connection, case_id)


async def waiting(connection: Connection, *case_ids: str) -> None:
    for case_id in case_ids:
        await add_case(connection, case_id, state="waiting", msisdn=NUMBER)


async def test_the_first_takes_the_turn_and_the_others_wait_in_order(database: Database) -> None:
    async with database.acquire() as connection:
        await waiting(connection, "a", "b", "c")
        turns = [NumberClaim("3", NUMBER, case_id) for case_id in "abc"]
        assert await questions.acquire_numbers(connection, turns) == ["a"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'a'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "a")], ["a"]) == ["b"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'b'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "b")], ["b"]) == ["c"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'c'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "c")], ["c"]) == []
        assert not await connection.fetchval("SELECT open FROM questions")


async def test_services_and_numbers_do_not_wait_for_each_other(database: Database) -> None:
    async with database.acquire() as connection:
        turns = [
            NumberClaim("3", NUMBER, "x"),
            NumberClaim("5", NUMBER, "y"),
            NumberClaim("3", "77010000002", "z"),
        ]
        assert set(await questions.acquire_numbers(connection, turns)) == {"x", "y", "z"}


async def test_a_turn_is_given_back_only_by_its_holder(database: Database) -> None:
    async with database.acquire() as connection:
        await questions.acquire_numbers(connection, [NumberClaim("3", NUMBER, "x")])
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "y")], []) == []
        assert await connection.fetchval("SELECT open FROM questions")


async def test_whoever_begins_to_wait_while_the_turn_is_given_back_is_not_overlooked(database: Database) -> None:
    """b asks while a's step, which closes the question, is not committed: b waits for it and takes the turn."""
    async with database.acquire() as one, database.acquire() as other:
        await waiting(one, "a", "b")
        await questions.acquire_numbers(one, [NumberClaim("3", NUMBER, "a")])
        closing = one.transaction()
        await closing.start()
        await one.execute("UPDATE cases SET state = 'refused' WHERE case_id = 'a'")
        assert await questions.release_numbers(one, [NumberClaim("3", NUMBER, "a")], ["a"]) == []
        asking = asyncio.create_task(questions.acquire_numbers(other, [NumberClaim("3", NUMBER, "b")]))
        await locked(database)
        assert not asking.done()
        await closing.commit()
        assert set(await asking) == {"b"}


async def test_a_turn_that_is_given_back_waits_for_whoever_just_began_to_wait(database: Database) -> None:
    async with database.acquire() as one, database.acquire() as other:
        await waiting(one, "a", "b")
        await questions.acquire_numbers(one, [NumberClaim("3", NUMBER, "a")])
        asking = other.transaction()
        await asking.start()
        assert await questions.acquire_numbers(other, [NumberClaim("3", NUMBER, "b")]) == []

        async def give() -> dict[str, bool]:
            async with one.transaction():
                await one.execute("UPDATE cases SET state = 'refused' WHERE case_id = 'a'")
                return await questions.release_numbers(one, [NumberClaim("3", NUMBER, "a")], ["a"])

        giving = asyncio.create_task(give())
        await locked(database)
        assert not giving.done()
        await asking.commit()
        assert list(await giving) == ["b"]


async def test_many_at_once_take_one_turn(database: Database) -> None:
    async def take(case_id: str) -> dict[str, bool]:
        async with database.acquire() as connection:
            return await questions.acquire_numbers(connection, [NumberClaim("3", NUMBER, case_id)])

    taken = await asyncio.gather(*(take(f"case-{n}") for n in range(20)))
    assert sum(map(len, taken)) == 1
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT waiting FROM questions") == 19


async def locked(database: Database) -> None:
    """Returns when somebody in the database waits for a lock: polled there, without a sleep here."""
    async with database.acquire() as connection:
        async with asyncio.timeout(10):
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                await connection.execute("SELECT pg_sleep(0.005)")
