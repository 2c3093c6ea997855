"""The composition root: configuration → database → use cases → shells, in one TaskGroup."""

import asyncio
import gc
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from gateway.api.app import Api, serve_http
from gateway.api.cases import CasesApi
from gateway.api.console import ConsoleApi
from gateway.api.lists import ListsApi
from gateway.api.ops import OpsApi
from gateway.api.overview import OverviewApi
from gateway.api.statuses import StatusesApi
from gateway.api.wallet import WalletApi
from gateway.clock import Clock, wall_now
from gateway.cluster.lease import Lease
from gateway.cluster.membership import Membership
from gateway.cluster.retry import run_with_retry
from gateway.cluster.scheduler import Job, Scheduler
from gateway.cluster.wakeups import WakeUps
from gateway.config import Config
from gateway.config import Link as LinkConfig
from gateway.config.policy import Policy
from gateway.config.routing import Routing
from gateway.config.templates import load_templates
from gateway.consent.case import Rules
from gateway.consent.deadlines import Calendar
from gateway.consent.reply import ReplyRules
from gateway.evidence.digests import Digester
from gateway.ids import new_ulid
from gateway.intake.reading import ListReader
from gateway.logs.log import Event, get_logger
from gateway.operators.link import Link
from gateway.operators.links import Links
from gateway.operators.receiver import Receiver
from gateway.partners.caller import Caller
from gateway.partners.http_session import partner_session
from gateway.partners.mcb import Mcb
from gateway.partners.sdu import SduClient, SduPush
from gateway.partners.wallet import Wallet
from gateway.store import nodes, setup, sms
from gateway.store.calls import CallKind
from gateway.store.database import Database, DatabaseError, load_clock, open_pool
from gateway.store.migrations import migrate as migrate_database
from gateway.store.migrations import pending
from gateway.usecases.accept_list import AcceptList
from gateway.usecases.case_batch import DecisionContext
from gateway.usecases.deadlines import Deadlines
from gateway.usecases.erasure import Erasure
from gateway.usecases.housekeeping import Housekeeping
from gateway.usecases.inbound import Inbound
from gateway.usecases.journal_upkeep import JournalUpkeep
from gateway.usecases.manual_actions import ManualActions
from gateway.usecases.partner_calls import PartnerCalls
from gateway.usecases.receipts import Receipts
from gateway.usecases.replies import Replies
from gateway.usecases.scheduled_jobs import scheduled_jobs
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts
from gateway.usecases.status_feed import StatusFeed
from gateway.usecases.texts import Service, TextRenderer
from gateway.usecases.unit_of_work import Transactions
from gateway.usecases.ussd import UssdDialogues
from gateway.usecases.wallet_events import WalletEvents

log = get_logger()

GC_THRESHOLDS = (50_000, 20, 50)
"""Of the garbage collector. A full collection blocks the event loop for 0.3 s while a list is being received."""
EXIT_FENCED = 75
"""EX_TEMPFAIL of sysexits.h: the supervisor should restart the process."""


async def serve(config: Config, *, migrate: bool = False) -> int:
    """The exit status of the process, after it has run until SIGTERM or SIGINT; raises as `run` does."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    gc.freeze()  # modules are never collected
    gc.set_threshold(*GC_THRESHOLDS)
    return await run(config, stopping, migrate=migrate)


async def run(
    config: Config, stopping: asyncio.Event, *, migrate: bool = False, policy: Policy | None = None
) -> int:
    """The exit status of the process, after it has run until `stopping` is set: 0, or EXIT_FENCED.

    A process that was evicted, because it was paused or lost its database connection, ends with EXIT_FENCED and
    has committed nothing since. Raises DatabaseError when an external database has pending migrations and
    `migrate` is False.
    """
    policy = policy or Policy()
    node = new_ulid(wall_now())
    database = await open_pool(config, node=node, acquire_timeout_seconds=policy.acquire_timeout_seconds)
    status = 0
    try:
        await _prepare(config, database, migrate_now=migrate or config.gateway.embedded)
        await _Process(config, await build(config, database, node, policy), stopping).run()
    except* nodes.FencedError:
        log.error(Event.NODE_FENCED)
        status = EXIT_FENCED
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
    """The calendar of the journey."""
    journey = config.journey
    return Calendar(
        timezone=journey.timezone,
        answer_days=journey.answer_days,
        grace=journey.grace,
        window_opens=journey.send_window.opens,
        window_closes=journey.send_window.closes,
    )


def services_of(config: Config) -> dict[str, Service]:
    """The configured services by code, with their templates loaded."""
    return {
        code: Service(
            code=code,
            name=service.name,
            link=service.link,
            templates=load_templates(service.templates),
            replies=ReplyRules(
                service=code, agree=service.agree, refuse=service.refuse, strict=config.replies.strict
            ),
        )
        for code, service in config.services.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The use cases of one process, and what its shells share."""

    policy: Policy
    database: Database
    node: str
    clock: Clock
    calendar: Calendar
    wakeups: WakeUps
    lease: Lease
    sending: SendingState
    transactions: Transactions
    accept_list: AcceptList
    manual_actions: ManualActions
    wallet_events: WalletEvents
    inbound: Inbound
    replies: Replies
    receipts: Receipts
    deadlines: Deadlines
    erasure: Erasure
    housekeeping: Housekeeping
    journal: JournalUpkeep


async def build(
    config: Config,
    database: Database,
    node: str,
    policy: Policy | None = None,
    clock: Clock | None = None,
) -> Components:
    """The components of a process, which is now registered; `clock` None: the clock of the database."""
    policy = policy or Policy()
    services, routing = services_of(config), Routing(config.links)
    names = [link.name for link in config.links]
    async with database.acquire() as connection:
        clock = clock or await load_clock(connection, config.clock.rate)
        await setup.keep_templates(connection, {code: s.templates for code, s in services.items()})
        digests = Digester(await setup.evidence_key(connection))
        await nodes.join(connection, node, config.gateway.node, names)
        if moved := await sms.reroute(connection, names, routing):
            log.warning(Event.TEXTS_REROUTED, texts=moved)
    calendar, wakeups, sending = calendar_of(config), WakeUps(), SendingState()
    texts = TextRenderer(services, config.links, routing)
    context = DecisionContext(rules=_rules_of(config, calendar), texts=texts, digests=digests)
    transactions = Transactions(database=database, node=node, clock=clock, context=context, wakeups=wakeups)
    replies = Replies(
        transactions=transactions,
        services=services,
        routing=routing,
        alphabets={link.name: link.default_alphabet for link in config.links},
        sending=sending,
    )
    receipts = Receipts(
        transactions=transactions, message_ids={link.name: link.message_id for link in config.links}
    )
    dialogues = UssdDialogues(
        services=services, routing=routing, texts=texts, lifetime_seconds=policy.dialogue_lifetime_seconds
    )
    return Components(
        policy=policy,
        database=database,
        node=node,
        clock=clock,
        calendar=calendar,
        wakeups=wakeups,
        lease=Lease(policy.membership.expired_after_seconds),
        sending=sending,
        transactions=transactions,
        accept_list=AcceptList(database=database, node=node, clock=clock, calendar=calendar, wakeups=wakeups),
        manual_actions=ManualActions(transactions),
        wallet_events=WalletEvents(transactions),
        inbound=Inbound(transactions=transactions, replies=replies, receipts=receipts, dialogues=dialogues),
        replies=replies,
        receipts=receipts,
        deadlines=Deadlines(transactions=transactions, database=database, clock=clock),
        erasure=Erasure(transactions, timedelta(days=config.privacy.keep_days)),
        housekeeping=Housekeeping(database=database, node=node),
        journal=JournalUpkeep(database=database, node=node, wakeups=wakeups, policy=policy.journal),
    )


def _rules_of(config: Config, calendar: Calendar) -> Rules:
    journey = config.journey
    return Rules(
        calendar=calendar,
        repeats=journey.repeats,
        clarify=journey.clarify,
        fallback_on_undeliverable=journey.fallback_on_undeliverable,
    )


def apis_of(config: Config, components: Components) -> list[Api]:
    """The HTTP interfaces of the process."""
    c = components
    return [
        ListsApi(
            database=c.database,
            calendar=c.calendar,
            reader=ListReader(c.accept_list, staged_batch=c.policy.staged_batch),
            services=tuple(config.services),
            max_list_bytes=config.http.max_list_bytes,
            policy=c.policy.http,
        ),
        CasesApi(database=c.database, calendar=c.calendar, actions=c.manual_actions),
        StatusesApi(
            database=c.database,
            calendar=c.calendar,
            sealed=c.wakeups.sealed,
            max_readers=c.policy.http.max_feed_readers,
        ),
        WalletApi(c.wallet_events),
        OpsApi(database=c.database, clock=c.clock, links=[link.name for link in config.links]),
        OverviewApi(
            database=c.database,
            clock=c.clock,
            calendar=c.calendar,
            node=c.node,
            links=config.links,
            pushes=bool(config.sdu.url),
            down_after_seconds=c.policy.membership.link_down_after_seconds,
        ),
        ConsoleApi(),
    ]


def jobs_of(components: Components) -> list[Job]:
    """The scheduled jobs of the process."""
    c = components
    return scheduled_jobs(
        deadlines=c.deadlines,
        receipts=c.receipts,
        replies=c.replies,
        erasure=c.erasure,
        housekeeping=c.housekeeping,
        journal=c.journal,
    )


class _Process:
    """The tasks of one process, from its start until it has left the cluster."""

    def __init__(self, config: Config, components: Components, stopping: asyncio.Event) -> None:
        self._config = config
        self._components = components
        self._stopping = stopping
        self._policy = components.policy
        self._receiver = Receiver(components.inbound, self._policy.receiver)
        self._links = Links(
            {link.name: link for link in config.links},
            database=components.database,
            node=components.node,
            lease=components.lease,
            wakeups=components.wakeups,
            receiver=self._receiver,
            state=components.sending,
            sent_texts=self._sent_texts,
            policy=self._policy,
        )
        self._membership = Membership(
            database=components.database,
            node=components.node,
            lease=components.lease,
            links=self._links,
            policy=self._policy.membership,
            ack_timeout_seconds=self._policy.receiver.ack_timeout_seconds,
        )

    async def run(self) -> None:
        """Runs all tasks until `stopping` is set, then drains them and leaves the cluster."""
        c, policy = self._components, self._policy
        # Else the process does not leave: others evict it and note that its last responses may not have arrived.
        drained = False
        try:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(partner_session())
                partners = self._partners(http)
                scheduler = Scheduler(jobs_of(c), database=c.database, node=c.node)
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
                    running.append(
                        tasks.create_task(
                            run_with_retry(self._membership.run, "membership", backoff=membership_retry)
                        )
                    )
                    scheduler.start()
                    log.info(Event.STARTED, node=self._config.gateway.node, links=len(self._config.links))
                    try:
                        await self._stopping.wait()
                        log.info(Event.STOPPING)
                        await self._drain(partners)
                        async with asyncio.timeout(policy.flush_timeout_seconds):
                            await self._receiver.flushed()
                        drained = True
                    except TimeoutError:
                        log.warning(Event.REPLIES_NOT_FLUSHED)
                    finally:
                        scheduler.stop()
                        for task in running:
                            task.cancel()
        finally:
            if drained:
                await self._membership.leave()
                log.info(Event.STOPPED)

    def _sent_texts(self, link: LinkConfig) -> SentTexts:
        c = self._components
        return SentTexts(
            transactions=c.transactions,
            database=c.database,
            node=c.node,
            clock=c.clock,
            calendar=c.calendar,
            link=link.name,
            fallback_for=[other.name for other in self._config.links if link.name in other.fallback],
            down_after_seconds=self._policy.membership.link_down_after_seconds,
        )

    def _partners(self, http: aiohttp.ClientSession) -> dict[str, Caller | SduPush]:
        """The shells to the configured partners, by task name."""
        config, c = self._config, self._components
        shells: dict[str, Caller | SduPush] = {}
        if config.mcb.url:
            shells["lookups"] = self._caller(CallKind.LOOKUP, Mcb(http, config.mcb), config.mcb.concurrency)
        if config.wallet.url:
            wallet = Wallet(http, config.wallet, c.calendar)
            shells["vouchers"] = self._caller(CallKind.VOUCHER, wallet, config.wallet.concurrency)
        if config.sdu.url:
            shells["statuses"] = SduPush(
                SduClient(http, config.sdu),
                StatusFeed(database=c.database, node=c.node, calendar=c.calendar),
                batch=config.sdu.batch,
                wakeup=c.wakeups.statuses,
                backoff=self._policy.partners.push,
            )
        return shells

    def _caller(self, kind: CallKind, client: Mcb | Wallet, concurrency: int) -> Caller:
        c = self._components
        calls = PartnerCalls(kind=kind, transactions=c.transactions, database=c.database, node=c.node)
        return Caller(
            client,
            calls,
            concurrency=concurrency,
            wakeup=c.wakeups.calls[kind],
            policy=self._policy.partners,
            task_retry=self._policy.task_retry,
        )

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
