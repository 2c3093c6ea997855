"""Pushes statuses to SDU: in batches, in order, signed, each batch retried until SDU has accepted it.

Nothing is left out: a status that SDU does not accept holds up the ones behind it, and an alert is raised.

The cursor moves after SDU's response: a batch that SDU accepted just before the process was killed is pushed
again, with the same event_ids.
"""

import asyncio
import base64
import hashlib
import hmac
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus

import aiohttp
import orjson

from gateway import metrics
from gateway.clock import wall_now
from gateway.cluster.wakeups import WakeUp
from gateway.config.model import Sdu as SduConfig
from gateway.config.policy import PartnerPolicy
from gateway.partners.availability import Availability
from gateway.partners.batch_size import BatchSize
from gateway.partners.responses import REQUEST_ERRORS, FailureKind, Unavailable
from gateway.partners.silence import Silence
from gateway.store.rewinds import HEAD_HEADER, Head
from gateway.tracing.context import HEADER, traceparent
from gateway.usecases.status_feed import FEED, StatusBatch, StatusFeed

TIMEOUT = aiohttp.ClientTimeout(total=30)
"""The longest push."""


class SduClient:
    """Pushes one batch a request, signed as Standard Webhooks describes."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        config: SduConfig,
        *,
        now: Callable[[], datetime] = wall_now,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
    ) -> None:
        """`now` is the real instant of a push: SDU accepts one that differs from its own clock by minutes only."""
        self._now = now
        self._http = http
        self._url = config.url + "/v1/statuses"
        self._token = config.token
        self._key = base64.b64decode(config.signing_secret.removeprefix("whsec_"))
        self._timeout = timeout
        self._silence = Silence(FEED)

    async def post(self, body: bytes, head: Head, of_cases: Sequence[str] = ()) -> Unavailable | None:
        """None when SDU has accepted the body, by any 2xx; else why it has not. `head` is a header beside it.

        `of_cases`: those whose statuses are in the body, for its trace.
        """
        octets = io.BytesIO(body)  # a large batch is written in chunks, between which other tasks run
        try:
            with self._silence.request():
                async with self._http.post(
                    self._url,
                    data=octets,
                    headers=self._headers(body, head),
                    timeout=self._timeout,
                    allow_redirects=False,
                    trace_request_ctx=of_cases,
                ) as response:
                    if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                        return None
                    return Unavailable.by_response(response)
        except REQUEST_ERRORS as error:
            return Unavailable.by_error(error)

    def _headers(self, body: bytes, head: Head) -> Mapping[str, str]:
        """Those of Standard Webhooks, and the last entry of the journal.

        `webhook-id` is derived from the body: a repeated push has the same one.
        """
        digest = hashlib.sha256(body).hexdigest()[:32]
        message_id = f"msg_{digest}"
        timestamp = str(int(self._now().timestamp()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "webhook-id": message_id,
            HEADER: traceparent(digest),  # of the batch, which has statuses of many cases
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
            HEAD_HEADER: str(head),
        }


class Delivery(Enum):
    """What became of a batch."""

    ACCEPTED = auto()
    TOO_LARGE = auto()
    """The request was too large: SDU may accept a smaller one."""
    STOPPED = auto()
    """`stop` was called before SDU accepted it."""


class SduPush:
    """Pushes the status feed from its cursor on; one process of the cluster at a time."""

    def __init__(
        self,
        client: SduClient,
        feed: StatusFeed,
        *,
        batch: int,
        wakeup: WakeUp,
        policy: PartnerPolicy,
    ) -> None:
        """`batch` is how many events go into one request at most."""
        self._client = client
        self._feed = feed
        self._size = BatchSize(batch)
        self._wakeup = wakeup
        self._availability = Availability(FEED, outage=policy.push, policy=policy)
        self._stopping = asyncio.Event()
        self._pushing = asyncio.Lock()

    async def run(self) -> None:
        """Runs until cancelled."""
        try:
            while True:
                while await self._push_unless_stopping():
                    pass
                await self._wakeup.wait()
        finally:
            self._availability.close()

    async def stop(self) -> None:
        """Starts no further push; returns once SDU has responded to the one under way and the cursor has moved."""
        self._stopping.set()
        async with self._pushing:
            pass

    async def _push_unless_stopping(self) -> bool:
        async with self._pushing:
            return not self._stopping.is_set() and await self._push()

    async def _push(self) -> bool:
        """Pushes one batch until SDU has responded to it; False when there is none, or `stop` is called before."""
        batch = await self._feed.claim(self._size.records)
        if batch is None:
            return False
        events = len(batch.events)
        delivery = await self._deliver(orjson.dumps({"events": batch.events}), batch)
        if delivery is Delivery.TOO_LARGE:
            self._size.too_large(events)
        if delivery is Delivery.ACCEPTED:
            self._size.accepted(events)
            metrics.SDU_EVENTS.inc(events)
            await self._feed.acknowledge(batch)
        return delivery is not Delivery.STOPPED

    async def _deliver(self, body: bytes, batch: StatusBatch) -> Delivery:
        """Pushes the body of a batch until SDU accepts it, or does not accept so many events."""
        of_cases = [event["case_id"] for event in batch.events]
        while not self._stopping.is_set():
            unavailable = await self._client.post(body, batch.head, of_cases)
            if unavailable is None:
                metrics.SDU_PUSHES.labels("accepted").inc()
                self._availability.responded()
                self._availability.succeeded()
                return Delivery.ACCEPTED
            metrics.SDU_PUSHES.labels("retry").inc()
            if unavailable.kind is FailureKind.TOO_LARGE and len(of_cases) > 1:
                return Delivery.TOO_LARGE
            await self._pause(unavailable)
        return Delivery.STOPPED

    async def _pause(self, unavailable: Unavailable) -> None:
        """Waits until the next attempt, or until `stop` is called."""
        kind = unavailable.kind
        if kind is FailureKind.INVALID and not self._availability.count_invalid():
            kind = FailureKind.OUTAGE
        seconds = self._availability.failed(kind, unavailable.reason, unavailable.retry_after)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
