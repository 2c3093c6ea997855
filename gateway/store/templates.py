"""The templates of texts: every version that was ever configured is kept, and texts are made of them."""

from collections.abc import Collection, Mapping

import orjson

from gateway.consent.texts import Templates, filled
from gateway.store.database import Connection

_KEEP = """
INSERT INTO templates (version, service, name, language, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (version) DO NOTHING
"""
_BODIES = "SELECT version, body FROM templates WHERE version = ANY($1::text[])"


async def keep(connection: Connection, services: Mapping[str, Templates]) -> None:
    """Stores all template versions that are not stored yet: evidence must show the template of every text sent."""
    await connection.executemany(
        _KEEP, [(t.version, code, t.name, t.language, t.body) for code, ts in services.items() for t in ts.all()]
    )


class TemplateBodies:
    """The bodies of template versions, each read once: a version never changes."""

    def __init__(self) -> None:
        self._bodies: dict[str, str] = {}

    async def load(self, connection: Connection, versions: Collection[str]) -> None:
        """Reads the versions that were not read before."""
        if missing := [version for version in versions if version not in self._bodies]:
            rows = await connection.fetch(_BODIES, missing)
            self._bodies |= {row["version"]: row["body"] for row in rows}

    def text(self, version: str, fields: str) -> str:
        """The template with `fields` (a JSON object) in place of its placeholders; its version was loaded before.

        The same as `filled_template` in SQL.
        """
        return filled(self._bodies[version], orjson.loads(fields))
