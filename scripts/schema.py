"""The tables of the migrated database as a page: columns, constraints, indexes and triggers, with their comments.

`scripts/diagrams` writes it into docs/architecture/tables.md, from an embedded PostgreSQL of its own.
"""

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.store.database import Connection, connect
from gateway.store.embedded import EmbeddedServer
from gateway.store.migrations import migrate

NAME = "tables.md"

_TABLES = """
SELECT oid, relname AS name, coalesce(obj_description(oid, 'pg_class'), '') AS comment
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
"""

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
       CASE WHEN a.attidentity = 'a' THEN 'identity, always' WHEN a.attidentity = 'd' THEN 'identity'
            ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), '') END AS value,
       coalesce(col_description(a.attrelid, a.attnum), '') AS comment
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

# What a NOT NULL says stands in the table of columns.
_CONSTRAINTS = """
SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
WHERE conrelid = $1 AND contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY array_position(ARRAY['p', 'u', 'f', 'c', 'x'], contype::text), conname
"""

_INDEXES = """
SELECT c.relname AS name, regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1')
       AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1
  AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.conindid = i.indexrelid AND p.contype <> 'f')
ORDER BY c.relname
"""

_TRIGGERS = """
SELECT tgname AS name, regexp_replace(pg_get_triggerdef(oid), '^CREATE TRIGGER [^ ]+ ', '') AS definition
FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal ORDER BY tgname
"""

_TYPES = """
SELECT t.typname AS name,
       string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS attributes
FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid JOIN pg_attribute a ON a.attrelid = c.oid
WHERE t.typnamespace = 'public'::regnamespace AND c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY t.typname ORDER BY t.typname
"""


async def markdown(connection: Connection) -> str:
    """The page on the schema of a migrated database."""
    tables = await connection.fetch(_TABLES)
    lines = [
        "# Tables",
        "",
        "Drawn by `scripts/diagrams` from the migrated database; not to be edited. The comments are those of the",
        "database (`COMMENT ON`, in `migrations/`). Instants are business time unless a comment says real time.",
        "",
        ", ".join(f"[{table['name']}](#{table['name']})" for table in tables),
    ]
    for table in tables:
        lines += ["", f"## {table['name']}", "", *([table["comment"], ""] if table["comment"] else [])]
        lines += _table(
            ("column", "type", "null", "default", "comment"),
            [
                (
                    column["name"],
                    _code(column["type"]),
                    "yes" if column["nullable"] else "no",
                    _code(column["value"]),
                    column["comment"],
                )
                for column in await connection.fetch(_COLUMNS, table["oid"])
            ],
        )
        for kind, query in (("constraint", _CONSTRAINTS), ("index", _INDEXES), ("trigger", _TRIGGERS)):
            rows = await connection.fetch(query, table["oid"])
            if rows:
                lines += [
                    "",
                    *_table((kind, "definition"), [(row["name"], _code(row["definition"])) for row in rows]),
                ]
    types = await connection.fetch(_TYPES)
    lines += ["", "## Composite types", "", "A set of rows goes into a statement as one array of such a type.", ""]
    lines += _table(("type", "attributes"), [(row["name"], _code(row["attributes"])) for row in types])
    return "\n".join([*lines, ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(text: str) -> str:
    """As code; nothing for an empty text."""
    return f"`{text}`" if text else ""


def draw() -> str:
    """The page, from a database that is made, migrated and removed for it."""
    with tempfile.TemporaryDirectory(prefix="gateway-schema-") as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        server = EmbeddedServer(Path(folder))
        try:
            return asyncio.run(_draw(server.start()))
        finally:
            server.release()


async def _draw(url: str) -> str:
    database = await connect(url, size=1)
    try:
        async with database.acquire() as connection:
            await migrate(connection)
            return await markdown(connection)
    finally:
        await database.close()
