"""The links that this process holds: started when it claims them, stopped together."""

import asyncio
from collections.abc import Callable, Collection, Mapping

from gateway.cluster.lease import Lease
from gateway.cluster.wakeups import WakeUps
from gateway.config import Link as LinkConfig
from gateway.config.policy import Policy
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.link import Link
from gateway.operators.receiver import Receiver
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
        self._tasks: list[asyncio.Task[None]] = []
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

    def wanted(self) -> Collection[str]:
        """The links that this process should claim."""
        return () if self._stopping else self._configs.keys() - self._held.keys()

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
            self._group.create_task(link.run())

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

    def held(self) -> Mapping[str, Link]:
        """The links of this process, by name."""
        return dict(self._held)

    def stop_acquiring(self) -> None:
        """Claims no more links, because the process stops."""
        self._stopping = True
