"""A process's membership of the cluster: its heartbeats, the eviction of expired processes, the claim of free links."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from gateway import metrics
from gateway.cluster.lease import Lease
from gateway.cluster.retry import TRANSIENT_ERRORS
from gateway.config.policy import MembershipPolicy
from gateway.logs.log import Event, get_logger
from gateway.store import nodes
from gateway.store.database import Connection, Database

log = get_logger()

LEAVE_TIMEOUT_SECONDS = 1.0


class LinkHolder(Protocol):
    """Whoever runs the links that this process holds."""

    @property
    def loss_detection_seconds(self) -> float:
        """The longest time for which a link may be lost before that is known."""
        ...

    def wanted(self) -> Collection[str]:
        """The links that this process would hold besides those it has."""
        ...

    def acquired(self, names: Collection[str]) -> None:
        """These links are this process's from now on."""
        ...

    def paused(self, since: float) -> None:
        """No heartbeat was committed since then (monotonic)."""
        ...

    def resumed(self) -> None:
        """This process is sure again to be the only one that holds its links."""
        ...


class Membership:
    """One process's, from `join` to `leave`."""

    def __init__(
        self,
        *,
        database: Database,
        node: str,
        lease: Lease,
        links: LinkHolder,
        policy: MembershipPolicy,
        ack_timeout_seconds: float,
    ) -> None:
        """A heartbeat that is later than the SMSC waits for a deliver_sm_resp makes a pause known."""
        self._database = database
        self._node = node
        self._lease = lease
        self._links = links
        self._policy = policy
        self._ack_timeout_seconds = ack_timeout_seconds
        self._just_joined = True

    async def run(self) -> None:
        """Keeps the process a member, until cancelled. Raises FencedError when it was evicted.

        The connection is kept: it holds the lock that shows the others that this process lives.
        """
        try:
            async with self._database.acquire() as connection:
                await nodes.hold_lock(connection, self._node)
                # Where our connection has ended, others' may have as well, and nobody was killed: they come back.
                evict_unlocked, self._just_joined = self._just_joined, False
                while True:
                    async with asyncio.timeout(self._policy.expired_after_seconds):
                        await self._heartbeat(connection)
                        await self._evict(connection, unlocked=evict_unlocked)
                        claimed = await nodes.claim_links(connection, self._node, self._links.wanted())
                    evict_unlocked = True
                    self._links.acquired(claimed)
                    await asyncio.sleep(self._policy.heartbeat_seconds)
        finally:
            self._lease.lock_lost()

    async def leave(self) -> None:
        """Releases links and work at once, so that no other process has to wait for the heartbeats to expire."""
        with suppress(*TRANSIENT_ERRORS):
            async with asyncio.timeout(LEAVE_TIMEOUT_SECONDS), self._database.acquire() as connection:
                await nodes.leave(connection, self._node)

    async def _heartbeat(self, connection: Connection) -> None:
        began_at, was_exclusive = time.monotonic(), self._lease.is_exclusive
        await nodes.heartbeat(connection, self._node)
        before = self._lease.renew(began_at)
        if began_at - before > self._policy.heartbeat_seconds + self._ack_timeout_seconds:
            self._links.paused(before)  # what lay in the sockets was acknowledged late
        if not was_exclusive:
            self._links.resumed()

    async def _evict(self, connection: Connection, *, unlocked: bool) -> None:
        evicted, unknown = await nodes.evict_expired(
            connection,
            self._node,
            expired_after=self._policy.expired_after_seconds,
            restart_grace=self._policy.restart_grace_seconds,
            loss_detection_seconds=self._links.loss_detection_seconds,
            unlocked=unlocked,
        )
        for node in evicted:
            log.warning(Event.NODE_EVICTED, evicted=node)
        for link, segments in unknown.items():
            metrics.SEGMENTS_UNKNOWN.labels(link).inc(segments)
