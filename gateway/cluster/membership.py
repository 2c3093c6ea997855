"""Membership of the cluster: heartbeats of a process, eviction of expired processes, its share of the links."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

from gateway import metrics
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.heartbeat_watch import HeartbeatWatch
from gateway.cluster.lease import Lease
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.cluster.sharing import Share, Sharing
from gateway.config.policy import MembershipPolicy
from gateway.logs.log import Event, get_logger
from gateway.store import locks, nodes
from gateway.store.database import Connection, Database
from gateway.store.nodes import OtherNode
from gateway.store.rewinds import JournalMemory

log = get_logger()

LEAVE_TIMEOUT_SECONDS = 1.0


async def leave(database: Database, node: str, pause_after_copy: timedelta) -> None:
    """Releases links and work of this process at once: others need not wait for its heartbeats to expire."""
    with suppress(*TRANSIENT_ERRORS):
        async with asyncio.timeout(LEAVE_TIMEOUT_SECONDS), database.acquire() as connection:
            await nodes.leave(connection, node, pause_after_copy=pause_after_copy)


class LinkHolder(Protocol):
    """The component that runs the links that this process holds."""

    @property
    def loss_detection_seconds(self) -> float:
        """The longest time until the loss of a connection is detected."""
        ...

    @property
    def pause_after_copy(self) -> timedelta:
        """The wait after the second sending of a text in one submit_sm."""
        ...

    def wanted(self) -> Collection[str]:
        """The links that this process would hold; none while it stops."""
        ...

    def held(self) -> Collection[str]:
        """The links that it runs."""
        ...

    def acquired(self, names: Collection[str]) -> None:
        """These links are now claimed by this process."""
        ...

    def release(self, names: Collection[str]) -> None:
        """These links are to be drained and released, so that other processes can claim them."""
        ...

    def bind_now(self, names: Collection[str]) -> None:
        """These links are to try to bind at once."""
        ...

    def paused(self, since: float) -> None:
        """This process was paused since `since` (monotonic seconds), the start of its last heartbeat."""
        ...

    def resumed(self) -> None:
        """The lease is exclusive again: only this process holds its links."""
        ...


class Membership:
    """The membership of one process, after `nodes.join` and until `leave`."""

    def __init__(
        self,
        *,
        database: Database,
        node: str,
        lease: Lease,
        links: LinkHolder,
        policy: MembershipPolicy,
        clocks: ClockWatch,
        memory: JournalMemory,
        ack_timeout_seconds: float,
    ) -> None:
        """A heartbeat later than `ack_timeout_seconds`, after which an SMSC delivers again, counts as a pause."""
        self._database = database
        self._node = node
        self._lease = lease
        self._links = links
        self._policy = policy
        self._ack_timeout_seconds = ack_timeout_seconds
        self._clocks = clocks
        self._memory = memory
        self._just_joined = True
        self._responded_at = time.monotonic()  # when the database did, the last time
        self._away = False

    async def run(self) -> None:
        """Sends heartbeats, evicts expired processes, claims and releases links until cancelled.

        Raises FencedError when this process was evicted, RewoundError when the database is rewound.

        One connection is used throughout: it holds the advisory
        lock by which the other processes see that this one is alive.
        """
        policy = self._policy
        watch = HeartbeatWatch(policy, is_first_connection=self._just_joined)
        sharing = Sharing(self._node, settle_seconds=policy.settle_seconds, unheld_seconds=policy.unheld_seconds)
        try:
            async with self._database.acquire() as connection:
                await locks.hold_node(connection, self._node)
                self._just_joined = False
                while True:
                    async with asyncio.timeout(policy.expired_after_seconds):
                        await self._heartbeat(connection)
                        self._note_response()
                        others = await nodes.others(connection, self._node)
                        await self._evict(connection, watch.observe(time.monotonic(), others))
                        share = await self._share(connection, sharing, watch, others)
                        claimed = await nodes.claim_links(connection, self._node, share.claim)
                        requested = await nodes.claim_bind_requests(connection, self._node)
                    self._links.acquired(claimed)
                    self._links.bind_now(requested)
                    self._links.release(share.release)
                    await asyncio.sleep(policy.heartbeat_seconds)
        except TRANSIENT_ERRORS as error:
            self._note_away(error)
            raise
        finally:
            self._lease.lock_lost()

    async def watch_silence(self) -> None:
        """Ends all connections to the database whenever no heartbeat has got through for the expiry time.

        A server that stops responding does not end them, and whoever waits for it waits for ever. Those that were
        made meanwhile are spared: another server responded, and the heartbeat has yet to find it. A heartbeat that
        a pause of this process has delayed gets the time to arrive.
        """
        silence_seconds = self._policy.expired_after_seconds
        while True:
            await self._lease.wait_lapsed()
            await asyncio.sleep(self._policy.heartbeat_seconds / 2)
            if self._lease.lapsed:
                self._database.drop_connections("no_heartbeat", older_than_seconds=silence_seconds)
                await asyncio.sleep(self._policy.heartbeat_seconds)

    async def _heartbeat(self, connection: Connection) -> None:
        began_at, was_exclusive = time.monotonic(), self._lease.is_exclusive
        await self._memory.check(connection)  # first: a rewound database may lack this process too
        asked_at = time.monotonic()
        database_now = await nodes.heartbeat(connection, self._node, self._clocks.instant(), self._links.wanted())
        await self._clocks.observe(connection, database_now, asked_at)
        before = self._lease.renew(began_at)
        if began_at - before > self._policy.heartbeat_seconds + self._ack_timeout_seconds:
            self._links.paused(before)  # messages in the socket buffers were acknowledged late
        if not was_exclusive:
            self._links.resumed()

    def _note_away(self, error: BaseException) -> None:
        if not self._away:
            self._away = True
            log.error(Event.DATABASE_AWAY, error=type(error).__name__)

    def _note_response(self) -> None:
        now = time.monotonic()
        if self._away:
            self._away = False
            log.warning(Event.DATABASE_BACK, seconds=round(now - self._responded_at, 1))
        self._responded_at = now

    async def _evict(self, connection: Connection, expired: Collection[OtherNode]) -> None:
        evicted, unknown = await nodes.evict_expired(
            connection,
            expired,
            loss_detection_seconds=self._links.loss_detection_seconds,
            pause_after_copy=self._links.pause_after_copy,
        )
        for node in evicted:
            log.warning(Event.NODE_EVICTED, evicted=node)
        for link, segments in unknown.items():
            metrics.count_unknown(link, segments)

    async def _share(
        self, connection: Connection, sharing: Sharing, watch: HeartbeatWatch, others: Collection[OtherNode]
    ) -> Share:
        now = time.monotonic()
        moving = set(watch.moving(now))
        wants: dict[str, Collection[str]] = {other.node: other.wanted for other in others if other.node in moving}
        wants[self._node] = self._links.wanted()
        return sharing.decide(now, wants, await nodes.holders(connection), self._links.held())
