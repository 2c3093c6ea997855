"""One torture run, from the first list to the audit."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from chaos import clocks, failover
from chaos.audit import Audit
from chaos.clocks import Clocks
from chaos.cluster import EARLY_PROBABILITY, EMBEDDED, Cluster, logged_exceptions
from chaos.failover import Failover, Kind
from chaos.families import Families, ndjson
from chaos.parents import Parents
from chaos.partners import Partners, partners
from chaos.profiles import PROFILES, RESPONSE_TIMEOUT_SECONDS, run_phases
from chaos.records import UNFINISHED, Records
from gateway.simulators.sdu import new_secret
from gateway.store import journal_check, journal_rows
from gateway.store.embedded import EmbeddedServer

LISTS = 10
PUSHED_WITHIN = 0.5
"""The share of the time of kills after which all lists have been pushed."""
DAYS = 9.5
"""The days after which every question has ended."""
SETTLE_TIMEOUT_SECONDS = 180.0
SETTLE_WITH_SMSC_TIMEOUT_SECONDS = 900.0
"""The longest end of a run with such an SMSC: it ends by itself, in ten minutes on an idle machine."""
DAY_WITH_SMSC_SECONDS = 12.0
DAY_WITH_STEPS_SECONDS = 15.0
"""Long enough for some twenty steps of clocks."""
STRAY_REPLIES = 5
REPEATED = (
    "segments repeated", "single segments shown again", "wallet calls repeated", "replies stored again",
    "statuses repeated",
)  # fmt: skip
"""What the audit counts of requests that had a response, and allows only when a process was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of one run."""

    cases: int
    kills: int
    seed: int
    day: float
    processes: int = 1
    database: bool = False  # is killed too
    full_disk: bool = False  # the database's, a few times; its folder `data` is on a small disk
    pause: bool = False
    rolling: bool = False  # no kills and no faults: processes are stopped one after the other
    smsc: str = ""  # a key of PROFILES: both SMSCs are such ones, and no partner fails otherwise
    clock: bool = False  # the gateways' wall clock steps; the database's too, unless processes are killed
    window: str = "00:00-24:00"
    max_pause: float = 3.0  # seconds between kills
    url: str = EMBEDDED  # of an existing database
    failover: Kind | None = None  # no kills of processes: this becomes of the primary, and the standby is promoted
    standby_first: bool = False  # in the URL of primary and standby
    hurry: float = 1.0  # a silent primary is left, and the standby promoted, so many times as soon

    @staticmethod
    def fitting_day(kills: int) -> float:
        """Seconds of a day such that cases are in every state while there are kills."""
        return max(kills * 1.5 / 2 / DAYS, 1.0)

    @property
    def has_faults(self) -> bool:
        """Partners fail at random."""
        return not self.rolling and not self.smsc and self.failover is None

    @property
    def seconds(self) -> float:
        """Of disruptions, at least."""
        return DAYS * self.day if self.clock or self.failover else self.kill_seconds

    @property
    def kill_seconds(self) -> float:
        """About how many seconds the kills take."""
        return self.kills * (EARLY_PROBABILITY * 0.5 + (1 - EARLY_PROBABILITY) * (1.0 + self.max_pause) / 2)


async def torture(settings: Settings, directory: Path) -> tuple[list[str], Counter[str]]:
    """The violations, and how often each event happened."""
    if settings.failover is not None:
        async with failover.servers(directory, settings.failover, standby_first=settings.standby_first) as servers:
            return await _run(replace(settings, url=servers.url), directory, None, servers)
    if not settings.clock:
        return await _run(settings, directory, None)
    if settings.url != EMBEDDED:
        return await _run(settings, directory, Clocks(directory))
    stepping = Clocks(directory, with_database=not settings.kills)
    async with clocks.database(directory, stepping.database) as url:
        return await _run(replace(settings, url=url), directory, stepping)


async def _run(
    settings: Settings, directory: Path, stepping: Clocks | None, servers: Failover | None = None
) -> tuple[list[str], Counter[str]]:
    seed, secret = settings.seed, new_secret()
    families = Families.generated(settings.cases, seed)
    async with partners(families, secret) as simulated:
        parents = Parents(families, simulated.smscs, seed, over_after=DAYS * settings.day)
        cluster = Cluster(
            directory, simulated,
            processes=settings.processes, rate=86_400 / settings.day, window=settings.window, secret=secret,
            url=settings.url, partner_timeout=60.0 if settings.rolling else RESPONSE_TIMEOUT_SECONDS,
            profile=settings.smsc, hurry=settings.hurry,
            environment=stepping.gateways.environment if stepping else {},
        )  # fmt: skip
        await cluster.start()
        try:
            await _disrupt(settings, cluster, simulated, parents, families, stepping, servers)
            if settings.has_faults:
                simulated.end_faults()
            database = servers.standby.url() if servers else settings.url
            violations = await _settle(settings, directory, parents, database)
        finally:
            statuses = await cluster.stop()
        violations += [f"a process ended with {status}" for status in [*cluster.unclean, *statuses] if status]
        async with _database(database, directory) as connection:
            check = await journal_check.verify(connection)
            rows = await journal_rows.compare(connection, {})
            records = await Records.read(connection)
        if check.fault is not None:
            violations.append(f"the journal breaks at {check.fault.seq}: {check.fault.reason}")
        violations += [f"case {f.case_id}{f.pointer} {f.reason}" for f in rows.faults]
        faulty = logged_exceptions(directory, settings.processes)
        violations += [f"{n} times {error} in a gateway's log" for error, n in faulty.items()]
        audit = Audit(families, simulated, parents, records, cluster.disruptions)
        violations += audit.violations()
        violations += _violations_by_settings(settings, audit, cluster, stepping)
        totals = {
            "journal entries": check.entries, "cases compared with the journal": rows.cases,
            "replies": len(parents.sent), "outages": simulated.outages,
            "deliveries deferred": simulated.deliveries_deferred,
        }  # fmt: skip
        if settings.full_disk:
            totals["database panics"] = (directory / "data/postgresql/log").read_text().count("PANIC:")
        if servers is not None:
            violations += servers.unfinished(simulated)
            totals |= {f"ms, {task}": round(1000 * s) for task, s in servers.seconds(simulated).items()}
        steps = stepping.counts if stepping else Counter[str]()
        counts = cluster.counts + audit.counts + steps + Counter(totals)
        counts["exceptions in logs"] = faulty.total()  # reported also where it is 0
        return violations, counts


def _violations_by_settings(
    settings: Settings, audit: Audit, cluster: Cluster, stepping: Clocks | None
) -> Iterator[str]:
    """What holds in some kinds of runs only."""
    if settings.smsc or (settings.clock and not settings.kills):
        yield from audit.too_many_copies()
    if not settings.kills:
        yield from (f"{n} processes ended: {status}" for status, n in cluster.ended().items())
    if settings.rolling:
        yield from repeated_without_kills(audit.counts)
    if stepping is not None:
        yield from stepping.unnoticed(cluster.directory, settings.processes)
        if settings.processes == 1 and not settings.kills:
            yield from audit.backwards(86_400 / settings.day)


def repeated_without_kills(counts: Mapping[str, int]) -> Iterator[str]:
    """What a run without kills must not repeat, by the audit's counts."""
    yield from (f"{counts[name]} {name}, though nothing was killed" for name in REPEATED if counts[name])


async def _disrupt(
    settings: Settings,
    cluster: Cluster,
    simulated: Partners,
    parents: Parents,
    families: Families,
    stepping: Clocks | None,
    servers: Failover | None,
) -> None:
    """Pushes the lists while processes are killed, clocks step and partners fail, or while processes restart."""
    if settings.has_faults:
        simulated.begin_faults(settings.seed)
    async with asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(simulated.post_wallet_events(cluster.url, settings.seed))]
        phases = tasks.create_task(run_phases(simulated.smscs.values(), PROFILES.get(settings.smsc, ())))
        if settings.has_faults:
            background.append(tasks.create_task(simulated.run_outages(settings.seed)))
        if stepping is not None:
            background.append(tasks.create_task(stepping.step(settings.seed)))
        pushing = tasks.create_task(_push(cluster, families, settings.seconds * PUSHED_WITHIN / LISTS))
        waiting = tasks.create_task(asyncio.sleep(settings.seconds if stepping is not None else 0.0))
        for n in range(STRAY_REPLIES):
            parents.stray(f"77017{n:06}", "kcell")
        if settings.rolling:
            await cluster.roll(settings.kills, settings.seed, max_pause=settings.max_pause)
        elif servers is not None:
            await servers.fail_over(
                cluster, simulated, cases=settings.cases, hurry=settings.hurry, seed=settings.seed
            )
        else:
            await cluster.kill_repeatedly(
                settings.kills, settings.seed,
                max_pause=settings.max_pause, database=settings.database, full_disk=settings.full_disk,
                pause=settings.pause,
            )  # fmt: skip
        await asyncio.gather(pushing, phases, waiting)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


async def _push(cluster: Cluster, families: Families, every: float) -> None:
    for list_id, pupils in families.lists(LISTS).items():
        await cluster.push(list_id, ndjson(pupils))
        await asyncio.sleep(every)


async def _settle(settings: Settings, directory: Path, parents: Parents, url: str) -> list[str]:
    """Waits until every case has ended; what has not, as a violation."""
    patience = SETTLE_WITH_SMSC_TIMEOUT_SECONDS if settings.smsc else SETTLE_TIMEOUT_SECONDS
    deadline = time.monotonic() + patience + (DAYS + 1) * settings.day
    unfinished: dict[str, int] = {}
    async with _database(url, directory) as connection:
        while time.monotonic() < deadline:
            row = await connection.fetchrow(UNFINISHED)
            assert row is not None
            unfinished = {name: n for name, n in {**row, "replies": parents.pending()}.items() if n}
            if not unfinished:
                return []
            await asyncio.sleep(0.5)
    return [f"it does not settle: {unfinished}"]


@asynccontextmanager
async def _database(url: str, directory: Path) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection to the run's database, which is started if necessary."""
    server = EmbeddedServer(directory / "data") if url == EMBEDDED else None
    connection = await asyncpg.connect(url if server is None else await server.ensure())
    try:
        yield connection
    finally:
        await connection.close()
        if server is not None:
            await asyncio.to_thread(server.release)
