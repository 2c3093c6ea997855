"""The receiving side of all links: deliver_sm and data_sm are stored before they are acknowledged.

All PDUs that arrive during one transaction are stored by the next one. The response, with ESME_ROK, is sent after
the commit. When a PDU could not be stored, the response has the link's `defer_status`, so that the SMSC keeps it
and delivers it again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from gateway import metrics
from gateway.cluster.retry import TRANSIENT_ERRORS, batch_then_singly
from gateway.config import Link as LinkConfig
from gateway.config.policy import ReceiverPolicy
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.decoding import decode_into
from gateway.operators.inbound_queue import InboundQueue, weight
from gateway.smpp.session import Received
from gateway.store.nodes import FencedError
from gateway.time_slice import TimeSlice
from gateway.usecases.inbound import Inbound, InboundBatch, UnacknowledgedPeriod

log = get_logger()


class InboundConnection(Protocol):
    """What the receiver needs of the connection by which a message came."""

    @property
    def is_bound(self) -> bool:
        """Neither side has sent an unbind, and the connection is open."""
        ...

    def respond(self, command_id: int, sequence_number: int, command_status: int = 0) -> None:
        """Responds to the message; does nothing when the connection is closed."""
        ...

    def pause_reading(self) -> None:
        """Stops reading, so that TCP flow control stops the SMSC."""
        ...

    def resume_reading(self) -> None:
        """Reads again."""
        ...


class _Delivery(NamedTuple):
    """A deliver_sm or data_sm to store."""

    bind: InboundConnection
    link: LinkConfig
    received: Received
    at: float  # of its arrival, monotonic seconds


class Receiver:
    """The receiver of all links of the process."""

    def __init__(self, inbound: Inbound, policy: ReceiverPolicy) -> None:
        self._inbound = inbound
        self._policy = policy
        self._queue = InboundQueue[_Delivery](
            max_queued=policy.max_queued, max_queued_octets=policy.max_queued_octets
        )
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._flushes: dict[str, asyncio.Event] = {}  # by link; set between two batches
        self._paused: dict[InboundConnection, tuple[str, float]] = {}  # its link, and since when (monotonic)
        self._periods: dict[
            str, tuple[float, float]
        ] = {}  # by link: unacknowledged from, to (monotonic); not stored

    def receive(self, bind: InboundConnection, link: LinkConfig, received: Received) -> None:
        """Queues a deliver_sm or data_sm."""
        self._queue.add(link.name, _Delivery(bind, link, received, time.monotonic()), weight(received.body))
        self._wake()
        if bind not in self._paused and self._queue.is_full(link.name):
            self._paused[bind] = link.name, time.monotonic()
            bind.pause_reading()

    def note_unacknowledged(self, link: str, began: float, ended: float | None = None) -> None:
        """Notes a period (monotonic seconds; `ended` None: until now) in which responses may not have arrived.

        A reply received in it may be redelivered: consent/redelivery.py.
        """
        ended = time.monotonic() if ended is None else ended
        first, last = self._periods.get(link, (began, ended))
        self._periods[link] = min(first, began), max(last, ended)
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def flushed(self) -> None:
        """Returns when everything received is stored and acknowledged, and every period is stored."""
        await self._idle.wait()

    async def flushed_link(self, link: str) -> None:
        """The same for one link, of which no more is received."""
        self._work.set()
        await self._flushes.setdefault(link, asyncio.Event()).wait()

    async def run(self) -> None:
        """Stores and acknowledges received messages until cancelled."""
        queue, policy = self._queue, self._policy
        while True:
            while queue:
                await self._process(queue.next_batch(policy.max_batch))
                self._resume_reading()  # another bind may never stop sending
                self._note_flushed()
            if self._periods:
                await self._note_periods()
            self._note_flushed()
            if not self._periods and not queue:
                self._idle.set()
                await self._work.wait()
            self._work.clear()

    def _note_flushed(self) -> None:
        for link in list(self._flushes):
            if link not in self._periods and not self._queue.has(link):
                self._flushes.pop(link).set()

    def _resume_reading(self) -> None:
        """Reads paused connections whose link has room. PDUs in their receive buffers have waited meanwhile."""
        now, ack_timeout = time.monotonic(), self._policy.ack_timeout_seconds
        for bind, (link, since) in list(self._paused.items()):
            if not self._queue.has_room(link):
                continue
            del self._paused[bind]
            bind.resume_reading()
            if now - since > ack_timeout:
                self.note_unacknowledged(link, since, now + ack_timeout)

    async def _note_periods(self) -> None:
        noted = dict(self._periods)
        try:
            async with asyncio.timeout(self._policy.store_timeout_seconds):
                await self._inbound.note(_ago(noted))
        except TRANSIENT_ERRORS:
            retry_in = self._policy.note_retry_seconds
            log.error(LogEvent.TASK_FAILED, task="note_unacknowledged", retry_in=retry_in)
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_in):
                    await self._work.wait()
        else:
            self._forget_periods(noted)

    def _forget_periods(self, noted: Mapping[str, tuple[float, float]]) -> None:
        self._periods = {link: times for link, times in self._periods.items() if noted.get(link) != times}

    async def _process(self, batch: Sequence[_Delivery]) -> None:
        """Stores a batch and acknowledges it; when one of its PDUs makes it fail, each PDU separately."""
        pending = {id(delivery): delivery for delivery in batch}

        async def store(deliveries: Sequence[_Delivery]) -> None:
            await self._store(deliveries)
            for delivery in deliveries:
                del pending[id(delivery)]

        async def failed(delivery: _Delivery, error: Exception) -> None:
            del pending[id(delivery)]
            self._reject([delivery], error)

        try:
            await batch_then_singly(batch, store, failed)
        except FencedError:
            raise
        except TRANSIENT_ERRORS as error:
            self._reject(list(pending.values()), error)

    async def _store(self, deliveries: Sequence[_Delivery]) -> None:
        """Commits the deliveries, then acknowledges them."""
        noted = dict(self._periods)
        batch, time_slice = InboundBatch(), TimeSlice()
        for delivery in deliveries:
            await time_slice.yield_if_spent()
            decode_into(batch, delivery.link, delivery.received)
        async with asyncio.timeout(self._policy.store_timeout_seconds):
            await self._inbound.store(batch, _ago(noted))
        self._forget_periods(noted)
        self._respond(deliveries, stored=True)
        now = time.monotonic()
        for delivery in deliveries:
            metrics.INBOUND_COMMITTED.observe(now - delivery.at)
            late = now - delivery.at > self._policy.ack_timeout_seconds
            if late or not delivery.bind.is_bound:
                self.note_unacknowledged(delivery.link.name, delivery.at)

    def _reject(self, deliveries: Sequence[_Delivery], error: Exception) -> None:
        """Responds with `defer_status`. They may be stored all the same, when the COMMIT was not confirmed."""
        log.error(LogEvent.INBOUND_NOT_STORED, pdus=len(deliveries), exc_info=error)
        for delivery in deliveries:
            metrics.INBOUND_NOT_STORED.labels(delivery.link.name).inc()
            self.note_unacknowledged(delivery.link.name, delivery.at)
        self._respond(deliveries, stored=False)

    def _respond(self, deliveries: Sequence[_Delivery], *, stored: bool) -> None:
        for delivery in deliveries:
            received, command_status = delivery.received, 0 if stored else delivery.link.defer_status
            delivery.bind.respond(received.command_id, received.sequence_number, command_status)


def _ago(periods: Mapping[str, tuple[float, float]]) -> list[UnacknowledgedPeriod]:
    now = time.monotonic()
    return [UnacknowledgedPeriod(link, now - began, now - ended) for link, (began, ended) in periods.items()]
