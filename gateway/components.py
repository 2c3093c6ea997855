"""The components of one process: its use cases, and what its shells share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from gateway import metrics
from gateway.clock import Clock
from gateway.cluster.lease import Lease
from gateway.cluster.wakeups import WakeUps
from gateway.config import Config
from gateway.config.policy import Policy
from gateway.config.routing import Routing
from gateway.config.templates import load_templates
from gateway.consent.case import Rules
from gateway.consent.deadlines import Calendar
from gateway.consent.reply import ReplyRules
from gateway.evidence.digests import Digester
from gateway.logs.log import Event, get_logger
from gateway.partners.responses import MAX_RETRY_AFTER
from gateway.store import clock_steps, nodes, outbox, setup, templates
from gateway.store.database import Connection, Database, load_clock
from gateway.store.disk import DiskSpace, space_at
from gateway.store.rewinds import JournalMemory
from gateway.tracing.traces import Traces
from gateway.usecases.accept_list import AcceptList
from gateway.usecases.access_log import AccessLog
from gateway.usecases.case_batch import DecisionContext
from gateway.usecases.deadlines import Deadlines
from gateway.usecases.disk_check import DiskCheck
from gateway.usecases.erasure import Erasure
from gateway.usecases.figures import Figures
from gateway.usecases.housekeeping import Housekeeping
from gateway.usecases.inbound import Inbound
from gateway.usecases.journal_upkeep import JournalUpkeep
from gateway.usecases.manual_actions import ManualActions
from gateway.usecases.receipts import Receipts
from gateway.usecases.replication_check import ReplicationCheck
from gateway.usecases.replies import Replies
from gateway.usecases.rewind import RewindAcceptance
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import RECEIPTS_EXPECTED_FOR
from gateway.usecases.texts import Service, TextRenderer
from gateway.usecases.unit_of_work import Transactions
from gateway.usecases.ussd import UssdDialogues
from gateway.usecases.wallet_events import WalletEvents

log = get_logger()


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
    figures: Figures
    housekeeping: Housekeeping
    journal: JournalUpkeep
    memory: JournalMemory
    replication: ReplicationCheck
    disk_check: DiskCheck
    rewind: RewindAcceptance
    access_log: AccessLog
    traces: Traces


def longest_waits(policy: Policy) -> clock_steps.LongestWaits:
    """The longest that anything waits in its row."""
    links = policy.links
    resending = timedelta(seconds=links.max_resend_wait_seconds)
    return clock_steps.LongestWaits(
        text=max(links.pause_after_copy, resending, links.busy_pause),
        call=max(MAX_RETRY_AFTER, timedelta(seconds=policy.partners.retry.max_seconds)),
        dialogue=timedelta(seconds=policy.dialogue_lifetime_seconds),
        expected_receipt=RECEIPTS_EXPECTED_FOR,
    )


async def build(
    config: Config,
    database: Database,
    node: str,
    policy: Policy | None = None,
    clock: Clock | None = None,
    memory: JournalMemory | None = None,
    traces: Traces | None = None,
) -> Components:
    """The components of a process, which is now registered; `clock` None: the clock of the database."""
    policy, memory, traces = policy or Policy(), memory or JournalMemory(), traces or Traces()
    services, routing = services_of(config), Routing(config.links)
    async with database.acquire() as connection:
        clock = clock or await load_clock(connection, config.clock.rate)
        digests = Digester(await setup.evidence_key(connection))
        await templates.keep(connection, {code: s.templates for code, s in services.items()})
        await _join(connection, config, node, policy, routing)
    calendar, wakeups, sending, disk = calendar_of(config), WakeUps(), SendingState(), _disk_of(config)
    texts = TextRenderer(services, config.links, routing)
    context = DecisionContext(node=node, rules=_rules_of(config, calendar), texts=texts, digests=digests)
    transactions = Transactions(
        database=database, clock=clock, context=context, wakeups=wakeups, memory=memory, traces=traces,
        senders=sending.senders,
    )  # fmt: skip
    replies = _replies_of(config, transactions, services, routing, sending)
    receipts = _receipts_of(config, transactions)
    dialogues = UssdDialogues(
        services=services, routing=routing, texts=texts, lifetime_seconds=policy.dialogue_lifetime_seconds
    )
    keep = timedelta(days=config.privacy.keep_days)
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
        accept_list=AcceptList(
            database=database, node=node, clock=clock, calendar=calendar, wakeups=wakeups, disk=disk
        ),
        manual_actions=ManualActions(transactions),
        wallet_events=WalletEvents(transactions),
        inbound=Inbound(transactions=transactions, replies=replies, receipts=receipts, dialogues=dialogues),
        replies=replies,
        receipts=receipts,
        deadlines=Deadlines(transactions=transactions, database=database, clock=clock),
        erasure=Erasure(transactions, keep),
        figures=Figures(database=database, node=node, clock=clock),
        housekeeping=Housekeeping(database=database, node=node, clock=clock),
        journal=JournalUpkeep(database=database, node=node, wakeups=wakeups, memory=memory, policy=policy.journal),
        memory=memory,
        replication=ReplicationCheck(database, config.gateway.durability),
        disk_check=DiskCheck(disk, database),
        rewind=RewindAcceptance(database, clock),
        access_log=AccessLog(database=database, node=node, clock=clock, digests=digests, keep=keep),
        traces=traces,
    )


async def _join(connection: Connection, config: Config, node: str, policy: Policy, routing: Routing) -> None:
    """Registers the process, and settles what the rows have of a former configuration or clock."""
    names = [link.name for link in config.links]
    metrics.expose_links(names)
    await nodes.join(connection, node, config.gateway.node, names)
    await clock_steps.cut_waits(connection, longest_waits(policy))
    if moved := await outbox.reroute(connection, names, routing):
        log.warning(Event.TEXTS_REROUTED, moved=moved)


def _replies_of(
    config: Config,
    transactions: Transactions,
    services: Mapping[str, Service],
    routing: Routing,
    sending: SendingState,
) -> Replies:
    return Replies(
        transactions=transactions,
        services=services,
        routing=routing,
        alphabets={link.name: link.default_alphabet for link in config.links},
        destinations={link.name: link.accepted_destinations for link in config.links},
        sending=sending,
    )


def _receipts_of(config: Config, transactions: Transactions) -> Receipts:
    return Receipts(
        transactions=transactions,
        message_ids={link.name: link.message_id for link in config.links},
        any_segment=[link.name for link in config.links if link.receipts in ("last", "first")],
    )


def _disk_of(config: Config) -> DiskSpace:
    return DiskSpace(lambda: space_at(config.gateway.data_dir) if config.gateway.embedded else None)


def _rules_of(config: Config, calendar: Calendar) -> Rules:
    journey = config.journey
    return Rules(
        calendar=calendar,
        repeats=journey.repeats,
        clarify=journey.clarify,
        fallback_on_undeliverable=journey.fallback_on_undeliverable,
    )
