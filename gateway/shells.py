"""The shells of one process, built from its components: HTTP interfaces, links, callers of partners."""

import aiohttp

from gateway.api.access_log import AccessLogApi, AccessNotes
from gateway.api.app import Api
from gateway.api.board import BoardApi
from gateway.api.cases import CasesApi
from gateway.api.console import ConsoleApi
from gateway.api.evidence import EvidenceApi
from gateway.api.lists import ListsApi
from gateway.api.messages import MessagesApi
from gateway.api.ops import OpsApi
from gateway.api.overview import Overview
from gateway.api.rewinds import RewindsApi
from gateway.api.search import SearchApi
from gateway.api.statuses import StatusesApi
from gateway.api.wallet import WalletApi
from gateway.components import Components
from gateway.config import Config
from gateway.config import Link as LinkConfig
from gateway.intake.reading import ListReader
from gateway.operators.links import Links
from gateway.operators.receiver import Receiver
from gateway.partners.caller import Caller
from gateway.partners.mcb import Mcb
from gateway.partners.sdu import SduClient, SduPush
from gateway.partners.wallet import Wallet
from gateway.store.calls import CallKind
from gateway.usecases.partner_calls import PartnerCalls
from gateway.usecases.sent_texts import SentTexts
from gateway.usecases.status_feed import FEED, StatusFeed


def apis_of(config: Config, components: Components) -> list[Api]:
    """The HTTP interfaces of the process."""
    c = components
    access = AccessNotes(c.access_log, page_seconds=c.policy.http.noted_page_seconds)
    return [
        ListsApi(
            database=c.database,
            calendar=c.calendar,
            reader=ListReader(
                c.accept_list, staged_batch=c.policy.staged_batch, max_records=config.http.max_list_records
            ),
            services=tuple(config.services),
            max_list_bytes=config.http.max_list_bytes,
            max_list_records=config.http.max_list_records,
            policy=c.policy.http,
            traces=c.traces,
        ),
        CasesApi(
            database=c.database,
            calendar=c.calendar,
            actions=c.manual_actions,
            access=access,
            max_scanned=c.policy.http.max_scanned_cases,
        ),
        SearchApi(database=c.database, calendar=c.calendar, access=access),
        EvidenceApi(database=c.database, clock=c.clock, config=config, access=access),
        AccessLogApi(log=c.access_log, calendar=c.calendar),
        MessagesApi(database=c.database, calendar=c.calendar, alphabets=config.default_alphabets, access=access),
        StatusesApi(
            database=c.database,
            calendar=c.calendar,
            sealed=c.wakeups.sealed,
            max_readers=c.policy.http.max_feed_readers,
        ),
        WalletApi(c.wallet_events),
        OpsApi(
            database=c.database,
            clock=c.clock,
            calendar=c.calendar,
            links=[link.name for link in config.links],
            durability=config.gateway.durability,
            cache_seconds=c.policy.http.probe_cache_seconds,
        ),
        board_of(config, components),
        RewindsApi(acceptance=c.rewind, calendar=c.calendar, pushes=bool(config.sdu.url)),
        ConsoleApi(),
    ]


def board_of(config: Config, components: Components) -> BoardApi:
    """The console's data."""
    c = components
    urls = {CallKind.LOOKUP: config.mcb.url, CallKind.VOUCHER: config.wallet.url, FEED: config.sdu.url}
    overview = Overview(
        database=c.database,
        clock=c.clock,
        calendar=c.calendar,
        node=c.node,
        links=config.links,
        partners=[partner for partner, url in urls.items() if url],
        durability=config.gateway.durability,
        down_after_seconds=c.policy.membership.link_down_after_seconds,
        silent_after_seconds=c.policy.partners.silent_after_seconds,
        timeout_seconds=c.policy.http.overview_timeout_seconds,
    )
    return BoardApi(
        overview=overview, database=c.database, clock=c.clock, calendar=c.calendar, policy=c.policy.http
    )


def links_of(config: Config, components: Components, receiver: Receiver) -> Links:
    """The links that the process may hold."""
    c = components

    def sent_texts(link: LinkConfig) -> SentTexts:
        return SentTexts(
            transactions=c.transactions,
            database=c.database,
            node=c.node,
            clock=c.clock,
            calendar=c.calendar,
            link=link.name,
            fallback_for=[other.name for other in config.links if link.name in other.fallback],
            down_after_seconds=c.policy.membership.link_down_after_seconds,
        )

    return Links(
        {link.name: link for link in config.links},
        database=c.database,
        node=c.node,
        lease=c.lease,
        wakeups=c.wakeups,
        receiver=receiver,
        state=c.sending,
        sent_texts=sent_texts,
        policy=c.policy,
    )


def partners_of(
    config: Config, components: Components, http: aiohttp.ClientSession
) -> dict[str, Caller | SduPush]:
    """The shells to the configured partners, by task name."""
    c = components
    shells: dict[str, Caller | SduPush] = {}
    if config.mcb.url:
        shells["lookups"] = _caller(c, CallKind.LOOKUP, Mcb(http, config.mcb), config.mcb.concurrency)
    if config.wallet.url:
        wallet = Wallet(http, config.wallet, c.calendar)
        shells["vouchers"] = _caller(c, CallKind.VOUCHER, wallet, config.wallet.concurrency)
    if config.sdu.url:
        shells["statuses"] = SduPush(
            SduClient(http, config.sdu, now=c.clock.timestamp),
            StatusFeed(database=c.database, node=c.node, calendar=c.calendar),
            batch=config.sdu.batch,
            wakeup=c.wakeups.statuses,
            policy=c.policy.partners,
        )
    return shells


def _caller(c: Components, kind: CallKind, client: Mcb | Wallet, concurrency: int) -> Caller:
    return Caller(
        client,
        PartnerCalls(kind=kind, transactions=c.transactions, database=c.database, node=c.node),
        concurrency=concurrency,
        wakeup=c.wakeups.calls[kind],
        policy=c.policy.partners,
        task_retry=c.policy.task_retry,
    )
