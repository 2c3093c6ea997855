"""Figures of campaigns are counted from the journal: each entry once, each case once for a stage."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from gateway.store import alert_history, figures, journal
from gateway.store.alert_history import SeenAlert
from gateway.store.database import Connection, Database
from gateway.store.journal import Entry
from tests.store.rows import MONDAY, add_case

LATER = MONDAY + timedelta(hours=1, minutes=30)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.acquire() as connection:
        for case_id, list_id in (("a", "list"), ("b", "list"), ("c", "other")):
            await add_case(connection, case_id, list_id=list_id)
        yield connection


def entry(case_id: str | None, event: str, at: datetime = MONDAY, **detail: Any) -> Entry:
    return Entry(at, case_id, event, None, json.dumps(detail))


async def count(connection: Connection, entries: Sequence[Entry], *, limit: int = 100) -> int:
    """Journals the entries and counts what is new; how many were counted."""
    await journal.append(connection, entries)
    await journal.seal(connection)
    total = 0
    while counted := await _counted(connection, limit):
        total += counted
    return total


async def _counted(connection: Connection, limit: int) -> int:
    async with connection.transaction():
        return await figures.count(connection, limit)


@pytest.mark.parametrize("limit", [1, 100])
async def test_a_case_counts_once_for_a_stage_however_often_it_reaches_it(
    connection: Connection, limit: int
) -> None:
    """Its mother's number did not work."""
    await connection.execute("UPDATE cases SET unreachable = 1 WHERE case_id = 'a'")
    await count(connection, [entry("a", "received"), entry("a", "number_found"), entry("b", "number_found")])
    again = [entry("a", event) for event in ("number_found", "asked", "delivered", "delivered", "consented")]
    assert await count(connection, [*again, entry("c", "asked")], limit=limit) == 6
    reached = {stage: number for stage, number in (await figures.stages(connection, "list")).items() if number}
    assert reached == {"number_found": 2, "asked": 1, "delivered": 1, "consented": 1}
    assert (await figures.stages(connection, None))["asked"] == 2


async def test_replies_are_counted_by_hour_list_and_verdict(connection: Connection) -> None:
    replies = [("a", "agree", MONDAY), ("b", "agree", MONDAY), ("c", "refuse", LATER), (None, "other", LATER)]
    await count(connection, [entry(case, "reply_read", at, verdict=verdict) for case, verdict, at in replies])
    assert await figures.replies(connection, "list", MONDAY) == [("agree", MONDAY, 2)]
    hour = MONDAY + timedelta(hours=1)
    found = await figures.replies(connection, None, MONDAY)
    assert sorted(found) == [("agree", MONDAY, 2), ("other", hour, 1), ("refuse", hour, 1)]


async def test_segments_are_counted_by_link_and_minute(connection: Connection) -> None:
    accepted = [("kcell", ["1", "2", None]), ("kcell", ["3"]), ("beeline", ["4"])]
    await count(connection, [entry("a", "text_accepted", link=link, message_ids=ids) for link, ids in accepted])
    await count(connection, [entry("b", "text_accepted", LATER, link="kcell", message_ids=["5"])])
    by_minute = sorted(await figures.segments(connection, MONDAY, "minute"))
    assert by_minute == [("beeline", MONDAY, 1), ("kcell", MONDAY, 4), ("kcell", LATER, 1)]
    await figures.expire(connection, LATER)
    by_hour = await figures.segments(connection, MONDAY, "hour")
    assert by_hour == [("kcell", MONDAY + timedelta(hours=1), 1)]


async def test_an_alert_that_nobody_sees_any_more_has_ended_when_it_was_last_seen(connection: Connection) -> None:
    down, parked = (
        SeenAlert("link_down", "kcell", "warning", "for 5 s"),
        SeenAlert("cases_parked", "", "warning", "1"),
    )
    await alert_history.note(connection, [down, parked])
    await alert_history.note(connection, [down._replace(level="critical", text="for 15 s")])
    await connection.execute("UPDATE alerts SET seen_at = seen_at - interval '1 min' WHERE code = 'cases_parked'")
    await alert_history.note(connection, [down])
    ended, lasts = sorted(await alert_history.latest(connection, 10))
    assert (ended.code, lasts.code, lasts.ended_at) == ("cases_parked", "link_down", None)
    assert ended.ended_at is not None
    await alert_history.note(connection, [parked])
    assert [one.ended_at is None for one in await alert_history.latest(connection, 10)] == [True, True, False]


async def test_an_alert_from_before_the_clock_was_put_back_has_ended_and_is_not_seen(
    connection: Connection,
) -> None:
    await alert_history.note(connection, [SeenAlert("link_down", "kcell", "warning", "for 5 s")])
    ahead = "UPDATE alerts SET began_at = began_at + interval '1 h', seen_at = seen_at + interval '1 h'"
    await connection.execute(ahead)
    assert await alert_history.seen(connection) == []
    await alert_history.note(connection, [])
    (ended,) = await alert_history.latest(connection, 10)
    assert ended.ended_at is not None
    assert ended.ended_at <= await connection.fetchval("SELECT clock_timestamp()")
