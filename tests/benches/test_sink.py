"""The benches' SMSC, against smpplib's own client."""

import asyncio
import json
import os
import sys
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benches.sink import Link, Sink, most_in_a_second, quantiles
from smpplib import consts

ROOT = Path(__file__).parents[2]
REQUEST = [b"\x05\0\x03\x07\x02" + bytes([number]) + b"\0?" for number in (1, 2)]


class Served:
    """A sink that listens; its links' writes are the real ones."""

    def __init__(self, sink: Sink, server: asyncio.Server) -> None:
        self.sink, self.server = sink, server
        self.port = server.sockets[0].getsockname()[1]


@pytest.fixture
async def serve() -> AsyncIterator[Any]:
    """`await serve(**settings)` is a Sink that listens on `port`."""
    served: list[Served] = []

    async def listening(**settings: Any) -> Served:
        sink = Sink(**settings)
        server = await asyncio.get_running_loop().create_server(lambda: Link(sink), "127.0.0.1", 0)
        served.append(Served(sink, server))
        return served[-1]

    yield listening
    for one in served:
        one.server.close()
        for link in list(one.sink.links):
            link._transport.abort()


async def test_submits_are_accepted_under_ids_of_their_own(esme, serve):
    served = await serve()
    client = await esme(served)
    sent = [(await client.submit("hello"))[0] for _ in range(3)]
    answers = [await client.read() for _ in range(3)]
    assert [(answer.command, answer.status, answer.sequence) for answer in answers] == [
        ("submit_sm_resp", 0, number) for number in sent
    ]
    assert [answer.message_id for answer in answers] == [b"00000001", b"00000002", b"00000003"]
    assert served.sink.stats()["submits"] == 3


async def test_enquire_link_and_unbind_are_answered(esme, serve):
    served = await serve()
    client = await esme(served, "transmitter")
    await client.send_raw(bytes.fromhex("00000010 00000015 00000000 00000009"))
    assert (await client.read()).command == "enquire_link_resp"
    assert (await asyncio.to_thread(client.client.unbind)).command == "unbind_resp"


async def test_pdu_split_over_reads(esme, serve):
    served = await serve()
    client = await esme(served)
    whole = bytes.fromhex("00000010 00000015 00000000 00000009")
    await client.send_raw(whole + whole[:5])
    assert (await client.read()).command == "enquire_link_resp"
    await client.send_raw(whole[5:])
    assert (await client.read()).command == "enquire_link_resp"


async def test_tps_is_enforced_exactly(esme, serve):
    served = await serve(tps=2)
    client = await esme(served)
    for _ in range(3):
        await client.submit("hello")
    assert [(await client.read()).status for _ in range(3)] == [0, 0, consts.SMPP_ESME_RTHROTTLED]
    assert (served.sink.submits, served.sink.throttled) == (2, 1)


def test_tps_is_a_sliding_second():
    sink = Sink(tps=2)
    sink.arrivals.extend((10.0, 10.9))
    assert sink.too_fast(10.999)
    assert not sink.too_fast(11.0)
    sink.arrivals.append(11.0)
    assert sink.too_fast(11.89)
    assert not sink.too_fast(11.9)


async def test_parents_answer_a_request_once_it_is_whole(esme, serve):
    served = await serve(parents="3#1", request_segments=2)
    client = await esme(served)
    await client.submit("not a request")
    for segment in REQUEST:
        await client.submit_octets(segment, esm_class=0x40, data_coding=8)
    assert {(await client.read()).command for _ in range(3)} == {"submit_sm_resp"}
    served.sink.tick()
    reply = await client.take()
    assert (reply.command, reply.source_addr, reply.destination_addr, reply.short_message) == (
        "deliver_sm",
        b"77011234567",
        b"1414",
        b"3#1",
    )


async def test_replies_keep_to_the_window_and_answers_are_timed(esme, serve):
    served = await serve(window=2)
    client = await esme(served)
    sink = served.sink
    sink.inject([b"77010000001", b"77010000002", b"77010000003"], "3#2", 0)
    first = [await client.read() for _ in range(2)]
    assert (sink.replies, len(sink.backlog)) == (2, 1)
    await client.respond(first[0])
    assert (await client.take()).source_addr == b"77010000003"
    await client.respond(first[1])
    for number in ("77010000001", "77019999999", "77010000003", "77010000003"):
        await client.submit("thanks", to=number)
        await client.read()
    stats = sink.stats()
    assert (stats["replies"], stats["taken"], stats["answers"], stats["unanswered"]) == (3, 3, 2, 1)
    assert stats["answer_ms"]["max"] >= stats["answer_ms"]["p50"] > 0


async def test_reply_not_taken_comes_again(esme, serve):
    served = await serve()
    client = await esme(served)
    served.sink.inject([b"77010000001"], "3#1", 0)
    await client.take(consts.SMPP_ESME_RX_T_APPN)
    assert (await client.take()).source_addr == b"77010000001"
    await client.submit("thanks", to="77010000001")
    await client.read()
    assert (served.sink.refused, served.sink.taken, served.sink.answers) == (1, 1, 1)


async def test_reply_waits_for_a_receiver_and_outlives_its_connection(esme, serve):
    served = await serve()
    served.sink.inject([b"77010000001"], "3#1", 0)
    await esme(served, "transmitter")
    assert served.sink.replies == 0
    receiver = await esme(served, "receiver")
    assert (await receiver.read()).source_addr == b"77010000001"
    receiver.close()
    another = await esme(served, "receiver")
    assert (await another.take()).source_addr == b"77010000001"


def test_rate_spreads_replies(monkeypatch):
    instants = iter((100.0, 100.0, 100.05, 100.1))
    monkeypatch.setattr("benches.sink.time", SimpleNamespace(monotonic=lambda: next(instants)))
    sink = Sink()
    sink.inject((b"%d" % number for number in range(77010000000, 77010000003)), "3#1", 20)
    waiting = []
    for _ in range(3):
        sink.tick()
        waiting.append(len(sink.backlog))
    assert waiting == [1, 2, 3]


def test_figures():
    assert most_in_a_second(array("d", (0.0, 0.5, 0.999, 1.0, 1.4, 2.5))) == 4
    assert quantiles(array("d", (0.004, 0.001, 0.002, 0.003))) == {
        "p50": 3.0,
        "p95": 4.0,
        "p99": 4.0,
        "max": 4.0,
    }
    assert quantiles(array("d")) is None


async def test_program_obeys_its_lines(esme):
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benches.sink", "--port", "0"),
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'scripts'}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdin
    assert program.stdout

    async def line() -> dict[str, Any]:
        return json.loads(await program.stdout.readline())

    client = await esme(SimpleNamespace(port=(await line())["port"]))
    program.stdin.write(b'{"cmd": "wait", "submits": 2}\n')
    for _ in range(2):
        await client.submit("hello")
        await client.read()
    assert (await line())["submits"] == 2
    program.stdin.write(b'{"cmd": "inject", "first": 77010000000, "count": 1, "rate": 100}\n')
    assert (await client.take()).source_addr == b"77010000000"
    program.stdin.write(b'{"cmd": "wait", "taken": 1}\n')
    assert (await line())["taken"] == 1
    program.stdin.write(b'{"cmd": "reset"}\n{"cmd": "stats"}\n')
    assert (await line())["event"] == "reset"
    assert (await line())["submits"] == 0
    program.stdin.write(b'{"cmd": "quit"}\n')
    assert await program.wait() == 0
