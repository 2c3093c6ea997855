"""The composition root: configuration → database → components → shells, in one TaskGroup."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress

from gateway import metrics, notify
from gateway.api.app import serve_http
from gateway.clock import wall_now
from gateway.cluster.clock_watch import ClockWatch
from gateway.cluster.membership import Membership, leave
from gateway.cluster.retry import TRANSIENT_ERRORS, run_with_retry
from gateway.cluster.scheduler import Job, Scheduler
from gateway.components import Components, build, longest_waits
from gateway.config import Config
from gateway.config.policy import Policy
from gateway.ids import new_ulid
from gateway.logs.log import Event, get_logger
from gateway.operators.link import Link
from gateway.operators.receiver import Receiver
from gateway.partners.caller import Caller
from gateway.partners.http_session import partner_session
from gateway.partners.sdu import SduPush
from gateway.shells import apis_of, board_of, links_of, partners_of
from gateway.store import nodes, rewinds, setup
from gateway.store.database import Database, DatabaseError, open_pool
from gateway.store.inbound import FLUSH_SECONDS
from gateway.store.migrations import migrate as migrate_database
from gateway.store.migrations import pending
from gateway.store.rewinds import JournalMemory
from gateway.store.session_checks import check_tables
from gateway.tracing.traces import Traces
from gateway.tracing.traces import are_wanted as traces_are_wanted

log = get_logger()

GC_THRESHOLDS = (50_000, 20, 50)
"""Thresholds of the garbage collector: a full one blocks the event loop for 0.3 s while a list is received."""
BATCH = 500
"""Cases or receipts per transaction of a scheduled job."""
EXIT_FENCED = 75
"""EX_TEMPFAIL of sysexits.h: the supervisor should restart the process."""


async def serve(config: Config, *, migrate: bool = False, policy: Policy | None = None) -> int:
    """The exit status of the process, after it has run until SIGTERM or SIGINT; raises as `run` does."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    gc.freeze()  # modules are never collected
    gc.set_threshold(*GC_THRESHOLDS)
    traces = _open_traces(config)
    try:
        async with notify.watchdog():
            return await run(config, stopping, migrate=migrate, policy=policy, traces=traces)
    finally:
        await asyncio.to_thread(traces.close)


async def run(
    config: Config,
    stopping: asyncio.Event,
    *,
    migrate: bool = False,
    policy: Policy | None = None,
    traces: Traces | None = None,
) -> int:
    """The exit status of the process, after it has run until `stopping` is set: 0, or EXIT_FENCED.

    A process that was evicted, because it was paused or lost its database connection, ends with EXIT_FENCED and
    has committed nothing since. A process whose database is rewound ends all its tasks, and only serves HTTP until
    ops have accepted that; then it starts again. Raises DatabaseError when an external database has pending
    migrations and `migrate` is False.
    """
    memory, status = JournalMemory(), None
    while status is None:
        status = await _run(
            config, stopping, memory, migrate=migrate, policy=policy or Policy(), traces=traces or Traces()
        )
    return status


def _open_traces(config: Config) -> Traces:
    """Those that the variables OTEL_* ask for; none, and a line of the log, where the extra is not installed."""
    if traces_are_wanted():
        try:
            from gateway.tracing.otel import exported
        except ImportError as error:
            log.warning(Event.TRACES_UNAVAILABLE, error=str(error))
        else:
            return exported(config.gateway.node)
    return Traces()


async def _run(
    config: Config,
    stopping: asyncio.Event,
    memory: JournalMemory,
    *,
    migrate: bool,
    policy: Policy,
    traces: Traces,
) -> int | None:
    """The exit status; None when the process has to start again, because the database is rewound or was."""
    node = new_ulid(wall_now())
    database = await open_pool(
        config,
        node=node,
        acquire_timeout_seconds=policy.acquire_timeout_seconds,
        policy=policy.database,
        check=memory.check_connection,
    )
    status: int | None = 0
    try:
        await _prepare(config, database, migrate_now=migrate or config.gateway.embedded)
        components = await build(config, database, node, policy, memory=memory, traces=traces)
        if await _is_rewound(database, memory):
            await _await_acceptance(config, components, stopping)
            status = 0 if stopping.is_set() else None
        else:
            await components.replication.check()
            await _Process(config, components, stopping).run()
    except* nodes.RewoundError:
        status = None
    except* nodes.FencedError:
        if status is not None:
            log.error(Event.NODE_FENCED)
            status = EXIT_FENCED
    finally:
        memory.suspended = True  # until it is known whether the database is rewound
        await database.close()
    return status


async def _is_rewound(database: Database, memory: JournalMemory) -> bool:
    """Whether the database lacks what was there, by its own rows or by what this process remembers."""
    try:
        async with database.acquire() as connection:
            await memory.check(connection, is_new=True)
    except nodes.RewoundError:
        return True
    memory.suspended = False
    metrics.REWOUND.set(0)
    return False


async def _await_acceptance(config: Config, components: Components, stopping: asyncio.Event) -> None:
    """Serves HTTP, and nothing else, until the rewind of the database is accepted or `stopping` is set.

    What HTTP could change is rejected by the fence of every transaction (store/nodes.py).
    """
    policy, database = components.policy, components.database
    try:
        async with serve_http(config.http, apis_of(config, components), policy.http):
            reported = False
            while not stopping.is_set():
                with suppress(*TRANSIENT_ERRORS):
                    async with asyncio.timeout(policy.membership.expired_after_seconds), database.acquire() as c:
                        rewind = await rewinds.unaccepted(c)
                    if rewind is None:
                        return
                    if not reported:
                        rewinds.report(rewind)
                        notify.ready("paused: the database was rewound, see gateway accept-rewind")
                        reported = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(policy.membership.heartbeat_seconds):
                        await stopping.wait()
    finally:
        await leave(database, components.node, policy.links.pause_after_copy)


async def _prepare(config: Config, database: Database, *, migrate_now: bool) -> None:
    async with database.acquire() as connection:
        await check_tables(connection)
        if migrate_now:
            if await migrate_database(connection, schema=config.gateway.schema):
                await database.pool.expire_connections()  # they know the types of the old schema only
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


def jobs_of(components: Components) -> list[Job]:
    """The scheduled jobs. Those that run in each process skip rows that another process has locked."""
    c = components

    async def meet_deadlines() -> None:
        while await c.deadlines.meet(BATCH) == BATCH:
            pass

    async def match_receipts() -> None:
        while await c.receipts.match_unmatched(BATCH) == BATCH:
            pass

    async def erase() -> None:
        total = 0
        while erased := await c.erasure.erase(BATCH):
            total += erased
        if total:
            log.info(Event.PERSONAL_DATA_ERASED, cases=total)

    def once(name: str, run: Callable[[], Awaitable[object]], every_seconds: float) -> Job:
        return Job(name=name, run=run, every_seconds=every_seconds, once_per_cluster=True)

    return [
        Job(name="seal", run=c.journal.seal, every_seconds=0.2),
        Job(name="meet_deadlines", run=meet_deadlines, every_seconds=1.0),
        Job(name="match_receipts", run=match_receipts, every_seconds=1.0),
        Job(name="index_people", run=c.housekeeping.index_people, every_seconds=2.0),
        Job(name="check_disk", run=c.disk_check.run, every_seconds=5.0),
        Job(name="check_replication", run=c.replication.check, every_seconds=60.0),
        once("flush_replies", c.replies.flush_incomplete, FLUSH_SECONDS),
        once("fold_progress", c.housekeeping.fold_progress, 30.0),
        once("count_queues", c.housekeeping.count_queues, 10.0),
        once("count_figures", c.figures.count, 5.0),
        once("check_journal", c.journal.check, c.policy.journal.check_seconds),
        once("grow_tree", c.journal.grow_tree, 30.0),
        once("fold_journal", c.journal.fold, 30.0),
        once("expire_receipts", c.housekeeping.expire_receipts, 60.0),
        once("expire_dialogues", c.housekeeping.expire_dialogues, 60.0),
        once("expire_unacknowledged", c.housekeeping.expire_unacknowledged, 3600.0),
        once("repair_entries", c.housekeeping.repair_entries, 24 * 3600.0),
        once("anchor_journal", c.journal.log_anchor, 3600.0),
        once("erase", erase, 3600.0),
        once("expire_access_log", c.access_log.expire, 3600.0),
    ]


class _Process:
    """The tasks of one process, from its start until it has left the cluster."""

    def __init__(self, config: Config, components: Components, stopping: asyncio.Event) -> None:
        self._config = config
        self._components = components
        self._stopping = stopping
        self._policy = components.policy
        self._receiver = Receiver(components.inbound, self._policy.receiver)
        self._links = links_of(config, components, self._receiver)
        note_alerts = Job(name="note_alerts", run=board_of(config, components).note_alerts, every_seconds=10.0)
        self._scheduler = Scheduler(
            [*jobs_of(components), note_alerts], database=components.database, node=components.node
        )
        self._membership = Membership(
            database=components.database,
            node=components.node,
            lease=components.lease,
            links=self._links,
            policy=self._policy.membership,
            clocks=ClockWatch(
                components.clock, self._scheduler.restart_timers, longest=longest_waits(self._policy)
            ),
            memory=components.memory,
            ack_timeout_seconds=self._policy.receiver.ack_timeout_seconds,
        )

    async def run(self) -> None:
        """Runs all tasks until `stopping` is set, then drains them and leaves the cluster."""
        c, policy = self._components, self._policy
        # Else the process does not leave: others evict it and note that its last responses may not have arrived.
        drained = False
        try:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(partner_session(c.traces.of_requests()))
                partners = partners_of(self._config, c, http)
                async with asyncio.TaskGroup() as tasks:
                    membership_retry = policy.task_retry.capped(policy.membership.heartbeat_seconds)
                    running = [
                        tasks.create_task(
                            run_with_retry(self._receiver.run, "receive", backoff=policy.task_retry)
                        ),
                        tasks.create_task(self._links.run()),
                        *(
                            tasks.create_task(run_with_retry(shell.run, name, backoff=policy.task_retry))
                            for name, shell in partners.items()
                        ),
                    ]
                    await stack.enter_async_context(
                        serve_http(self._config.http, apis_of(self._config, c), policy.http)
                    )
                    heartbeats = run_with_retry(self._membership.run, "membership", backoff=membership_retry)
                    running += map(tasks.create_task, (heartbeats, self._membership.watch_silence()))
                    self._scheduler.start()
                    log.info(Event.STARTED, links=len(self._config.links))
                    notify.ready("serves")
                    try:
                        await self._stopping.wait()
                        log.info(Event.STOPPING)
                        notify.stopping()
                        await self._drain(partners)
                        async with asyncio.timeout(policy.flush_timeout_seconds):
                            await self._receiver.flushed()
                        drained = True
                    except TimeoutError:
                        log.warning(Event.REPLIES_NOT_FLUSHED)
                    finally:
                        self._scheduler.stop()
                        for task in running:
                            task.cancel()
        finally:
            if drained:
                await leave(self._components.database, self._components.node, self._policy.links.pause_after_copy)
                log.info(Event.STOPPED)

    async def _drain(self, partners: Mapping[str, Caller | SduPush]) -> None:
        """Stops all shells concurrently; unfinished work stays in its rows, and another process claims it."""
        self._links.stop_acquiring()
        shells: list[tuple[str, Link | Caller | SduPush]] = [*self._links.held().items(), *partners.items()]
        stops = {asyncio.create_task(shell.stop()): name for name, shell in shells}
        if not stops:
            return
        done, late = await asyncio.wait(stops, timeout=self._policy.stop_timeout_seconds)
        for task in late:
            task.cancel()
        for task in [*late, *(task for task in done if task.exception())]:
            log.warning(Event.COMPONENT_NOT_DRAINED, component=stops[task])
