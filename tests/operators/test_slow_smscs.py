"""SMSCs whose responses come late or not at all: what is sent again, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.backoff import Backoff
from gateway.simulators.habits import Habits
from gateway.store.sms import ClaimedSms
from gateway.usecases.sent_texts import SentTexts
from tests.harness import SEGMENTS, WITHIN, Family, Harness, metric

_ROW = """
SELECT attempts, state, greatest(next_at, created_at) - clock_timestamp() AS wait FROM sms WHERE kind = 'refused'
"""


async def until(
    harness: Harness, reached: Callable[[list[str]], bool], read: Callable[[], Awaitable[list[str]]]
) -> None:
    """Returns once what is read is so."""
    async with asyncio.timeout(WITHIN):
        while not reached(await read()):
            await harness.connection.execute("SELECT pg_sleep(0.05)")


async def test_segments_whose_responses_all_come_late_are_sent_once(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.9")
    before = metric("segments_unknown_total", link="kcell")
    await harness.start(link={"response_timeout": "600ms"})
    family = Family(n=1)
    await harness.ask(family)
    assert len(harness.smsc.submitted) == SEGMENTS
    assert metric("segments_unknown_total", link="kcell") >= before + SEGMENTS - 1
    assert (await harness.events(family)).count("text_accepted") == 1


@pytest.mark.parametrize("habits", ["stall_every=20 stall_seconds=2.5", "stall_every=7 stall_seconds=1.2"])
async def test_a_stall_of_several_time_outs_makes_few_copies_and_ends_no_case(
    harness: Harness, habits: str
) -> None:
    """As 30 s are where response_timeout is 6 s: each stall begins once so many segments have come."""
    harness.smsc.habits = Habits.parse(habits)
    await harness.start(link={"response_timeout": "500ms", "window": 20})
    families = [Family(n=n) for n in range(1, 5)]
    await harness.push(*families)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 2 * SEGMENTS or None, within=WITHIN)
    harness.smsc.habits = Habits()
    for family in families:
        await harness.status(family, "asked")
        assert (await harness.events(family)).count("text_accepted") == 1
    copies = len(harness.smsc.submitted) - len({(s.destination, s.number) for s in harness.smsc.submitted})
    assert copies <= len(families) * SEGMENTS


async def test_responses_after_random_times_make_few_copies_and_end_no_case(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.9 probability=0.3 seed=1")
    harness.smsc.add("delay delay=0.4 probability=0.5 seed=2")
    await harness.start(link={"response_timeout": "600ms", "window": 20})
    families = [Family(n=n) for n in range(1, 5)]
    await harness.push(*families)
    for family in families:
        await harness.status(family, "asked")
        assert (await harness.events(family)).count("text_accepted") == 1
    copies = len(harness.smsc.submitted) - len(families) * SEGMENTS
    assert copies <= len(families) * SEGMENTS


async def test_late_responses_are_an_alert_until_they_come_in_time_again(harness: Harness) -> None:
    async def alerts() -> list[str]:
        _, overview = await harness.request("GET", "/v1/overview")
        return [alert["code"] for alert in overview["alerts"]]

    late = harness.smsc.add("delay delay=0.9")
    harness.set_policy(links={"late_ends_seconds": 0.1, "note_seconds": 0.05})
    await harness.start(link={"response_timeout": "600ms"})
    await harness.ask(Family(n=1))
    await until(harness, lambda codes: "responses_late" in codes, alerts)
    harness.smsc.rules.remove(late)
    await harness.ask(Family(n=2))
    await harness.ask(Family(n=3))
    await until(harness, lambda codes: "responses_late" not in codes, alerts)


@pytest.mark.parametrize("command_status", ["RSUBMITFAIL", "0x401"])
async def test_a_stopped_link_goes_on_when_the_responses_to_its_probes_come_late(
    harness: Harness, command_status: str
) -> None:
    harness.smsc.add(f"refuse status={command_status} times=20")
    harness.smsc.add("delay delay=0.9")
    harness.set_policy(links={"first_probe_seconds": 0.3})
    await harness.start(link={"response_timeout": "600ms"})
    families = [Family(n=n) for n in range(1, 21)]
    await harness.push(*families)
    for family in families:
        await harness.smsc.message(family.number, containing="3#1", within=3 * WITHIN)
        await harness.status(family, "asked")
    assert metric("link_stopped", link="kcell") == 0
    async with asyncio.timeout(WITHIN):  # the heartbeat notes that the SMSC accepts again
        while (await harness.request("GET", "/readyz"))[0] != 200:
            await harness.connection.execute("SELECT pg_sleep(0.05)")


async def test_a_late_response_accepts_a_segment_whose_copy_is_under_way(harness: Harness) -> None:
    harness.smsc.add("delay nth=4 delay=1.3")
    harness.smsc.add(f"no_answer nth={SEGMENTS + 1}")
    await harness.start(link={"response_timeout": "500ms"})
    family = Family(n=1)
    await harness.ask(family)
    assert len(harness.smsc.submitted) == SEGMENTS + 1
    assert (await harness.events(family)).count("text_accepted") == 1


@pytest.mark.parametrize("delay", ["1.4", "0.2"])
async def test_a_late_response_accepts_a_text_that_waits_in_its_row(harness: Harness, delay: str) -> None:
    await harness.start(link={"response_timeout": "1s"})
    family = Family(n=1)
    await harness.ask(family)
    sent = len(harness.smsc.submitted)
    harness.smsc.add(f"delay delay={delay}")
    await harness.smsc.reply(family.number, "3#2")
    await harness.journaled(family, "text_accepted", nth=2)
    assert len(harness.smsc.submitted) == sent + 1


async def test_a_late_response_counts_that_comes_while_its_text_is_put_back_into_its_row(harness: Harness) -> None:
    await harness.start(link={"response_timeout": "1s"})
    family = Family(n=1)
    await harness.ask(family)
    sent = len(harness.smsc.submitted)
    harness.smsc.add("delay delay=1.6")
    await harness.smsc.reply(family.number, "3#2")
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > sent or None, within=WITHIN)
    async with harness.connection.transaction():  # the release waits for this lock
        await harness.connection.execute("SELECT FROM sms WHERE kind = 'refused' FOR UPDATE")
        await harness.smsc.wait_for(lambda: harness.smsc.submitted[sent].responded_at, within=WITHIN)
        await harness.connection.execute("SELECT pg_sleep(0.3)")
    await harness.journaled(family, "text_accepted", nth=2)
    assert len(harness.smsc.submitted) == sent + 1


@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_a_late_response_counts_that_comes_while_its_text_is_claimed_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """The claim is committed, and its rows are read so long after the response."""
    await harness.start(link={"response_timeout": "500ms"})
    family = Family(n=1)
    await harness.ask(family)
    sent = len(harness.smsc.submitted)
    claim = SentTexts.claim

    async def claim_slowly(self: SentTexts, *, bulk: bool, limit: int) -> list[ClaimedSms]:
        rows = await claim(self, bulk=bulk, limit=limit)
        if any(row.attempts > 1 for row in rows):
            await harness.smsc.wait_for(lambda: harness.smsc.submitted[sent].responded_at, within=WITHIN)
            await harness.smsc.enquire()  # the response is read before it
            await harness.connection.execute("SELECT pg_sleep($1)", seconds)
        return rows

    monkeypatch.setattr(SentTexts, "claim", claim_slowly)
    harness.smsc.add("delay delay=3")
    await harness.smsc.reply(family.number, "3#2")
    await harness.journaled(family, "text_accepted", nth=2)
    assert len(harness.smsc.submitted) == sent + 1


async def test_of_a_text_without_udh_at_most_two_copies_leave_in_an_hour(harness: Harness) -> None:
    await harness.start(link={"response_timeout": "300ms"})
    family = Family(n=1)
    await harness.ask(family)
    sent = len(harness.smsc.submitted)
    harness.smsc.add("no_answer")
    await harness.smsc.reply(family.number, "3#2")
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= sent + 2 or None, within=WITHIN)
    row = None
    while row is None or row["state"] != "queued":
        await harness.connection.execute("SELECT pg_sleep(0.02)")
        row = await harness.connection.fetchrow(_ROW)
    assert row["attempts"] == 2
    assert row["wait"] > timedelta(minutes=50)
    assert len(harness.smsc.submitted) == sent + 2


async def test_of_a_text_without_udh_at_most_two_copies_leave_in_an_hour_also_when_the_smsc_is_busy_between(
    harness: Harness,
) -> None:
    """An SMSC that was too busy has no copy: its response counts for nothing."""
    soon = Backoff(first_seconds=0.01, max_seconds=0.01)
    harness.set_policy(links={"busy": soon, "max_busy_retries": 1, "busy_pause": timedelta()})
    await harness.start(link={"response_timeout": "300ms"})
    family = Family(n=1)
    await harness.ask(family)
    sent = len(harness.smsc.submitted)
    harness.smsc.add("full nth=2 times=1")
    harness.smsc.add("full nth=3 times=1")
    harness.smsc.add("no_answer")
    await harness.smsc.reply(family.number, "3#2")
    row = None
    async with asyncio.timeout(WITHIN):
        while row is None or row["state"] != "queued" or row["wait"] < timedelta(minutes=50):
            await harness.connection.execute("SELECT pg_sleep(0.02)")
            row = await harness.connection.fetchrow(_ROW)
    assert len(harness.smsc.submitted) == sent + 4
    assert row["attempts"] == 2


@pytest.mark.parametrize("unanswered", ["no_answer", "drop_before"])
async def test_a_text_without_a_response_is_given_up_and_the_siblings_question_is_asked(
    harness: Harness, unanswered: str
) -> None:
    """A day lasts a second. The request may have arrived: it can be replied to for its days to reply."""
    first = Family(n=1)
    sibling = Family(n=2, mother=first.number)
    rule = harness.smsc.add(f"{unanswered} to={first.number}")
    harness.set_policy(links={"max_resend_wait_seconds": 0.3})
    changes: dict[str, Any] = {
        "clock": {"rate": 86_400},
        "link": {"give_up": "1d", "response_timeout": "300ms"},
    }
    await harness.start(**changes)
    await harness.push(first, sibling)
    await harness.smsc.wait_for(
        lambda: any(one.destination == first.number for one in harness.smsc.submitted) or None, within=WITHIN
    )
    for n in range(3, 30):  # the link works for others
        await harness.push(Family(n=n))
        if "text_refused" in await harness.events(first):
            break
        await harness.journaled(Family(n=n), "text_accepted")
    refused = await harness.journaled(first, "text_refused")
    assert refused["reason"] == "outcome_unknown"
    harness.smsc.rules.remove(rule)
    assert "undeliverable" not in await harness.events(first)
    await harness.status(first, "undeliverable")
    await harness.status(sibling, "asked")
    await harness.smsc.reply(first.number, "3#1")
    await harness.status(sibling, "consented")


async def test_segments_of_a_lost_connection_go_again_after_the_next_bind(harness: Harness) -> None:
    harness.smsc.add("drop_before nth=6")
    await harness.start()
    family = Family(n=1)
    await harness.ask(family)
    assert harness.smsc.inbox(family.number)[0].text == await harness.connection.fetchval(
        "SELECT coalesce(body, filled_template(template, fields)) FROM sms"
    )
