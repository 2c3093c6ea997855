"""Rows that wait for an instant of the database's clock: they move along with its steps. All times are real."""

from datetime import timedelta
from typing import NamedTuple

from gateway.store.database import Connection


class LongestWaits(NamedTuple):
    """The longest that rows wait for an instant. A row that waits longer has it from a clock that was ahead."""

    text: timedelta  # in the queue, before it is sent again
    call: timedelta  # before it is made again
    dialogue: timedelta  # until it is over; likewise a screen
    expected_receipt: timedelta  # until it is expected no longer


# $1: seconds, more than 0.
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

# $1: seconds; $2: the longest wait. What waits now is after the clock as it was; what waits longer than that was
# written after the step.
_WAITED = """BETWEEN clock_timestamp() - make_interval(secs => $1)
                 AND clock_timestamp() - make_interval(secs => $1) + $2"""
_MOVE_TEXTS_AHEAD = f"""
WITH moved AS (UPDATE outbox SET next_at = next_at + make_interval(secs => $1)
               WHERE next_at {_WAITED} RETURNING sms_id, next_at)
UPDATE sms SET next_at = moved.next_at FROM moved WHERE sms.sms_id = moved.sms_id
"""  # noqa: S608
_MOVE_CALLS_AHEAD = f"""
UPDATE calls SET next_at = next_at + make_interval(secs => $1) WHERE next_at {_WAITED}
"""  # noqa: S608
_MOVE_SCREENS_AHEAD = f"""
WITH moved AS (UPDATE outbox SET expires_at = expires_at + make_interval(secs => $1)
               WHERE expires_at {_WAITED} RETURNING sms_id, expires_at)
UPDATE sms SET expires_at = moved.expires_at FROM moved WHERE sms.sms_id = moved.sms_id
"""  # noqa: S608
_MOVE_DIALOGUES_AHEAD = f"""
UPDATE dialogues SET expires_at = expires_at + make_interval(secs => $1) WHERE expires_at {_WAITED}
"""  # noqa: S608
_MOVE_RECEIPTS_AHEAD = f"""
UPDATE receipts_unmatched SET expires_at = expires_at + make_interval(secs => $1) WHERE expires_at {_WAITED}
"""  # noqa: S608
_MOVE_LINKS_AHEAD = "UPDATE links SET changed_at = changed_at + make_interval(secs => $1)"

# $1: the longest wait.
_CUT_TEXTS = """
WITH cut AS (UPDATE outbox SET next_at = clock_timestamp() + $1
             WHERE next_at > clock_timestamp() + $1 RETURNING sms_id, next_at)
UPDATE sms SET next_at = cut.next_at FROM cut WHERE sms.sms_id = cut.sms_id
"""
_CUT_CALLS = "UPDATE calls SET next_at = clock_timestamp() + $1 WHERE next_at > clock_timestamp() + $1"
_CUT_SCREENS = """
WITH cut AS (UPDATE outbox SET expires_at = clock_timestamp() + $1
             WHERE expires_at > clock_timestamp() + $1 RETURNING sms_id, expires_at)
UPDATE sms SET expires_at = cut.expires_at FROM cut WHERE sms.sms_id = cut.sms_id
"""
_CUT_DIALOGUES = (
    "UPDATE dialogues SET expires_at = clock_timestamp() + $1 WHERE expires_at > clock_timestamp() + $1"
)
_CUT_EXPECTED = """
UPDATE receipts_expected SET expires_at = clock_timestamp() + $1 WHERE expires_at > clock_timestamp() + $1
"""
_CUT_UNMATCHED = """
UPDATE receipts_unmatched SET expires_at = clock_timestamp() + $1 WHERE expires_at > clock_timestamp() + $1
"""
_CUT_UNACKNOWLEDGED = """
UPDATE unacknowledged_periods
SET began_at = clock_timestamp() - (ended_at - began_at), ended_at = clock_timestamp()
WHERE began_at > clock_timestamp()
"""

# Every process sees the step; the first one moves the rows. Two measure the same step alike.
_IS_FIRST = """
UPDATE clock SET moved_back_at = clock_timestamp(), moved_seconds = $2
WHERE moved_back_at IS NULL
   OR moved_back_at NOT BETWEEN clock_timestamp() - make_interval(secs => $1) AND clock_timestamp()
   OR coalesce(abs(moved_seconds - $2) > $3, true)
RETURNING true
"""
_SEEN_BY_ALL_SECONDS = 30.0
_UNMATCHED_KEPT_FOR = timedelta(days=1)  # as in store/receipts.py
_MEASURED_WITHIN_SECONDS = 5.0


async def move(connection: Connection, seconds: float, longest: LongestWaits) -> None:
    """Moves what waits along with a step of the database's clock; `seconds` below 0: it was put back."""
    async with connection.transaction():
        if not await connection.fetchval(_IS_FIRST, _SEEN_BY_ALL_SECONDS, seconds, _MEASURED_WITHIN_SECONDS):
            return
        if seconds < 0:
            for statement in _MOVE_BACK:
                await connection.execute(statement, -seconds)
        else:
            await connection.execute(_MOVE_TEXTS_AHEAD, seconds, longest.text)
            await connection.execute(_MOVE_CALLS_AHEAD, seconds, longest.call)
            await connection.execute(_MOVE_SCREENS_AHEAD, seconds, longest.dialogue)
            await connection.execute(_MOVE_DIALOGUES_AHEAD, seconds, longest.dialogue)
            await connection.execute(_MOVE_RECEIPTS_AHEAD, seconds, _UNMATCHED_KEPT_FOR)
            await connection.execute(_MOVE_LINKS_AHEAD, seconds)
        await cut_waits(connection, longest)


async def cut_waits(connection: Connection, longest: LongestWaits) -> None:
    """Has nothing wait for longer than it ever may: the clock may have gone back while no process ran."""
    await connection.execute(_CUT_TEXTS, longest.text)
    await connection.execute(_CUT_CALLS, longest.call)
    await connection.execute(_CUT_SCREENS, longest.dialogue)
    await connection.execute(_CUT_DIALOGUES, longest.dialogue)
    await connection.execute(_CUT_EXPECTED, longest.expected_receipt)
    await connection.execute(_CUT_UNMATCHED, _UNMATCHED_KEPT_FOR)
    await connection.execute(_CUT_UNACKNOWLEDGED)
