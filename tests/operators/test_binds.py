"""Binds: how they come, how they go, and what happens to texts meanwhile."""

import asyncio

import pytest
from world import SEGMENTS, WITHIN, Family, World, metric

from gateway.operators import link


async def test_an_smsc_that_unbinds_is_answered_and_the_window_drained(world: World) -> None:
    world.smsc.add("delay delay=0.1 times=3")
    await world.start(link={"window": 3})
    family = Family(n=1)
    await world.push(family)
    await world.smsc.wait_for(lambda: len(world.smsc.submitted) == 3)
    (first,) = world.smsc.sessions
    assert (await first.request("unbind")).command == "unbind_resp"
    await world.smsc.wait_for(lambda: first.closed)
    assert first.under_way == {}
    await world.status(family, "asked")
    assert len(world.smsc.connections) == 2
    assert (len(world.smsc.submitted), world.smsc.inbox(family.number)[0].repeated) == (SEGMENTS, 0)
    world.no_complaints()


async def test_an_smsc_that_unbinds_and_closes_is_bound_again(world: World) -> None:
    world.smsc.add("delay delay=0.02")
    await world.start(link={"window": 3})
    family = Family(n=1)
    await world.push(family)
    await world.smsc.wait_for(lambda: world.smsc.submitted)
    await world.smsc.unbind()
    await world.status(family, "asked")
    assert len(world.smsc.messages) == 1
    assert len(world.smsc.connections) == 2


async def test_enquire_link_is_asked_after_silence_and_answered_at_any_time(world: World) -> None:
    await world.start(link={"enquire_link": "50ms"})
    (session,) = world.smsc.sessions
    await world.smsc.wait_for(lambda: [r for r in session.requests if r.command == "enquire_link"][1:])
    await world.smsc.enquire()
    assert len(world.smsc.connections) == 1


async def test_an_enquire_link_without_answer_ends_the_session_and_another_begins(world: World) -> None:
    await world.start(link={"enquire_link": "50ms", "response_timeout": "200ms"})
    world.smsc.silence()
    await world.smsc.wait_for(lambda: len(world.smsc.connections) > 1)
    world.smsc.silence(False)
    await world.smsc.bound(within=WITHIN)
    await world.ask(Family(n=1))


async def test_an_smsc_that_hangs_up_or_is_away_is_bound_when_it_comes(world: World) -> None:
    await world.smsc.down()
    hung_up = asyncio.Semaphore(0)

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        hung_up.release()

    async with await asyncio.start_server(hang_up, "127.0.0.1", world.smsc.port):
        await world.launch()
        for _ in range(3):
            await hung_up.acquire()
    await world.smsc.up()
    await world.smsc.bound(within=WITHIN)
    await world.ask(Family(n=1))


@pytest.mark.parametrize("status", ["RBINDFAIL", "RINVPASWD", "RINVSYSID"])
async def test_refused_credentials_are_counted_and_tried_again_late(
    world: World, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    assert link.REFUSED_CREDENTIALS[0] >= 60
    monkeypatch.setattr(link, "REFUSED_CREDENTIALS", (0.05, 0.1))
    before = metric("link_failures_total", link="kcell", reason="credentials")
    world.smsc.refuse_binds(status, times=2)
    await world.start()
    assert metric("link_failures_total", link="kcell", reason="credentials") == before + 2
    assert len(world.smsc.connections) == 3


async def test_a_stale_session_is_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "STALE_SESSION", 0.05)
    world.smsc.refuse_binds("RALYBND")
    await world.start()
    assert len(world.smsc.connections) == 2


async def test_a_bind_without_answer_is_given_up(world: World) -> None:
    world.smsc.refuse_binds(None)
    await world.start(link={"response_timeout": "200ms"})
    assert len(world.smsc.connections) == 2


async def test_transmitters_and_receivers_share_the_work(world: World) -> None:
    await world.start(link={"bind": "transmitter+receiver", "sessions": 2})
    bound = await world.smsc.bound(4)
    assert sorted(session.role or "" for session in bound) == ["receiver"] * 2 + ["transmitter"] * 2
    families = [Family(n=n) for n in range(1, 9)]
    await world.ask(*families)
    assert {session.number for session in bound if session.role == "transmitter"} == {
        submit.session for submit in world.smsc.submitted
    }
    receivers = [session for session in bound if session.role == "receiver"]
    replies = (world.smsc.reply(families[0].number, "3#1", via=session) for session in receivers)
    assert await asyncio.gather(*replies) == [0, 0]
    await world.status(families[0], "voucher_issued")
    assert (await world.events(families[0])).count("reply_read") == 1


async def test_a_stop_drains_the_window_and_the_next_process_sends_the_rest(world: World) -> None:
    world.smsc.add("delay delay=0.1 times=10")
    process = await world.start(link={"window": 5})
    family = Family(n=1)
    await world.push(family)
    await world.smsc.wait_for(lambda: len(world.smsc.submitted) >= 5)
    (session,) = world.smsc.sessions
    assert await process.stop() == 0
    sent = len(world.smsc.submitted)
    assert sent < SEGMENTS
    assert session.under_way == {}
    assert [request.command for request in session.requests][-1] == "unbind"
    row = await world.connection.fetchrow("SELECT state, node, answered FROM sms")
    assert row is not None
    assert (row["state"], row["node"], row["answered"].bit_count()) == ("queued", None, sent)

    await world.start(link={"window": 5})
    await world.status(family, "asked")
    message = world.smsc.inbox(family.number)[0]
    assert (len(world.smsc.submitted), message.repeated) == (SEGMENTS, 0)


async def test_a_stop_while_more_texts_wait_in_their_rows_leaves_them_there(world: World) -> None:
    world.smsc.add("delay delay=0.02")
    process = await world.start(link={"window": 2})
    await world.push(*(Family(n=n) for n in range(1, 11)))
    await world.smsc.wait_for(lambda: len(world.smsc.submitted) >= SEGMENTS)
    async with asyncio.timeout(WITHIN):
        assert await process.stop() == 0
    left = await world.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'queued' AND node IS NULL")
    assert left + await world.connection.fetchval("SELECT count(*) FROM sms WHERE state = 'accepted'") == 10
    assert left >= 8


async def test_answers_that_are_being_written_when_the_stop_comes_are_not_lost(world: World) -> None:
    """The row is not given back before the write under way has told it what the SMSC has accepted."""
    world.smsc.add("delay delay=0.1 times=10")
    process = await world.start(link={"window": 5})
    await world.push(Family(n=1))
    await world.smsc.wait_for(lambda: len(world.smsc.submitted) >= 5)
    (session,) = world.smsc.sessions
    async with world.connection.transaction():
        await world.connection.execute("SELECT FROM nodes FOR UPDATE")  # every step of the process waits here
        stopping = asyncio.create_task(process.stop())
        await world.smsc.wait_for(lambda: session.closed, within=WITHIN)
        await world.connection.execute("SELECT pg_sleep(0.2)")
    await stopping
    answered = await world.connection.fetchval("SELECT answered FROM sms")
    assert answered.bit_count() == len(world.smsc.submitted)


async def test_a_stop_in_the_middle_of_a_reply_leaves_it_answered_or_with_the_smsc(world: World) -> None:
    process = await world.start()
    families = [Family(n=n) for n in range(1, 21)]
    await world.ask(*families)
    replies = [asyncio.create_task(world.smsc.reply(f.number, "3#1", insist=True, within=20)) for f in families]
    await world.smsc.wait_for(lambda: len(world.smsc.delivered) >= 5)
    await process.stop()
    await world.start()
    assert set(await asyncio.gather(*replies)) == {0}
    for family in families:
        await world.status(family, "voucher_issued")
        await world.text(family, "socwallet")
        assert len(world.smsc.inbox(family.number)) == 2


async def test_of_two_processes_one_holds_the_link_and_the_other_takes_it_over(world: World) -> None:
    first = await world.start()
    await world.launch()
    await world.ask(Family(n=1))
    assert len(world.smsc.connections) == 1
    world.running.remove(first)
    await first.stop()
    await world.smsc.wait_for(lambda: len(world.smsc.connections) == 2, within=WITHIN)
    await world.ask(Family(n=2))
    world.no_complaints()


async def test_lost_framing_ends_the_session_and_another_begins(world: World) -> None:
    await world.start()
    for octets in (b"\0\0\0\x08" + bytes(12), b"\0\x02\0\0" + bytes(12), b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        session = world.smsc.sessions[-1]
        await world.smsc.send_raw(octets, via=session)
        await world.smsc.wait_for(lambda session=session: session.closed)
        assert session.nacks == [0x02]
        await world.smsc.bound(within=WITHIN)
    await world.ask(Family(n=1))
