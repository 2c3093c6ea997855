"""The cursors of pushed feeds, and the process that serves each feed."""

from gateway.store.database import Connection

_CURSOR = """
SELECT seq FROM feeds WHERE feed = $1 AND node = $2 AND EXISTS (SELECT FROM nodes WHERE nodes.node = $2)
"""
_ENTER = "INSERT INTO feeds (feed) VALUES ($1) ON CONFLICT DO NOTHING"
_CLAIM = """
UPDATE feeds SET node = $2 WHERE feed = $1 AND node IS NULL
  AND EXISTS (SELECT FROM nodes WHERE nodes.node = $2)
RETURNING seq
"""
_ADVANCE = "UPDATE feeds SET seq = $3 WHERE feed = $1 AND node = $2"


async def claim(connection: Connection, feed: str, node: str) -> int | None:
    """The cursor of the feed, claimed by this node; None while another process serves it."""
    seq: int | None = await connection.fetchval(_CURSOR, feed, node)
    if seq is None:  # the first time, or another process serves it
        await connection.execute(_ENTER, feed)
        seq = await connection.fetchval(_CLAIM, feed, node)
    return seq


async def advance(connection: Connection, feed: str, node: str, seq: int) -> None:
    """Moves the cursor to `seq`; changes nothing when this node no longer has the feed claimed."""
    await connection.execute(_ADVANCE, feed, node, seq)
