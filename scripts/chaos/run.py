"""One torture run, from the first list to the audit."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from benches.partners import new_secret
from smpplib.consts import SMPP_ESME_RX_T_APPN

from chaos.audit import Audit
from chaos.cluster import EARLY, EMBEDDED, Cluster
from chaos.families import Families, ndjson
from chaos.parents import Parents
from chaos.partners import partners
from chaos.records import LEFT, Records
from gateway.store import journal
from gateway.store.embedded import EmbeddedServer

LISTS = 10
PUSHED_WITHIN = 0.5
"""Of the time of kills: then all lists are in."""
DAYS = 9.5
"""After so many days every question is over."""
SETTLE_WITHIN = 180.0
STRAYS = 5
REPEATED = (
    "segments repeated", "single segments shown again", "wallet calls repeated", "replies stored again",
    "statuses repeated",
)  # fmt: skip
"""What the audit counts and allows when something has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    cases: int
    kills: int
    seed: int
    day: float
    processes: int = 1
    database: bool = False  # is killed too
    full_disk: bool = False  # under the database, a few times; its folder `data` lies on a small one
    pause: bool = False
    rolling: bool = False  # nothing is killed and nobody fails: processes are ended one after the other
    window: str = "00:00-24:00"
    longest: float = 3.0  # seconds between kills
    url: str = EMBEDDED  # of a database that is there already

    @staticmethod
    def fitting_day(kills: int) -> float:
        """Seconds of a day, so that cases are at every stage while there are kills."""
        return max(kills * 1.5 / 2 / DAYS, 1.0)

    @property
    def lasts(self) -> float:
        """Seconds for which there are kills, about."""
        return self.kills * (EARLY * 0.5 + (1 - EARLY) * (1.0 + self.longest) / 2)


async def torture(settings: Settings, directory: Path) -> tuple[list[str], Counter[str]]:
    """What was wrong, and how often what happened."""
    seed, secret = settings.seed, new_secret()
    families = Families.invented(settings.cases, seed)
    async with partners(families, secret) as around:
        parents = Parents(families, around.smscs, seed, over_after=DAYS * settings.day)
        cluster = Cluster(
            directory, around,
            processes=settings.processes, rate=86_400 / settings.day, window=settings.window, secret=secret,
            url=settings.url, patience=60.0 if settings.rolling else 2.0,
        )  # fmt: skip
        await cluster.start()
        try:
            if not settings.rolling:
                around.worsen(seed)
            async with asyncio.TaskGroup() as tasks:
                misfortune = [tasks.create_task(around.tell(cluster.url, seed))]
                if not settings.rolling:
                    misfortune.append(tasks.create_task(around.befall(seed)))
                pushing = tasks.create_task(_push(cluster, families, settings.lasts * PUSHED_WITHIN / LISTS))
                for n in range(STRAYS):
                    parents.stray(f"77017{n:06}", "kcell")
                if settings.rolling:
                    await cluster.roll(settings.kills, seed, longest=settings.longest)
                else:
                    await cluster.torment(
                        settings.kills, seed,
                        longest=settings.longest, database=settings.database, full_disk=settings.full_disk,
                        pause=settings.pause,
                    )  # fmt: skip
                await pushing
                for task in misfortune:
                    task.cancel()
                await asyncio.gather(*misfortune, return_exceptions=True)
            around.mend()
            wrongs = await _settle(settings, directory, parents)
        finally:
            statuses = await cluster.stop()
        wrongs += [f"a process ended with {status}" for status in [*cluster.unclean, *statuses] if status]
        async with _database(settings, directory) as connection:
            check = await journal.verify(connection)
            records = await Records.read(connection)
        if check.fault is not None:
            wrongs.append(f"the journal breaks at {check.fault.seq}: {check.fault.reason}")
        audit = Audit(families, around, parents, records, cluster.upheavals)
        wrongs += audit.wrongs()
        if settings.rolling:
            wrongs += [
                f"{audit.counts[name]} {name}, though nothing died" for name in REPEATED if audit.counts[name]
            ]
        delivered = [delivered.status for smsc in around.smscs.values() for delivered in smsc.delivered]
        totals = {
            "journal entries": check.entries, "replies": len(parents.sent), "outages": around.outages,
            "deliveries put off": delivered.count(SMPP_ESME_RX_T_APPN),
        }  # fmt: skip
        if settings.full_disk:
            totals["database panics"] = (directory / "data/postgresql/log").read_text().count("PANIC:")
        return wrongs, cluster.counts + audit.counts + Counter(totals)


async def _push(cluster: Cluster, families: Families, every: float) -> None:
    for list_id, pupils in families.lists(LISTS).items():
        await cluster.push(list_id, ndjson(pupils))
        await asyncio.sleep(every)


async def _settle(settings: Settings, directory: Path, parents: Parents) -> list[str]:
    """Waits until every case has gone its way; what stands still instead."""
    deadline = time.monotonic() + SETTLE_WITHIN + (DAYS + 1) * settings.day
    left: dict[str, int] = {}
    async with _database(settings, directory) as connection:
        while time.monotonic() < deadline:
            row = await connection.fetchrow(LEFT)
            assert row is not None
            left = {name: n for name, n in {**row, "parents": parents.writing()}.items() if n}
            if not left:
                return []
            await asyncio.sleep(0.5)
    return [f"it does not settle: {left}"]


@asynccontextmanager
async def _database(settings: Settings, directory: Path) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection to the run's database, which is started if need be."""
    server = EmbeddedServer(directory / "data") if settings.url == EMBEDDED else None
    connection = await asyncpg.connect(settings.url if server is None else await server.ensure())
    try:
        yield connection
    finally:
        await connection.close()
        if server is not None:
            await asyncio.to_thread(server.release)
