"""The primary fails in the middle of a campaign, and its synchronous standby is promoted."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path

import asyncpg

from chaos import proxy
from chaos.cluster import Cluster
from chaos.partners import Partners
from chaos.proxy import Mode, Proxy
from chaos.standby import Server
from gateway.store.migrations import migrate

ACCEPTED = frozenset({200, 201})
FAILS_AFTER_TEXTS = (0.15, 0.6)
"""The shares of the cases between which so many texts have left when the primary fails."""
PROMOTED_AFTER_SECONDS = (3.0, 8.0)
PROMOTED_AFTER_KILL_SECONDS = (0.0, 2.0)
TASKS = ("reply acknowledged", "all processes ready", "number found", "voucher formed", "status pushed")
BACK_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.02


class Kind(StrEnum):
    """What becomes of the primary."""

    KILL = "kill"
    FREEZE = "freeze"
    """Its host acknowledges packets, and nothing runs."""
    CUT = "cut"
    """It runs, and no octet passes between it and the gateways."""


class Failover:
    """The two servers of a run; after `fail_over` the standby is the primary, and has no standby."""

    def __init__(self, kind: Kind, primary: Server, standby: Server, cable: Proxy, *, standby_first: bool) -> None:
        """`cable` is the gateways' way to the primary; the one to the standby is direct."""
        self.standby = standby
        self._kind, self._primary, self._cable = kind, primary, cable
        hosts = [f"127.0.0.1:{cable.port if kind is Kind.CUT else primary.port}", f"127.0.0.1:{standby.port}"]
        self.url = f"postgresql://postgres@{','.join(reversed(hosts) if standby_first else hosts)}/postgres"
        self._promoted_at = 0.0
        self._ready_at = 0.0

    async def fail_over(
        self, cluster: Cluster, partners: Partners, *, cases: int, hurry: float, seed: int
    ) -> None:
        """Fails at a random instant of the campaign, promotes, and returns once all processes are ready.

        The standby is promoted `hurry` times as soon as by default.
        """
        rng = random.Random(seed)
        await _have_left(partners, int(rng.uniform(*FAILS_AFTER_TEXTS) * cases))
        await asyncio.sleep(rng.uniform(0.0, 0.5))
        cluster.disruptions.append(time.monotonic())
        await self._fail()
        seconds = PROMOTED_AFTER_KILL_SECONDS if self._kind is Kind.KILL else PROMOTED_AFTER_SECONDS
        await asyncio.sleep(rng.uniform(*seconds) / hurry)
        self._promoted_at = time.monotonic()
        await asyncio.to_thread(self.standby.promote)
        await cluster.all_ready(BACK_TIMEOUT_SECONDS)
        self._ready_at = time.monotonic()
        cluster.disruptions.append(self._ready_at)

    async def _fail(self) -> None:
        match self._kind:
            case Kind.KILL:
                await asyncio.to_thread(self._primary.kill)
            case Kind.FREEZE:
                await asyncio.to_thread(self._primary.suspend)
            case Kind.CUT:
                await self._cable.set_mode(Mode.SILENT)

    def seconds(self, partners: Partners) -> Mapping[str, float]:
        """From the promotion to the first success of each task; what never succeeded is left out."""
        instants: dict[str, Iterable[float | None]] = {
            "reply acknowledged": (
                delivered.responded_at
                for smsc in partners.smscs.values()
                for delivered in smsc.delivered
                if delivered.kind == "reply" and delivered.status == 0
            ),
            "all processes ready": [self._ready_at],
            "number found": (c.responded_at for c in partners.mcb.calls if c.status in ACCEPTED),
            "voucher formed": (c.responded_at for c in partners.wallet.calls if c.status in ACCEPTED),
            "status pushed": (c.responded_at for c in partners.sdu.calls if c.status in ACCEPTED),
        }
        for link, smsc in partners.smscs.items():
            instants[f"text accepted by {link}"] = (s.responded_at for s in smsc.submitted if s.status == 0)
        first = {task: min(self._after_promotion(those), default=None) for task, those in instants.items()}
        return {task: seconds for task, seconds in first.items() if seconds is not None}

    def unfinished(self, partners: Partners) -> Iterator[str]:
        """A violation for each task that never succeeded after the promotion."""
        known = self.seconds(partners)
        tasks = [*TASKS, *(f"text accepted by {link}" for link in partners.smscs)]
        yield from (f"after the promotion: no {task}" for task in tasks if task not in known)

    def _after_promotion(self, instants: Iterable[float | None]) -> Iterator[float]:
        return (at - self._promoted_at for at in instants if at is not None and at > self._promoted_at)


@asynccontextmanager
async def servers(directory: Path, kind: Kind, *, standby_first: bool) -> AsyncIterator[Failover]:
    """A migrated primary and its synchronous standby."""
    directory.chmod(0o755)  # noqa: ASYNC240 (they may run as another user)
    async with AsyncExitStack() as stack:
        primary = await asyncio.to_thread(Server.primary, directory / "primary")
        stack.push_async_callback(asyncio.to_thread, primary.kill)
        standby = await asyncio.to_thread(primary.standby)
        stack.push_async_callback(asyncio.to_thread, standby.stop)
        connection = await asyncpg.connect(primary.url())
        await migrate(connection)
        await connection.close()
        await asyncio.to_thread(primary.set, synchronous_standby_names="standby")
        await asyncio.to_thread(primary.reload)
        cable = await stack.enter_async_context(proxy.before(("127.0.0.1", primary.port)))
        yield Failover(kind, primary, standby, cable, standby_first=standby_first)


async def _have_left(partners: Partners, texts: int) -> None:
    """Returns once so many texts have left."""
    while sum(s.number == s.total for smsc in partners.smscs.values() for s in smsc.submitted) < texts:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
