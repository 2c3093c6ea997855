"""Changes made together by one statement."""

from gateway.store.database import Database
from gateway.store.writes import Write, execute

PLACED = "placed AS (INSERT INTO figures (name, number) SELECT $1, $2 RETURNING number)"
ADDED = "added AS (INSERT INTO figures (name, number) SELECT $2, $1 * 2 RETURNING number)"


async def test_each_write_of_a_statement_has_its_own_arguments_and_its_result_can_be_read(
    database: Database,
) -> None:
    async with database.acquire() as connection, connection.transaction():
        await connection.execute("CREATE TEMP TABLE figures (name text, number integer) ON COMMIT DROP")
        writes = [Write(PLACED, ("one", 1)), Write(ADDED, (21, "two"))]
        rows = await execute(connection, writes, "SELECT number FROM added")
        stored = await connection.fetch("SELECT name, number FROM figures ORDER BY number")
    assert [row["number"] for row in rows] == [42]
    assert [tuple(row) for row in stored] == [("one", 1), ("two", 42)]


async def test_a_statement_without_writes_is_not_executed(database: Database) -> None:
    async with database.acquire() as connection:
        assert await execute(connection, [], "SELECT broken") == []
