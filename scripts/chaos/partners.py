"""Everybody around the gateway: two operators' SMSCs, the MCB, the wallet and SDU, and what befalls them."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from benches.partners import McbSimulator, SduSimulator, WalletSimulator

from chaos.families import PREFIXES, REFUSED, UNDELIVERABLE, Families
from gateway.simulators.partner import Fault, Partner
from gateway.simulators.smsc import SmscSimulator

WALLET_TOKEN = "ordeal-wallet"
OUTAGE = (0.3, 2.0)
"""Seconds that an outage lasts."""
BETWEEN_OUTAGES = (1.0, 6.0)

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
class Neighbours:
    smscs: dict[str, SmscSimulator]
    mcb: McbSimulator
    wallet: WalletSimulator
    sdu: SduSimulator
    outages: int = 0
    told: dict[str, int] = field(default_factory=dict)
    """The wallet's events that the gateway has taken, by voucher."""

    @property
    def partners(self) -> tuple[Partner, ...]:
        return self.mcb, self.wallet, self.sdu

    def worsen(self, seed: int) -> None:
        """From now on they fail at random."""
        for n, smsc in enumerate(self.smscs.values()):
            for k, rule in enumerate(_RULES[1:]):
                smsc.add(f"{rule} seed={seed + 100 * n + k}")
        for n, partner in enumerate(self.partners):
            partner.chaos(0.08, *_FAULTS, seed=seed + n)

    def mend(self) -> None:
        """From now on all is well with them."""
        for smsc in self.smscs.values():
            del smsc.rules[1:]
        for partner in self.partners:
            partner.up()

    async def befall(self, seed: int) -> None:
        """One outage after the other, until cancelled; what is down then comes up again."""
        dice = random.Random(seed)
        while True:
            await asyncio.sleep(dice.uniform(*BETWEEN_OUTAGES))
            self.outages += 1
            smsc, partner = dice.choice(list(self.smscs.values())), dice.choice(self.partners)
            lasts = dice.uniform(*OUTAGE)
            match dice.randrange(6):
                case 0:
                    smsc.drop()
                case 1:
                    with suppress(ConnectionError, TimeoutError):
                        await smsc.unbind()
                case 2:
                    await _for_a_while(smsc.down, smsc.up, lasts)
                case 3:
                    smsc.silence()
                    try:
                        await asyncio.sleep(lasts)
                    finally:
                        smsc.silence(False)
                        smsc.drop()
                case 4:
                    await _for_a_while(partner.stop, partner.start, lasts)
                case 5:
                    partner.down(hang=True)
                    try:
                        await asyncio.sleep(lasts)
                    finally:
                        partner._outage = None

    async def tell(self, urls: Callable[[], str], seed: int) -> None:
        """The wallet's news of vouchers, activated and used, told until taken; runs until cancelled."""
        dice = random.Random(seed)
        while True:
            await asyncio.sleep(0.5)
            for voucher in list(self.wallet.vouchers.values()):
                case_id = voucher.key
                while self.told.get(case_id, 0) < dice.choice((0, 1, 2)):
                    n = self.told.get(case_id, 0)
                    event = self.wallet.event(case_id, ("activated", "used")[n], event_id=f"{case_id}-{n}")
                    try:
                        status, _ = await self.wallet.tell(urls(), WALLET_TOKEN, [event])
                    except (aiohttp.ClientError, TimeoutError, OSError):
                        break
                    if status != 200:
                        break
                    self.told[case_id] = n + 1


@asynccontextmanager
async def partners(families: Families, secret: str) -> AsyncIterator[Neighbours]:
    """All of them on localhost, well for now."""
    mcb = McbSimulator(numbers=families.mcb, token="ordeal-mcb")
    wallet = WalletSimulator(token="ordeal-wallet-in")
    sdu = SduSimulator(secret=secret, token="ordeal-sdu-in")
    for pupil in families.pupils:
        if pupil.rejected:
            wallet.reject(pupil.iin)
        elif pupil.had:
            wallet.have(pupil.iin, f"V-before-{pupil.iin}")
    refuse = _RULES[0].format(refused=REFUSED)
    smscs = {
        link: SmscSimulator(rules=[refuse], receipts=_RECEIPTS, password="ordeal", first_id=1_000_000 * n)
        for n, link in enumerate(PREFIXES, start=1)
    }
    async with mcb, wallet, sdu:
        for smsc in smscs.values():
            await smsc.up()
        try:
            yield Neighbours(smscs, mcb, wallet, sdu)
        finally:
            for smsc in smscs.values():
                await smsc.__aexit__()


async def _for_a_while(down: Callable[[], object], up: Callable[[], object], seconds: float) -> None:
    await down()  # type: ignore[misc]
    try:
        await asyncio.sleep(seconds)
    finally:
        await up()  # type: ignore[misc]
