"""docs/architecture/tables.md shows the schema that the migrations make."""

import schema
from diagrams import FOLDER

from gateway.store.database import Database


async def test_the_page_of_tables_shows_the_migrated_database(database: Database) -> None:
    async with database.acquire() as connection:
        page = await schema.markdown(connection)
    assert (FOLDER / schema.NAME).read_text(encoding="utf-8") == page, "run scripts/diagrams"


async def test_the_page_has_every_table_with_its_keys_indexes_and_comments(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute(
            """CREATE TABLE parents (id integer PRIMARY KEY);
               CREATE TABLE children (
                   id integer GENERATED ALWAYS AS IDENTITY, parent integer NOT NULL DEFAULT 7 REFERENCES parents);
               CREATE INDEX children_of ON children (parent) WHERE id > 1;
               COMMENT ON TABLE children IS 'Those of the parents.';
               COMMENT ON COLUMN children.parent IS 'one | another'"""
        )
        page = await schema.markdown(connection)
    assert "## children\n\nThose of the parents.\n" in page
    assert "| id | `integer` | no | `identity, always` |  |" in page
    assert "| parent | `integer` | no | `7` | one \\| another |" in page
    assert "| children_parent_fkey | `FOREIGN KEY (parent) REFERENCES parents(id)` |" in page
    assert "| children_of | `btree (parent) WHERE (id > 1)` |" in page


async def test_every_table_and_column_has_a_comment(database: Database) -> None:
    async with database.acquire() as connection:
        missing = await connection.fetch(
            """SELECT c.relname, a.attname FROM pg_class c
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
                 AND col_description(c.oid, a.attnum) IS NULL
               UNION ALL
               SELECT relname, NULL FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                 AND obj_description(oid, 'pg_class') IS NULL"""
        )
    assert not [tuple(row) for row in missing]
