"""Rows whose instants the database's clock had when it was ahead: they come back with it. All times are real."""

from gateway.store.database import Connection

_MOVE_BACK = (
    """WITH moved AS (UPDATE outbox SET next_at = next_at - make_interval(secs => $1)
                      WHERE next_at > clock_timestamp() RETURNING sms_id, next_at)
       UPDATE sms SET next_at = moved.next_at FROM moved WHERE sms.sms_id = moved.sms_id""",
    """WITH moved AS (UPDATE outbox SET expires_at = expires_at - make_interval(secs => $1)
                      WHERE expires_at > clock_timestamp() + make_interval(secs => $1)
                      RETURNING sms_id, expires_at)
       UPDATE sms SET expires_at = moved.expires_at FROM moved WHERE sms.sms_id = moved.sms_id""",
    """UPDATE calls SET next_at = next_at - make_interval(secs => $1) WHERE next_at > clock_timestamp()""",
    """UPDATE dialogues SET expires_at = expires_at - make_interval(secs => $1)
       WHERE expires_at > clock_timestamp() + make_interval(secs => $1)""",
    """UPDATE replies SET arrived_at = arrived_at - make_interval(secs => $1)
       WHERE arrived_at > clock_timestamp()""",
    """UPDATE reply_segments SET arrived_at = arrived_at - make_interval(secs => $1)
       WHERE arrived_at > clock_timestamp()""",
    """UPDATE unacknowledged_periods SET began_at = began_at - make_interval(secs => $1),
       ended_at = ended_at - make_interval(secs => $1) WHERE ended_at > clock_timestamp()""",
    """UPDATE nodes SET seen_at = seen_at - make_interval(secs => $1) WHERE seen_at > clock_timestamp()""",
    """UPDATE links SET changed_at = changed_at - make_interval(secs => $1)
       WHERE changed_at > clock_timestamp()""",
)

# Every process sees the step; the first one moves the rows.
_IS_FIRST = """
UPDATE clock SET moved_back_at = clock_timestamp()
WHERE moved_back_at IS NULL
   OR moved_back_at NOT BETWEEN clock_timestamp() - make_interval(secs => $1) AND clock_timestamp()
RETURNING true
"""
_SEEN_BY_ALL_SECONDS = 30.0


async def move_back(connection: Connection, seconds: float) -> None:
    """Moves instants that are in the future back, after the database's clock was put back by so many seconds."""
    async with connection.transaction():
        if await connection.fetchval(_IS_FIRST, _SEEN_BY_ALL_SECONDS):
            for statement in _MOVE_BACK:
                await connection.execute(statement, seconds)
