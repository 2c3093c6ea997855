"""What a process reads, or lays down, in the database before it begins."""

from collections.abc import Mapping

from gateway.consent.texts import Templates
from gateway.store.database import Connection


async def evidence_key(connection: Connection) -> bytes:
    """The key of the hashes that stand for personal data."""
    key: bytes = await connection.fetchval("SELECT key FROM evidence_key")
    return key


async def keep_templates(connection: Connection, services: Mapping[str, Templates]) -> None:
    """Keeps every version of every template: a text sent can be shown to be the one approved."""
    await connection.executemany(
        """INSERT INTO templates (version, service, name, language, body) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (version) DO NOTHING""",
        [(t.version, code, t.name, t.language, t.body) for code, ts in services.items() for t in ts.all()],
    )
