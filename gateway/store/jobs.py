"""Which process runs a job of the cluster, and when it is due. All times are real time."""

from gateway.store.database import Connection

_TOLERANCE_SECONDS = 1.0
"""A job counts as due this much early: a timer may fire before the database's clock reaches `due_at`."""

# A `due_at` more than one interval ahead was set before the database's clock was put back.
_CLAIM = """
INSERT INTO jobs (job, node, due_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (job) DO UPDATE SET node = excluded.node, due_at = excluded.due_at
WHERE jobs.due_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => $4)
RETURNING true
"""
_FINISH = """
UPDATE jobs SET due_at = clock_timestamp() + make_interval(secs => $3) WHERE job = $1 AND node = $2
"""


async def claim(
    connection: Connection, job: str, node: str, *, interval_seconds: float, retry_seconds: float
) -> bool:
    """Whether the job is due and now claimed by this node.

    After `retry_seconds` it is due again for any process, in case this run fails or never finishes.
    """
    due_in = min(retry_seconds, interval_seconds) - _TOLERANCE_SECONDS
    return await connection.fetchval(_CLAIM, job, node, due_in, interval_seconds) is True


async def finish(connection: Connection, job: str, node: str, *, interval_seconds: float) -> None:
    """Notes that this node has run the job: it is due again one interval from now."""
    await connection.execute(_FINISH, job, node, interval_seconds - _TOLERANCE_SECONDS)
