"""Living processes: who they are, what they hold, and how the dead are recognised. Real time throughout."""

from collections import Counter
from collections.abc import Collection

from gateway.store.database import Connection

DEAD_AFTER = 10.0
"""Seconds without a heartbeat after which a process's work is taken over."""

_BEAT = "UPDATE nodes SET seen_at = clock_timestamp() WHERE node = $1"

# Deleting the row waits for the node's transactions under way (they hold KEY SHARE on it) and fences all later.
_BURY = """
DELETE FROM nodes WHERE seen_at < clock_timestamp() - make_interval(secs => $1) AND node <> $2 RETURNING node
"""

_RETURN_CALLS = """
UPDATE calls SET node = NULL WHERE node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = calls.node)
"""

_RETURN_SMS = """
UPDATE sms SET state = 'queued', node = NULL
WHERE state = 'sending' AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = sms.node)
RETURNING link, segments - bit_count(answered::bit(64)) AS unanswered
"""

_TAKE_LINKS = """
UPDATE links SET node = $1, bound = 0, taken_at = clock_timestamp()
WHERE link = ANY($2::text[]) AND node IS NULL AND EXISTS (SELECT FROM nodes WHERE node = $1)
RETURNING link
"""


class FencedError(Exception):
    """This process was taken for dead and its work given away: it must write nothing more and start anew."""


async def enter(connection: Connection, node: str, name: str, links: Collection[str]) -> None:
    """Registers this process, and the links of its configuration."""
    async with connection.transaction():
        await connection.execute("INSERT INTO nodes (node, name) VALUES ($1, $2)", node, name)
        await connection.execute(
            "INSERT INTO links (link) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", list(links)
        )


async def beat(connection: Connection, node: str) -> None:
    """Says that this process lives; raises FencedError when it was taken for dead."""
    if await connection.execute(_BEAT, node) == "UPDATE 0":
        raise FencedError(node)


async def fence(connection: Connection, node: str) -> None:
    """Holds this process's life until the transaction ends; raises FencedError when it was taken for dead."""
    if not await connection.fetchval("SELECT true FROM nodes WHERE node = $1 FOR KEY SHARE", node):
        raise FencedError(node)


async def bury_dead(connection: Connection, node: str) -> tuple[list[str], dict[str, int]]:
    """Removes processes that no longer beat and gives back what they had taken.

    Their ids, and by link the segments of which nobody knows whether the SMSC has them: they go again.
    """
    unknown: Counter[str] = Counter()
    async with connection.transaction():
        dead = [row["node"] for row in await connection.fetch(_BURY, DEAD_AFTER, node)]
        await connection.execute(_RETURN_CALLS)
        for row in await connection.fetch(_RETURN_SMS):
            unknown[row["link"]] += row["unanswered"]
    return dead, unknown


async def take_links(connection: Connection, node: str, links: Collection[str]) -> list[str]:
    """Those of `links` that nobody held and that are this node's now."""
    return [row["link"] for row in await connection.fetch(_TAKE_LINKS, node, list(links))]


async def note_bound(connection: Connection, node: str, link: str, sessions: int) -> None:
    """Notes how many sessions of the link are bound."""
    await connection.execute("UPDATE links SET bound = $3 WHERE link = $2 AND node = $1", node, link, sessions)


async def leave(connection: Connection, node: str) -> None:
    """Takes leave: links and work are free for others at once."""
    async with connection.transaction():
        await connection.execute("DELETE FROM nodes WHERE node = $1", node)
        await connection.execute(_RETURN_CALLS)
        await connection.execute(_RETURN_SMS)
