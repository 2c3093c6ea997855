"""What breaks, and who is told of it how: one alert with cause and next step, readiness, metric, log."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest

from gateway.api.alerts import Clocks, Code, PausedPartner
from gateway.api.ops import OpsApi
from gateway.components import Components
from gateway.config.model import Durability
from gateway.logs.log import Event
from gateway.partners.responses import FailureKind
from gateway.store.replication import Replication
from tests.api.apiclient import Api
from tests.api.test_api_overview import NOW, alerts_of
from tests.deploy.test_observability_files import ALERTS, ENTRIES, LABELS
from tests.docs.code_facts import logged_events

UNBOUND = {
    "bound": 0, "since": NOW - timedelta(seconds=15), "next_bind_at": NOW + timedelta(seconds=40),
}  # fmt: skip


class Told(NamedTuple):
    """The alert of the overview, and what the overview has read then."""

    code: Code
    cause: str
    next_step: str
    state: dict[str, Any]


class Unready(NamedTuple):
    """What /readyz says, and what of the link's row makes it say so."""

    why: str
    link: str


class Breakage(NamedTuple):
    """What broke, and where it is told."""

    name: str
    log: Event
    metric: str
    prometheus: str  # the alert
    told: Told | None = None  # None: the overview needs the database, or another process tells of it
    unready: Unready | None = None  # None: it does not matter there


NO_DATABASE = Unready("The database is not reachable", "")
MCB_REFUSES = PausedPartner("lookup", FailureKind.CREDENTIALS)
BREAKAGES = [
    Breakage(
        "SMSC gone", Event.LINK_UNREACHABLE, "gateway_sessions_bound", "LinkDown",
        Told(Code.LINK_DOWN, "unreachable", "gateway bind-now kcell",
             {"links": [UNBOUND | {"bind_failure": "unreachable"}]}),
        Unready("Not bound: kcell", "node = 'node', bound = 0, bind_failure = 'unreachable'"),
    ),
    Breakage(
        "wrong password", Event.LINK_CREDENTIALS_REFUSED, "gateway_link_failures_total", "CredentialsRefused",
        Told(Code.CREDENTIALS_REFUSED, "refuses our system_id or password", "settle it with the operator",
             {"links": [UNBOUND | {"bind_failure": "ESME_RINVPASWD"}]}),
        Unready("Not bound: kcell", "node = 'node', bound = 0, bind_failure = 'ESME_RINVPASWD'"),
    ),
    Breakage(
        "throttled for long", Event.LINK_NOTHING_ACCEPTED, "gateway_segments_total", "NothingAccepted",
        Told(Code.NOTHING_ACCEPTED, "throttles, is busy or does not respond", "Ask the operator",
             {"links": [{"unaccepted_since": NOW - timedelta(minutes=4)}]}),
        Unready("Bound, nothing accepted: kcell",
                "node = 'node', bound = 1, unaccepted_since = now() - interval '4 min'"),
    ),
    Breakage(
        "MCB gone", Event.PARTNER_UNAVAILABLE, "gateway_partner_failures", "CallsFailing",
        Told(Code.CALLS_FAILING, "The MCB is failing", "Ask those who run it",
             {"queue": "lookup", "depth": 9, "seconds": 12.0, "failing": 9}),
    ),
    Breakage(
        "MCB refuses us", Event.PARTNER_PAUSED, "gateway_partner_paused", "PartnerPaused",
        Told(Code.PARTNER_PAUSED, "The MCB does not accept our token", "settle mcb.token",
             {"paused": [MCB_REFUSES]}),
    ),
    Breakage(
        "wallet gone", Event.PARTNER_UNAVAILABLE, "gateway_partner_failures", "CallsFailing",
        Told(Code.CALLS_FAILING, "The wallet is failing", "Ask those who run it",
             {"queue": "voucher", "depth": 9, "seconds": 12.0, "failing": 9}),
    ),
    Breakage(  # the overview follows the alert after five minutes
        "SDU gone", Event.PARTNER_UNAVAILABLE, "gateway_partner_failures", "StatusesFailing",
        Told(Code.STATUSES_LATE, "wait for SDU", "Ask those who run it",
             {"queue": "statuses", "depth": 9, "seconds": 301.0}),
    ),
    Breakage(
        "database frozen", Event.DATABASE_AWAY, "gateway_database_up", "DatabaseAway", unready=NO_DATABASE,
    ),
    Breakage("disk full", Event.DISK_SPACE_LOW, "gateway_http_requests_total", "DiskFull"),
    Breakage(
        "clock off", Event.CLOCK_STEPPED, "gateway_clock_drift_seconds", "ClocksDiffer",
        Told(Code.CLOCKS_DIFFER, "2 h behind the database's", "check the time service",
             {"clocks": Clocks(host_ahead=-7200, standing=0)}),
    ),
    Breakage(
        "node lost, and no other", Event.NODE_EVICTED, "up", "GatewayDown",
        Told(Code.LINK_DOWN, "no living process holds the link", "Start one",
             {"links": [UNBOUND | {"node": None}]}),
        Unready("Not bound: kcell", "node = NULL, bound = 0"),
    ),
    Breakage(
        "journal broken", Event.JOURNAL_BROKEN, "gateway_journal_faults_total", "JournalBroken",
        Told(Code.JOURNAL_BROKEN, "chain is broken", "gateway verify-journal", {"journal_faults": 1}),
    ),
    Breakage(
        "no replication", Event.COMMITS_LOCAL, "gateway_commits_replicated", "CommitsLocal",
        Told(Code.COMMITS_LOCAL, "on one server only", "set synchronous_standby_names",
             {"replication": Replication(1, 0, 0, waits=False), "durability": "replicated"}),
        Unready("Commits are not replicated", "node = 'node', bound = 1"),
    ),
]  # fmt: skip


def each(breakages: Iterable[Breakage]) -> pytest.MarkDecorator:
    """The test for each of these."""
    return pytest.mark.parametrize("broken", [pytest.param(broken, id=broken.name) for broken in breakages])


logged = cache(logged_events)


def test_nothing_is_told_in_peace() -> None:
    assert alerts_of(links=[{}]) == []


@each(broken for broken in BREAKAGES if broken.told)
def test_a_breakage_is_one_alert_with_its_cause_and_the_next_step(broken: Breakage) -> None:
    assert broken.told is not None
    (alert,) = alerts_of(**broken.told.state)
    assert alert.code is broken.told.code
    assert broken.told.cause in alert.text
    assert broken.told.next_step in alert.text


@each(BREAKAGES)
def test_a_breakage_is_a_metric_with_a_rule_and_a_warning_of_the_log_and_an_entry_of_the_runbook(
    broken: Breakage,
) -> None:
    (rule,) = [rule for rule in ALERTS if rule["alert"] == broken.prometheus]
    assert broken.metric in LABELS
    assert re.search(rf"\b{broken.metric}\b", rule["expr"])
    assert logged()[broken.log].levels & {"warning", "error", "critical"}
    told = {rule["annotations"]["runbook"].partition("#")[2], *([str(broken.told.code)] if broken.told else [])}
    assert any(f"`{broken.log}`" in ENTRIES[entry] for entry in told)


class NoDatabase:
    """A database that does not answer."""

    exhausted = False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        raise TimeoutError
        yield


@each(broken for broken in BREAKAGES if broken.unready)
async def test_a_breakage_that_stops_the_work_makes_the_cluster_unready_and_says_why(
    broken: Breakage, api: Api, components: Components
) -> None:
    assert broken.unready is not None
    durability: Durability = broken.told.state.get("durability", "local") if broken.told else "local"
    if broken.unready.link:
        await api.execute(f"UPDATE links SET {broken.unready.link}")
    database: Any = components.database if broken.unready.link else NoDatabase()
    ops = OpsApi(
        database=database,
        clock=components.clock,
        calendar=components.calendar,
        links=["kcell"],
        durability=durability,
        cache_seconds=0.0,
    )
    assert (await ops._ready() or "").startswith(broken.unready.why)
