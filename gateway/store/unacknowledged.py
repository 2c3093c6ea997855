"""Times in which an SMSC may not have heard that we have its replies. Real time throughout."""

from gateway.store.database import Connection

REDELIVERY_WITHIN_SECONDS = 7 * 86_400.0
"""Seconds for which an SMSC may keep a reply and deliver it again."""

_NOTE = """
WITH new AS (
    SELECT $1 AS link, clock_timestamp() - make_interval(secs => $2) AS began_at,
           clock_timestamp() - make_interval(secs => $3) AS ended_at
), longer AS (
    UPDATE unacknowledged_periods AS known
    SET began_at = least(known.began_at, new.began_at), ended_at = greatest(known.ended_at, new.ended_at)
    FROM new WHERE known.link = new.link AND known.ended_at >= new.began_at AND known.began_at <= new.ended_at
    RETURNING known.link
)
INSERT INTO unacknowledged_periods SELECT * FROM new WHERE NOT EXISTS (SELECT FROM longer)
"""

_EXPIRE = "DELETE FROM unacknowledged_periods WHERE ended_at < clock_timestamp() - make_interval(secs => $1)"


async def note(connection: Connection, link: str, began: float, ended: float) -> None:
    """Notes a time of doubt, by the seconds since it began and ended (below 0: it will yet end)."""
    await connection.execute(_NOTE, link, began, ended)


async def expire(connection: Connection) -> None:
    """Forgets times from which no copy can come any more."""
    await connection.execute(_EXPIRE, REDELIVERY_WITHIN_SECONDS)
