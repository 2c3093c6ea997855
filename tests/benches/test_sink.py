"""The benches' sink, against smpplib's own client."""

import asyncio
from array import array
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from benches.json_lines import Child
from benches.sink import Link, Sink, max_in_a_second, quantiles
from smpplib import consts

from tests.esme_client import BindEsme

REQUEST = [b"\x05\0\x03\x07\x02" + bytes([number]) + b"\0?" for number in (1, 2)]


class Served:
    """A sink that listens on `port`."""

    def __init__(self, sink: Sink, server: asyncio.Server) -> None:
        self.sink, self.server = sink, server
        self.port = server.sockets[0].getsockname()[1]


class Serve(Protocol):
    async def __call__(self, **settings: Any) -> Served: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(**settings)` is a sink that listens."""
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


async def test_each_submit_gets_a_message_id_of_its_own(esme: BindEsme, serve: Serve) -> None:
    served = await serve()
    client = await esme(served)
    sent = [(await client.submit("hello"))[0] for _ in range(3)]
    responses = [await client.read() for _ in range(3)]
    assert [(response.command, response.status, response.sequence) for response in responses] == [
        ("submit_sm_resp", 0, number) for number in sent
    ]
    assert [response.message_id for response in responses] == [b"00000001", b"00000002", b"00000003"]
    assert served.sink.stats()["submits"] == 3


async def test_the_sink_responds_to_enquire_link_and_unbind(esme: BindEsme, serve: Serve) -> None:
    served = await serve()
    client = await esme(served, "transmitter")
    await client.send_raw(bytes.fromhex("00000010 00000015 00000000 00000009"))
    assert (await client.read()).command == "enquire_link_resp"
    assert (await asyncio.to_thread(client.client.unbind)).command == "unbind_resp"


async def test_a_pdu_that_arrives_in_two_reads_is_processed(esme: BindEsme, serve: Serve) -> None:
    served = await serve()
    client = await esme(served)
    whole = bytes.fromhex("00000010 00000015 00000000 00000009")
    await client.send_raw(whole + whole[:5])
    assert (await client.read()).command == "enquire_link_resp"
    await client.send_raw(whole[5:])
    assert (await client.read()).command == "enquire_link_resp"


async def test_segments_above_tps_are_throttled(esme: BindEsme, serve: Serve) -> None:
    served = await serve(tps=2)
    client = await esme(served)
    for _ in range(3):
        await client.submit("hello")
    assert [(await client.read()).status for _ in range(3)] == [0, 0, consts.SMPP_ESME_RTHROTTLED]
    assert (served.sink.submits, served.sink.throttled) == (2, 1)


async def test_every_segment_is_refused_until_the_sink_accepts_again(esme: BindEsme, serve: Serve) -> None:
    served = await serve()
    client = await esme(served)
    statuses = []
    for refusal in (0x45, 0):
        served.sink.refusal = refusal
        await client.submit("hello")
        statuses.append((await client.read()).status)
    assert statuses == [0x45, 0]
    assert (served.sink.submits, served.sink.refusals) == (1, 1)


def test_the_sink_counts_tps_over_a_sliding_second() -> None:
    sink = Sink(tps=2)
    sink.arrivals.extend((10.0, 10.9))
    assert sink.exceeds_tps(10.999)
    assert not sink.exceeds_tps(11.0)
    sink.arrivals.append(11.0)
    assert sink.exceeds_tps(11.89)
    assert not sink.exceeds_tps(11.9)


async def test_a_reply_is_sent_once_the_request_is_complete(esme: BindEsme, serve: Serve) -> None:
    served = await serve(parents="3#1", request_segments=2)
    client = await esme(served)
    await client.submit("not a request")
    for segment in REQUEST:
        await client.submit_octets(segment, esm_class=0x40, data_coding=8)
    assert {(await client.read()).command for _ in range(3)} == {"submit_sm_resp"}
    served.sink.tick()
    reply = await client.acknowledge()
    assert (reply.command, reply.source_addr, reply.destination_addr, reply.short_message) == (
        "deliver_sm",
        b"77011234567",
        b"1414",
        b"3#1",
    )


async def test_replies_respect_the_window_and_the_texts_after_them_are_timed(esme: BindEsme, serve: Serve) -> None:
    served = await serve(window=2)
    client = await esme(served)
    sink = served.sink
    sink.inject([b"77010000001", b"77010000002", b"77010000003"], "3#2", 0)
    first = [await client.read() for _ in range(2)]
    assert (sink.replies, len(sink.backlog)) == (2, 1)
    await client.respond(first[0])
    assert (await client.acknowledge()).source_addr == b"77010000003"
    await client.respond(first[1])
    for number in ("77010000001", "77019999999", "77010000003", "77010000003"):
        await client.submit("thanks", to=number)
        await client.read()
    stats = sink.stats()
    assert (stats["replies"], stats["acknowledged"], stats["reply_texts"], stats["awaited"]) == (3, 3, 2, 1)
    assert stats["reply_text_ms"]["max"] >= stats["reply_text_ms"]["p50"] > 0


async def test_a_refused_reply_is_delivered_again(esme: BindEsme, serve: Serve) -> None:
    served = await serve()
    client = await esme(served)
    served.sink.inject([b"77010000001"], "3#1", 0)
    await client.acknowledge(consts.SMPP_ESME_RX_T_APPN)
    assert (await client.acknowledge()).source_addr == b"77010000001"
    await client.submit("thanks", to="77010000001")
    await client.read()
    assert (served.sink.refused, served.sink.acknowledged, served.sink.reply_texts) == (1, 1, 1)


async def test_a_reply_waits_for_a_receiver_and_is_sent_again_after_a_lost_connection(
    esme: BindEsme, serve: Serve
) -> None:
    served = await serve()
    served.sink.inject([b"77010000001"], "3#1", 0)
    await esme(served, "transmitter")
    assert served.sink.replies == 0
    receiver = await esme(served, "receiver")
    assert (await receiver.read()).source_addr == b"77010000001"
    receiver.close()
    another = await esme(served, "receiver")
    assert (await another.acknowledge()).source_addr == b"77010000001"


def test_injected_replies_are_spread_by_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter((100.0, 100.0, 100.05, 100.1))
    monkeypatch.setattr("benches.sink.time", SimpleNamespace(monotonic=lambda: next(instants)))
    sink = Sink()
    sink.inject((b"%d" % number for number in range(77010000000, 77010000003)), "3#1", 20)
    waiting = []
    for _ in range(3):
        sink.tick()
        waiting.append(len(sink.backlog))
    assert waiting == [1, 2, 3]


def test_maximum_in_a_second_and_quantiles_are_computed() -> None:
    assert max_in_a_second(array("d", (0.0, 0.5, 0.999, 1.0, 1.4, 2.5))) == 4
    assert quantiles(array("d", (0.004, 0.001, 0.002, 0.003))) == {
        "p50": 3.0,
        "p95": 4.0,
        "p99": 4.0,
        "max": 4.0,
    }
    assert quantiles(array("d")) is None


async def test_the_sink_program_executes_its_commands(esme: BindEsme) -> None:
    program = await Child.start("benches.sink", "--port", "0")
    client = await esme(SimpleNamespace(port=(await program.event("listening"))["port"]))
    await program.send("wait", submits=2)
    for _ in range(2):
        await client.submit("hello")
        await client.read()
    assert (await program.event("reached"))["submits"] == 2
    await program.send("inject", first=77010000000, count=1, rate=100)
    assert (await client.acknowledge()).source_addr == b"77010000000"
    await program.send("wait", acknowledged=1)
    assert (await program.event("reached"))["acknowledged"] == 1
    await program.ask("reset")
    assert (await program.ask("stats"))["submits"] == 0
    assert await program.stop() == 0
