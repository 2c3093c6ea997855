"""What breaks, and who is told of it how: one alert with cause and next step, readiness, metric, log."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

import pytest

from gateway import metrics
from gateway.api.alerts import Alert, Clocks, Code, Level, PausedPartner, as_noted, database_away, with_noted
from gateway.api.ops import OpsApi
from gateway.api.overview import Overview
from gateway.components import Components
from gateway.config import Config
from gateway.config.model import Durability
from gateway.logs.log import Event
from gateway.partners.responses import FailureKind
from gateway.partners.silence import Silence
from gateway.store import alert_history, journal
from gateway.store.alert_history import SeenAlert
from gateway.store.database import Database
from gateway.store.replication import Replication
from tests.api.apiclient import Api
from tests.api.test_api_overview import NOW, alerts_of
from tests.deploy.test_observability_files import ALERTS, ENTRIES, LABELS
from tests.docs.code_facts import logged_events
from tests.record_factories import good

UNBOUND = {
    "bound": 0, "since": NOW - timedelta(seconds=15), "next_bind_at": NOW + timedelta(seconds=40),
}  # fmt: skip


class Told(NamedTuple):
    """The alert of the overview, and what the overview has read then."""

    code: Code
    cause: str
    next_step: str
    state: dict[str, Any] | None  # None: it could not be read


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
    told: Told
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
    Breakage(
        "SDU gone", Event.PARTNER_UNAVAILABLE, "gateway_partner_failures", "StatusesFailing",
        Told(Code.STATUSES_LATE, "SDU is failing: 3 pushes in a row", "Ask those who run it",
             {"queue": "statuses", "depth": 9, "seconds": 4.0, "failing": 3}),
    ),
    Breakage(
        "MCB silent", Event.PARTNER_UNAVAILABLE, "gateway_partner_silent_seconds", "CallsFailing",
        Told(Code.CALLS_FAILING, "The MCB has not responded for 12 s", "Ask those who run it",
             {"queue": "lookup", "depth": 9, "seconds": 12.0, "silent": {"lookup": 12}}),
    ),
    Breakage(
        "wallet silent", Event.PARTNER_UNAVAILABLE, "gateway_partner_silent_seconds", "CallsFailing",
        Told(Code.CALLS_FAILING, "The wallet has not responded for 12 s", "Ask those who run it",
             {"queue": "voucher", "depth": 9, "seconds": 12.0, "silent": {"voucher": 12}}),
    ),
    Breakage(
        "SDU silent", Event.PARTNER_UNAVAILABLE, "gateway_partner_silent_seconds", "StatusesFailing",
        Told(Code.STATUSES_LATE, "SDU has not responded for 12 s", "Ask those who run it",
             {"queue": "statuses", "depth": 9, "seconds": 12.0, "silent": {"sdu": 12}}),
    ),
    Breakage(
        "database frozen", Event.DATABASE_AWAY, "gateway_database_up", "DatabaseAway",
        Told(Code.DATABASE_AWAY, "does not respond (TimeoutError)", "look at PostgreSQL, its disk and the network",
             None),
        NO_DATABASE,
    ),
    Breakage(
        "disk full", Event.DISK_SPACE_LOW, "gateway_disk_full", "DiskFull",
        Told(Code.DISK_FULL, "too little free space: lists are rejected", "Free some, or enlarge it",
             {"disk_full": True}),
    ),
    Breakage(
        "disk of an external database full", Event.DATABASE_DISK_FULL, "gateway_disk_full", "DiskFull",
        Told(Code.DISK_FULL, "too little free space: lists are rejected", "Free some, or enlarge it",
             {"disk_full": True}),
    ),
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


def test_the_overview_has_no_alert_while_nothing_is_broken() -> None:
    assert alerts_of(links=[{}]) == []


@each(BREAKAGES)
def test_a_breakage_is_one_alert_with_its_cause_and_the_next_step(broken: Breakage) -> None:
    state = broken.told.state
    away = database_away("TimeoutError", exhausted=False, read_at="2026-11-22T22:00:00+05:00")
    (alert,) = [away] if state is None else alerts_of(**state)
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
    told = {rule["annotations"]["runbook"].partition("#")[2], str(broken.told.code)}
    assert any(f"`{broken.log}`" in ENTRIES[entry] for entry in told)


class NoDatabase:
    """A database that does not respond."""

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
    durability: Durability = (broken.told.state or {}).get("durability", "local")
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


# the overview while the database cannot be read


class Breaking:
    """A database that raises or, where it is frozen, falls silent when it is told to."""

    exhausted = False

    def __init__(self, database: Database) -> None:
        self.breakage = ""
        self._database = database

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        if self.breakage == "raises":
            raise ConnectionRefusedError
        if self.breakage == "frozen":
            await asyncio.Event().wait()
        async with self._database.acquire() as connection:
            yield connection


def overview_of(
    components: Components,
    config: Config,
    database: Any,
    *,
    partners: Collection[str] = (),
    timeout_seconds: float = 30.0,
) -> Overview:
    return Overview(
        database=database,
        clock=components.clock,
        calendar=components.calendar,
        node=components.node,
        links=config.links,
        partners=partners,
        durability="local",
        down_after_seconds=10.0,
        silent_after_seconds=10.0,
        timeout_seconds=timeout_seconds,
    )


@pytest.mark.parametrize(
    ("breakage", "timeout_seconds", "error"),
    [("raises", 30.0, "ConnectionRefusedError"), ("frozen", 0.1, "TimeoutError")],
)
async def test_the_overview_of_a_database_that_is_away_is_the_last_one_with_the_alert_first(
    api: Api,
    components: Components,
    config: Config,
    database: Database,
    breakage: str,
    timeout_seconds: float,
    error: str,
) -> None:
    await api.push([good(1)])
    breaking = Breaking(database)
    overview = overview_of(components, config, breaking, timeout_seconds=timeout_seconds)
    before = await overview.alerts()  # as the job does that notes them
    breaking.breakage = breakage
    shown = await overview.make()
    assert [alert["code"] for alert in shown["alerts"]] == [Code.DATABASE_AWAY, *(one.code for one in before)]
    assert (shown["ready"], shown["cases"]["looking_up"]) == (False, 1)
    assert shown["alerts"][0]["text"] == (
        f"The database does not respond ({error}): look at PostgreSQL, its disk and the network to it. "
        f"What is shown is of {shown['read_at']}."
    )
    assert shown["read_at"] <= shown["now"]


async def test_the_overview_is_read_again_once_the_database_is_back(
    api: Api, components: Components, config: Config, database: Database
) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    breaking = Breaking(database)
    overview = overview_of(components, config, breaking)
    await overview.make()
    breaking.breakage = "raises"
    assert not (await overview.make())["ready"]
    breaking.breakage = ""
    await api.push([good(1)])
    shown = await overview.make()
    assert (shown["ready"], shown["alerts"], shown["cases"]["looking_up"]) == (True, [], 1)
    assert shown["read_at"] == shown["now"]


async def test_the_alert_of_a_pool_without_a_free_connection_says_so(
    components: Components, config: Config, database: Database
) -> None:
    breaking = Breaking(database)
    overview = overview_of(components, config, breaking)
    await overview.make()
    breaking.breakage, breaking.exhausted = "raises", True
    assert (await overview.make())["alerts"][0]["text"].startswith("No connection to the database is free")


async def test_an_overview_that_was_never_read_raises_what_the_database_raises(
    components: Components, config: Config
) -> None:
    with pytest.raises(TimeoutError):
        await overview_of(components, config, NoDatabase()).make()


async def test_alerts_of_a_database_that_cannot_be_read_are_not_noted(
    components: Components, config: Config
) -> None:
    with pytest.raises(TimeoutError):
        await overview_of(components, config, NoDatabase()).alerts()


async def test_pushes_that_fail_are_an_alert_of_the_process_that_pushes(
    api: Api, components: Components, config: Config, database: Database
) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    overview = overview_of(components, config, database, partners=["sdu"])
    for failures, codes in ((2, []), (3, [Code.STATUSES_LATE]), (0, [])):
        metrics.PARTNER_FAILURES.labels("sdu").set(failures)
        assert [alert["code"] for alert in (await overview.make())["alerts"]] == codes


async def test_a_push_under_way_for_long_is_an_alert_until_its_response(
    api: Api, components: Components, config: Config, database: Database
) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    await api.push([good(1)])
    async with database.acquire() as connection:
        await journal.seal(connection)
        await connection.execute("INSERT INTO feeds (feed) VALUES ('sdu')")
    overview = overview_of(components, config, database, partners=["sdu"])
    now = 0.0
    silence = Silence("sdu", now=lambda: now)
    with silence.request():
        for seconds, codes in ((9.0, []), (11.0, [Code.STATUSES_LATE]), (29.0, [Code.STATUSES_LATE])):
            now = seconds
            assert [alert.code for alert in await overview.alerts()] == codes
    assert await overview.alerts() == []


(PAUSED,) = alerts_of(paused=[MCB_REFUSES])
LINK = SeenAlert(Code.LINK_DOWN, "kcell", "critical", "kcell: no session bound for 3 s.")
OF_A_LATER_VERSION = SeenAlert("moon_full", "", "critical", "The moon is full.")


async def test_an_alert_that_only_another_process_sees_is_shown_until_it_has_not_been_seen_for_a_while(
    api: Api, components: Components, config: Config, database: Database
) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    overview = overview_of(components, config, database)
    async with database.acquire() as connection, connection.transaction():
        await alert_history.note(connection, [as_noted(PAUSED), LINK, OF_A_LATER_VERSION])
    (shown,) = (await overview.make())["alerts"]
    assert shown == asdict(PAUSED) | {"sentences": ["paused_credentials"]}
    assert shown["fields"] == {"partner": "lookup", "section": "mcb"}
    assert await overview.alerts() == []  # what this process notes: else no alert would ever end
    await api.execute("UPDATE alerts SET seen_at = seen_at - interval '16 s'")
    assert (await overview.make())["alerts"] == []


def test_an_alert_that_two_processes_see_is_shown_once() -> None:
    (own,) = alerts_of(paused=[MCB_REFUSES])
    other = Alert(Level.CRITICAL, Code.JOURNAL_BROKEN, "The journal's chain is broken.")
    late = Alert(Level.WARNING, Code.STATUSES_LATE, "SDU is failing.")
    assert with_noted([own], [late, replace(own, text="as another process sees it"), other]) == [own, other, late]
