"""Periods in which our deliver_sm_resp may not have reached an SMSC. All times are real time."""

from datetime import datetime

from gateway.store.database import Connection

REDELIVERY_WITHIN_SECONDS = 7 * 86_400.0
"""The time for which an SMSC may keep an unacknowledged reply and deliver it again."""

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

_EXPIRE = """
DELETE FROM unacknowledged_periods WHERE ended_at < least(clock_timestamp(), $2) - make_interval(secs => $1)
"""


async def note(connection: Connection, link: str, began_seconds_ago: float, ended_seconds_ago: float) -> None:
    """Stores a period, or extends one that overlaps it; `ended_seconds_ago` below 0: it ends in the future."""
    await connection.execute(_NOTE, link, began_seconds_ago, ended_seconds_ago)


async def expire(connection: Connection, steady: datetime) -> None:
    """Deletes periods from which no reply can be redelivered any more.

    `steady` is real time without steps (`Clock.timestamp`): a step of the database's clock ends none.
    """
    await connection.execute(_EXPIRE, REDELIVERY_WITHIN_SECONDS, steady)
