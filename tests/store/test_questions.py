"""One open question per number and service, also for concurrent cases."""

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


async def add_waiting_cases(connection: Connection, *case_ids: str) -> None:
    for case_id in case_ids:
        await add_case(connection, case_id, state="waiting", msisdn=NUMBER)


async def test_the_first_case_acquires_the_number_and_the_others_wait_in_order(database: Database) -> None:
    async with database.acquire() as connection:
        await add_waiting_cases(connection, "a", "b", "c")
        claims = [NumberClaim("3", NUMBER, case_id) for case_id in "abc"]
        assert await questions.acquire_numbers(connection, claims) == ["a"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'a'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "a")], ["a"]) == ["b"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'b'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "b")], ["b"]) == ["c"]
        await connection.execute("UPDATE cases SET state = 'asked' WHERE case_id = 'c'")
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "c")], ["c"]) == []
        assert not await connection.fetchval("SELECT open FROM questions")


async def test_cases_of_other_services_or_numbers_do_not_wait(database: Database) -> None:
    async with database.acquire() as connection:
        claims = [
            NumberClaim("3", NUMBER, "x"),
            NumberClaim("5", NUMBER, "y"),
            NumberClaim("3", "77010000002", "z"),
        ]
        assert set(await questions.acquire_numbers(connection, claims)) == {"x", "y", "z"}


async def test_a_number_is_released_only_by_the_case_that_holds_it(database: Database) -> None:
    async with database.acquire() as connection:
        await questions.acquire_numbers(connection, [NumberClaim("3", NUMBER, "x")])
        assert await questions.release_numbers(connection, [NumberClaim("3", NUMBER, "y")], []) == []
        assert await connection.fetchval("SELECT open FROM questions")


async def test_a_case_that_waits_during_an_uncommitted_release_acquires_the_number(database: Database) -> None:
    """b claims while the transaction that closes a's question is open: b waits for it and acquires the number."""
    async with database.acquire() as one, database.acquire() as other:
        await add_waiting_cases(one, "a", "b")
        await questions.acquire_numbers(one, [NumberClaim("3", NUMBER, "a")])
        closing = one.transaction()
        await closing.start()
        await one.execute("UPDATE cases SET state = 'refused' WHERE case_id = 'a'")
        assert await questions.release_numbers(one, [NumberClaim("3", NUMBER, "a")], ["a"]) == []
        acquiring = asyncio.create_task(questions.acquire_numbers(other, [NumberClaim("3", NUMBER, "b")]))
        await wait_for_lock(database)
        assert not acquiring.done()
        await closing.commit()
        assert set(await acquiring) == {"b"}


async def test_a_release_waits_for_an_uncommitted_claim_and_passes_the_number_on(database: Database) -> None:
    async with database.acquire() as one, database.acquire() as other:
        await add_waiting_cases(one, "a", "b")
        await questions.acquire_numbers(one, [NumberClaim("3", NUMBER, "a")])
        acquiring = other.transaction()
        await acquiring.start()
        assert await questions.acquire_numbers(other, [NumberClaim("3", NUMBER, "b")]) == []

        async def release() -> list[str]:
            async with one.transaction():
                await one.execute("UPDATE cases SET state = 'refused' WHERE case_id = 'a'")
                return await questions.release_numbers(one, [NumberClaim("3", NUMBER, "a")], ["a"])

        releasing = asyncio.create_task(release())
        await wait_for_lock(database)
        assert not releasing.done()
        await acquiring.commit()
        assert list(await releasing) == ["b"]


async def test_of_many_concurrent_cases_one_acquires_the_number(database: Database) -> None:
    async def acquire(case_id: str) -> list[str]:
        async with database.acquire() as connection:
            return await questions.acquire_numbers(connection, [NumberClaim("3", NUMBER, case_id)])

    acquired = await asyncio.gather(*(acquire(f"case-{n}") for n in range(20)))
    assert sum(map(len, acquired)) == 1
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT waiting FROM questions") == 19


async def wait_for_lock(database: Database) -> None:
    """Returns when a session of the database waits for a lock. The database sleeps between the checks."""
    async with database.acquire() as connection:
        async with asyncio.timeout(10):
            while not await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                await connection.execute("SELECT pg_sleep(0.005)")
