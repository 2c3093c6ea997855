"""Attacks a gateway, each attack on a fresh process of it, while honest parents reply and ops ask.

Before an attack, families are asked by an honest operator. During it, some of them agree at an even rate; the
others, the victims, never reply. Afterwards: every parent who agreed has a voucher, no victim has consented, and
these limits held:

    p99 of a reply's acknowledgement  250 ms        peak RSS of the gateway    250 MB (connections: 200 MB)
    growth of the database            256 MB        recovery after the attack  5 s

No exception may be in the gateway's log. The exit status is 0 only if all of that holds for every attack. Times
are measured from outside, on a machine that the attacker's program shares: run it on a quiet one.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count

import aiohttp
from benches.families import Family, families, ndjson
from benches.json_lines import Child
from benches.rig import POLL_SECONDS, Gateway, Rig, rig
from logged import exceptions

from attacks import http, smpp, tls
from attacks.target import HOST, HostileSmsc, Target
from gateway.simulators.configuration import caller_tokens

Attack = Callable[[Target], Awaitable[None]]

MAX_ACKNOWLEDGED_MS = 250.0
MAX_RSS_MB = 250.0
MAX_RSS_OF_CONNECTIONS_MB = 200.0
"""The most memory while 500 connections without a token do what they can."""
MAX_GROWTH_MB = 256.0
MAX_RECOVERY_SECONDS = 5.0
REPLIES_PER_SECOND = 20
REPLIED_WITHIN_SECONDS = 120.0


async def unread_log(target: Target) -> None:
    """A log whose reader has stopped, and requests that are all logged."""
    for _ in range(5_000):
        with suppress(aiohttp.ClientError):
            async with target.gateway.http.get(
                "/v1/cases/none", headers={"Authorization": "Bearer x"}
            ) as response:
                await response.read()


_SMPP: Sequence[Attack] = (
    smpp.forged_senders, smpp.unknown_pdus, smpp.stray_responses, smpp.mixed_unknown_pdus, smpp.combining_marks,
    smpp.expanding_letters, smpp.endless_errors, smpp.orphan_segments, smpp.repeated_segments, smpp.long_names,
)  # fmt: skip
_HTTP: Sequence[Attack] = (
    http.long_heads, http.unfinished_heads, http.pipelined_metrics, http.pipelined_ready, http.abandoned_requests,
    http.body_without_token,
    http.trailers, http.list_of_errors, http.list_of_marks, http.list_of_keys,
)  # fmt: skip
_TLS: Sequence[Attack] = (
    tls.tls_unfinished_heads, tls.tls_unread_responses, tls.tls_unread_bodies, tls.tls_unfinished_handshakes,
    tls.tls_handshakes,
)  # fmt: skip
_BY_CONNECTIONS = {
    attack.__name__
    for attack in (http.long_heads, http.unfinished_heads, http.pipelined_metrics, http.pipelined_ready, *_TLS)
}
_OVER_TLS = {attack.__name__ for attack in _TLS}
ATTACKS = {attack.__name__: attack for attack in (*_SMPP, *_HTTP, *_TLS, unread_log)}


@dataclass(slots=True)
class Result:
    """What one attack did to the honest."""

    attack: str
    seconds: float
    acknowledged_p99_ms: float
    peak_rss_mb: float
    growth_mb: float
    recovery_seconds: float
    lost: int
    invented: int
    exceptions: int
    """The exceptions in the gateway's log, where it is read."""
    violations: list[str]

    @property
    def failures(self) -> list[str]:
        """What must not be, whatever the machine."""
        found = list(self.violations)
        if self.lost:
            found.append(f"{self.lost} parents agreed and have no voucher")
        if self.invented:
            found.append(f"{self.invented} parents consented who never replied")
        if self.exceptions:
            found.append(f"{self.exceptions} exceptions in the log")
        return found

    @property
    def excesses(self) -> list[str]:
        """The limits that did not hold."""
        max_rss = MAX_RSS_OF_CONNECTIONS_MB if self.attack in _BY_CONNECTIONS else MAX_RSS_MB
        measured = {
            "ms until a reply was acknowledged (p99)": (self.acknowledged_p99_ms, MAX_ACKNOWLEDGED_MS),
            "MB of RSS": (self.peak_rss_mb, max_rss),
            "MB of growth": (self.growth_mb, MAX_GROWTH_MB),
            "s of recovery": (self.recovery_seconds, MAX_RECOVERY_SECONDS),
        }
        return [f"{value:.0f} {what}" for what, (value, limit) in measured.items() if value > limit]


async def run_attack(fresh: Rig, name: str, first: int, *, honest: int, victims: int, seconds: float) -> Result:
    """The result of one attack that lasts at most so many seconds; `first` is the number of its first family."""
    asked = list(families(honest + victims, first))
    agreeing, silent = asked[:honest], asked[honest:]
    hostile = HostileSmsc(b"S" * 63_000 if name == "long_names" else b"SMSC")
    server = await asyncio.start_server(hostile.serve, HOST, 0)
    link = {
        "name": "hostile", "port": server.sockets[0].getsockname()[1], "password": "bench", "prefixes": ["707"],
        "enquire_link": "1s",
    }  # fmt: skip
    async with (
        server,
        _output(name) as output,
        fresh.sink() as (sink, port),
        fresh.gateway(port, links=[link], output=output, tls=name in _OVER_TLS) as gateway,
    ):
        await _ask(fresh, gateway, asked)
        target = Target(gateway, hostile, silent, caller_tokens("bench-callers"))
        before = await _size_mb(fresh)
        watch = asyncio.create_task(_peak_rss(gateway))
        await sink.send("inject", numbers=[f.msisdn for f in agreeing], rate=REPLIES_PER_SECOND, text="3#1")
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ATTACKS[name](target)
        ended = time.monotonic()
        await _responds(gateway)
        recovered = time.monotonic()
        p99 = await _acknowledged(sink, len(agreeing), target)
        lost, invented = await _audit(fresh, agreeing, silent)
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        growth = await _size_mb(fresh) - before
    logged = exceptions(gateway.log.read_bytes())
    target.violations += [f"{error} in the log" for error in logged]
    return Result(
        name, ended - began, p99, _PEAKS.pop(gateway), growth, recovered - ended, lost, invented, logged.total(),
        target.violations,
    )  # fmt: skip


async def _ask(fresh: Rig, gateway: Gateway, asked: Sequence[Family]) -> None:
    already = await fresh.cases("asked")
    await gateway.push(f"asked-{asked[0].number}", ndjson(list(asked)))

    async def all_asked() -> bool:
        return await fresh.cases("asked") == already + len(asked)

    await fresh.until(all_asked)


async def _responds(gateway: Gateway) -> None:
    """Returns when ops get a response."""
    async with asyncio.timeout(REPLIED_WITHIN_SECONDS):
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with gateway.http.get("/v1/lists", timeout=aiohttp.ClientTimeout(total=2)) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(POLL_SECONDS)


async def _acknowledged(sink: Child, replies: int, target: Target) -> float:
    """The p99 in milliseconds, once all replies are acknowledged and their texts have come."""
    await sink.send("wait", reply_texts=replies)
    try:
        async with asyncio.timeout(REPLIED_WITHIN_SECONDS):
            await sink.event("reached")
    except TimeoutError:
        target.violations.append(f"not every reply had its text within {REPLIED_WITHIN_SECONDS:.0f} s")
    stats = await sink.ask("stats")
    return float(stats["response_ms"]["p99"])


async def _audit(fresh: Rig, agreeing: Sequence[Family], silent: Sequence[Family]) -> tuple[int, int]:
    """How many who agreed have no voucher, and how many consented who did not reply."""

    async def consented(some: Sequence[Family]) -> int:
        found: int = await fresh.database.fetchval(
            "SELECT count(*) FROM cases WHERE record_id = ANY($1::text[]) AND state = ANY($2::text[])",
            [f"r-{family.number:07d}" for family in some],
            ["consented", "voucher_issued"],
        )
        return found

    return len(agreeing) - await consented(agreeing), await consented(silent)


_PEAKS: dict[Gateway, float] = {}


async def _peak_rss(gateway: Gateway) -> None:
    """Notes the largest RSS of the process, in MB, until cancelled."""
    while True:
        _PEAKS[gateway] = max(_PEAKS.get(gateway, 0.0), gateway.rss_mb)
        await asyncio.sleep(POLL_SECONDS)


async def _size_mb(fresh: Rig) -> float:
    octets: int = await fresh.database.fetchval("SELECT pg_database_size(current_database())")
    return octets / 1e6


@asynccontextmanager
async def _output(name: str) -> AsyncIterator[int | None]:
    """The write end of a pipe that nobody reads, for the attack that needs one."""
    if name != unread_log.__name__:
        yield None
        return
    read, write = os.pipe()
    try:
        yield write
    finally:
        os.close(read)
        os.close(write)


async def run(names: Sequence[str], *, honest: int, victims: int, seconds: float) -> AsyncIterator[Result]:
    """The results of these attacks, one after the other, on one database."""
    async with rig() as fresh:
        for name, number in zip(names, count(1), strict=False):
            yield await run_attack(fresh, name, number * 10_000, honest=honest, victims=victims, seconds=seconds)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ATTACK", help=f"default all: {' '.join(ATTACKS)}")
    parser.add_argument("--honest", type=int, default=200, help="parents who agree during each attack (200)")
    parser.add_argument("--victims", type=int, default=50, help="parents who never reply (50)")
    parser.add_argument("--seconds", type=float, default=20.0, help="for which an attack lasts at most (20)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each attack")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ATTACKS]:
        parser.error(f"no such attack: {' '.join(unknown)}")
    names = given.names or list(ATTACKS)
    failed = False
    async for result in run(names, honest=given.honest, victims=given.victims, seconds=given.seconds):
        wrong = [*result.failures, *result.excesses]
        failed = failed or bool(wrong)
        if given.json:
            print(json.dumps({**asdict(result), "wrong": wrong}), flush=True)
        else:
            print(
                f"{result.attack:20} {result.seconds:5.1f} s  p99 {result.acknowledged_p99_ms:4.0f} ms  "
                f"{result.peak_rss_mb:4.0f} MB  +{result.growth_mb:.0f} MB  "
                f"recovered in {result.recovery_seconds:.1f} s  {result.exceptions} exceptions  "
                f"{'; '.join(wrong) or 'held'}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
