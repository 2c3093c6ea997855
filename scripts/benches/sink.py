"""An SMSC that costs next to nothing, for benches that measure the gateway.

Unlike the SMSC simulator it does not use smpplib and checks nothing: it reads a submit_sm by its header and
responds in about a microsecond, in one write for each batch. It takes JSON lines on standard input and prints
JSON lines; `python -m benches.sink --help` lists the options. Instants are time.monotonic(), which all processes
share.

    {"cmd": "wait", "submits": 1000}  → {"event": "reached", ...} at that count; also "acknowledged", "reply_texts"
    {"cmd": "inject", "first": 77010000000, "count": 100, "rate": 50, "text": "3#1"}
        replies from these numbers (or "numbers": [...]) at that rate a second; rate 0: as fast as acknowledged
    {"cmd": "refuse", "status": 69}
        every submit_sm gets this command_status, until another one; 0: they are accepted
    {"cmd": "count"}, {"cmd": "stats"}, {"cmd": "reset"}, {"cmd": "quit"}

`stats` takes long over many segments, and those that arrive meanwhile get one instant; `count` does not.

`reply_texts` counts the submit_sm to a number that had replied: the first one after the reply ends the latency of
that reply.
"""

import argparse
import asyncio
import struct
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import uvloop

from benches.json_lines import commands, print_event

HEADER = struct.Struct(">IIII")
ACCEPTED = struct.Struct(">IIII8sx")  # submit_sm_resp with a message_id of eight characters
SUBMIT_SM, SUBMIT_SM_RESP = 0x04, 0x8000_0004
DELIVER_SM, DELIVER_SM_RESP = 0x05, 0x8000_0005
UNBIND, ENQUIRE_LINK = 0x06, 0x15
BINDS = (0x01, 0x02, 0x09)
RESPONSE = 0x8000_0000
ESME_RTHROTTLED = 0x58
UDHI = 0x40
TICK_SECONDS = 0.002
"""The interval of checks for replies that are due."""


class Sink:
    """What all connections share: counters, the rate limit, and the replies to send."""

    def __init__(
        self,
        *,
        tps: int = 0,
        parents: str = "",
        delay: float = 0.0,
        request_segments: int = 8,
        window: int = 100,
    ) -> None:
        self.tps, self.delay, self.request_segments, self.window = tps, delay, request_segments, window
        self.parents = parents
        self.links: list[Link] = []
        self.backlog: deque[bytes] = deque()
        """Bodies of replies for which no link has room in its window yet."""
        self.serial = 0
        self.refusal = 0
        """command_status of every submit_sm."""
        self.reset()
        self._due: deque[tuple[float, bytes]] = deque()
        self._flow: tuple[Iterator[bytes], float, float, str] | None = None
        self.waits: list[tuple[str, int]] = []
        """Counters and the values whose reaching was requested."""

    def reset(self) -> None:
        """Sets all counters to 0; replies in flight stay in flight."""
        self.submits = self.throttled = self.replies = self.acknowledged = self.refused = self.reply_texts = 0
        self.refusals = 0
        self.arrivals = array("d")
        """The instants at which accepted submit_sm arrived."""
        self.latencies = array("d")
        """Seconds from a reply to the first segment of the text that confirms it."""
        self.responses = array("d")
        """Seconds from a reply to its deliver_sm_resp."""
        self.awaited: dict[bytes, float] = {}
        """The instants at which numbers replied whose text has not arrived yet."""

    @property
    def reads_destinations(self) -> bool:
        """Whether each submit_sm must be read beyond its header, because destinations matter."""
        return bool(self.parents or self.awaited)

    def exceeds_tps(self, now: float) -> bool:
        """Whether `tps` segments were accepted in the second before `now`."""
        arrivals = self.arrivals
        return len(arrivals) >= self.tps and now - arrivals[-self.tps] < 1.0

    def read_destination(self, data: bytes, at: int, now: float) -> None:
        """Reads the submit_sm whose body starts at `at`: the text after a reply, or the end of a request."""
        start = data.index(0, data.index(0, at) + 3) + 3
        end = data.index(0, start)
        destination = data[start:end]
        sent_at = self.awaited.pop(destination, None)
        if sent_at is not None:
            self.latencies.append(now - sent_at)
            self.reply_texts += 1
        if not self.parents:
            return
        user_data = data.index(0, data.index(0, end + 4) + 1) + 6
        if data[end + 1] & UDHI:
            total, number = data[user_data + data[user_data] - 1 : user_data + data[user_data] + 1]
        else:
            total = number = 1
        if number == total >= self.request_segments:
            self._due.append((now + self.delay, destination))

    def reply(self, numbers: Iterable[bytes], text: str) -> None:
        """Sends replies as far as the links' windows allow, the rest later."""
        self.backlog.extend(body_of_reply(number, text) for number in numbers)
        for link in self.links:
            link.flush_backlog()

    def inject(self, numbers: Iterable[bytes], text: str, rate: float) -> None:
        """Sends replies from these numbers at `rate` a second, 0: as fast as they are acknowledged."""
        if rate:
            self._flow = (iter(numbers), rate, time.monotonic(), text)
        else:
            self.reply(numbers, text)

    def tick(self) -> None:
        """Sends the replies that are due."""
        now = time.monotonic()
        ready = []
        while self._due and self._due[0][0] <= now:
            ready.append(self._due.popleft()[1])
        if ready:
            self.reply(ready, self.parents)
        if self._flow is not None:
            numbers, rate, next_at, text = self._flow
            while next_at <= now:
                number = next(numbers, None)
                if number is None:
                    self._flow = None
                    return
                self.reply([number], text)
                next_at += 1 / rate
            self._flow = (numbers, rate, next_at, text)

    def wait(self, counter: str, count: int) -> None:
        """Prints `reached` once a counter has reached `count`."""
        self.waits.append((counter, count))
        self.progress()

    def progress(self) -> None:
        """Prints `reached` for the counters that have reached their values."""
        for waited in self.waits[:]:
            counter, count = waited
            if getattr(self, counter) >= count:
                self.waits.remove(waited)
                print_event("reached", **{counter: getattr(self, counter)}, at=time.monotonic())

    def stats(self) -> dict[str, Any]:
        """All counters, the rate, and how evenly the segments arrived."""
        span = self.arrivals[-1] - self.arrivals[0] if self.submits > 1 else 0.0
        rate = (len(self.arrivals) - 1) / span if span else 0.0
        return {
            "event": "stats",
            "submits": self.submits,
            "throttled": self.throttled,
            "first_at": self.arrivals[0] if self.arrivals else None,
            "last_at": self.arrivals[-1] if self.arrivals else None,
            "segments_per_s": round(rate, 1),
            "max_in_a_second": max_in_a_second(self.arrivals),
            "utilisation": round(rate / self.tps, 4) if self.tps else None,
            "replies": self.replies,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "reply_texts": self.reply_texts,
            "awaited": len(self.awaited),
            "reply_text_ms": quantiles(self.latencies),
            "response_ms": quantiles(self.responses),
        }


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.receives = False
        self._in_flight: dict[int, tuple[float, bytes]] = {}
        self._sequence_number = 0
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.sink.links.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sink.links.remove(self)
        self.receives = False
        self.sink.backlog.extendleft(body for _, body in self._in_flight.values())
        for link in self.sink.links:
            link.flush_backlog()

    def data_received(self, data: bytes) -> None:
        sink, now = self.sink, time.monotonic()
        if self._rest:
            data = self._rest + data
        reads_destinations, tps, serial, arrivals = sink.reads_destinations, sink.tps, sink.serial, sink.arrivals
        unpack, pack, refusal = HEADER.unpack_from, ACCEPTED.pack, sink.refusal
        responses: list[bytes] = []
        at, end, accepted = 0, len(data), 0
        while end - at >= 16:
            length, command, status, number = unpack(data, at)
            if end - at < length:
                break
            if command == SUBMIT_SM:
                if refusal:
                    sink.refusals += 1
                    responses.append(HEADER.pack(16, SUBMIT_SM_RESP, refusal, number))
                elif tps and sink.exceeds_tps(now):
                    sink.throttled += 1
                    responses.append(HEADER.pack(16, SUBMIT_SM_RESP, ESME_RTHROTTLED, number))
                else:
                    serial += 1
                    responses.append(pack(25, SUBMIT_SM_RESP, 0, number, b"%08x" % serial))
                    if tps:
                        arrivals.append(now)
                    else:
                        accepted += 1
                    if reads_destinations:
                        sink.read_destination(data, at + 16, now)
            elif command == DELIVER_SM_RESP:
                self._acknowledge(number, status, now)
            else:
                self._other(command, number, responses)
            at += length
        self._rest = data[at:]
        arrivals.extend([now] * accepted)
        sink.submits += serial - sink.serial
        sink.serial = serial
        if responses:
            self._transport.write(b"".join(responses))
        if sink.backlog:
            self.flush_backlog()
        if sink.waits:
            sink.progress()

    def _acknowledge(self, number: int, status: int, now: float) -> None:
        sent = self._in_flight.pop(number, None)
        if sent is None:
            return
        self.sink.responses.append(now - sent[0])
        if status:
            self.sink.refused += 1
            self.sink.backlog.append(sent[1])
        else:
            self.sink.acknowledged += 1

    def _other(self, command: int, number: int, responses: list[bytes]) -> None:
        if command in BINDS:
            self.receives = command != 0x02
            responses.append(HEADER.pack(21, command | RESPONSE, 0, number) + b"SINK\0")
        elif command in (ENQUIRE_LINK, UNBIND):
            responses.append(HEADER.pack(16, command | RESPONSE, 0, number))
            if command == UNBIND:
                self.receives = False

    def flush_backlog(self) -> None:
        """Sends waiting replies as far as the window allows."""
        sink, now = self.sink, time.monotonic()
        written = []
        while self.receives and sink.backlog and len(self._in_flight) < sink.window:
            body = sink.backlog.popleft()
            self._sequence_number = self._sequence_number % 0x7FFF_FFFF + 1
            self._in_flight[self._sequence_number] = (now, body)
            written.append(HEADER.pack(16 + len(body), DELIVER_SM, 0, self._sequence_number) + body)
            sink.awaited.setdefault(body[3 : body.index(0, 3)], now)
        if written:
            sink.replies += len(written)
            self._transport.write(b"".join(written))


def body_of_reply(number: bytes, text: str) -> bytes:
    """The body of a deliver_sm from `number` to 1414 in GSM 03.38 (here: ASCII)."""
    octets = text.encode("ascii")
    return b"\0\1\1%s\0\0\x011414\0\0\0\0\0\0\0\0\0\0%c%s" % (number, len(octets), octets)


def max_in_a_second(arrivals: "array[float]") -> int:
    """The largest number of arrivals in any one second, its end excluded."""
    most = first = 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def quantiles(seconds: "array[float]") -> dict[str, float] | None:
    """p50, p95, p99 and max in milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    places = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: round(1000 * ordered[min(len(ordered) - 1, int(place * len(ordered)))], 3)
        for name, place in places.items()
    }


def main() -> None:
    """Serves until `quit` or the end of standard input."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.sink", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="0: any free one")
    add("--tps", type=int, default=0, help="more segments in any one second get ESME_RTHROTTLED")
    add("--parents", default="", metavar="TEXT", help="reply to each complete request with this text")
    add("--delay", type=float, default=0.0, help="seconds before that reply")
    add("--request-segments", type=int, default=8, help="texts of fewer segments (by UDH) are not requests")
    add("--window", type=int, default=100, help="deliver_sm in flight at once, per link")
    add("--seconds", action="store_true", help="print a line of counts every second")
    arguments = parser.parse_args()
    sink = Sink(
        tps=arguments.tps,
        parents=arguments.parents,
        delay=arguments.delay,
        request_segments=arguments.request_segments,
        window=arguments.window,
    )
    uvloop.run(_serve(sink, arguments.port, arguments.seconds))


async def _serve(sink: Sink, port: int, seconds: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Link(sink), "127.0.0.1", port)
    print_event("listening", port=server.sockets[0].getsockname()[1])
    timers = [asyncio.create_task(_repeat(TICK_SECONDS, sink.tick))]
    if seconds:
        timers.append(asyncio.create_task(_repeat(1.0, lambda: _print_counts(sink))))
    async for command in commands():
        if not _execute(sink, command):
            break
    for timer in timers:
        timer.cancel()
    server.close()


def _execute(sink: Sink, command: dict[str, Any]) -> bool:
    """Executes a command; False: the program ends."""
    match command.get("cmd"):
        case "wait":
            for counter in command.keys() & {"submits", "acknowledged", "reply_texts"}:
                sink.wait(counter, command[counter])
        case "inject":
            numbers = command.get("numbers") or range(command["first"], command["first"] + command["count"])
            rate, text = command.get("rate", 0), command.get("text", "3#1")
            sink.inject((str(number).encode() for number in numbers), text, rate)
        case "stats":
            print_event(**sink.stats())
        case "count":
            counted = {"submits": sink.submits, "throttled": sink.throttled, "refusals": sink.refusals}
            print_event("count", at=time.monotonic(), **counted)
        case "refuse":
            sink.refusal = command["status"]
            print_event("refuse", at=time.monotonic(), submits=sink.submits)
        case "reset":
            sink.reset()
            print_event("reset", at=time.monotonic())
        case "quit":
            return False
        case other:
            print_event("error", reason=f"no such command: {other}")
    return True


async def _repeat(period: float, work: Any) -> None:
    while True:
        work()
        await asyncio.sleep(period)


def _print_counts(sink: Sink) -> None:
    print_event("second", at=time.monotonic(), submits=sink.submits, acknowledged=sink.acknowledged)


if __name__ == "__main__":
    main()
