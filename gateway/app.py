"""The composition root: config → database → use cases → shells, in one TaskGroup."""

import asyncio
import gc
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from functools import partial

import aiohttp

from gateway import metrics
from gateway.api.app import serve_http
from gateway.clock import wall_now
from gateway.cluster.lease import Lease
from gateway.cluster.retry import TRANSIENT_ERRORS, run_with_retry
from gateway.cluster.scheduler import Jobs
from gateway.cluster.wakeups import WakeUps
from gateway.config import Config
from gateway.config.routing import Routing
from gateway.consent.case import Rules
from gateway.consent.deadlines import Calendar
from gateway.consent.reply import ReplyRules
from gateway.consent.texts import Templates
from gateway.ids import new_ulid
from gateway.logs.log import Event, get_logger
from gateway.operators.link import Link
from gateway.operators.receiver import ACK_TIMEOUT_SECONDS, Receiver
from gateway.partners.caller import Caller
from gateway.partners.mcb import Mcb
from gateway.partners.sdu import SduPush
from gateway.partners.wallet import Wallet
from gateway.store import nodes, setup, sms
from gateway.store.calls import CallKind
from gateway.store.database import Connection, Database, DatabaseError, load_clock, open_pool, pending
from gateway.store.database import migrate as migrate_database
from gateway.usecases.unit_of_work import Journeys, Service

log = get_logger()

HEARTBEAT_SECONDS = 2.0
"""Seconds between signs of life; see nodes.EXPIRED_AFTER_SECONDS."""
STOP_WITHIN = 8.0
"""Seconds in which a stopping process drains its links and hears partners out (`serve` promises 10 for all)."""

SELDOM_COLLECTED = (50_000, 20, 50)
"""Thresholds of the garbage collector: replies wait while it looks through everything."""

SETTLE_WITHIN = 1.0
"""Seconds in which what came in last is stored, once the links are down."""

_FENCED_EXIT = 75  # EX_TEMPFAIL: whoever supervises us is to start us anew


async def serve(config: Config, *, migrate: bool = False) -> int:
    """Runs the gateway until SIGTERM or SIGINT; the process's exit status. Raises as `run` does."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # What is loaded by now stays, and a full collection takes a third of a second while a list comes in: seldom.
    gc.freeze()
    gc.set_threshold(*SELDOM_COLLECTED)
    return await run(config, stopping, migrate=migrate)


async def run(config: Config, stopping: asyncio.Event, *, migrate: bool = False) -> int:
    """Runs the gateway until `stopping` is set; 0, or the exit status that says why it ended before.

    A process that was taken for dead (it was paused, or cut off from the database) ends with status 75 and has
    written nothing since. Raises DatabaseError when an external database lacks migrations and `migrate` is off.
    """
    node = new_ulid(wall_now())
    database = await open_pool(config, node=node)
    status = 0
    try:
        await _prepare(config, database, migrate_now=migrate or config.gateway.embedded)
        await _Gateway(config, database, node, stopping).run()
    except* nodes.FencedError:
        log.error(Event.NODE_FENCED)
        status = _FENCED_EXIT
    finally:
        await database.close()
    return status


async def _prepare(config: Config, database: Database, *, migrate_now: bool) -> None:
    async with database.acquire() as connection:
        if migrate_now:
            await migrate_database(connection)
        elif waiting := await pending(connection):
            names = ", ".join(migration.name for migration in waiting)
            raise DatabaseError(
                f"migrations are pending ({names}): run `gateway migrate`, or serve with --migrate"
            )
        for code, open_cases in (await setup.open_cases(connection)).items():
            if code not in config.services:
                raise DatabaseError(
                    f"services.{code} is missing: {open_cases} open cases need it; keep it until they have ended"
                )


def calendar_of(config: Config) -> Calendar:
    journey = config.journey
    return Calendar(
        timezone=journey.timezone,
        answer_days=journey.answer_days,
        grace=journey.grace,
        window_opens=journey.send_window.opens,
        window_closes=journey.send_window.closes,
    )


def services_of(config: Config) -> dict[str, Service]:
    """The configured services, their texts loaded."""
    return {
        code: Service(
            code=code,
            name=service.name,
            link=service.link,
            templates=Templates.load(service.templates),
            replies=ReplyRules(
                service=code, agree=service.agree, refuse=service.refuse, strict=config.replies.strict
            ),
        )
        for code, service in config.services.items()
    }


class _Gateway:
    """One life of the process in the cluster, from entering it to taking leave."""

    def __init__(self, config: Config, database: Database, node: str, stopping: asyncio.Event) -> None:
        self._config = config
        self._database = database
        self._stopping = stopping
        self._node = node
        self._signals = WakeUps()
        self._links: dict[str, Link] = {}
        self._running: list[asyncio.Task[None]] = []
        self._just_entered = True
        self._ended_well = False  # else our end is a death, and what we acknowledged last in doubt

    async def run(self) -> None:
        config, database = self._config, self._database
        services = services_of(config)
        async with database.acquire() as connection:
            clock = await load_clock(connection, config.clock.rate)
            await setup.keep_templates(connection, {code: s.templates for code, s in services.items()})
            evidence_key = await setup.evidence_key(connection)
            await nodes.join(connection, self._node, config.gateway.node, [link.name for link in config.links])
            if moved := await sms.reroute(connection, [link.name for link in config.links], Routing(config.links)):
                log.warning(Event.TEXTS_REROUTED, texts=moved)
        journeys = Journeys(
            database=database,
            clock=clock,
            node=self._node,
            services=services,
            links=config.links,
            rules=Rules(
                calendar=calendar_of(config),
                repeats=config.journey.repeats,
                clarify=config.journey.clarify,
                fallback_on_undeliverable=config.journey.fallback_on_undeliverable,
            ),
            evidence_key=evidence_key,
            signals=self._signals,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)
            await self._run_shells(journeys, stack)

    async def _run_shells(self, journeys: Journeys, stack: AsyncExitStack) -> None:
        config = self._config
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        receiver = Receiver(journeys)
        partners = self._partners(http, journeys)
        async with asyncio.TaskGroup() as tasks:
            running = self._running
            running.append(tasks.create_task(run_with_retry(receiver.run, "receive")))
            running += [tasks.create_task(run_with_retry(shell.run, name)) for name, shell in partners.items()]
            await stack.enter_async_context(serve_http(config, journeys))
            running.append(
                tasks.create_task(
                    run_with_retry(
                        partial(self._stay_alive, tasks, journeys, receiver), "nodes", longest=HEARTBEAT_SECONDS
                    )
                )
            )
            scheduler = Jobs(journeys, receiver, timedelta(days=config.privacy.keep_days)).start()
            log.info(Event.STARTED, node=config.gateway.node, links=len(config.links))
            try:
                await self._stopping.wait()
                log.info(Event.STOPPING)
                await self._drain(partners)
                async with asyncio.timeout(SETTLE_WITHIN):
                    await receiver.settled()
                self._ended_well = True
            except TimeoutError:
                log.warning(Event.REPLIES_NOT_FLUSHED)
            finally:
                scheduler.shutdown(wait=False)
                for task in running:
                    task.cancel()

    async def _stay_alive(self, tasks: asyncio.TaskGroup, journeys: Journeys, receiver: Receiver) -> None:
        """Beats, buries the dead, and takes free links. Raises FencedError when it beat too late.

        The connection is kept: with it ends the lock that shows our life to the others.
        """
        names = {link.name: link for link in self._config.links}
        try:
            async with self._database.acquire() as connection:
                await nodes.hold_lock(connection, self._node)
                # If ours has ended, so have others, perhaps, and killed nobody: they need a moment to be back.
                killed, self._just_entered = self._just_entered, False
                while True:
                    async with asyncio.timeout(nodes.EXPIRED_AFTER_SECONDS):
                        await self._beat(connection, journeys.lease)
                        await self._bury(connection, killed=killed)
                        wanted = () if self._stopping.is_set() else names.keys() - self._links.keys()
                        taken = await nodes.claim_links(connection, self._node, wanted)
                    killed = True
                    for name in () if self._stopping.is_set() else taken:
                        log.info(Event.LINK_CLAIMED, link=name)
                        link = self._links[name] = Link(names[name], journeys, receiver)
                        self._running.append(tasks.create_task(link.run()))
                    await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            journeys.lease.lock_lost()

    async def _beat(self, connection: Connection, lease: Lease) -> None:
        began_at, was_sure = time.monotonic(), lease.is_exclusive
        await nodes.heartbeat(connection, self._node)
        before = lease.renew(began_at)
        for link in self._links.values():
            if (
                began_at - before > HEARTBEAT_SECONDS + ACK_TIMEOUT_SECONDS
            ):  # we were paused: what lay in the sockets was acknowledged late
                link.doubt(before)
            if not was_sure:
                link.go_on()

    async def _bury(self, connection: Connection, *, killed: bool) -> None:
        loss_detection_seconds = max((link.loss_detection_seconds for link in self._config.links), default=0.0)
        dead, unknown = await nodes.evict_expired(
            connection, self._node, loss_detection_seconds=loss_detection_seconds, killed=killed
        )
        for node in dead:
            log.warning(Event.NODE_EVICTED, dead=node)
        for name, segments in unknown.items():
            metrics.SEGMENTS_UNKNOWN.labels(name).inc(segments)

    def _partners(self, http: aiohttp.ClientSession, journeys: Journeys) -> dict[str, Caller | SduPush]:
        """The shells to the partners that are configured."""
        config, shells = self._config, dict[str, Caller | SduPush]()
        if config.mcb.url:
            mcb = Mcb(http, config.mcb)
            shells["lookups"] = Caller(CallKind.LOOKUP, mcb, config.mcb.concurrency, journeys)
        if config.wallet.url:
            wallet = Wallet(http, config.wallet, journeys.rules.calendar)
            shells["vouchers"] = Caller(CallKind.VOUCHER, wallet, config.wallet.concurrency, journeys)
        if config.sdu.url:
            shells["statuses"] = SduPush(http, config.sdu, journeys)
        return shells

    async def _drain(self, partners: Mapping[str, Caller | SduPush]) -> None:
        """Ends in peace with all at once. What cannot be written is taken up from its rows by the next process."""
        shells: list[tuple[str, Link | Caller | SduPush]] = [*self._links.items(), *partners.items()]
        stops = {asyncio.create_task(shell.stop()): name for name, shell in shells}
        if not stops:
            return
        done, late = await asyncio.wait(stops, timeout=STOP_WITHIN)
        for task in late:
            task.cancel()
        for task in [*late, *(task for task in done if task.exception())]:
            log.warning(Event.COMPONENT_NOT_DRAINED, shell=stops[task])

    async def _leave(self) -> None:
        """Gives links and work away at once, so that nobody has to wait for our death to be noticed."""
        if not self._ended_well:
            return
        with suppress(*TRANSIENT_ERRORS):
            async with asyncio.timeout(1.0), self._database.acquire() as connection:
                await nodes.leave(connection, self._node)
        log.info(Event.STOPPED)
