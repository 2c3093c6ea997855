"""How the receipts of a link write the message_ids of its responses: what they have shown, what was decided."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader

_DECIDED = "SELECT link, relation FROM id_relations WHERE link = ANY($1::text[]) AND relation IS NOT NULL"

_COUNT = """
INSERT INTO id_relations AS r (link, exact, hex_to_dec, dec_to_hex)
SELECT link, exact, hex_to_dec, dec_to_hex FROM unnest($1::id_vote_row[]) ORDER BY link
ON CONFLICT (link) DO UPDATE SET exact = r.exact + excluded.exact, hex_to_dec = r.hex_to_dec + excluded.hex_to_dec,
    dec_to_hex = r.dec_to_hex + excluded.dec_to_hex
RETURNING link, exact, hex_to_dec, dec_to_hex
"""

_DECIDE = "UPDATE id_relations SET relation = $2 WHERE link = $1 AND relation IS NULL RETURNING true"

_WITHDRAW = """
UPDATE id_relations SET relation = NULL, exact = 0, hex_to_dec = 0, dec_to_hex = 0
WHERE link = $1 AND relation IS NOT NULL
"""


class IdVotes(NamedTuple):
    """The receipts of a link that have shown each relation."""

    link: str
    exact: int
    hex_to_dec: int
    dec_to_hex: int


_read_votes = reader(IdVotes)


async def decided(connection: Connection, links: Collection[str]) -> dict[str, str]:
    """The relations of those of the links for which one is decided."""
    return {row["link"]: row["relation"] for row in await connection.fetch(_DECIDED, list(links))}


async def count(connection: Connection, votes: Sequence[IdVotes]) -> list[IdVotes]:
    """Adds to the votes of each link; all its votes so far."""
    return [_read_votes(row) for row in await connection.fetch(_COUNT, votes)]


async def decide(connection: Connection, link: str, relation: str) -> bool:
    """Keeps the link's relation; False when one was kept before."""
    return await connection.fetchval(_DECIDE, link, relation) is True


async def withdraw(connection: Connection, link: str) -> None:
    """Forgets the link's relation and its votes."""
    await connection.execute(_WITHDRAW, link)
