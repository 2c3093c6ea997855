"""Segments a second through session, codec and text encoding: no database, window 100, one thread.

The gateway's own connection, session and encoder against the sink over a local socket: requests of ordinary length
are segmented, encoded and submitted, and their responses correlated. smpplib's client does the same work in the
same run: it has no window, so 100 submit_sm are written before their responses are read.
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
from benches.json_lines import Child
from benches.rig import arguments, load, median, report
from gateway.config.templates import PACKAGE_TEMPLATES, load_templates
from gateway.consent.texts import Kind, Name
from gateway.operators.connection import SmppConnection
from gateway.smpp.pdu import Address, SubmitEncoder
from gateway.smpp.session import Bound, Event, Role, Session, SubmitResponse
from gateway.smpp.text import LongMessages, segments

WINDOW = 100
SOURCE = Address(addr="1414", ton=3, npi=0)


class Result(NamedTuple):
    """Elapsed seconds, and CPU seconds of this process."""

    segments: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.segments / self.seconds


def requests(how_many: int = 2000) -> list[tuple[str, str]]:
    """(MSISDN, text) of so many families' requests."""
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
    """Submits texts on one connection until `target` segments have their responses."""

    def __init__(self, texts: list[tuple[str, str]], target: int) -> None:
        self.target = target
        self.responses = 0
        self.bound = asyncio.Event()
        self.done = asyncio.Event()
        self._bodies = self._encoded(texts)

    def handle(self, connection: SmppConnection[None], events: list[Event[None]]) -> None:
        for event in events:
            if isinstance(event, SubmitResponse):
                self.responses += 1
            elif isinstance(event, Bound):
                self.bound.set()
                return
        if self.responses >= self.target:
            self.done.set()
        elif self.bound.is_set():
            self.pump(connection)

    def pump(self, connection: SmppConnection[None]) -> None:
        bodies = self._bodies
        for _ in range(connection.free):
            connection.submit(next(bodies), None)

    def _encoded(self, texts: list[tuple[str, str]]) -> Iterator[bytes]:
        encoder = SubmitEncoder(SOURCE, receipts="last")
        for reference, (number, text) in enumerate(cycle(texts)):
            data_coding, cut = segments(text, LongMessages.UDH8, reference)
            yield from encoder.bodies(number, cut, data_coding)


async def sms_gateway_client(port: int, texts: list[tuple[str, str]], target: int) -> Result:
    session = Session[None](
        role=Role.TRANSCEIVER,
        system_id="bench",
        password="bench",
        window=WINDOW,
        enquire_link=30,
        response_timeout=30,
    )
    sending = Sending(texts, target)
    connection = SmppConnection(session, sending.handle)
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    await sending.bound.wait()
    began, cpu = time.perf_counter(), time.process_time()
    sending.pump(connection)
    await sending.done.wait()
    result = Result(sending.responses, time.perf_counter() - began, time.process_time() - cpu)
    connection.abort()
    return result


def smpplib_client(port: int, texts: list[tuple[str, str]], target: int) -> Result:
    client = smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)
    client.logger.setLevel(logging.ERROR)  # it logs every message
    client.set_message_sent_handler(lambda pdu, **_: None)
    client.set_message_received_handler(lambda pdu, **_: None)
    client.connect()
    client.bind_transceiver(system_id="bench", password="bench")
    sent = in_flight = 0
    began, cpu = time.perf_counter(), time.process_time()
    for number, text in cycle(texts):
        parts, data_coding, esm_class = smpplib.gsm.make_parts(text)
        for part in parts:
            if in_flight == WINDOW:
                for _ in range(WINDOW):
                    client.read_once()
                in_flight = 0
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_UNK, source_addr_npi=smpplib.consts.SMPP_NPI_UNK,
                source_addr=SOURCE.addr, dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN, destination_addr=number, short_message=part,
                data_coding=data_coding, esm_class=esm_class, registered_delivery=0,
            )  # fmt: skip
            in_flight += 1
            sent += 1
        if sent >= target:
            break
    for _ in range(in_flight):
        client.read_once()
    result = Result(sent, time.perf_counter() - began, time.process_time() - cpu)
    client.disconnect()
    return result


async def main() -> None:
    parser = arguments(__doc__, segments=300_000, smpplib=20_000, runs=3)
    given = parser.parse_args()
    texts = requests()
    gc.freeze()
    sink = await Child.start("benches.sink")
    listening = await sink.event("listening")
    gateway_runs, smpplib_runs = [], []
    for _ in range(given.runs):
        gateway_runs.append(await sms_gateway_client(listening["port"], texts, given.segments))
        smpplib_runs.append(await asyncio.to_thread(smpplib_client, listening["port"], texts, given.smpplib))
    counted = (await sink.ask("stats"))["submits"]
    await sink.stop()
    assert counted >= sum(r.segments for r in gateway_runs + smpplib_runs), "the sink received every segment"
    rate, smpplib_rate = median([r.rate for r in gateway_runs]), median([r.rate for r in smpplib_runs])
    cpu, smpplib_cpu = (median([r.cpu / r.segments * 1e6 for r in runs]) for runs in (gateway_runs, smpplib_runs))
    report(
        {
            "segments a second": f"{rate:,.0f} ({' '.join(f'{r.rate:,.0f}' for r in gateway_runs)})",
            "CPU a segment": f"{cpu:.1f} µs",
            "smpplib's client": f"{smpplib_rate:,.0f} ({' '.join(f'{r.rate:,.0f}' for r in smpplib_runs)})",
            "CPU a segment of it": f"{smpplib_cpu:.1f} µs",
            "times smpplib": f"{rate / smpplib_rate:.1f}",
            "load": load(),
        },
        {
            "segments_per_s": round(rate, 1),
            "cpu_us": round(cpu, 2),
            "smpplib_segments_per_s": round(smpplib_rate, 1),
            "smpplib_cpu_us": round(smpplib_cpu, 2),
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    uvloop.run(main())
