"""The processes of the cluster: what they hold, and how one that is gone is recognised. Real time throughout.

A process holds an advisory lock for as long as it lives: when it is killed, its connection ends and the lock is
free. One that is paused, or whose host is gone, still seems to hold it; it is known by its missing heartbeats.
Either way its row is deleted (it is evicted), and without the row it can write nothing more (it is fenced): a
process that was evicted by mistake only has to start anew.
"""

from collections import Counter
from collections.abc import Collection
from contextlib import suppress

import asyncpg

from gateway.store.database import Connection

_NODE_LOCK = 0x6E6F6465  # "node": the advisory locks of processes, one each by the hash of its id

_HEARTBEAT = "UPDATE nodes SET seen_at = clock_timestamp() WHERE node = $1 RETURNING true"

# After a start of the database all locks are free and all heartbeats old: processes get time to come back.
_EXPIRED = f"""
SELECT node FROM nodes
WHERE node <> $2 AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $4)
  AND (seen_at < clock_timestamp() - make_interval(secs => $1)
       OR CASE WHEN $3 THEN pg_try_advisory_xact_lock({_NODE_LOCK}, hashtext(node)) END)
"""  # noqa: S608

# A process stopped in the middle of a COPY would hold its row, and others', for ever: no timeout ends that.
# Another role's session is not ours to end, and trying would keep us from evicting anybody.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN unnest($1::text[]) AS expired (node)
  ON application_name ^@ ('gateway ' || node) WHERE datname = current_database() AND usename = current_user
"""

# Deleting the row waits for the node's transactions under way (they hold KEY SHARE on it) and fences all later.
# What the dead acknowledged last, their SMSCs may not have heard: see consent/doubt.py.
_EVICT = """
WITH evicted AS (DELETE FROM nodes WHERE node = $1 RETURNING node, seen_at),
unacknowledged AS (
    INSERT INTO unacknowledged_periods (link, began_at, ended_at)
    SELECT link, seen_at - make_interval(secs => $2), clock_timestamp() FROM links JOIN evicted USING (node)
)
SELECT node FROM evicted
"""

_WAIT_SHORTLY = "SET LOCAL lock_timeout = '1s'"

_RELEASE_CALLS = """
UPDATE calls SET node = NULL WHERE node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = calls.node)
"""

_RELEASE_SMS = """
UPDATE sms SET state = 'queued', node = NULL
WHERE state = 'sending' AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = sms.node)
RETURNING link, segments - bit_count(accepted_segments::bit(64)) AS unknown_segments
"""

# One that is ours already was claimed by a commit that we did not see.
# A link that changes hands has just begun to be down: the process that claims it gets its time to bind.
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
    """This process was evicted and its work released: it must write nothing more and start anew."""


async def hold_lock(connection: Connection, node: str) -> None:
    """Holds this process's lock for as long as the connection lasts; several connections may."""
    await connection.execute("SELECT pg_advisory_lock_shared($1, hashtext($2))", _NODE_LOCK, node)


async def join(connection: Connection, node: str, name: str, links: Collection[str]) -> None:
    """Registers this process, and the links of its configuration; holds its lock with this connection."""
    await hold_lock(connection, node)
    async with connection.transaction():
        await connection.execute("INSERT INTO nodes (node, name) VALUES ($1, $2)", node, name)
        await connection.execute(
            "INSERT INTO links (link) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", list(links)
        )


async def heartbeat(connection: Connection, node: str) -> None:
    """Writes a heartbeat; raises FencedError when this process was evicted."""
    if not await connection.fetchval(_HEARTBEAT, node):
        raise FencedError(node)


async def fence(connection: Connection, node: str) -> None:
    """Locks this process's row until the transaction ends; raises FencedError when it was evicted."""
    if not await connection.fetchval("SELECT true FROM nodes WHERE node = $1 FOR KEY SHARE", node):
        raise FencedError(node)


async def evict_expired(
    connection: Connection,
    node: str,
    *,
    expired_after: float,
    restart_grace: float,
    loss_detection_seconds: float,
    unlocked: bool = True,
) -> tuple[list[str], dict[str, int]]:
    """Evicts processes without a heartbeat for `expired_after` seconds or, if `unlocked`, without their lock.

    Their ids, and by link the segments whose outcome is unknown: they are sent again. Nobody is evicted for
    `restart_grace` seconds after a start of the database. What the evicted acknowledged in their last
    `loss_detection_seconds` may not have reached the SMSC. A process whose transaction is still open is evicted next
    time: its sessions are being ended, and our heartbeats must go on.
    """
    unknown: Counter[str] = Counter()
    async with connection.transaction():
        await connection.execute(_WAIT_SHORTLY)
        rows = await connection.fetch(_EXPIRED, expired_after, node, unlocked, restart_grace)
        expired = [row["node"] for row in rows]
        if expired:
            await connection.execute(_END_SESSIONS, expired)
        evicted = []
        for other in expired:
            with suppress(asyncpg.LockNotAvailableError):
                async with connection.transaction():
                    gone = await connection.fetch(_EVICT, other, loss_detection_seconds)
                    evicted += [row["node"] for row in gone]
        await connection.execute(_RELEASE_CALLS)
        for row in await connection.fetch(_RELEASE_SMS):
            unknown[row["link"]] += row["unknown_segments"]
    return evicted, unknown


async def claim_links(connection: Connection, node: str, links: Collection[str]) -> list[str]:
    """Those of `links` that no other process holds: they are this node's now."""
    return [row["link"] for row in await connection.fetch(_CLAIM_LINKS, node, list(links))]


async def note_bound(connection: Connection, node: str, link: str, sessions: int) -> None:
    """Notes how many sessions of the link are bound."""
    await connection.execute(_NOTE_BOUND, node, link, sessions)


async def down_links(connection: Connection, links: Collection[str], down_after: float) -> list[str]:
    """Those of `links` that a process holds and that have had no bound session for so many seconds."""
    return [row["link"] for row in await connection.fetch(_DOWN, list(links), down_after)]


async def leave(connection: Connection, node: str) -> None:
    """Removes this process: links and work are free for others at once."""
    async with connection.transaction():
        await connection.execute("DELETE FROM nodes WHERE node = $1", node)
        await connection.execute(_RELEASE_CALLS)
        await connection.execute(_RELEASE_SMS)
