"""SMSCs that refuse: a number, a text, or whatever the link sends."""

import asyncio
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.backoff import Backoff
from gateway.simulators.habits import Habits
from gateway.simulators.smsc import SmscSimulator
from tests.harness import SEGMENTS, WITHIN, Family, Harness, eventually, metric

AT_ONCE = Backoff(first_seconds=0.05, max_seconds=0.2)


def submitted_to(smsc: SmscSimulator, family: Family) -> int:
    return sum(s.destination == family.number for s in smsc.submitted)


async def test_a_refused_number_ends_its_case_while_nothing_else_is_sent(harness: Harness) -> None:
    harness.smsc.add("no_body")
    await harness.start()
    family = Family(n=1)
    await harness.push(family)
    assert (await harness.journaled(family, "text_refused"))["name"] == "ESME_RINVDSTADR"
    await harness.status(family, "undeliverable")
    assert harness.smsc.messages == []


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("refuse status=0x421", "0x00000421"),
        ("nack status=RINVCMDID", "ESME_RINVCMDID"),
        ("refuse status=RINVMSGLEN", "ESME_RINVMSGLEN"),
    ],
)
async def test_a_status_that_nobody_knows_refuses_the_number_once_another_is_accepted(
    harness: Harness, rule: str, name: str
) -> None:
    refused, accepted = Family(n=1), Family(n=2)
    harness.smsc.add(f"{rule} to={refused.number}")
    await harness.start()
    await harness.push(refused)
    await harness.smsc.wait_for(lambda: submitted_to(harness.smsc, refused), within=WITHIN)
    assert "text_refused" not in await harness.events(refused)
    await harness.ask(accepted)
    assert (await harness.journaled(refused, "text_refused"))["name"] == name
    await harness.status(refused, "undeliverable")


@pytest.mark.parametrize(
    "command_status",
    ["0x0A", "0x15", "0x45", "0x0D", "0x0E", "0x0F", "0x401", "0x403", "0x4FF", "0x67", "0xFF", "0x48", "0x0B"],
)
async def test_a_status_that_every_number_gets_stops_the_link_and_ends_no_case_after_it(
    harness: Harness, command_status: str
) -> None:
    """Of numbers that the SMSC calls wrong, the first two are believed."""
    refusal = harness.smsc.add(f"refuse status={command_status}")
    harness.set_policy(links={"first_probe_seconds": 0.3})
    await harness.start()
    families = [Family(n=n) for n in range(1, 26)]
    await harness.push(*families)
    await harness.smsc.wait_for(lambda: metric("link_stopped", link="kcell") == 1 or None, within=WITHIN)
    harness.smsc.rules.remove(refusal)
    believed = 2 if command_status == "0x0B" else 0
    for family in families[believed:]:
        await harness.smsc.message(family.number, containing="3#1", within=3 * WITHIN)
        await harness.status(family, "asked")
    assert metric("link_stopped", link="kcell") == 0
    states = await harness.connection.fetch("SELECT count(*), state FROM cases GROUP BY state")
    assert {row["state"]: row["count"] for row in states if row["state"] != "undeliverable"} == {
        "asked": len(families) - believed
    }


@pytest.mark.parametrize("command_status", ["0x40B", "0x0B"])
async def test_one_refusal_stops_the_link_where_its_statuses_say_so(harness: Harness, command_status: str) -> None:
    refusal = harness.smsc.add(f"refuse status={command_status}")
    harness.set_policy(links={"first_probe_seconds": 0.3})
    await harness.start(link={"statuses": {command_status: "link"}})
    family = Family(n=1)
    await harness.push(family)
    await eventually(lambda: metric("link_stopped", link="kcell") == 1)
    assert "text_refused" not in await harness.events(family)
    harness.smsc.rules.remove(refusal)
    await harness.status(family, "asked")


@pytest.mark.parametrize("command_status", ["0x401", "0x43"])
async def test_a_few_numbers_that_an_account_is_refused_for_go_on_once_one_is_accepted(
    harness: Harness, command_status: str
) -> None:
    """Too few to stop the link: what the account was refused for a while says nothing about the numbers."""
    refusal = harness.smsc.add(f"refuse status={command_status}")
    harness.set_policy(links={"first_probe_seconds": 0.5})
    await harness.start()
    families = [Family(n=n) for n in range(1, 8)]
    await harness.push(*families)
    await harness.smsc.wait_for(
        lambda: all(submitted_to(harness.smsc, family) for family in families) or None, within=WITHIN
    )
    harness.smsc.rules.remove(refusal)
    for family in families:
        await harness.smsc.message(family.number, containing="3#1", within=WITHIN)
        await harness.status(family, "asked")
    for family in families:
        assert "text_refused" not in await harness.events(family)


async def test_a_number_that_alone_gets_a_status_about_the_link_stops_it_once(harness: Harness) -> None:
    """Then its text waits by itself, in memory and in its row, and the others and their replies go on."""
    refused, accepted = Family(n=1), Family(n=2)
    harness.smsc.add(f"refuse status=RINVSRCADR to={refused.number}")
    pause = timedelta(seconds=1)
    harness.set_policy(
        links={"first_probe_seconds": 0.3, "busy": AT_ONCE, "max_busy_retries": 1, "busy_pause": pause}
    )
    with capture_logs() as lines:
        await harness.start(link={"window": 1})
        await harness.push(refused)
        await eventually(lambda: metric("link_stopped", link="kcell") == 1)
        await harness.ask(accepted)
        tried = submitted_to(harness.smsc, refused)
        others = count(3)
        while submitted_to(harness.smsc, refused) < tried + 5:
            await harness.ask(Family(n=next(others)))
        await harness.smsc.reply(accepted.number, "3#1")
        await harness.smsc.message(accepted.number, containing="socwallet", within=WITHIN)
    assert [line["event"] for line in lines].count("link_stopped") == 1
    assert "text_refused" not in await harness.events(refused)


async def test_a_stopped_link_sends_one_segment_at_a_time_of_one_text_after_the_other(harness: Harness) -> None:
    harness.smsc.add("refuse status=RINVSRCADR")
    harness.set_policy(links={"first_probe_seconds": 0.5})
    await harness.start(link={"window": 20})
    await harness.push(*[Family(n=n) for n in range(1, 6)])
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 24 or None, within=WITHIN)
    probes = harness.smsc.submitted[20:24]  # after a window of them
    assert all(later.at - earlier.at >= 0.4 for earlier, later in pairwise(probes))
    assert len({probe.destination for probe in probes}) > 1


async def test_after_its_probe_a_link_goes_on_by_its_rate_and_not_by_that_of_probes(harness: Harness) -> None:
    """The response to a segment comes before the next one may leave, so that none is under way then.

    All segments take 0.3 s. The next probe would have left after four.
    """
    harness.smsc.add("refuse status=RINVSRCADR times=1")
    harness.set_policy(links={"first_probe_seconds": 4.0})
    await harness.start(link={"tps": 100})
    families = [Family(n=n) for n in range(1, 3)]
    await harness.ask(*families)
    probe, *others = harness.smsc.submitted[-len(families) * SEGMENTS :]
    assert others[-1].at < probe.at + 4.0


@pytest.mark.parametrize(
    "rule",
    [
        "full", "full status=RX_T_APPN", "refuse status=0x421", "refuse status=RTHROTTLED",
        "refuse status=RINVSRCADR", "refuse status=RSUBMITFAIL",
    ],
)  # fmt: skip
async def test_a_text_that_the_smsc_never_accepts_is_refused_after_give_up(harness: Harness, rule: str) -> None:
    never, other = Family(n=1), Family(n=2)
    sibling = Family(n=3, mother=never.number)
    refusing = harness.smsc.add(f"{rule} to={never.number}")
    harness.set_policy(links={"busy": AT_ONCE, "first_probe_seconds": 0.1, "busy_pause": timedelta(seconds=0.1)})
    changes: dict[str, Any] = {"clock": {"rate": 86_400}, "link": {"give_up": "1d"}}
    await harness.start(**changes)
    await harness.push(never, sibling)
    await harness.smsc.wait_for(lambda: submitted_to(harness.smsc, never), within=WITHIN)
    await harness.push(other)
    await harness.journaled(other, "text_accepted")
    assert (await harness.journaled(never, "text_refused"))["name"] != "ESME_ROK"
    harness.smsc.rules.remove(refusing)
    await harness.status(never, "undeliverable")
    await harness.status(sibling, "asked")


@pytest.mark.parametrize("rule", ["full", "refuse status=0x421", "refuse status=RTHROTTLED"])
async def test_the_only_text_of_a_link_is_refused_after_give_up(harness: Harness, rule: str) -> None:
    never = Family(n=1)
    sibling = Family(n=2, mother=never.number)
    refusing = harness.smsc.add(f"{rule} to={never.number}")
    harness.set_policy(
        links={
            "busy": AT_ONCE,
            "first_probe_seconds": 0.1,
            "busy_pause": timedelta(seconds=0.1),
            "alone_after_tries": 4,
        }
    )
    changes: dict[str, Any] = {"clock": {"rate": 86_400}, "link": {"give_up": "1d"}}
    await harness.start(**changes)
    await harness.push(never, sibling)
    assert (await harness.journaled(never, "text_refused"))["name"] != "ESME_ROK"
    harness.smsc.rules.remove(refusing)
    await harness.status(never, "undeliverable")
    await harness.status(sibling, "asked")


async def test_numbers_that_are_refused_in_turns_are_not_given_up(harness: Harness) -> None:
    """It may be the link's fault, as long as it accepts no other."""
    harness.smsc.add("full")
    harness.set_policy(links={"busy": AT_ONCE, "busy_pause": timedelta(seconds=0.1), "alone_after_tries": 30})
    changes: dict[str, Any] = {"clock": {"rate": 86_400}, "link": {"give_up": "1d"}}
    await harness.start(**changes)
    families = [Family(n=n) for n in range(1, 4)]
    await harness.push(*families)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) > 30 * SEGMENTS, within=WITHIN)
    for family in families:
        assert "text_refused" not in await harness.events(family)


@pytest.mark.parametrize(
    "rule", ["refuse status=RINVBNDSTS", "nack status=RINVBNDSTS", "refuse status=RINVBNDSTS delay=0.9"]
)
async def test_a_session_that_the_smsc_does_not_know_is_bound_again_and_no_case_ends(
    harness: Harness, rule: str
) -> None:
    harness.smsc.add(f"{rule} nth=3 times=1")
    await harness.start(link={"response_timeout": "600ms"})
    family = Family(n=1)
    await harness.ask(family)
    assert len(harness.smsc.connections) == 2
    assert "text_refused" not in await harness.events(family)


async def test_a_link_whose_full_window_gets_no_response_is_bound_again_and_no_case_ends(
    harness: Harness,
) -> None:
    """It responds to enquire_link all the while."""
    rule = harness.smsc.add("no_answer")
    await harness.start(link={"window": 4, "response_timeout": "300ms", "enquire_link": "100ms"})
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: len(harness.smsc.connections) >= 2 or None, within=WITHIN)
    harness.smsc.rules.remove(rule)
    await harness.status(family, "asked")
    assert "text_refused" not in await harness.events(family)


@pytest.mark.parametrize("command_status", ["RSUBMITFAIL", "RMSGQFUL"])
async def test_an_smsc_that_refuses_segments_beyond_its_window_is_sent_no_more_than_it_accepts(
    harness: Harness, command_status: str
) -> None:
    """No case ends. Before the first acceptance the link may stop, for as long as that takes."""
    harness.smsc.habits = Habits.parse(f"window=5 window_status={command_status}")
    harness.smsc.add("delay delay=0.05")
    pause = timedelta(seconds=0.1)
    harness.set_policy(links={"busy": AT_ONCE, "busy_pause": pause, "full_window_seconds": WITHIN})
    with capture_logs() as lines:
        await harness.start(link={"window": 50})
        families = [Family(n=n) for n in range(1, 26)]
        await harness.push(*families)
        for family in families:
            await harness.status(family, "asked")
    assert [line["event"] for line in lines].count("link_stopped") <= 1
    assert not all(submit.accepted for submit in harness.smsc.submitted)
    send_window = 50
    while send_window > 10:
        await asyncio.sleep(0.1)
        send_window = await harness.connection.fetchval("SELECT send_window FROM links")


async def test_a_link_that_is_refused_a_while_after_its_last_acceptance_is_stopped(harness: Harness) -> None:
    harness.set_policy(links={"first_probe_seconds": WITHIN, "full_window_seconds": 0.0})
    await harness.start()
    await harness.ask(Family(n=1))
    harness.smsc.add("refuse status=RSUBMITFAIL")
    await harness.push(Family(n=2))
    await eventually(lambda: metric("link_stopped", link="kcell") == 1)
