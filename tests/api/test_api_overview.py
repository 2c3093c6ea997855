"""What ops see at a glance, and what raises an alert."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway import metrics
from gateway.api.alerts import Alert, Code, Level, LinkState, QueueState, alerts, span
from gateway.app import Components
from gateway.consent.inputs import Park, UseNumber
from gateway.store import journal, queues
from gateway.store.database import Database
from tests.api.apiclient import DOCUMENT, Api
from tests.record_factories import good

NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
BOUND = {
    "node": "node",
    "bound": 1,
    "sessions": 1,
    "since": NOW - timedelta(hours=3),
    "queued": 0,
    "refused": False,
}
QUIET: dict[str, Any] = {"depth": 0, "seconds": 0.0, "failing": 0}


def told(*, links: list[dict[str, Any]] | None = None, queue: str = "journal", **changes: Any) -> list[Alert]:
    """The alerts over these links, and one queue."""
    states = [LinkState(link="kcell", **{**BOUND, **link}) for link in links or []]
    waiting = QueueState(queue=queue, **{**QUIET, **{k: v for k, v in changes.items() if k in QUIET}})
    more = {"parked": 0, "journal_faults": 0} | {k: v for k, v in changes.items() if k not in QUIET}
    return alerts(states, [waiting], now=NOW, down_after_seconds=10.0, **more)


# what is wrong


def test_nothing_is_wrong_while_all_sessions_are_bound_and_nothing_waits_long() -> None:
    assert told(links=[{}, {"sessions": 2, "bound": 2}], depth=500, seconds=1.0) == []


@pytest.mark.parametrize(
    ("link", "level", "code", "text"),
    [
        ({"bound": 0}, Level.CRITICAL, Code.LINK_DOWN, "kcell: no session bound for 3 h."),
        ({"bound": 0, "node": None, "queued": 1}, Level.CRITICAL, Code.LINK_DOWN,
         "kcell: no living process holds the link. 1 text is waiting."),
        ({"bound": 0, "refused": True}, Level.CRITICAL, Code.CREDENTIALS_REFUSED,
         "kcell: the SMSC refuses our system_id or password: settle it with the operator."),
        ({"sessions": 4}, Level.WARNING, Code.SESSIONS_MISSING, "kcell: 1 of 4 sessions bound for 3 h."),
    ],
)  # fmt: skip
def test_a_link_that_is_down_says_since_when_and_what_waits(
    link: dict[str, Any], level: Level, code: Code, text: str
) -> None:
    assert told(links=[link]) == [Alert(level, code, text)]


def test_a_link_that_is_being_bound_again_is_no_alert_yet() -> None:
    assert told(links=[{"bound": 0, "since": NOW - timedelta(seconds=5)}]) == []


def test_credentials_refused_before_a_bind_that_came_about_are_no_news() -> None:
    assert told(links=[{"refused": True}]) == []


@pytest.mark.parametrize(
    ("queue", "waiting", "code"),
    [
        ("journal", {"depth": 9, "seconds": 61.0}, Code.JOURNAL_LATE),
        ("statuses", {"depth": 9, "seconds": 301.0}, Code.STATUSES_LATE),
        ("voucher", {"depth": 9, "seconds": 901.0}, Code.VOUCHERS_LATE),
        ("voucher", {"depth": 9, "seconds": 30.0, "failing": 9}, Code.CALLS_FAILING),
        ("lookup", {"depth": 9, "seconds": 30.0, "failing": 1}, Code.CALLS_FAILING),
    ],
)
def test_what_waits_too_long_or_fails_is_a_warning(queue: str, waiting: dict[str, Any], code: Code) -> None:
    (alert,) = told(queue=queue, **waiting)
    assert (alert.level, alert.code) == (Level.WARNING, code)


def test_a_great_list_whose_look_ups_take_hours_is_no_alert() -> None:
    assert told(queue="lookup", depth=1_000_000, seconds=7200.0) == []


def test_what_is_critical_stands_before_what_is_not() -> None:
    found = told(links=[{"bound": 0}], journal_faults=1, parked=3)
    assert [alert.code for alert in found] == [Code.JOURNAL_BROKEN, Code.LINK_DOWN, Code.CASES_PARKED]
    assert found[-1].text == "3 cases are parked: somebody has to decide."


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 days")]
)
def test_a_span_is_one_number(seconds: float, said: str) -> None:
    assert span(seconds) == said


# the overview


async def overview(api: Api) -> Any:
    answer = await api.get("/v1/overview", "ops-token")
    assert answer.status == 200
    return answer.json


def codes(shown: Mapping[str, Any]) -> list[str]:
    return [alert["code"] for alert in shown["alerts"]]


@pytest.fixture(autouse=True)
def _no_fault_yet() -> None:
    """Other tests of this process may have broken a journal."""
    metrics.JOURNAL_FAULTS.reset()


async def test_the_overview_is_for_ops(api: Api) -> None:
    assert (await api.get("/v1/overview", "sdu-token")).status == 403


async def test_before_the_first_list_there_is_nothing_but_a_link_that_nobody_holds(api: Api) -> None:
    shown = await overview(api)
    assert (shown["ready"], shown["lists"], shown["journal"]["entries"]) == (False, [], 0)
    assert codes(shown) == ["link_down"]
    assert [(node["node"], node["name"], node["alive"]) for node in shown["nodes"]] == [("node", "test", True)]


async def test_a_link_shows_its_holder_and_how_long_its_queue_takes(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    await api.execute("UPDATE sms SET segments = 15")
    shown = await overview(api)
    (link,) = shown["links"]
    assert (shown["ready"], codes(shown)) == (True, [])
    assert (link["node"], link["bound"], link["sessions"], link["tps"]) == ("node", 1, 1, 100)
    assert (link["queued"], link["segments"], link["hours"]) == (1, 15, round(15 / 100 / 3600, 4))


async def test_segments_are_counted_by_the_process_that_holds_the_link(api: Api) -> None:
    await api.execute("UPDATE links SET node = 'node', bound = 1")
    before = (await overview(api))["links"][0]["counted"]["throttled"]
    metrics.SEGMENTS.labels("kcell", "throttled").inc(2)
    assert (await overview(api))["links"][0]["counted"]["throttled"] == before + 2
    await api.execute("INSERT INTO nodes VALUES ('other', 'other')")
    await api.execute("UPDATE links SET node = 'other'")
    assert (await overview(api))["links"][0]["counted"] is None


async def test_lists_come_with_their_progress_the_newest_first(api: Api) -> None:
    await api.push([good(1), good(2)])
    await api.push([good(3)], "list-2")
    await api.execute("UPDATE lists SET received_at = received_at - interval '1 hour' WHERE list_id = 'list-1'")
    shown = await overview(api)
    found = [(one["list_id"], one["accepted"], one["progress"]["looking_up"]) for one in shown["lists"]]
    assert found == [("list-2", 1, 1), ("list-1", 2, 2)]
    assert (shown["cases"]["looking_up"], sum(shown["cases"].values())) == (3, 3)


async def test_queues_say_how_much_waits_and_which_calls_fail(api: Api) -> None:
    await api.push([good(1), good(2)])
    await api.execute(f"UPDATE calls SET attempts = {queues.FAILING_FROM} WHERE case_id = $1", await api.case_id())
    shown = await overview(api)
    waiting = {queue["queue"]: (queue["depth"], queue["failing"]) for queue in shown["queues"]}
    assert waiting == {"lookup": (2, 1), "voucher": (0, 0), "journal": (2, 0)}
    assert "calls_failing" in codes(shown)


async def test_a_parked_case_is_told(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), Park(reason="mcb: 403"))])
    shown = await overview(api)
    assert (shown["cases"]["parked"], codes(shown)[-1]) == (1, "cases_parked")


async def test_the_journal_shows_how_far_it_is_sealed(api: Api, database: Database) -> None:
    await api.push([good(1)])
    async with database.acquire() as connection:
        await journal.seal(connection)
    shown = (await overview(api))["journal"]
    assert (shown["entries"], shown["sealed_at"] is not None) == (1, True)


def test_the_codes_of_alerts_are_those_of_the_document() -> None:
    described = DOCUMENT["components"]["schemas"]["Overview"]["properties"]["alerts"]["items"]["properties"]
    assert (described["code"]["enum"], described["level"]["enum"]) == (list(Code), list(Level))
