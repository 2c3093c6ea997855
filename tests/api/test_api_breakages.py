"""What breaks, and who is told of it how: one alert with cause and next step, readiness, metric, log."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

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

SOON = {"next_bind_at": NOW + timedelta(seconds=40)}
UNBOUND = {"bound": 0, "since": NOW - timedelta(seconds=15), **SOON}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """What broke, and where it is told."""

    name: str
    log: Event
    metric: str
    prometheus: str  # the alert
    code: Code | None = None  # of the overview; None: it needs the database, or another process tells of it
    state: dict[str, Any] = field(default_factory=dict)  # what the overview has read then
    cause: str = ""
    next_step: str = ""
    rows: str = ""  # SQL that makes the rows of /readyz so
    not_ready: str = ""  # of /readyz; "": it does not matter there


BREAKAGES = [
    Breakage(
        name="SMSC gone",
        log=Event.LINK_UNREACHABLE,
        metric="gateway_sessions_bound",
        prometheus="LinkDown",
        code=Code.LINK_DOWN,
        state={"links": [UNBOUND | {"bind_failure": "unreachable"}]},
        cause="unreachable",
        next_step="gateway bind-now kcell",
        rows="UPDATE links SET node = 'node', bound = 0, bind_failure = 'unreachable'",
        not_ready="Not bound: kcell",
    ),
    Breakage(
        name="wrong password",
        log=Event.LINK_CREDENTIALS_REFUSED,
        metric="gateway_link_failures_total",
        prometheus="CredentialsRefused",
        code=Code.CREDENTIALS_REFUSED,
        state={"links": [UNBOUND | {"bind_failure": "ESME_RINVPASWD"}]},
        cause="refuses our system_id or password",
        next_step="settle it with the operator",
        rows="UPDATE links SET node = 'node', bound = 0, bind_failure = 'ESME_RINVPASWD'",
        not_ready="Not bound: kcell",
    ),
    Breakage(
        name="throttled for long",
        log=Event.LINK_NOTHING_ACCEPTED,
        metric="gateway_segments_total",
        prometheus="NothingAccepted",
        code=Code.NOTHING_ACCEPTED,
        state={"links": [{"unaccepted_since": NOW - timedelta(minutes=4)}]},
        cause="throttles, is busy or does not respond",
        next_step="Ask the operator",
        rows="UPDATE links SET node = 'node', bound = 1, unaccepted_since = now() - interval '4 min'",
        not_ready="Bound, nothing accepted: kcell",
    ),
    Breakage(
        name="MCB gone",
        log=Event.PARTNER_UNAVAILABLE,
        metric="gateway_partner_failures",
        prometheus="CallsFailing",
        code=Code.CALLS_FAILING,
        state={"queue": "lookup", "depth": 9, "seconds": 12.0, "failing": 9},
        cause="The MCB is failing",
        next_step="Ask those who run it",
    ),
    Breakage(
        name="MCB refuses us",
        log=Event.PARTNER_PAUSED,
        metric="gateway_partner_paused",
        prometheus="PartnerPaused",
        code=Code.PARTNER_PAUSED,
        state={"paused": [PausedPartner("lookup", FailureKind.CREDENTIALS)]},
        cause="The MCB does not accept our token",
        next_step="settle mcb.token",
    ),
    Breakage(
        name="wallet gone",
        log=Event.PARTNER_UNAVAILABLE,
        metric="gateway_partner_failures",
        prometheus="CallsFailing",
        code=Code.CALLS_FAILING,
        state={"queue": "voucher", "depth": 9, "seconds": 12.0, "failing": 9},
        cause="The wallet is failing",
        next_step="Ask those who run it",
    ),
    Breakage(
        name="SDU gone",
        log=Event.PARTNER_UNAVAILABLE,
        metric="gateway_partner_failures",
        prometheus="StatusesFailing",  # the overview follows after five minutes
        code=Code.STATUSES_LATE,
        state={"queue": "statuses", "depth": 9, "seconds": 301.0},
        cause="wait for SDU",
        next_step="Ask those who run it",
    ),
    Breakage(
        name="database frozen",
        log=Event.DATABASE_AWAY,
        metric="gateway_database_up",
        prometheus="DatabaseAway",
        not_ready="The database is not reachable",
    ),
    Breakage(
        name="disk full",
        log=Event.DISK_SPACE_LOW,
        metric="gateway_http_requests_total",
        prometheus="DiskFull",
    ),
    Breakage(
        name="clock off",
        log=Event.CLOCK_STEPPED,
        metric="gateway_clock_drift_seconds",
        prometheus="ClocksDiffer",
        code=Code.CLOCKS_DIFFER,
        state={"clocks": Clocks(host_ahead=-7200, standing=0)},
        cause="2 h behind the database's",
        next_step="check the time service",
    ),
    Breakage(
        name="node lost, and no other",
        log=Event.NODE_EVICTED,
        metric="up",
        prometheus="GatewayDown",
        code=Code.LINK_DOWN,
        state={"links": [UNBOUND | {"node": None}]},
        cause="no living process holds the link",
        next_step="Start one",
        rows="UPDATE links SET node = NULL, bound = 0",
        not_ready="Not bound: kcell",
    ),
    Breakage(
        name="journal broken",
        log=Event.JOURNAL_BROKEN,
        metric="gateway_journal_faults_total",
        prometheus="JournalBroken",
        code=Code.JOURNAL_BROKEN,
        state={"journal_faults": 1},
        cause="chain is broken",
        next_step="gateway verify-journal",
    ),
    Breakage(
        name="no replication",
        log=Event.COMMITS_LOCAL,
        metric="gateway_commits_replicated",
        prometheus="CommitsLocal",
        code=Code.COMMITS_LOCAL,
        state={"replication": Replication(1, 0, 0, waits=False), "durability": "replicated"},
        cause="on one server only",
        next_step="set synchronous_standby_names",
        rows="UPDATE links SET node = 'node', bound = 1",
        not_ready="Commits are not replicated",
    ),
]  # fmt: skip
each_breakage = pytest.mark.parametrize("broken", BREAKAGES, ids=[broken.name for broken in BREAKAGES])


logged = cache(logged_events)


def test_nothing_is_told_in_peace() -> None:
    assert alerts_of(links=[{}]) == []


@each_breakage
def test_a_breakage_is_one_alert_with_its_cause_and_the_next_step(broken: Breakage) -> None:
    if broken.code is None:
        assert (broken.state, broken.cause) == ({}, "")
        return
    (alert,) = alerts_of(**broken.state)
    assert alert.code is broken.code
    assert broken.cause in alert.text
    assert broken.next_step in alert.text


@each_breakage
def test_a_breakage_is_a_metric_with_a_rule_and_a_warning_of_the_log_and_an_entry_of_the_runbook(
    broken: Breakage,
) -> None:
    (rule,) = [rule for rule in ALERTS if rule["alert"] == broken.prometheus]
    assert broken.metric in LABELS
    assert re.search(rf"\b{broken.metric}\b", rule["expr"])
    assert logged()[broken.log].levels & {"warning", "error", "critical"}
    told = {rule["annotations"]["runbook"].partition("#")[2], *([str(broken.code)] if broken.code else [])}
    assert any(f"`{broken.log}`" in ENTRIES[entry] for entry in told)


class NoDatabase:
    """A database that does not answer."""

    exhausted = False

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        raise TimeoutError
        yield


@pytest.mark.parametrize(
    "broken", [b for b in BREAKAGES if b.not_ready], ids=[b.name for b in BREAKAGES if b.not_ready]
)
async def test_a_breakage_that_stops_the_work_makes_the_cluster_unready_and_says_why(
    broken: Breakage, api: Api, components: Components
) -> None:
    durability: Durability = broken.state.get("durability", "local")
    if broken.rows:
        await api.execute(broken.rows)
    database: Any = components.database if broken.rows else NoDatabase()
    ops = OpsApi(
        database=database,
        clock=components.clock,
        calendar=components.calendar,
        links=["kcell"],
        durability=durability,
        cache_seconds=0.0,
    )
    assert (await ops._ready() or "").startswith(broken.not_ready)
