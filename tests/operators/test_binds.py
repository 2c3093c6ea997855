"""Binds: their beginning and end, and the texts sent meanwhile."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway.backoff import Backoff
from gateway.config.policy import LinkPolicy
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.smsc_session import Session
from tests.harness import SEGMENTS, WITHIN, Family, Harness, metric


async def test_an_unbind_by_the_smsc_gets_unbind_resp_and_the_window_is_drained(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.1 times=3")
    await harness.start(link={"window": 3})
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) == 3)
    (first,) = harness.smsc.sessions
    assert (await first.request("unbind")).command == "unbind_resp"
    await harness.smsc.wait_for(lambda: first.closed)
    assert first.in_flight == {}
    await harness.status(family, "asked")
    assert len(harness.smsc.connections) == 2
    assert (len(harness.smsc.submitted), harness.smsc.inbox(family.number)[0].repeated) == (SEGMENTS, 0)
    harness.no_complaints()


@pytest.mark.parametrize("replies", [1, 5])
async def test_replies_before_an_unbind_are_acknowledged_to_an_smsc_that_closes_on_unbind_resp(
    harness: Harness, replies: int
) -> None:
    await harness.start()
    families = [Family(n=n) for n in range(1, replies + 1)]
    await harness.ask(*families)
    (session,) = harness.smsc.sessions
    delivered = [
        session.request("deliver_sm", source_addr=family.number, destination_addr="1414", short_message=b"3#1")
        for family in families
    ]
    unbound = session.request("unbind")
    unbound.add_done_callback(lambda _: session.drop())
    assert [(await response).status for response in delivered] == [0] * replies
    assert (await unbound).command == "unbind_resp"
    for family in families:
        await harness.status(family, "voucher_issued")
        assert (await harness.events(family)).count("reply_read") == 1


async def test_an_smsc_that_unbinds_and_closes_is_bound_again(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.02")
    await harness.start(link={"window": 3})
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: harness.smsc.submitted)
    await harness.smsc.unbind()
    await harness.status(family, "asked")
    assert len(harness.smsc.messages) == 1
    assert len(harness.smsc.connections) == 2


async def test_an_idle_link_sends_enquire_link_and_responds_to_the_smscs(harness: Harness) -> None:
    await harness.start(link={"enquire_link": "50ms"})
    (session,) = harness.smsc.sessions
    await harness.smsc.wait_for(lambda: [r for r in session.requests if r.command == "enquire_link"][1:])
    await harness.smsc.enquire()
    assert len(harness.smsc.connections) == 1


async def test_an_enquire_link_without_response_ends_the_session_and_the_link_binds_again(
    harness: Harness,
) -> None:
    await harness.start(link={"enquire_link": "50ms", "response_timeout": "200ms"})
    harness.smsc.silence()
    await harness.smsc.wait_for(lambda: len(harness.smsc.connections) > 1)
    harness.smsc.silence(False)
    await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=1))


async def test_an_smsc_that_closes_connections_or_is_down_is_bound_once_it_is_up(harness: Harness) -> None:
    await harness.smsc.down()
    closed_connection = asyncio.Semaphore(0)

    def close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        closed_connection.release()

    async with await asyncio.start_server(close_at_once, "127.0.0.1", harness.smsc.port):
        await harness.launch()
        for _ in range(3):
            await closed_connection.acquire()
    await harness.smsc.up()
    await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=1))


@pytest.mark.parametrize(
    ("status", "reason"),
    [("RBINDFAIL", "bind_refused"), ("RINVPASWD", "credentials"), ("RINVSYSID", "credentials")],
)
async def test_refused_credentials_are_counted_and_retried_after_their_own_backoff(
    harness: Harness, status: str, reason: str
) -> None:
    assert LinkPolicy().credentials.first_seconds / 2 >= 60
    harness.set_policy(links={"credentials": Backoff(first_seconds=0.05, max_seconds=0.1)})
    before = metric("link_failures_total", link="kcell", reason=reason)
    harness.smsc.refuse_binds(status, times=2)
    await harness.start()
    assert metric("link_failures_total", link="kcell", reason=reason) == before + 2
    assert len(harness.smsc.connections) == 3


async def shown_link(harness: Harness, condition: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The link in the overview, once the condition holds for it."""
    async with asyncio.timeout(WITHIN):
        while True:
            with suppress(aiohttp.ClientConnectionError):  # a process that is starting does not serve yet
                _, overview = await harness.request("GET", "/v1/overview")
                link: Mapping[str, Any] = overview["links"][0]
                if condition(link):
                    return link
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("status", ["RBINDFAIL", "RINVPASWD", "RSYSERR"])
async def test_a_refused_bind_is_shown_and_logged_with_its_status_and_the_next_attempt(
    harness: Harness, status: str
) -> None:
    harness.set_policy(links={"reconnect": LinkPolicy().credentials})
    harness.smsc.refuse_binds(status, times=100)
    with capture_logs() as logs:
        await harness.launch()
        link = await shown_link(harness, lambda link: link["bind_failure"] is not None)
    assert (link["bound"], link["bind_failure"]) == (0, f"ESME_{status}")
    _, links = await harness.request("GET", "/v1/links")
    (same,) = links["links"]
    assert (same["bind_failure"], same["next_bind_at"]) == (link["bind_failure"], link["next_bind_at"])
    wait = datetime.fromisoformat(link["next_bind_at"]) - datetime.now(UTC)
    assert timedelta(seconds=30) < wait <= timedelta(seconds=120)
    (line,) = [line for line in logs if line.get("command_status") == f"ESME_{status}"]
    assert line["event"] in ("link_bind_refused", "link_credentials_refused")
    assert line["peer"] == f"127.0.0.1:{harness.smsc.port}"
    assert abs(line["retry_in"] - wait.total_seconds()) < WITHIN


@pytest.mark.parametrize("asked", ["holder", "other process"])
async def test_a_bind_requested_by_ops_is_tried_at_once_by_the_process_that_holds_the_link(
    harness: Harness, asked: str
) -> None:
    harness.smsc.refuse_binds("RBINDFAIL")
    await harness.launch()
    await shown_link(harness, lambda link: link["bind_failure"] is not None)
    if asked == "other process":
        await harness.launch()
        harness.running.reverse()
        await shown_link(harness, lambda link: link["node"] is not None)
    assert len(harness.smsc.connections) == 1
    status, link = await harness.request("POST", "/v1/links/kcell/bind")
    assert (status, link["link"], link["bind_failure"]) == (200, "kcell", "ESME_RBINDFAIL")
    await harness.smsc.bound(within=WITHIN)
    link = await shown_link(harness, lambda link: link["bound"] == 1)
    assert (link["bind_failure"], link["next_bind_at"]) == (None, None)
    await harness.ask(Family(n=1))
    assert len(harness.smsc.connections) == 2


async def test_a_third_session_that_the_smsc_denies_is_shown_and_the_others_stay_bound(harness: Harness) -> None:
    await harness.start(link={"sessions": 2})
    await harness.smsc.bound(2)
    harness.smsc.refuse_binds("RBINDFAIL", times=100)
    harness.smsc.sessions[0].drop()
    link = await shown_link(harness, lambda link: link["bind_failure"] == "ESME_RBINDFAIL")
    assert (link["bound"], link["sessions"]) == (1, 2)
    _, overview = await harness.request("GET", "/v1/overview")
    (alert,) = [alert for alert in overview["alerts"] if alert["code"] == "sessions_missing"]
    assert "Last attempt: ESME_RBINDFAIL; the next one in" in alert["text"]
    await harness.ask(Family(n=1))


async def test_an_smsc_that_is_down_is_shown_as_unreachable(harness: Harness) -> None:
    await harness.smsc.down()
    await harness.launch()
    await shown_link(harness, lambda link: link["bind_failure"] == "unreachable")
    await harness.smsc.up()
    await harness.smsc.bound(within=WITHIN)
    await shown_link(harness, lambda link: link["bind_failure"] is None and link["bound"] == 1)


async def test_a_stop_does_not_wait_for_the_next_attempt_to_bind(harness: Harness) -> None:
    harness.smsc.refuse_binds("RBINDFAIL")
    process = await harness.launch()
    await shown_link(harness, lambda link: link["bind_failure"] is not None)
    async with asyncio.timeout(WITHIN):
        assert await process.stop() == 0


async def test_a_link_refused_as_already_bound_binds_again(harness: Harness) -> None:
    harness.set_policy(links={"stale_session_seconds": 0.05})
    harness.smsc.refuse_binds("RALYBND")
    await harness.start()
    assert len(harness.smsc.connections) == 2


async def test_a_bind_without_response_is_abandoned_and_retried(harness: Harness) -> None:
    harness.smsc.refuse_binds(None)
    await harness.start(link={"response_timeout": "200ms"})
    assert len(harness.smsc.connections) == 2


async def test_transmitters_and_receivers_share_the_work(harness: Harness) -> None:
    await harness.start(link={"bind": "transmitter+receiver", "sessions": 2})
    bound = await harness.smsc.bound(4)
    assert sorted(session.role or "" for session in bound) == ["receiver"] * 2 + ["transmitter"] * 2
    families = [Family(n=n) for n in range(1, 9)]
    await harness.ask(*families)
    assert {session.number for session in bound if session.role == "transmitter"} == {
        submit.session for submit in harness.smsc.submitted
    }
    receivers = [session for session in bound if session.role == "receiver"]
    replies = (harness.smsc.reply(families[0].number, "3#1", via=session) for session in receivers)
    assert await asyncio.gather(*replies) == [0, 0]
    await harness.status(families[0], "voucher_issued")
    assert (await harness.events(families[0])).count("reply_read") == 1


async def test_a_stop_drains_the_window_and_the_next_process_sends_the_rest(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.1 times=10")
    process = await harness.start(link={"window": 5})
    family = Family(n=1)
    await harness.push(family)
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 5)
    (session,) = harness.smsc.sessions
    assert await process.stop() == 0
    sent = len(harness.smsc.submitted)
    assert sent < SEGMENTS
    assert session.in_flight == {}
    assert [request.command for request in session.requests][-1] == "unbind"
    row = await harness.connection.fetchrow("SELECT state, node, accepted_segments FROM sms")
    assert row is not None
    assert (row["state"], row["node"], row["accepted_segments"].bit_count()) == ("queued", None, sent)

    await harness.start(link={"window": 5})
    await harness.status(family, "asked")
    message = harness.smsc.inbox(family.number)[0]
    assert (len(harness.smsc.submitted), message.repeated) == (SEGMENTS, 0)


async def test_a_stop_leaves_unclaimed_texts_queued(harness: Harness) -> None:
    harness.smsc.add("delay delay=0.02")
    process = await harness.start(link={"window": 2})
    await harness.push(*(Family(n=n) for n in range(1, 11)))
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= SEGMENTS)
    async with asyncio.timeout(WITHIN):
        assert await process.stop() == 0
    left = await harness.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'queued' AND node IS NULL")
    assert left + await harness.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'accepted'") == 10
    assert left >= 8


async def test_responses_being_written_during_a_stop_are_not_lost(harness: Harness) -> None:
    """The row is released only after the write in progress has stored the accepted segments."""
    harness.smsc.add("delay delay=0.1 times=10")
    process = await harness.start(link={"window": 5})
    await harness.push(Family(n=1))
    await harness.smsc.wait_for(lambda: len(harness.smsc.submitted) >= 5)
    (session,) = harness.smsc.sessions
    async with harness.connection.transaction():
        await harness.connection.execute(
            "SELECT FROM nodes FOR UPDATE"
        )  # every transaction of the process waits here
        stopping = asyncio.create_task(process.stop())
        await harness.smsc.wait_for(lambda: session.closed, within=WITHIN)
        await harness.connection.execute("SELECT pg_sleep(0.2)")
    await stopping
    accepted = await harness.connection.fetchval("SELECT accepted_segments FROM sms")
    assert accepted.bit_count() == len(harness.smsc.submitted)


async def test_replies_delivered_during_a_stop_are_acknowledged_or_redelivered(harness: Harness) -> None:
    process = await harness.start()
    families = [Family(n=n) for n in range(1, 21)]
    await harness.ask(*families)
    replies = [
        asyncio.create_task(harness.smsc.reply(f.number, "3#1", until_accepted=True, within=20)) for f in families
    ]
    await harness.smsc.wait_for(lambda: len(harness.smsc.delivered) >= 5)
    await process.stop()
    await harness.start()
    assert set(await asyncio.gather(*replies)) == {0}
    for family in families:
        await harness.status(family, "voucher_issued")
        await harness.text(family, "socwallet")
        assert len(harness.smsc.inbox(family.number)) == 2


async def test_of_two_processes_one_holds_the_link_and_the_other_claims_it_after_a_stop(harness: Harness) -> None:
    first = await harness.start()
    await harness.launch()
    await harness.ask(Family(n=1))
    assert len(harness.smsc.connections) == 1
    harness.running.remove(first)
    await first.stop()
    await harness.smsc.wait_for(lambda: len(harness.smsc.connections) == 2, within=WITHIN)
    await harness.ask(Family(n=2))
    harness.no_complaints()


async def closed(smsc: SmscSimulator, session: Session) -> None:
    await smsc.wait_for(lambda: session.closed)


async def test_an_invalid_command_length_gets_generic_nack_and_the_link_binds_again(harness: Harness) -> None:
    await harness.start()
    for octets in (b"\0\0\0\x08" + bytes(12), b"\0\x02\0\0" + bytes(12), b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        session = harness.smsc.sessions[-1]
        await harness.smsc.send_raw(octets, via=session)
        await closed(harness.smsc, session)
        assert session.nacks == [0x02]
        await harness.smsc.bound(within=WITHIN)
    await harness.ask(Family(n=1))
