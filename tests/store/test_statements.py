"""An SQL file is split into its single statements, whatever stands in its strings, dollar quotes and comments."""

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.migrations import Migration, migrations
from gateway.store.statements import split

TAGS = ["$$", "$t$", "$body_1$", "$ы$"]
_ANY = st.text(";'\"$t-/*\\\n a", max_size=12)


def _dollar_quoted(tag: str, inside: str) -> str:
    return f"{tag}{inside}{tag}"


def _nested(*tags: str) -> str:
    """A dollar quote within the next, each with semicolons."""
    text = ";"
    for tag in tags:
        text = f"; {_dollar_quoted(tag, text)} ;"
    return text.strip("; ")


_FRAGMENTS = st.one_of(
    st.text("ab1 \n,()=", max_size=8),
    st.sampled_from(["a$b$c", "$1", "E'\\';'", "U&';'", "e'a'';\\\\'", "a - -1 / 2 * 3"]),
    st.sampled_from(["/* ; /* ' ; */ \" */", "/**/", "-- ; ' $$ /*\n"]),
    _ANY.map(lambda text: "'" + text.replace("'", "''") + "'"),
    _ANY.map(lambda text: '"' + text.replace('"', '""') + '"'),
    st.tuples(st.sampled_from(TAGS), _ANY)
    .filter(lambda quoted: (quoted[1] + quoted[0]).index(quoted[0]) == len(quoted[1]))
    .map(lambda quoted: _dollar_quoted(*quoted)),
    st.permutations(TAGS).map(lambda tags: _nested(*tags)),
)  # fmt: skip
STATEMENTS = st.lists(
    st.lists(_FRAGMENTS, min_size=1, max_size=6).map(lambda parts: f"SELECT {' '.join(parts)} x"), max_size=5
)


@given(STATEMENTS)
def test_splitting_joined_sql_gives_the_statements_that_were_joined(statements: list[str]) -> None:
    assert list(split(";".join(statements))) == statements
    separated = " ; \n;".join(statements) + "; /* the end; /* of it */ ; */ -- ;"
    assert list(split(separated)) == statements


@pytest.mark.parametrize("sql", ["", " ;\n; ", "-- nothing;", "/* a /* b; */ ; */", "; -- a\n ; /* b */"])
def test_an_sql_file_of_comments_alone_has_no_statements(sql: str) -> None:
    assert list(split(sql)) == []


@pytest.mark.parametrize("sql", ["SELECT 'a;", 'SELECT "a;', "SELECT $$;", "SELECT /* ;", "SELECT E'\\';"])
def test_an_unclosed_quote_or_comment_in_sql_reaches_to_the_end(sql: str) -> None:
    assert list(split(sql)) == [sql]


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_the_statements_of_a_migration_are_its_file(migration: Migration) -> None:
    """Between them stands nothing but a semicolon."""
    statements, position = list(split(migration.sql)), 0
    for statement in statements:
        begin = migration.sql.index(statement, position)
        assert migration.sql[position:begin].strip() == ("" if statement is statements[0] else ";")
        position = begin + len(statement)
    assert migration.sql[position:].strip() == ";"
    assert list(split(";".join(statements))) == statements


async def test_each_statement_of_the_migrations_is_a_single_one_for_the_server(bare_database_url: str) -> None:
    """A prepared statement is one command: PostgreSQL rejects several."""
    connection = await asyncpg.connect(bare_database_url, statement_cache_size=0)
    with pytest.raises(asyncpg.PostgresSyntaxError, match="multiple commands"):
        await connection.fetch("SELECT 1; SELECT 2")
    await connection.execute("CREATE TABLE schema_migrations (name text, checksum text, applied_at timestamptz)")
    async with connection.transaction():
        for migration in migrations():
            for statement in split(migration.sql):
                await connection.fetch(statement)
    assert await connection.fetchval("SELECT count(*) FROM cases") == 0
    await connection.close()
