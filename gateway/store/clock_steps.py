"""Rows that wait for an instant of the database's clock: they move along with its steps. All times are real."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from gateway.store.database import Connection
from gateway.store.receipts import UNMATCHED_KEPT_FOR


class LongestWaits(NamedTuple):
    """The longest that rows wait for an instant. A row that waits longer has it from a clock that was ahead."""

    text: timedelta  # in the queue, before it is sent again
    call: timedelta  # before it is made again
    dialogue: timedelta  # until it is over; likewise a screen
    expected_receipt: timedelta  # until it is expected no longer
    unmatched_receipt: timedelta = UNMATCHED_KEPT_FOR


class _Wait(NamedTuple):
    """A column with the instant for which a row waits."""

    table: str
    column: str
    limit: Callable[[LongestWaits], timedelta]


_TEXTS: Final = _Wait("outbox", "next_at", lambda longest: longest.text)
_SCREENS: Final = _Wait("outbox", "expires_at", lambda longest: longest.dialogue)
_CALLS: Final = _Wait("calls", "next_at", lambda longest: longest.call)
_DIALOGUES: Final = _Wait("dialogues", "expires_at", lambda longest: longest.dialogue)
_EXPECTED: Final = _Wait("receipts_expected", "expires_at", lambda longest: longest.expected_receipt)
_UNMATCHED: Final = _Wait("receipts_unmatched", "expires_at", lambda longest: longest.unmatched_receipt)


def _update(wait: _Wait, instant: str, condition: str) -> str:
    """Sets the column to `instant` where `condition` follows its name; a queued text has it in two tables."""
    table, column, _ = wait
    update = f"UPDATE {table} SET {column} = {instant} WHERE {column} {condition}"  # noqa: S608
    if table != "outbox":
        return update
    return f"""WITH moved AS ({update} RETURNING sms_id, {column})
               UPDATE sms SET {column} = moved.{column} FROM moved WHERE sms.sms_id = moved.sms_id"""  # noqa: S608


# $1: seconds, more than 0. An expiry from before the step is later than the clock by at least these; a text or a
# call may be made earlier than it has to.
_FROM_BEFORE = "> clock_timestamp() + make_interval(secs => $1)"
_MOVE_BACK = (
    *(
        _update(wait, f"{wait.column} - make_interval(secs => $1)", condition)
        for wait, condition in (
            (_TEXTS, "> clock_timestamp()"),
            (_SCREENS, _FROM_BEFORE),
            (_CALLS, "> clock_timestamp()"),
            (_DIALOGUES, _FROM_BEFORE),
        )
    ),
    *(
        f"UPDATE {table} SET {column} = {column} - make_interval(secs => $1) WHERE {column} > clock_timestamp()"  # noqa: S608
        for table, column in (
            ("replies", "arrived_at"),
            ("reply_segments", "arrived_at"),
            ("nodes", "seen_at"),
            ("links", "changed_at"),
        )
    ),
    """UPDATE unacknowledged_periods SET began_at = began_at - make_interval(secs => $1),
       ended_at = ended_at - make_interval(secs => $1) WHERE ended_at > clock_timestamp()""",
)

# $1: seconds; $2: the longest wait. What waits now is after the clock as it was; what waits longer than that was
# written after the step.
_MOVE_AHEAD = tuple(
    (
        wait.limit,
        _update(
            wait,
            f"{wait.column} + make_interval(secs => $1)",
            """BETWEEN clock_timestamp() - make_interval(secs => $1)
                   AND clock_timestamp() - make_interval(secs => $1) + $2""",
        ),
    )
    for wait in (_TEXTS, _SCREENS, _CALLS, _DIALOGUES, _UNMATCHED)
)
_MOVE_LINKS_AHEAD = "UPDATE links SET changed_at = changed_at + make_interval(secs => $1)"

# $1: the longest wait.
_CUT = tuple(
    (wait.limit, _update(wait, "clock_timestamp() + $1", "> clock_timestamp() + $1"))
    for wait in (_TEXTS, _SCREENS, _CALLS, _DIALOGUES, _EXPECTED, _UNMATCHED)
)
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
            for limit, statement in _MOVE_AHEAD:
                await connection.execute(statement, seconds, limit(longest))
            await connection.execute(_MOVE_LINKS_AHEAD, seconds)
        await cut_waits(connection, longest)


async def cut_waits(connection: Connection, longest: LongestWaits) -> None:
    """Has nothing wait for longer than it ever may: the clock may have gone back while no process ran."""
    for limit, statement in _CUT:
        await connection.execute(statement, limit(longest))
    await connection.execute(_CUT_UNACKNOWLEDGED)
