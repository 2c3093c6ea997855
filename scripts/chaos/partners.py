"""The simulated partners of a run: two operators' SMSCs, the MCB, the wallet and SDU, with faults and outages."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from smpplib.consts import SMPP_ESME_RX_T_APPN

from chaos.families import PREFIXES, REFUSED, UNDELIVERABLE, Families
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import Fault, PartnerSimulator
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

WALLET_TOKEN = "chaos-wallet-token"
OUTAGE_SECONDS = (0.3, 2.0)
BETWEEN_OUTAGES_SECONDS = (1.0, 6.0)

_RULES = (
    "refuse to=770?{refused}*",
    "no_answer probability=0.002",
    "no_answer probability=0.001 taken=no",
    "drop_before probability=0.0003",
    "drop_after probability=0.0003",
    "full probability=0.003",
    "nack probability=0.001",
    "no_body probability=0.001 status=RSYSERR",
    "throttle probability=0.0004",
    "empty_id probability=0.005",
    "foreign probability=0.002",
    "unknown_tlv probability=0.005",
    "split probability=0.003",
    "delay probability=0.01 delay=0.3",
    "reorder probability=0.02",
)
_RECEIPTS = (
    f"undeliverable to=770?{UNDELIVERABLE}*",
    "delivered to=*3 before_response=yes",
    "delivered to=*7 times=2",
    "delivered delay=0.1",
)
_FAULTS = (
    Fault(),
    Fault(status=429, retry_after=1),
    Fault(cut=True),
    Fault(cut=True, after=True),
    Fault(status=500, after=True),
    Fault(hang=True, after=True),
)


@dataclass(slots=True)
class Partners:
    """The partners of one run."""

    smscs: dict[str, SmscSimulator]
    mcb: McbSimulator
    wallet: WalletSimulator
    sdu: SduSimulator
    outages: int = 0
    posted: dict[str, int] = field(default_factory=dict)
    """How many of the wallet's events the gateway has accepted, by case."""

    @property
    def deliveries_deferred(self) -> int:
        """How many deliver_sm the gateway asked the SMSCs to keep."""
        delivered = [delivered.status for smsc in self.smscs.values() for delivered in smsc.delivered]
        return delivered.count(SMPP_ESME_RX_T_APPN)

    @property
    def http_partners(self) -> tuple[PartnerSimulator, ...]:
        return self.mcb, self.wallet, self.sdu

    def begin_faults(self, seed: int) -> None:
        """From now on partners fail at random."""
        for n, smsc in enumerate(self.smscs.values()):
            for k, rule in enumerate(_RULES[1:]):
                smsc.add(f"{rule} seed={seed + 100 * n + k}")
        for n, partner in enumerate(self.http_partners):
            partner.fail_randomly(0.08, *_FAULTS, seed=seed + n)

    def end_faults(self) -> None:
        """From now on no partner fails."""
        for smsc in self.smscs.values():
            del smsc.rules[1:]
        for partner in self.http_partners:
            partner.up()

    async def run_outages(self, seed: int) -> None:
        """One outage after the other, until cancelled; a partner that is down then is started again."""
        rng = random.Random(seed)
        while True:
            await asyncio.sleep(rng.uniform(*BETWEEN_OUTAGES_SECONDS))
            self.outages += 1
            smsc, partner = rng.choice(list(self.smscs.values())), rng.choice(self.http_partners)
            lasts = rng.uniform(*OUTAGE_SECONDS)
            match rng.randrange(6):
                case 0:
                    smsc.drop()
                case 1:
                    with suppress(ConnectionError, TimeoutError):
                        await smsc.unbind()
                case 2:
                    await _take_down(smsc.down, smsc.up, lasts)
                case 3:
                    smsc.silence()
                    try:
                        await asyncio.sleep(lasts)
                    finally:
                        smsc.silence(False)
                        smsc.drop()
                case 4:
                    await _take_down(partner.stop, partner.start, lasts)
                case 5:
                    partner.down(hang=True)
                    try:
                        await asyncio.sleep(lasts)
                    finally:
                        partner.end_outage()

    async def post_wallet_events(self, urls: Callable[[], str], seed: int) -> None:
        """Posts the wallet's events about vouchers, each until it is accepted; runs until cancelled."""
        rng = random.Random(seed)
        while True:
            await asyncio.sleep(0.5)
            for voucher in list(self.wallet.vouchers.values()):
                case_id = voucher.key
                while self.posted.get(case_id, 0) < rng.choice((0, 1, 2)):
                    n = self.posted.get(case_id, 0)
                    event = self.wallet.event(case_id, ("activated", "used")[n], event_id=f"{case_id}-{n}")
                    try:
                        status, _ = await self.wallet.post_events(urls(), WALLET_TOKEN, [event])
                    except (aiohttp.ClientError, TimeoutError, OSError):
                        break
                    if status != 200:
                        break
                    self.posted[case_id] = n + 1


@asynccontextmanager
async def partners(families: Families, secret: str) -> AsyncIterator[Partners]:
    """All partners on localhost, without faults yet."""
    mcb = McbSimulator(numbers=families.mcb, token="chaos-mcb")
    wallet = WalletSimulator(token="chaos-wallet-in")
    sdu = SduSimulator(secret=secret, token="chaos-sdu-in")
    for pupil in families.pupils:
        if pupil.rejected:
            wallet.reject(pupil.iin)
        elif pupil.had_voucher:
            wallet.has_voucher(pupil.iin, f"V-before-{pupil.iin}")
    refuse = _RULES[0].format(refused=REFUSED)
    smscs = {
        link: SmscSimulator(rules=[refuse], receipts=_RECEIPTS, password="chaos", first_id=1_000_000 * n)
        for n, link in enumerate(PREFIXES, start=1)
    }
    async with mcb, wallet, sdu:
        for smsc in smscs.values():
            await smsc.up()
        try:
            yield Partners(smscs, mcb, wallet, sdu)
        finally:
            for smsc in smscs.values():
                await smsc.__aexit__()


async def _take_down(
    down: Callable[[], Awaitable[None]], up: Callable[[], Awaitable[None]], seconds: float
) -> None:
    await down()
    try:
        await asyncio.sleep(seconds)
    finally:
        await up()
