"""Whose turn it is to run a job of the cluster. Real time throughout."""

from gateway.store.database import Connection

_EARLY = 1.0
"""Seconds before its time that a job counts as due: the timers of a process are not that exact."""

# A time further off than any that is set here was set by a clock that has been put back since.
_CLAIM = """
INSERT INTO jobs (job, node, due_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (job) DO UPDATE SET node = excluded.node, due_at = excluded.due_at
WHERE jobs.due_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => $4)
RETURNING true
"""
_FINISH = """
UPDATE jobs SET due_at = clock_timestamp() + make_interval(secs => $3) WHERE job = $1 AND node = $2
"""


async def claim(connection: Connection, job: str, node: str, *, every: float, again: float) -> bool:
    """Whether the job, wanted every so many seconds, is due and this node's to run.

    It is due again in `again` seconds, for whoever comes then: this run may fail.
    """
    soon = min(again, every) - _EARLY
    return await connection.fetchval(_CLAIM, job, node, soon, every) is True


async def finish(connection: Connection, job: str, node: str, *, every: float) -> None:
    """The job has been run, and is due again when it is wanted next."""
    await connection.execute(_FINISH, job, node, every - _EARLY)
