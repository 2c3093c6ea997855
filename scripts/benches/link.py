"""How many segments a second session, codec and texts move: no database, window 100, one thread.

The gateway's own bind, session and encoder against the sink over a local socket: requests of ordinary length
are cut, encoded, submitted and their answers correlated. smpplib's client does the same work in the same run:
it knows no window, so up to 100 submit_sm are written before the answers are read.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import smpplib.client
import smpplib.consts
import smpplib.gsm
import uvloop

from benches.families import families, record
from benches.rig import Child, arguments, load, median, report
from gateway.config.templates import PACKAGE_TEMPLATES, load_templates
from gateway.consent.texts import Kind, Name
from gateway.operators.connection import SmppConnection
from gateway.smpp.pdu import Address, SubmitEncoder
from gateway.smpp.session import Bound, Event, Role, Session, SubmitResponse
from gateway.smpp.text import LongMessages, segments

WINDOW = 100
SOURCE = Address(addr="1414", ton=3, npi=0)


class Result(NamedTuple):
    segments: int
    seconds: float
    cpu: float  # seconds of this process

    @property
    def rate(self) -> float:
        return self.segments / self.seconds


def requests(how_many: int = 2000) -> list[tuple[str, str]]:
    """(number, text) of so many families' requests."""
    templates = load_templates(PACKAGE_TEMPLATES / "school-meals")
    found = []
    for family in families(how_many):
        line = record(family)
        names = [Name(**{k: line[who][k] for k in Name._fields}) for who in ("mother", "pupil")]  # type: ignore[index]
        text = templates.render(
            Kind.REQUEST, "kk", recipient=names[0], pupil=names[1], link="", service="3", agree="1", refuse="2"
        )
        found.append((family.msisdn, text.body))
    return found


class Sending:
    """Submits whole texts through one bind until `target` segments have been answered."""

    def __init__(self, texts: list[tuple[str, str]], target: int) -> None:
        self.target = target
        self.answered = 0
        self.bound = asyncio.Event()
        self.done = asyncio.Event()
        self._bodies = self._encoded(texts)

    def handle(self, bind: SmppConnection[None], events: list[Event[None]]) -> None:
        for event in events:
            if isinstance(event, SubmitResponse):
                self.answered += 1
            elif isinstance(event, Bound):
                self.bound.set()
                return
        if self.answered >= self.target:
            self.done.set()
        elif self.bound.is_set():
            self.pump(bind)

    def pump(self, bind: SmppConnection[None]) -> None:
        bodies = self._bodies
        for _ in range(bind.free):
            bind.submit(next(bodies), None)

    def _encoded(self, texts: list[tuple[str, str]]) -> Iterator[bytes]:
        encoder = SubmitEncoder(SOURCE, receipts="last")
        for reference, (number, text) in enumerate(cycle(texts)):
            data_coding, parts = segments(text, LongMessages.UDH8, reference)
            yield from encoder.bodies(number, parts, data_coding)


async def ours(port: int, texts: list[tuple[str, str]], target: int) -> Result:
    session = Session[None](
        role=Role.TRANSCEIVER,
        system_id="bench",
        password="bench",
        window=WINDOW,
        enquire_link=30,
        response_timeout=30,
    )
    sending = Sending(texts, target)
    bind = SmppConnection(session, sending.handle)
    await asyncio.get_running_loop().create_connection(lambda: bind, "127.0.0.1", port)
    await sending.bound.wait()
    began, cpu = time.perf_counter(), time.process_time()
    sending.pump(bind)
    await sending.done.wait()
    result = Result(sending.answered, time.perf_counter() - began, time.process_time() - cpu)
    bind.abort()
    return result


def smpplibs(port: int, texts: list[tuple[str, str]], target: int) -> Result:
    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    client.logger.setLevel(logging.ERROR)  # it tells of every message
    client.set_message_sent_handler(lambda pdu, **_: None)
    client.set_message_received_handler(lambda pdu, **_: None)
    client.connect()
    client.bind_transceiver(system_id="bench", password="bench")
    sent = under_way = 0
    began, cpu = time.perf_counter(), time.process_time()
    for number, text in cycle(texts):
        parts, data_coding, esm_class = smpplib.gsm.make_parts(text)
        for part in parts:
            if under_way == WINDOW:
                for _ in range(WINDOW):
                    client.read_once()
                under_way = 0
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_UNK, source_addr_npi=smpplib.consts.SMPP_NPI_UNK,
                source_addr=SOURCE.addr, dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN, destination_addr=number, short_message=part,
                data_coding=data_coding, esm_class=esm_class, registered_delivery=0,
            )  # fmt: skip
            under_way += 1
            sent += 1
        if sent >= target:
            break
    for _ in range(under_way):
        client.read_once()
    result = Result(sent, time.perf_counter() - began, time.process_time() - cpu)
    client.disconnect()
    return result


async def main() -> None:
    parser = arguments(__doc__, segments=300_000, smpplib=20_000, runs=3)
    given = parser.parse_args()
    texts = requests()
    gc.freeze()
    sink, said = await Child.start("benches.sink")
    mine, theirs = [], []
    for _ in range(given.runs):
        mine.append(await ours(said["port"], texts, given.segments))
        theirs.append(await asyncio.to_thread(smpplibs, said["port"], texts, given.smpplib))
    counted = (await sink.ask("stats"))["submits"]
    await sink.stop()
    assert counted >= sum(r.segments for r in mine + theirs), "the sink has had every segment"
    rate, other = median([r.rate for r in mine]), median([r.rate for r in theirs])
    cost, others_cost = (median([r.cpu / r.segments * 1e6 for r in runs]) for runs in (mine, theirs))
    report(
        {
            "segments a second": f"{rate:,.0f} ({' '.join(f'{r.rate:,.0f}' for r in mine)})",
            "CPU a segment": f"{cost:.1f} µs",
            "smpplib's client": f"{other:,.0f} ({' '.join(f'{r.rate:,.0f}' for r in theirs)})",
            "CPU a segment of it": f"{others_cost:.1f} µs",
            "times smpplib": f"{rate / other:.1f}",
            "load": load(),
        },
        {
            "segments_per_s": round(rate, 1),
            "cpu_us": round(cost, 2),
            "smpplib_segments_per_s": round(other, 1),
            "smpplib_cpu_us": round(others_cost, 2),
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    uvloop.run(main())
