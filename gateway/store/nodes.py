"""The processes of the cluster: their heartbeats, locks and links, and the eviction of expired ones. Real time.

A process holds an advisory lock while it runs. When it is killed, its connection ends and PostgreSQL frees the
lock. When it is paused, or its host is down, the lock may still be held, but the heartbeats stop. In both cases
another process deletes its row (evicts it): cluster/heartbeat_watch.py has when. Without its row a process cannot
commit any more (it is fenced), so one that was evicted by mistake does no harm and only has to restart.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from gateway.store import locks, sms
from gateway.store.database import Connection
from gateway.store.rows import reader

_HEARTBEAT = """
WITH latest AS (UPDATE clock SET latest = greatest(latest, $2))
UPDATE nodes SET seen_at = clock_timestamp(), wanted = $3, server_started_at = pg_postmaster_start_time()
WHERE node = $1 RETURNING seen_at
"""

# A lock that is free is acquired, until the statement has ended. `server_started_at` is null for a process of an
# earlier version, and before its first heartbeat.
_OTHERS = f"""
SELECT node, seen_at, wanted, coalesce(server_started_at = pg_postmaster_start_time(), true) AS on_this_server,
       pg_try_advisory_xact_lock({locks.node_keys("node")}) AS is_unlocked
FROM nodes WHERE node <> $1
"""  # noqa: S608

# A process that is paused during a COPY keeps its row locks for ever: no PostgreSQL time-out applies. Only
# sessions of our own role: terminating others raises an error, which would roll the eviction back.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM nodes JOIN pg_stat_activity ON application_name ^@ ('gateway ' || node)
WHERE node = $1 AND seen_at = $2 AND datname = current_database() AND usename = current_user
"""

# The DELETE waits for the node's open transactions, which hold KEY SHARE on the row, and fences all later ones.
# The node's last deliver_sm_resp may not have reached the SMSCs: see consent/redelivery.py. `least`: a failover
# may have put the clock back.
_EVICT = """
WITH evicted AS (DELETE FROM nodes WHERE node = $1 AND seen_at = $2 RETURNING node, seen_at),
unacknowledged AS (
    INSERT INTO unacknowledged_periods (link, began_at, ended_at)
    SELECT link, least(seen_at, clock_timestamp()) - make_interval(secs => $3), clock_timestamp()
    FROM links JOIN evicted USING (node)
)
SELECT node FROM evicted
"""

_FENCE = """
SELECT EXISTS (SELECT FROM rewinds WHERE accepted_at IS NULL) FROM nodes WHERE node = $1 FOR KEY SHARE
"""

_SHORT_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '1s'"

_RELEASE_CALLS = """
UPDATE calls SET node = NULL WHERE node IS NOT NULL AND NOT EXISTS (SELECT FROM nodes n WHERE n.node = calls.node)
"""

# `node = $1`: an earlier claim whose COMMIT was not confirmed. `changed_at` is set so that the new process gets
# the full time to bind before the link counts as down.
_CLAIM_LINKS = """
UPDATE links SET node = $1, bound = 0, changed_at = clock_timestamp(), taken_at = clock_timestamp(),
                 send_window = NULL, stopped_status = NULL, unaccepted_since = NULL,
                 bind_failure = NULL, next_bind_at = NULL, bind_requested = false
WHERE link = ANY($2::text[]) AND (node IS NULL OR node = $1) AND EXISTS (SELECT FROM nodes WHERE node = $1)
RETURNING link
"""

_RELEASE_LINK = "UPDATE links SET node = NULL, bound = 0 WHERE link = $2 AND node = $1"

_NOTE_LINK = """
UPDATE links SET changed_at = CASE WHEN bound = $3 THEN changed_at ELSE clock_timestamp() END, bound = $3,
    send_window = $4, stopped_status = $5, stopped_at = clock_timestamp() - make_interval(secs => $6),
    unaccepted_since = clock_timestamp() - make_interval(secs => $7), needed_timeout_seconds = $8
WHERE link = $2 AND node = $1
"""

_NOTE_BIND_FAILURE = """
UPDATE links SET bind_failure = $3, next_bind_at = clock_timestamp() + make_interval(secs => $4)
WHERE link = $2 AND node = $1
"""

_REQUEST_BIND = "UPDATE links SET bind_requested = true WHERE link = $1 AND node IS NOT NULL"
_CLAIM_BIND_REQUESTS = "UPDATE links SET bind_requested = false WHERE node = $1 AND bind_requested RETURNING link"

_DOWN = """
SELECT link FROM links WHERE link = ANY($1::text[]) AND node IS NOT NULL AND bound = 0
  AND changed_at < clock_timestamp() - make_interval(secs => $2)
"""


class LinkState(NamedTuple):
    """What a link says about itself; lengths of time in seconds."""

    bound: int
    send_window: int | None
    stopped_status: int | None
    stopped_seconds: float | None
    unaccepted_seconds: float | None
    needed_timeout_seconds: float | None


class OtherNode(NamedTuple):
    """Another process, as its row and its lock show it."""

    node: str
    seen_at: datetime  # its last heartbeat, by the clock of the server to which it went
    wanted: Sequence[str]  # the links that it would hold
    on_this_server: (
        bool  # its last heartbeat went to this server, which was not restarted since, as far as is known
    )
    is_unlocked: bool  # none of its connections holds its lock here


class FencedError(Exception):
    """This process was evicted and its work released: it must write nothing more and start again."""


class RewoundError(FencedError):
    """The database lacks what was there (store/rewinds.py): nothing may be sent until ops accept that."""


_read_other = reader(OtherNode)


async def join(connection: Connection, node: str, name: str, links: Collection[str]) -> None:
    """Registers this process under its id, and the links of its configuration; also acquires its lock."""
    await locks.hold_node(connection, node)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO nodes (node, name, wanted) VALUES ($1, $2, $3)", node, name, list(links)
        )
        await connection.execute(
            "INSERT INTO links (link) SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING", list(links)
        )


async def heartbeat(connection: Connection, node: str, latest: datetime, wanted: Collection[str]) -> datetime:
    """The database's clock, after a heartbeat; raises FencedError when this process was evicted.

    `latest` is the real instant of business that the process has reached, `wanted` the links that it would hold.
    """
    seen_at: datetime | None = await connection.fetchval(_HEARTBEAT, node, latest, list(wanted))
    if seen_at is None:
        raise FencedError(node)
    return seen_at


async def fence(connection: Connection, node: str) -> None:
    """Locks this process's row until the transaction ends; raises FencedError when it was evicted.

    Raises RewoundError while the database is rewound.
    """
    is_rewound = await connection.fetchval(_FENCE, node)
    if is_rewound is None:
        raise FencedError(node)
    if is_rewound:
        raise RewoundError(node)


async def others(connection: Connection, node: str) -> list[OtherNode]:
    """All processes but this one."""
    return [_read_other(row) for row in await connection.fetch(_OTHERS, node)]


async def evict_expired(
    connection: Connection,
    expired: Iterable[OtherNode],
    *,
    loss_detection_seconds: float,
    pause_after_copy: timedelta,
) -> tuple[list[str], dict[str, int]]:
    """The ids of the processes evicted, and by link the number of their segments whose outcome is unknown.

    Of `expired` those are evicted that have given no heartbeat since. Unknown segments are sent again, those of a
    text in one submit_sm that may have been sent twice after `pause_after_copy`. The
    deliver_sm_resp of the last `loss_detection_seconds` may not have reached the SMSC. A process with an open
    transaction is evicted at a later call: its sessions are being terminated, and waiting here would delay our own
    heartbeat.
    """
    unknown: Counter[str] = Counter()
    evicted = []
    async with connection.transaction():
        await connection.execute(_SHORT_LOCK_TIMEOUT)
        for other in expired:
            await connection.execute(_END_SESSIONS, other.node, other.seen_at)
            with suppress(asyncpg.LockNotAvailableError):
                async with connection.transaction():
                    deleted = await connection.fetch(_EVICT, other.node, other.seen_at, loss_detection_seconds)
                    evicted += [row["node"] for row in deleted]
        await connection.execute(_RELEASE_CALLS)
        for link, segments in await sms.release_of_nobody(connection, pause_after_copy):
            unknown[link] += segments
    return evicted, unknown


async def holders(connection: Connection) -> dict[str, str | None]:
    """By link the process that holds it."""
    return {row["link"]: row["node"] for row in await connection.fetch("SELECT link, node FROM links")}


async def claim_links(connection: Connection, node: str, links: Collection[str]) -> list[str]:
    """The links claimed by this node: those of `links` that no other process holds. None for an evicted node."""
    return [row["link"] for row in await connection.fetch(_CLAIM_LINKS, node, list(links))]


async def release_link(connection: Connection, node: str, link: str) -> None:
    """Lets other processes claim a link of this node."""
    await connection.execute(_RELEASE_LINK, node, link)


async def note_link(connection: Connection, node: str, link: str, state: LinkState) -> None:
    """Writes the state of a link that this node holds."""
    await connection.execute(_NOTE_LINK, node, link, *state)


async def note_bind_failure(
    connection: Connection, node: str, link: str, failure: str | None, wait_seconds: float | None
) -> None:
    """Writes why a link that this node holds is not wholly bound, and when it tries again; None: it is bound."""
    await connection.execute(_NOTE_BIND_FAILURE, node, link, failure, wait_seconds)


async def request_bind(connection: Connection, link: str) -> None:
    """Asks the process that holds the link to bind at once. The next holder of a link does so anyway."""
    await connection.execute(_REQUEST_BIND, link)


async def claim_bind_requests(connection: Connection, node: str) -> list[str]:
    """The links of this node that are to bind at once; each request is returned once."""
    return [row["link"] for row in await connection.fetch(_CLAIM_BIND_REQUESTS, node)]


async def down_links(connection: Connection, links: Collection[str], down_after_seconds: float) -> list[str]:
    """Those of `links` that a process holds and that have had no bound session for this long."""
    return [row["link"] for row in await connection.fetch(_DOWN, list(links), down_after_seconds)]


async def leave(connection: Connection, node: str, *, pause_after_copy: timedelta) -> None:
    """Removes this process from the cluster and releases its links, texts and calls; the pause as in eviction."""
    async with connection.transaction():
        await connection.execute("DELETE FROM nodes WHERE node = $1", node)
        await connection.execute(_RELEASE_CALLS)
        await sms.release_of_nobody(connection, pause_after_copy)
