"""Living processes: who they are, what they hold, and how the dead are recognised. Real time throughout.

A process holds an advisory lock for as long as it lives: when it is killed, its connection ends and the lock is
free. One that is paused, or whose host is gone, still seems to hold it; it is known by its missing heartbeats.
Either way its row is deleted, and without the row it can write nothing more: mistaken for dead, it comes to no
harm but a restart.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress

import asyncpg

from gateway.store.database import Connection

EXPIRED_AFTER_SECONDS = 10.0
"""Seconds without a heartbeat after which a process's work is taken over."""
RESTART_GRACE_SECONDS = 10.0
"""Seconds after a start of the database in which the living come back, and nobody is taken for dead."""
LINK_DOWN_AFTER_SECONDS = 10.0
"""Seconds without a bound session after which a link's texts may go through another one."""
_NODE_LOCK = 0x6E6F6465  # "node": the advisory locks of living processes, one each by the hash of its id

_HEARTBEAT = "UPDATE nodes SET seen_at = clock_timestamp() WHERE node = $1 RETURNING true"

# After a start of the database all locks are free and all heartbeats old: the living get time to come back.
_EXPIRED = f"""
SELECT node FROM nodes
WHERE node <> $2 AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $4)
  AND (seen_at < clock_timestamp() - make_interval(secs => $1)
       OR CASE WHEN $3 THEN pg_try_advisory_xact_lock({_NODE_LOCK}, hashtext(node)) END)
"""  # noqa: S608

# A process stopped in the middle of a COPY would hold its row, and others', for ever: no timeout ends that.
# Another role's session is not ours to end, and trying would keep us from burying anybody.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN unnest($1::text[]) AS dead (node)
  ON application_name ^@ ('gateway ' || node) WHERE datname = current_database() AND usename = current_user
"""

# Deleting the row waits for the node's transactions under way (they hold KEY SHARE on it) and fences all later.
# What the dead acknowledged last, their SMSCs may not have heard: see consent/doubt.py.
_EVICT = """
WITH dead AS (DELETE FROM nodes WHERE node = $1 RETURNING node, seen_at),
unacknowledged AS (
    INSERT INTO unacknowledged_periods (link, began_at, ended_at)
    SELECT link, seen_at - make_interval(secs => $2), clock_timestamp() FROM links JOIN dead USING (node)
)
SELECT node FROM dead
"""

_WAIT_SHORTLY = "SET LOCAL lock_timeout = '1s'"

_RETURN_CALLS = """
UPDATE calls SET node = NULL WHERE node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = calls.node)
"""

_RETURN_SMS = """
UPDATE sms SET state = 'queued', node = NULL
WHERE state = 'sending' AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = sms.node)
RETURNING link, segments - bit_count(accepted_segments::bit(64)) AS unanswered
"""

# One that is ours already was taken by a commit of which we never heard.
# A link that changes hands has just begun to be down: whoever takes it gets its time to bind.
_CLAIM_LINKS = """
UPDATE links SET node = $1, bound = 0, changed_at = clock_timestamp(), taken_at = clock_timestamp()
WHERE link = ANY($2::text[]) AND (node IS NULL OR node = $1) AND EXISTS (SELECT FROM nodes WHERE node = $1)
RETURNING link
"""

_NOTE_BOUND = """
UPDATE links SET bound = $3, changed_at = clock_timestamp() WHERE link = $2 AND node = $1 AND bound <> $3
"""

_DOWN = """
SELECT link FROM links WHERE link = ANY($1::text[]) AND node IS NOT NULL AND bound = 0
  AND changed_at < clock_timestamp() - make_interval(secs => $2)
"""


class FencedError(Exception):
    """This process was taken for dead and its work given away: it must write nothing more and start anew."""


async def hold_lock(connection: Connection, node: str) -> None:
    """Shows that this process lives, for as long as the connection does; several may hold for one process."""
    await connection.execute("SELECT pg_advisory_lock_shared($1, hashtext($2))", _NODE_LOCK, node)


async def join(connection: Connection, node: str, name: str, links: Collection[str]) -> None:
    """Registers this process, and the links of its configuration; holds its life with this connection."""
    await hold_lock(connection, node)
    async with connection.transaction():
        await connection.execute("INSERT INTO nodes (node, name) VALUES ($1, $2)", node, name)
        await connection.execute(
            "INSERT INTO links (link) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", list(links)
        )


async def heartbeat(connection: Connection, node: str) -> None:
    """Says that this process lives; raises FencedError when it was taken for dead."""
    if not await connection.fetchval(_HEARTBEAT, node):
        raise FencedError(node)


async def fence(connection: Connection, node: str) -> None:
    """Holds this process's life until the transaction ends; raises FencedError when it was taken for dead."""
    if not await connection.fetchval("SELECT true FROM nodes WHERE node = $1 FOR KEY SHARE", node):
        raise FencedError(node)


async def evict_expired(
    connection: Connection, node: str, *, loss_detection_seconds: float, killed: bool = True
) -> tuple[list[str], dict[str, int]]:
    """Removes processes that no longer beat or, if `killed`, no longer hold; gives back what they had taken.

    Their ids, and by link the segments of which nobody knows whether the SMSC has them: they go again. What they
    acknowledged in their last `loss_detection_seconds` is in doubt. One whose transaction is still open is evicted
    next time: its sessions are being ended, and we must go on beating.
    """
    unknown: Counter[str] = Counter()
    async with connection.transaction():
        await connection.execute(_WAIT_SHORTLY)
        found = [
            row["node"]
            for row in await connection.fetch(_EXPIRED, EXPIRED_AFTER_SECONDS, node, killed, RESTART_GRACE_SECONDS)
        ]
        if found:
            await connection.execute(_END_SESSIONS, found)
        dead = []
        for other in found:
            with suppress(asyncpg.LockNotAvailableError):
                async with connection.transaction():
                    dead += [row["node"] for row in await connection.fetch(_EVICT, other, loss_detection_seconds)]
        await connection.execute(_RETURN_CALLS)
        for row in await connection.fetch(_RETURN_SMS):
            unknown[row["link"]] += row["unanswered"]
    return dead, unknown


async def claim_links(connection: Connection, node: str, links: Collection[str]) -> list[str]:
    """Those of `links`, which this process does not run, that nobody else holds: they are this node's now."""
    return [row["link"] for row in await connection.fetch(_CLAIM_LINKS, node, list(links))]


async def note_bound(connection: Connection, node: str, link: str, sessions: int) -> None:
    """Notes how many sessions of the link are bound."""
    await connection.execute(_NOTE_BOUND, node, link, sessions)


async def down_links(connection: Connection, links: Collection[str]) -> list[str]:
    """Those of `links` that somebody holds and yet have had no bound session for LINK_DOWN_AFTER_SECONDS."""
    return [row["link"] for row in await connection.fetch(_DOWN, list(links), LINK_DOWN_AFTER_SECONDS)]


async def leave(connection: Connection, node: str) -> None:
    """Takes leave: links and work are free for others at once."""
    async with connection.transaction():
        await connection.execute("DELETE FROM nodes WHERE node = $1", node)
        await connection.execute(_RETURN_CALLS)
        await connection.execute(_RETURN_SMS)
