"""What stands around the gateway: operators, MCB, wallet and SDU, and what befalls them during the run."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp

from gateway.demo.cast import MCB_DOWN_BORN, Cast, Child, Family
from gateway.demo.clock import ObservedClock
from gateway.demo.parents import Exchange, Parents
from gateway.demo.process import SECRET, TOKEN, GatewayProcess
from gateway.demo.roles import Network, Wallet
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import Partner
from gateway.simulators.receipts import Receipts
from gateway.simulators.rules import Rule
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

LIST_ID = "2026-school-meals"
OUTAGE = 0.5
"""Days for which a partner is down, at least; each outage costs at least FAILURES calls."""
FAILURES = 3


class Stage:
    """The partners of one gateway. `tell` hears what befalls them, `hear` what parents read and write."""

    def __init__(
        self, cast: Cast, clock: ObservedClock, tell: Callable[[str], None], hear: Callable[[Exchange], None]
    ) -> None:
        numbers = [(family.msisdn, family.role.network) for family in cast.families if family.msisdn]
        lost = [Receipts(outcome="undeliverable", to=msisdn) for msisdn, how in numbers if how is Network.LOSES]
        self.networks = {
            name: SmscSimulator(
                password=TOKEN[:8],
                rules=[Rule("refuse", to=msisdn) for msisdn, how in numbers if how is Network.REFUSES],
                receipts=[*lost, Receipts(delay=0.2)],
                first_id=first_id,
            )
            for name, first_id in (("kcell", 100_001), ("beeline", 500_001))
        }
        self.mcb = McbSimulator(numbers=cast.mcb, token=TOKEN)
        self.wallet = WalletSimulator(token=TOKEN)
        self.sdu = SduSimulator(secret=SECRET, token=TOKEN)
        self.cast = cast
        self.clock = clock
        self.parents = Parents(cast, self.networks, clock, hear, self._before_reply)
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()
        self._wallet_fell = False

    @property
    def partners(self) -> dict[str, Partner]:
        return {"mcb": self.mcb, "wallet": self.wallet, "sdu": self.sdu}

    @property
    def servers(self) -> dict[str, SmscSimulator | Partner]:
        return {**self.networks, **self.partners}

    @property
    def segments(self) -> int:
        """submit_sm that the operators have had so far."""
        return sum(len(network.submitted) for network in self.networks.values())

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """The stage, listening inside the block."""
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
        """From now on the stage goes on by itself, as the scripts say."""
        self._start(self._watch_clock())
        for child in self.cast.children:
            if child.script.wallet is Wallet.HAS_ONE:
                self.wallet.have(child.pupil.iin)
            elif child.script.wallet is Wallet.REFUSES:
                self.wallet.reject(child.pupil.iin, "the pupil is not entitled")
            if child.script.cancelled:
                self._start(self._cancel(child, gateway))
            if child.script.uses_voucher:
                self._start(self._use_voucher(child, gateway))
        if unknown := sum(family.role.mcb_down for family in self.cast.families):
            self._tell(f"a part of the MCB is down: {unknown} mothers' numbers get 503")
            self.mcb.down(containing=f'"{MCB_DOWN_BORN}')
            self._start(self._mend(self.mcb, "the MCB", "answers about everybody again"))

    def failures(self) -> list[str]:
        """What went wrong with the simulation itself, and what partners found the gateway doing wrong."""
        wrong = [
            f"{name}: {complaint}" for name, server in self.servers.items() for complaint in server.complaints
        ]
        wrong += [f"{name}: {failure!r}" for name, smsc in self.networks.items() for failure in smsc.failures]
        wrong += [
            f"stage: {task.exception()!r}"
            for task in self._tasks
            if task.done() and not task.cancelled() and task.exception()
        ]
        return wrong + self.parents.surprises

    # --- what befalls it ------------------------------------------------------------------------------------

    def _before_reply(self, family: Family) -> None:
        """The wallet goes down as soon as somebody is to consent while it is."""
        if family.role.wallet_down and not self._wallet_fell:
            self._wallet_fell = True
            self._tell("the wallet goes down: every request gets 503")
            self.wallet.down()
            self._start(self._mend(self.wallet, "the wallet", "is back"))

    async def _mend(self, partner: Partner, name: str, again: str) -> None:
        failed = partner.failed
        await asyncio.sleep(self.clock.seconds(OUTAGE))
        await partner.wait_for(lambda: partner.failed >= failed + FAILURES, within=60)
        partner.up()
        self._tell(f"{name} {again}, {partner.failed - failed} calls have failed")

    async def _watch_clock(self) -> None:
        """Learns business time from the statuses as they come."""
        seen = 0

        def news() -> bool:
            return len(self.sdu.events) > seen

        while True:
            await self.sdu.wait_for(news, within=3600)
            for event in self.sdu.events[seen:]:
                self.clock.observe(datetime.fromisoformat(event["at"]))
            seen = len(self.sdu.events)

    async def _cancel(self, child: Child, gateway: GatewayProcess) -> None:
        asked = await self.sdu.status(child.record_id, "asked", within=3600)
        await asyncio.sleep(self.clock.seconds(1))
        self._tell(f"SDU cancels {child.record_id}: the family has moved abroad")
        url = f"{gateway.url}/v1/cases/{asked['case_id']}/cancel"
        async with (
            aiohttp.ClientSession(headers=sdu_headers()) as http,
            http.post(url, json={"reason": "the family has moved abroad"}) as response,
        ):
            response.raise_for_status()

    async def _use_voucher(self, child: Child, gateway: GatewayProcess) -> None:
        """The parent activates the voucher in the wallet, and the child has a meal."""
        issued = await self.sdu.status(child.record_id, "voucher_issued", within=3600)
        for type_ in ("activated", "used"):
            await asyncio.sleep(self.clock.seconds(0.8))
            event = WalletSimulator.event(issued["case_id"], type_)
            status, answer = await self.wallet.tell(gateway.url, f"{TOKEN}-wallet", [event])
            if (status, answer["taken"]) != (200, 1):
                raise ValueError(f"the wallet's event got {status} {answer}")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))


def sdu_headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}-sdu"}


async def push_list(http: aiohttp.ClientSession, cast: Cast) -> dict[str, Any]:
    """Pushes the recipient list as SDU does; the gateway's answer."""

    async def lines() -> AsyncIterator[bytes]:
        for line in cast.lines():
            yield line

    headers = {"Content-Type": "application/x-ndjson"}
    async with http.put(f"/v1/lists/{LIST_ID}", data=lines(), headers=headers) as response:
        response.raise_for_status()
        answer: dict[str, Any] = await response.json()
        return answer
