"""Alerts with begin and end. Each process notes what it sees; one that nobody has seen for a while has ended.

Instants are real time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.store.database import Connection
from gateway.store.rows import reader

ENDED_AFTER_SECONDS = 25.0
"""The time without being seen after which an alert has ended: two runs of the job that notes alerts."""
KEPT_DAYS = 90

_SEE = """
INSERT INTO alerts (code, about, level, text, sentences, fields) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (code, about) WHERE ended_at IS NULL
DO UPDATE SET level = excluded.level, text = excluded.text, seen_at = clock_timestamp(),
              sentences = excluded.sentences, fields = excluded.fields
"""
_END = """
UPDATE alerts SET began_at = least(began_at, clock_timestamp()), ended_at = least(seen_at, clock_timestamp())
WHERE ended_at IS NULL AND seen_at NOT BETWEEN clock_timestamp() - make_interval(secs => $1)
                                           AND clock_timestamp() + make_interval(secs => $1)
"""
_EXPIRE = "DELETE FROM alerts WHERE ended_at < clock_timestamp() - make_interval(days => $1)"
_LATEST = """
SELECT code, about, level, text, sentences, fields, began_at, ended_at FROM alerts
ORDER BY began_at DESC, alert_id DESC LIMIT $1
"""


_SEEN = """
SELECT code, about, level, text, sentences, fields FROM alerts
WHERE ended_at IS NULL AND seen_at BETWEEN clock_timestamp() - make_interval(secs => $1)
                                       AND clock_timestamp() + make_interval(secs => $1) ORDER BY alert_id
"""
SEEN_WITHIN_SECONDS = 15.0
"""The age of the last sight of an alert that lasts: one run of the job that notes it, and half of another."""


class SeenAlert(NamedTuple):
    """An alert that a process sees now."""

    code: str
    about: str
    level: str
    text: str
    sentences: Sequence[str] = ()  # of which the text is made, by name
    fields: str = "{}"  # what is filled in, as JSON


class PastAlert(NamedTuple):
    """An alert, now or earlier."""

    code: str
    about: str
    level: str
    text: str
    sentences: Sequence[str]
    fields: str
    began_at: datetime
    ended_at: datetime | None  # None: it lasts


_read = reader(PastAlert)
_read_seen = reader(SeenAlert)


async def note(connection: Connection, seen: Iterable[SeenAlert]) -> None:
    """Notes what a process sees now, in the caller's transaction, and the end of what nobody sees any more."""
    await connection.executemany(_SEE, sorted(seen))  # in one order: processes wait for each other's rows
    await connection.execute(_END, ENDED_AFTER_SECONDS)
    await connection.execute(_EXPIRE, KEPT_DAYS)


async def seen(connection: Connection) -> list[SeenAlert]:
    """What any process sees now, the oldest first."""
    return [_read_seen(row) for row in await connection.fetch(_SEEN, SEEN_WITHIN_SECONDS)]


async def latest(connection: Connection, limit: int) -> list[PastAlert]:
    """The latest alerts, the newest first."""
    return [_read(row) for row in await connection.fetch(_LATEST, limit)]
