"""What a starting process reads from the database, and stores in it."""

from gateway.consent.case import ENDED
from gateway.store.database import Connection

_OPEN_CASES = """
SELECT lists.service, sum(progress.cases)::integer AS cases FROM progress JOIN lists USING (list_id)
WHERE progress.state <> ALL($1::text[]) GROUP BY lists.service HAVING sum(progress.cases) > 0
"""


async def evidence_key(connection: Connection) -> bytes:
    """The secret key of the hashes that replace personal data."""
    key: bytes = await connection.fetchval("SELECT key FROM evidence_key")
    return key


async def open_cases(connection: Connection) -> dict[str, int]:
    """By service, the number of open cases; services without any are left out."""
    rows = await connection.fetch(_OPEN_CASES, [state.value for state in ENDED])
    return {row["service"]: row["cases"] for row in rows}
