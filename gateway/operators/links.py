"""The links that this process holds: started when claimed, released when they are too many, stopped together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta

from gateway import metrics
from gateway.cluster.fencing import fenced_transaction
from gateway.cluster.lease import Lease
from gateway.cluster.retry import run_with_retry
from gateway.cluster.wakeups import WakeUps
from gateway.config import Link as LinkConfig
from gateway.config.policy import Policy
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.link import Link
from gateway.operators.receiver import Receiver
from gateway.store import nodes, sms
from gateway.store.database import Database
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts

log = get_logger()


class Links:
    """The configured links that this process holds; implements `cluster.membership.LinkHolder`."""

    def __init__(
        self,
        configs: Mapping[str, LinkConfig],
        *,
        database: Database,
        node: str,
        lease: Lease,
        wakeups: WakeUps,
        receiver: Receiver,
        state: SendingState,
        sent_texts: Callable[[LinkConfig], SentTexts],
        policy: Policy,
    ) -> None:
        self._configs = configs
        self._database = database
        self._node = node
        self._lease = lease
        self._wakeups = wakeups
        self._receiver = receiver
        self._state = state
        self._sent_texts = sent_texts
        self._policy = policy
        self._held: dict[str, Link] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._releasing: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False

    async def run(self) -> None:
        """Runs the links that this process claims, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    @property
    def loss_detection_seconds(self) -> float:
        """The longest time until the loss of a connection is detected."""
        return max((config.loss_detection_seconds for config in self._configs.values()), default=0.0)

    @property
    def pause_after_copy(self) -> timedelta:
        """The wait after the second sending of a text in one submit_sm."""
        return self._policy.links.pause_after_copy

    def wanted(self) -> Collection[str]:
        """The links that this process would hold: its configured ones, none while it stops."""
        return () if self._stopping else self._configs.keys()

    def acquired(self, names: Collection[str]) -> None:
        """Starts the links that this process has claimed."""
        if self._stopping or self._group is None:
            return
        for name in names:
            log.info(LogEvent.LINK_CLAIMED, link=name)
            config = self._configs[name]
            link = self._held[name] = Link(
                config,
                database=self._database,
                node=self._node,
                lease=self._lease,
                receiver=self._receiver,
                state=self._state,
                texts=self._sent_texts(config),
                wakeup=self._wakeups.texts[name],
                policy=self._policy,
            )
            self._running[name] = self._group.create_task(link.run())

    def release(self, names: Collection[str]) -> None:
        """Begins to drain and release these links, which another process is to claim."""
        if self._stopping or self._group is None:
            return
        for name in names:
            if name in self._held and name not in self._releasing:
                self._releasing.add(name)
                self._group.create_task(self._release(name))

    def bind_now(self, names: Collection[str]) -> None:
        """Ends the waits of these links between two attempts to bind."""
        for name in names:
            if name in self._held:
                self._held[name].bind_now()

    def paused(self, since: float) -> None:
        """Notes that messages may have been acknowledged too late since `since` (monotonic seconds)."""
        for link in self._held.values():
            link.note_unacknowledged(since)

    def resumed(self) -> None:
        """Submits again: the lease is exclusive again."""
        for link in self._held.values():
            link.resume()

    async def _release(self, name: str) -> None:
        """Releases one link, once nothing that it has sent or received is left to this process."""
        link = self._held[name]
        try:
            if not await link.drain():
                return  # the next heartbeat tries again
            link.defer_deliveries()
            await self._receiver.flushed_link(name)  # a response after the unbind may be lost
            await link.close()
            await self._retry(link.flush, name)
            running = self._running.pop(name)
            running.cancel()
            await asyncio.wait([running])
            await self._receiver.flushed_link(name)
            await self._retry(link.flush, name)
            await self._retry(lambda: self._release_row(name), name)
            del self._held[name], self._state.senders[name]
            metrics.BOUND.labels(name).set(0)
            metrics.LINK_STOPPED.labels(name).set(0)
            metrics.LINKS_REBALANCED.labels(name).inc()
            log.info(LogEvent.LINK_REBALANCED, link=name)
        finally:
            self._releasing.discard(name)

    async def _retry(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        await run_with_retry(work, "release_link", backoff=self._policy.task_retry, link=name)

    async def _release_row(self, name: str) -> None:
        async with fenced_transaction(self._database, self._node) as connection:
            await sms.release_others(connection, self._node, name, ())
            await nodes.release_link(connection, self._node, name)

    def held(self) -> Mapping[str, Link]:
        """The links of this process, by name."""
        return dict(self._held)

    def stop_acquiring(self) -> None:
        """Claims no more links, because the process stops."""
        self._stopping = True
