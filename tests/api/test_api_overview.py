"""The overview for ops, and the conditions that raise an alert."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import metrics
from gateway.api.alerts import (
    Alert,
    Clocks,
    Code,
    Level,
    LinkState,
    PausedPartner,
    QueueState,
    alerts,
    database_away,
)
from gateway.api.sentences import SENTENCES, span
from gateway.components import Components
from gateway.consent.inputs import Park, UseNumber
from gateway.partners.responses import FailureKind
from gateway.store import journal, queues
from gateway.store.database import Database
from gateway.store.held_replies import HeldByLink
from gateway.store.replication import Replication
from gateway.store.rewinds import Rewind
from tests.api.apiclient import DOCUMENT, Api
from tests.record_factories import good

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
BOUND = {
    "node": "node",
    "bound": 1,
    "sessions": 1,
    "since": NOW - timedelta(hours=3),
    "queued": 0,
    "bind_failure": None,
    "next_bind_at": None,
}
SOUND = Replication(standbys=0, synchronous=0, unreadable=0, waits=False)
QUIET: dict[str, Any] = {"depth": 0, "seconds": 0.0, "failing": 0}


def alerts_of(*, links: list[dict[str, Any]] | None = None, queue: str = "journal", **changes: Any) -> list[Alert]:
    """The alerts for these links and one queue."""
    states = [LinkState(link="kcell", **{**BOUND, **link}) for link in links or []]
    waiting = QueueState(queue=queue, **{**QUIET, **{k: v for k, v in changes.items() if k in QUIET}})
    more: dict[str, Any] = {
        "held": [],
        "paused": [],
        "silent": {},
        "clocks": Clocks(0, 0),
        "disk_full": False,
        "parked": 0,
        "journal_faults": 0,
        "rewind": None,
        "replication": SOUND,
        "durability": "local",
    } | {k: v for k, v in changes.items() if k not in QUIET}
    return alerts(states, [waiting], now=NOW, down_after_seconds=10.0, **more)


def places(sentences: Iterable[str]) -> set[str]:
    """The names of what is filled in."""
    return {name for key in sentences for name in re.findall(r"\{(\w+)\}", SENTENCES[key])}


# what is wrong


def test_no_alert_while_all_sessions_are_bound_and_no_queue_is_late() -> None:
    assert alerts_of(links=[{}, {"sessions": 2, "bound": 2}], depth=500, seconds=1.0) == []


@pytest.mark.parametrize(
    ("link", "level", "code", "text"),
    [
        ({"bound": 0}, Level.CRITICAL, Code.LINK_DOWN, "kcell: no session bound for 3 h."),
        ({"bound": 0, "node": None, "queued": 1}, Level.CRITICAL, Code.LINK_DOWN,
         "kcell: no living process holds the link. Start one. 1 text is waiting."),
        ({"stopped": "ESME_RINVSRCADR", "stopped_at": NOW - timedelta(minutes=5), "queued": 2}, Level.CRITICAL,
         Code.LINK_STOPPED, "kcell: the SMSC has refused whatever is sent with ESME_RINVSRCADR for 5 min: settle "
         "it with the operator. A segment is tried at intervals. 2 texts are waiting."),
        ({"unaccepted_since": NOW - timedelta(minutes=4)}, Level.CRITICAL, Code.NOTHING_ACCEPTED,
         "kcell: bound, nothing accepted for 4 min: the SMSC throttles, is busy or does not respond. "
         "Ask the operator."),
        ({"needed_timeout_seconds": 46.5}, Level.WARNING, Code.RESPONSES_LATE,
         "kcell: responses come late: set response_timeout to 46s or more."),
        ({"bound": 0, "bind_failure": "ESME_RINVPASWD", "next_bind_at": NOW + timedelta(seconds=95)},
         Level.CRITICAL, Code.CREDENTIALS_REFUSED,
         "kcell: the SMSC refuses our system_id or password: settle it with the operator."
         " Last attempt: ESME_RINVPASWD; the next one in 95 s or by gateway bind-now kcell."),
        ({"bound": 0, "bind_failure": "ESME_RBINDFAIL", "next_bind_at": NOW + timedelta(minutes=5), "queued": 2},
         Level.CRITICAL, Code.BIND_REFUSED,
         "kcell: the SMSC refuses the bind: a denied host, one session too many or a stale bind. Last attempt:"
         " ESME_RBINDFAIL; the next one in 5 min or by gateway bind-now kcell. 2 texts are waiting."),
        ({"bound": 0, "bind_failure": "unreachable", "next_bind_at": NOW - timedelta(seconds=1)},
         Level.CRITICAL, Code.LINK_DOWN,
         "kcell: no session bound for 3 h. Last attempt: unreachable; another one is under way."),
        ({"sessions": 4, "bind_failure": "ESME_RBINDFAIL", "next_bind_at": NOW + timedelta(seconds=60)},
         Level.WARNING, Code.SESSIONS_MISSING,
         "kcell: 1 of 4 sessions bound for 3 h."
         " Last attempt: ESME_RBINDFAIL; the next one in 60 s or by gateway bind-now kcell."),
        ({"sessions": 4}, Level.WARNING, Code.SESSIONS_MISSING, "kcell: 1 of 4 sessions bound for 3 h."),
    ],
)  # fmt: skip
def test_the_alert_of_a_link_has_its_duration_and_waiting_texts(
    link: dict[str, Any], level: Level, code: Code, text: str
) -> None:
    assert alerts_of(links=[link]) == [Alert(level, code, text)]


@pytest.mark.parametrize(
    ("seconds", "failure", "text"),
    [
        (5, None, "kcell: no session bound for 5 s."),
        (
            0,
            "unreachable",
            "kcell: no session bound for 0 s. Last attempt: unreachable; another one is under way.",
        ),
    ],
)
def test_a_link_that_has_just_lost_its_session_is_a_warning(seconds: int, failure: str | None, text: str) -> None:
    link = {"bound": 0, "since": NOW - timedelta(seconds=seconds), "bind_failure": failure, "next_bind_at": NOW}
    assert alerts_of(links=[link]) == [Alert(Level.WARNING, Code.LINK_DOWN, text)]


@pytest.mark.parametrize(
    ("kind", "why", "text"),
    [
        ("lookup", FailureKind.CREDENTIALS,
         "The MCB does not accept our token (401, 403): settle mcb.token with those who run it. Its calls wait."),
        ("voucher", FailureKind.ADDRESS,
         "The wallet is not at wallet.url (404, 405, a redirect): correct it, or ask those who run it."
         " Its calls wait."),
        ("sdu", FailureKind.TOO_LARGE,
         "SDU does not accept even one record (413): ask those who run it to raise their limit. Its calls wait."),
        ("lookup", FailureKind.INVALID,
         "The MCB responds as no contract says: ask those who run it, and release parked cases afterwards."
         " Its calls wait."),
    ],
)  # fmt: skip
def test_the_alert_of_a_paused_partner_says_what_to_do(kind: str, why: FailureKind, text: str) -> None:
    alert = Alert(Level.CRITICAL, Code.PARTNER_PAUSED, text)
    assert alerts_of(paused=[PausedPartner(kind, why)]) == [alert]


@pytest.mark.parametrize("refusal", ["ESME_RINVPASWD", "ESME_RINVSYSID"])
def test_an_smsc_that_refuses_the_credentials_raises_their_alert(refusal: str) -> None:
    (alert,) = alerts_of(links=[{"bound": 0, "bind_failure": refusal}])
    assert (alert.level, alert.code) == (Level.CRITICAL, Code.CREDENTIALS_REFUSED)


def test_a_refused_bind_before_a_successful_one_is_no_alert() -> None:
    assert alerts_of(links=[{"bind_failure": "ESME_RBINDFAIL"}]) == []


@pytest.mark.parametrize(
    ("queue", "waiting", "code"),
    [
        ("journal", {"depth": 9, "seconds": 61.0}, Code.JOURNAL_LATE),
        ("statuses", {"depth": 9, "seconds": 301.0}, Code.STATUSES_LATE),
        ("statuses", {"depth": 9, "seconds": 4.0, "failing": 3}, Code.STATUSES_LATE),
        ("statuses", {"depth": 9, "seconds": 301.0, "failing": 9}, Code.STATUSES_LATE),
        ("voucher", {"depth": 9, "seconds": 901.0}, Code.VOUCHERS_LATE),
        ("voucher", {"depth": 9, "seconds": 30.0, "failing": 9}, Code.CALLS_FAILING),
        ("lookup", {"depth": 9, "seconds": 30.0, "failing": 1}, Code.CALLS_FAILING),
    ],
)
def test_a_late_or_failing_queue_is_a_warning(queue: str, waiting: dict[str, Any], code: Code) -> None:
    (alert,) = alerts_of(queue=queue, **waiting)
    assert (alert.level, alert.code) == (Level.WARNING, code)


def test_a_long_queue_of_look_ups_is_no_alert() -> None:
    assert alerts_of(queue="lookup", depth=1_000_000, seconds=7200.0) == []


def test_a_push_that_failed_twice_is_no_alert_and_a_paused_sdu_is_one_only() -> None:
    assert alerts_of(queue="statuses", depth=9, seconds=2.0, failing=2) == []
    paused = [PausedPartner("sdu", FailureKind.CREDENTIALS)]
    (alert,) = alerts_of(queue="statuses", depth=9, seconds=60.0, failing=5, paused=paused)
    assert alert.code is Code.PARTNER_PAUSED


def test_calls_that_fail_at_a_paused_partner_are_one_alert() -> None:
    paused = [PausedPartner("lookup", FailureKind.CREDENTIALS)]
    (alert,) = alerts_of(queue="lookup", depth=9, seconds=60.0, failing=5, paused=paused, silent={"lookup": 20})
    assert alert.code is Code.PARTNER_PAUSED


@pytest.mark.parametrize(
    ("queue", "silent"),
    [("statuses", {"lookup": 20}), ("lookup", {"sdu": 20}), ("lookup", {"voucher": 20}), ("journal", {"sdu": 20})],
)
def test_the_silence_of_one_partner_is_no_alert_of_another(queue: str, silent: dict[str, int]) -> None:
    assert alerts_of(queue=queue, depth=9, seconds=12.0, silent=silent) == []


@pytest.mark.parametrize(("queue", "partner"), [("statuses", "sdu"), ("lookup", "lookup"), ("voucher", "voucher")])
def test_a_silent_partner_is_one_alert_while_something_waits_for_it(queue: str, partner: str) -> None:
    silent = {partner: 95}
    assert alerts_of(queue=queue, silent=silent) == []
    (alert,) = alerts_of(queue=queue, depth=9, seconds=95.0, failing=9, silent=silent)
    assert "has not responded for 95 s" in alert.text


def held(**changes: Any) -> HeldByLink:
    """Three replies of kcell's numbers that came by tele2."""
    by_link = HeldByLink("tele2", "kcell", cases=2, numbers=1, replies=3, open=2, recent=1, since=NOW)
    return by_link._replace(**changes)


def test_held_replies_by_one_link_of_one_operators_numbers_are_one_alert() -> None:
    (alert,) = alerts_of(held=[held()])
    assert (alert.level, alert.code) == (Level.WARNING, Code.REPLIES_HELD)
    assert alert.text == (
        "tele2: replies of numbers that the MCB assigns to kcell are held: the base may lag. "
        "Replies: 3, 1 of the last day; numbers: 1. Somebody has to decide."
    )
    assert len(alerts_of(held=[held(), held(link="beeline")])) == 2


def test_held_replies_are_an_alert_for_a_day_or_while_their_question_is_open() -> None:
    assert len(alerts_of(held=[held(open=0)])) == 1
    assert len(alerts_of(held=[held(recent=0)])) == 1
    assert alerts_of(held=[held(open=0, recent=0)]) == []


@pytest.mark.parametrize(
    ("clocks", "code", "text"),
    [
        (Clocks(host_ahead=10, standing=0), Code.CLOCKS_DIFFER,
         "This host's clock is 10 s ahead of the database's: check the time service of both hosts."),
        (Clocks(host_ahead=-7200, standing=0), Code.CLOCKS_DIFFER,
         "This host's clock is 2 h behind the database's: check the time service of both hosts."),
        (Clocks(host_ahead=0, standing=0, step=2_592_000), Code.CLOCKS_DIFFER,
         "The database's clock was set ahead by 30 days: business time follows in ten minutes, and what is due by "
         "then becomes due. If that clock is wrong, set it right before."),
        (Clocks(host_ahead=3600, standing=0, step=-3600), Code.CLOCKS_DIFFER,
         "The database's clock was set back by 60 min: in ten minutes business time stops until it has caught up. "
         "If that clock is wrong, set it right before."),
        (Clocks(host_ahead=0, standing=3600), Code.BUSINESS_TIME_STOPPED,
         "The database's clock was set back: business time is stopped for 60 min. Nothing becomes due until then; "
         "replies and texts go on."),
    ],
)  # fmt: skip
def test_clocks_that_differ_by_more_than_two_seconds_are_an_alert(clocks: Clocks, code: Code, text: str) -> None:
    assert alerts_of(clocks=clocks) == [Alert(Level.WARNING, code, text)]
    assert alerts_of(clocks=Clocks(2, 2)) == alerts_of(clocks=Clocks(-2, 0)) == []


def test_critical_alerts_come_first() -> None:
    found = alerts_of(links=[{"bound": 0}], journal_faults=1, parked=3)
    assert [alert.code for alert in found] == [Code.JOURNAL_BROKEN, Code.LINK_DOWN, Code.CASES_PARKED]
    assert found[-1].text == "3 cases are parked: somebody has to decide."


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days")]
)
def test_a_duration_is_formatted_as_one_number_with_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


# the overview


async def overview(api: Api) -> Any:
    response = await api.get("/v1/overview", "ops-token-of-tests")
    assert response.status == 200
    return response.json


def codes(shown: Mapping[str, Any]) -> list[str]:
    return [alert["code"] for alert in shown["alerts"]]


async def test_the_overview_needs_the_role_ops(api: Api) -> None:
    assert (await api.get("/v1/overview", "sdu-token-of-tests")).status == 403


async def test_the_overview_without_lists_has_only_the_alert_of_a_link_without_node(api: Api) -> None:
    shown = await overview(api)
    assert (shown["ready"], shown["lists"], shown["journal"]["entries"]) == (False, [], 0)
    assert codes(shown) == ["link_down"]
    assert [(node["node"], node["name"], node["alive"]) for node in shown["nodes"]] == [("node", "test", True)]


async def test_the_overview_shows_and_alerts_how_far_the_clocks_are_apart(api: Api) -> None:
    metrics.CLOCK_DRIFT.labels("database").set(-11.7)
    metrics.CLOCK_DRIFT.labels("business").set(3600.2)
    shown = await overview(api)
    assert shown["clocks"] == {"host_ahead": -12, "standing": 3600, "step": 0}
    assert {"clocks_differ", "business_time_stopped"} <= set(codes(shown))


async def test_the_overview_of_a_link_has_its_node_and_the_hours_of_its_queue(
    api: Api, components: Components
) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    await api.execute("UPDATE sms SET segments = 15")
    shown = await overview(api)
    (link,) = shown["links"]
    assert (shown["ready"], codes(shown)) == (True, [])
    assert (link["node"], link["bound"], link["sessions"], link["tps"]) == ("node", 1, 1, 100)
    assert (link["queued"], link["segments"], link["hours"]) == (1, 15, round(15 / 100 / 3600, 4))
    await api.execute("UPDATE links SET bound = 0")
    (link,) = (await overview(api))["links"]
    assert (link["queued"], link["segments"], link["hours"]) == (1, 15, None)


async def test_segment_counters_are_shown_only_by_the_process_that_holds_the_link(api: Api) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    before = (await overview(api))["links"][0]["counted"]["throttled"]
    metrics.SEGMENTS.labels("kcell", "throttled").inc(2)
    assert (await overview(api))["links"][0]["counted"]["throttled"] == before + 2
    await api.execute("INSERT INTO nodes VALUES ('other', 'other')")
    await api.execute("UPDATE links SET node = 'other'")
    assert (await overview(api))["links"][0]["counted"] is None


async def test_the_overview_has_lists_with_progress_newest_first(api: Api) -> None:
    await api.push([good(1), good(2)])
    await api.push([good(3)], "list-2")
    await api.execute("UPDATE lists SET received_at = received_at - interval '1 hour' WHERE list_id = 'list-1'")
    shown = await overview(api)
    found = [(one["list_id"], one["accepted"], one["progress"]["looking_up"]) for one in shown["lists"]]
    assert found == [("list-2", 1, 1), ("list-1", 2, 2)]
    assert (shown["cases"]["looking_up"], sum(shown["cases"].values())) == (3, 3)


async def test_the_overview_of_queues_has_their_depth_and_failing_calls(api: Api) -> None:
    await api.push([good(1), good(2)])
    await api.execute(f"UPDATE calls SET attempts = {queues.FAILING_FROM} WHERE case_id = $1", await api.case_id())
    shown = await overview(api)
    waiting = {queue["queue"]: (queue["depth"], queue["failing"]) for queue in shown["queues"]}
    assert waiting == {"lookup": (2, 1), "voucher": (0, 0), "journal": (2, 0)}
    assert "calls_failing" in codes(shown)


async def test_a_parked_case_raises_an_alert(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), Park(reason="mcb: 403"))])
    shown = await overview(api)
    assert (shown["cases"]["parked"], codes(shown)[-1]) == (1, "cases_parked")


async def test_the_overview_of_the_journal_has_the_sealed_entries(api: Api, database: Database) -> None:
    await api.push([good(1)])
    async with database.acquire() as connection:
        await journal.seal(connection)
    shown = (await overview(api))["journal"]
    assert (shown["entries"], shown["sealed_at"] is not None) == (1, True)


def test_alert_codes_and_levels_equal_those_of_openapi_json() -> None:
    described = DOCUMENT["components"]["schemas"]["Overview"]["properties"]["alerts"]["items"]["properties"]
    assert (described["code"]["enum"], described["level"]["enum"]) == (list(Code), list(Level))
    assert DOCUMENT["components"]["schemas"]["AlertSentences"]["items"]["enum"] == list(SENTENCES)


def test_a_rewound_database_is_the_first_alert() -> None:
    rewind = Rewind(NOW, "gateway", 480, b"hash", 500, b"known")
    first, *_ = alerts_of(rewind=rewind, links=[{"bound": 0}])
    assert (first.level, first.code) == (Level.CRITICAL, Code.DATABASE_REWOUND)
    assert first.text == (
        "The database lacks entries of the journal: it ended at 480, 500 is known. Nothing is sent. "
        "Put the right server back, or accept the loss: gateway accept-rewind."
    )


@pytest.mark.parametrize(
    ("state", "durability", "level", "words"),
    [
        (Replication(0, 0, 0, waits=False), "local", None, ""),
        (Replication(2, 1, 0, waits=True), "replicated", None, ""),
        (Replication(0, 0, 0, waits=False), "replicated", Level.CRITICAL, "there is no standby"),
        (Replication(1, 0, 0, waits=False), "local", Level.WARNING, "set synchronous_standby_names"),
        (Replication(1, 0, 0, waits=True), "replicated", Level.CRITICAL, "commits wait for one"),
        (Replication(1, 0, 1, waits=True), "replicated", Level.CRITICAL, "GRANT pg_monitor"),
    ],
)
def test_commits_on_one_server_are_an_alert_where_they_are_to_be_on_two(
    state: Replication, durability: str, level: Level | None, words: str
) -> None:
    found = alerts_of(replication=state, durability=durability)
    assert [alert.level for alert in found] == ([level] if level else [])
    assert all(alert.code is Code.COMMITS_LOCAL and words in alert.text for alert in found)


DOWN = {"bound": 0, "bind_failure": "unreachable", "next_bind_at": NOW + timedelta(seconds=40), "queued": 1}
PAUSING = (FailureKind.CREDENTIALS, FailureKind.ADDRESS, FailureKind.TOO_LARGE, FailureKind.INVALID)
WRONG: list[dict[str, Any]] = [
    {"links": [DOWN, DOWN | {"next_bind_at": NOW, "queued": 2}, {"bound": 0, "node": None}, {"sessions": 2}]},
    {"links": [DOWN | {"bind_failure": failure} for failure in ("ESME_RINVPASWD", "ESME_RBINDFAIL")]},
    {"links": [{"stopped": "ESME_RINVSRCADR"}, {"unaccepted_since": NOW, "needed_timeout_seconds": 46.5}]},
    {"rewind": Rewind(NOW, "gateway", 480, b"hash", 500, b"known"), "disk_full": True, "journal_faults": 1},
    *(
        {"replication": Replication(*standbys, waits=waits), "durability": "replicated"}
        for standbys, waits in (((0, 0, 0), False), ((1, 0, 0), False), ((1, 0, 0), True), ((1, 0, 1), True))
    ),
    {"paused": [PausedPartner("lookup", why) for why in PAUSING], "held": [held()], "parked": 1},
    {"clocks": Clocks(host_ahead=10, standing=3600), "parked": 2},
    *({"clocks": Clocks(host_ahead=0, standing=0, step=step)} for step in (3600, -3600)),
    {"clocks": Clocks(host_ahead=-10, standing=0), "queue": "journal", "depth": 9, "seconds": 61.0},
    {"queue": "statuses", "depth": 9, "seconds": 301.0},
    {"queue": "statuses", "depth": 9, "seconds": 12.0, "failing": 3},
    {"queue": "statuses", "depth": 9, "seconds": 12.0, "silent": {"sdu": 12}},
    {"queue": "voucher", "depth": 9, "seconds": 12.0, "silent": {"voucher": 12}},
    {"queue": "voucher", "depth": 9, "seconds": 901.0},
    {"queue": "voucher", "depth": 9, "seconds": 12.0, "failing": 3},
]
"""All that can be wrong."""


def every_alert() -> list[Alert]:
    """An alert of each code, with each sentence."""
    away = [
        database_away("TimeoutError", exhausted=exhausted, read_at="2026-11-23T03:00:00+05:00")
        for exhausted in (True, False)
    ]
    return [*(alert for wrong in WRONG for alert in alerts_of(**wrong)), *away]


def test_every_code_has_its_sentences_and_each_sentence_a_code() -> None:
    found = every_alert()
    assert {alert.code for alert in found} == set(Code)
    assert {key for alert in found for key in alert.sentences} == SENTENCES.keys()
    assert all(alert.fields.keys() == places(alert.sentences) for alert in found)
