"""Pushes statuses to SDU: in batches, in order, signed, each batch retried until SDU has taken it.

The cursor moves after SDU's response: a batch that SDU took just before the process was killed is pushed again,
with the same event_ids.
"""

import asyncio
import base64
import hashlib
import hmac
import io
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

import aiohttp
import orjson

from gateway import metrics
from gateway.backoff import Backoff
from gateway.clock import wall_now
from gateway.cluster.wakeups import WakeUp
from gateway.config.model import Sdu as SduConfig
from gateway.logs.log import Event, get_logger
from gateway.partners.responses import REQUEST_ERRORS, Unavailable
from gateway.usecases.status_feed import FEED, StatusFeed

log = get_logger()

TIMEOUT = aiohttp.ClientTimeout(total=30)
"""Of one push."""


class SduClient:
    """Pushes one batch a request, signed as Standard Webhooks describes."""

    def __init__(
        self, http: aiohttp.ClientSession, config: SduConfig, *, timeout: aiohttp.ClientTimeout = TIMEOUT
    ) -> None:
        self._http = http
        self._url = config.url.rstrip("/") + "/v1/statuses"
        self._token = config.token
        self._key = base64.b64decode(config.signing_secret.removeprefix("whsec_"))
        self._timeout = timeout

    async def post(self, body: bytes) -> Unavailable | None:
        """None when SDU has taken the body, by any 2xx; else why it has not."""
        octets = io.BytesIO(body)  # a large batch is written in chunks, between which other tasks run
        try:
            async with self._http.post(
                self._url, data=octets, headers=self._headers(body), timeout=self._timeout, allow_redirects=False
            ) as response:
                if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    return None
                return Unavailable.by_response(response)
        except REQUEST_ERRORS as error:
            return Unavailable.by_error(error)

    def _headers(self, body: bytes) -> Mapping[str, str]:
        """Those of Standard Webhooks. `webhook-id` is derived from the body: a repeated push has the same one."""
        message_id = "msg_" + hashlib.sha256(body).hexdigest()[:32]
        timestamp = str(int(wall_now().timestamp()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


class SduPush:
    """Pushes the status feed from its cursor on; one process of the cluster at a time."""

    def __init__(
        self,
        client: SduClient,
        feed: StatusFeed,
        *,
        batch: int,
        wakeup: WakeUp,
        backoff: Backoff,
    ) -> None:
        """`batch` is how many events go into one request."""
        self._client = client
        self._feed = feed
        self._batch = batch
        self._wakeup = wakeup
        self._backoff = backoff
        self._stopping = asyncio.Event()
        self._pushing = asyncio.Lock()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            while await self._push_unless_stopping():
                pass
            await self._wakeup.wait()

    async def stop(self) -> None:
        """Starts no further push; returns once SDU has responded to the one under way and the cursor has moved."""
        self._stopping.set()
        async with self._pushing:
            pass

    async def _push_unless_stopping(self) -> bool:
        async with self._pushing:
            return not self._stopping.is_set() and await self._push()

    async def _push(self) -> bool:
        """Pushes one batch until SDU takes it; False when there is none, or `stop` is called before that."""
        batch = await self._feed.claim(self._batch)
        if batch is None or not await self._deliver(orjson.dumps({"events": batch.events})):
            return False
        metrics.SDU_EVENTS.inc(len(batch.events))
        await self._feed.acknowledge(batch)
        return True

    async def _deliver(self, body: bytes) -> bool:
        """Pushes one body until SDU takes it; False when `stop` is called before that."""
        failures = 0
        while not self._stopping.is_set():
            unavailable = await self._client.post(body)
            if unavailable is None:
                metrics.SDU_PUSHES.labels("accepted").inc()
                return True
            metrics.SDU_PUSHES.labels("retry").inc()
            failures += 1
            seconds = self._backoff.delay(failures)
            if unavailable.retry_after is not None:
                seconds = unavailable.retry_after.total_seconds()
            log.warning(
                Event.PARTNER_UNAVAILABLE, call=FEED, reason=unavailable.reason, retry_in=round(seconds, 1)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
        return False
