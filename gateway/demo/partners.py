"""The simulated partners of one run: operators, MCB, wallet and SDU, with their outages and actions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import aiohttp

from gateway.demo.clock import ObservedClock
from gateway.demo.families import MCB_DOWN_IIN_PREFIX, Child, Families, Family
from gateway.demo.model import Delivery, Wallet
from gateway.demo.parents import Exchange, Parents
from gateway.demo.process import PASSWORD, SECRET, TOKEN, GatewayProcess
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import PartnerSimulator
from gateway.simulators.receipts import Receipts
from gateway.simulators.rules import Rule
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

LIST_ID = "2026-school-meals"
MIN_OUTAGE_DAYS = 0.5
MIN_OUTAGE_FAILURES = 3
"""An outage lasts so many days at least, and until so many calls have failed."""
OUTAGE_TIMEOUT_SECONDS = 60.0
STATUS_TIMEOUT_SECONDS = 3600.0
VOUCHER_USE_DAYS = 0.8
"""The time from the voucher to its activation, and from that to its use."""


class SimulatedPartners:
    """The partners of one gateway. `on_news` is called with what happens to them, `on_exchange` with exchanges."""

    def __init__(
        self,
        families: Families,
        clock: ObservedClock,
        on_news: Callable[[str], None],
        on_exchange: Callable[[Exchange], None],
    ) -> None:
        deliveries = [(family.msisdn, family.kind.delivery) for family in families.families if family.msisdn]
        lost = [Receipts(outcome="undeliverable", to=msisdn) for msisdn, how in deliveries if how is Delivery.LOST]
        self.smscs = {
            name: SmscSimulator(
                password=PASSWORD,
                rules=[Rule("refuse", to=msisdn) for msisdn, how in deliveries if how is Delivery.REFUSED],
                receipts=[*lost, Receipts(delay=0.2)],
                first_id=first_id,
            )
            for name, first_id in (("kcell", 100_001), ("beeline", 500_001))
        }
        self.mcb = McbSimulator(numbers=families.mcb, token=TOKEN)
        self.wallet = WalletSimulator(token=TOKEN)
        self.sdu = SduSimulator(secret=SECRET, token=TOKEN)
        self.families = families
        self.clock = clock
        self.parents = Parents(families, self.smscs, clock, on_exchange, self._before_reply)
        self._on_news = on_news
        self._tasks: set[asyncio.Task[None]] = set()
        self._wallet_was_down = self._watches_clock = False

    @property
    def http_partners(self) -> dict[str, PartnerSimulator]:
        return {"mcb": self.mcb, "wallet": self.wallet, "sdu": self.sdu}

    @property
    def servers(self) -> dict[str, SmscSimulator | PartnerSimulator]:
        return {**self.smscs, **self.http_partners}

    @property
    def segments(self) -> int:
        """How many submit_sm the operators have received so far."""
        return sum(len(smsc.submitted) for smsc in self.smscs.values())

    @asynccontextmanager
    async def open(self) -> AsyncIterator["SimulatedPartners"]:
        """The partners, listening inside the block."""
        async with AsyncExitStack() as stack:
            for server in self.servers.values():
                await stack.enter_async_context(server)
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, gateway: GatewayProcess) -> None:
        """Starts the outages and actions of the scenarios."""
        self.watch_clock()
        for child in self.families.children:
            if child.scenario.wallet is Wallet.HAS_ONE:
                self.wallet.has_voucher(child.pupil.iin)
            elif child.scenario.wallet is Wallet.REFUSES:
                self.wallet.reject(child.pupil.iin, "the pupil is not entitled")
            if child.scenario.cancelled:
                self._start(self._cancel(child, gateway))
            if child.scenario.uses_voucher:
                self._start(self._use_voucher(child, gateway))
        if affected := sum(family.kind.mcb_down for family in self.families.families):
            self._on_news(f"the MCB is partly down: the look-ups of {affected} mothers get 503")
            self.mcb.down(containing=f'"{MCB_DOWN_IIN_PREFIX}')
            self._start(self._end_outage(self.mcb, "the MCB"))

    def watch_clock(self) -> None:
        """Derives business time from the statuses as they arrive."""
        if not self._watches_clock:
            self._watches_clock = True
            self._start(self._watch_clock())

    def failures(self) -> list[str]:
        """Contract violations that the partners have recorded, and failures of the simulation itself."""
        found = [
            f"{name}: {complaint}" for name, server in self.servers.items() for complaint in server.complaints
        ]
        found += [f"{name}: {failure!r}" for name, smsc in self.smscs.items() for failure in smsc.failures]
        found += [
            f"simulation: {task.exception()!r}"
            for task in self._tasks
            if task.done() and not task.cancelled() and task.exception()
        ]
        return found + self.parents.unexpected

    # Outages and actions

    def _before_reply(self, family: Family) -> None:
        """Takes the wallet down before the first consent of a family whose kind needs that."""
        if family.kind.wallet_down and not self._wallet_was_down:
            self._wallet_was_down = True
            self._on_news("the wallet is down: every request gets 503")
            self.wallet.down()
            self._start(self._end_outage(self.wallet, "the wallet"))

    async def _end_outage(self, partner: PartnerSimulator, name: str) -> None:
        failed = partner.failed
        await asyncio.sleep(self.clock.seconds(MIN_OUTAGE_DAYS))
        await partner.wait_for(
            lambda: partner.failed >= failed + MIN_OUTAGE_FAILURES, within=OUTAGE_TIMEOUT_SECONDS
        )
        partner.up()
        self._on_news(f"{name} is up again, {partner.failed - failed} calls have failed")

    async def _watch_clock(self) -> None:
        seen = 0

        def has_new_events() -> bool:
            return len(self.sdu.events) > seen

        while True:
            with suppress(TimeoutError):
                await self.sdu.wait_for(has_new_events, within=STATUS_TIMEOUT_SECONDS)
            for event in self.sdu.events[seen:]:
                self.clock.observe(datetime.fromisoformat(event["at"]))
            seen = len(self.sdu.events)

    async def _cancel(self, child: Child, gateway: GatewayProcess) -> None:
        asked = await self.sdu.status(child.record_id, "asked", within=STATUS_TIMEOUT_SECONDS)
        await asyncio.sleep(self.clock.seconds(1))
        self._on_news(f"SDU cancels {child.record_id}: the family has moved abroad")
        url = f"{gateway.url}/v1/cases/{asked['case_id']}/cancel"
        async with (
            aiohttp.ClientSession(headers=sdu_headers()) as http,
            http.post(url, json={"reason": "the family has moved abroad"}) as response,
        ):
            response.raise_for_status()

    async def _use_voucher(self, child: Child, gateway: GatewayProcess) -> None:
        """The parent activates the voucher in the wallet, and the child has a meal."""
        issued = await self.sdu.status(child.record_id, "voucher_issued", within=STATUS_TIMEOUT_SECONDS)
        for type_ in ("activated", "used"):
            await asyncio.sleep(self.clock.seconds(VOUCHER_USE_DAYS))
            now = self.clock.now()
            assert now, "a status has told the time"
            event = WalletSimulator.event(issued["case_id"], type_, at=now.isoformat(timespec="milliseconds"))
            status, body = await self.wallet.post_events(gateway.url, f"{TOKEN}-wallet", [event])
            if (status, body["taken"]) != (200, 1):
                raise ValueError(f"the response to the wallet's event is {status} {body}")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))


def sdu_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}-sdu"}


async def push_list(http: aiohttp.ClientSession, lines: Iterable[bytes], list_id: str = LIST_ID) -> dict[str, Any]:
    """Pushes a recipient list as SDU does; the gateway's response."""

    async def chunks() -> AsyncIterator[bytes]:
        for line in lines:
            yield line

    headers = {"Content-Type": "application/x-ndjson"}
    async with http.put(f"/v1/lists/{list_id}", data=chunks(), headers=headers) as response:
        response.raise_for_status()
        body: dict[str, Any] = await response.json()
        return body
