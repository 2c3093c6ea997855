"""Texts made of the stored template and its fields: the same in Python and in SQL."""

import orjson
import pytest

from gateway.consent.texts import Kind, Template, Templates
from gateway.store import templates
from gateway.store.database import Database
from gateway.store.templates import TemplateBodies

BODY = "{recipient}, {pupil}: {agree} немесе {refuse}. {recipient}"
REQUEST = Template(name=Kind.REQUEST, language="kk", body=BODY, version="version-1")


@pytest.mark.parametrize(
    "fields",
    [
        {"recipient": "Әлия", "pupil": "Ержан", "agree": "3#1", "refuse": "3#2"},
        {"recipient": "a} b", "pupil": "\\1 $1 '", "agree": "", "refuse": "\n"},
    ],
)
async def test_a_template_is_filled_in_python_as_by_the_function_filled_template(
    database: Database, fields: dict[str, str]
) -> None:
    bodies, given = TemplateBodies(), orjson.dumps(fields).decode()
    async with database.acquire() as connection:
        await templates.keep(connection, {"3": Templates([REQUEST])})
        await bodies.load(connection, {"version-1"})
        expected = await connection.fetchval("SELECT filled_template('version-1', $1::json)", given)
    assert bodies.text("version-1", given) == expected


async def test_a_template_version_is_read_from_the_database_once(database: Database) -> None:
    bodies = TemplateBodies()
    async with database.acquire() as connection, connection.transaction():
        await templates.keep(connection, {"3": Templates([REQUEST])})
        await bodies.load(connection, {"version-1"})
        await connection.execute("SET LOCAL search_path TO pg_catalog")
        await bodies.load(connection, {"version-1"})
    fields = orjson.dumps(dict.fromkeys(["recipient", "pupil", "agree", "refuse"], "…")).decode()
    assert bodies.text("version-1", fields) == "…, …: … немесе …. …"
