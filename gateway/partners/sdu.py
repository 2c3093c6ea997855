"""SDU takes statuses back: pushed in batches, in order, signed, again and again until it has taken them.

The signature is that of Standard Webhooks. The cursor moves after SDU's answer: what it took just before we were
killed comes once more, under the same event_ids.
"""

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
import orjson

from gateway import metrics
from gateway.clock import wall_now
from gateway.config.model import Sdu as SduConfig
from gateway.logs.log import Event, get_logger
from gateway.partners.responses import TRANSIENT_ERRORS, retry_after
from gateway.store import feeds, statuses
from gateway.usecases.unit_of_work import Journeys

log = get_logger()

FEED = "sdu"
BACKOFF = (0.5, 60.0)
TIMEOUT = aiohttp.ClientTimeout(total=30)


class SduPush:
    """The pushing half of the status feed; one process of the cluster at a time."""

    def __init__(self, http: aiohttp.ClientSession, config: SduConfig, journeys: Journeys) -> None:
        self._http = http
        self._config = config
        self._journeys = journeys
        self._url = config.url.rstrip("/") + "/v1/statuses"
        self._stopping = asyncio.Event()
        self._pushing = asyncio.Lock()
        self._key = base64.b64decode(config.signing_secret.removeprefix("whsec_"))

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            while await self._push_in_peace():
                pass
            await self._journeys.signals.statuses.wait()

    async def stop(self) -> None:
        """Pushes no more; returns once SDU has answered what is under way, and the cursor has moved."""
        self._stopping.set()
        async with self._pushing:
            pass

    async def _push_in_peace(self) -> bool:
        async with self._pushing:
            return not self._stopping.is_set() and await self._push()

    async def _push(self) -> bool:
        """Pushes one batch and sees it taken; whether there was one."""
        journeys = self._journeys
        async with journeys.database.acquire() as connection:
            cursor = await feeds.claim(connection, FEED, journeys.node)
            if cursor is None:
                return False
            events = await statuses.after(connection, cursor, self._config.batch)
        if not events:
            return False
        calendar = journeys.rules.calendar
        if not await self._deliver(
            orjson.dumps({"events": [statuses.as_json(event, calendar) for event in events]})
        ):
            return False
        metrics.SDU_EVENTS.inc(len(events))
        async with journeys.database.acquire() as connection:
            await feeds.advance(connection, FEED, journeys.node, events[-1].seq)
        return True

    async def _deliver(self, body: bytes) -> bool:
        """Posts one body until SDU takes it; False when we stop before it has."""
        first, longest = BACKOFF
        failures = 0
        while not self._stopping.is_set():
            try:
                async with self._http.post(
                    self._url, data=body, headers=self._headers(body), timeout=TIMEOUT, allow_redirects=False
                ) as response:
                    if response.ok and response.status < 300:
                        metrics.SDU_PUSHES.labels("taken").inc()
                        return True
                    reason, asked = str(response.status), retry_after(response.headers, wall_now())
            except TRANSIENT_ERRORS as error:
                reason, asked = type(error).__name__, None
            metrics.SDU_PUSHES.labels("again").inc()
            seconds = min(longest, first * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
            failures += 1
            if asked is not None:
                seconds = asked.total_seconds()
            log.warning(Event.PARTNER_UNAVAILABLE, call=FEED, reason=reason, retry_in=round(seconds, 1))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()
        return False

    def _headers(self, body: bytes) -> Mapping[str, str]:
        """Standard Webhooks: the id is the content's own, so that a repeated one is always the same message."""
        message_id = "msg_" + hashlib.sha256(body).hexdigest()[:32]
        timestamp = str(int(wall_now().timestamp()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return {
            "Authorization": f"Bearer {self._config.token}",
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }
