"""Links whose operators refuse everything for ten minutes, each with another command_status, amid a campaign.

Each link has about as many cases as `--pupils` says. The refusals begin when a tenth of its segments is accepted.
Measured are the cases that end by them, and the seconds from their end until each link goes on, and
until every text that was under way does.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

import asyncpg

from benches.families import families, ndjson
from benches.json_lines import Child
from benches.rig import Rig, arguments, load, report, rig

STATUSES = (0x0A, 0x15, 0x45, 0x0D, 0x0E, 0x0F, 0x401, 0x403, 0x4FF, 0x67, 0xFF)
TPS = 300
"""The tps of each link: the campaign is under way when the refusals begin."""
SEGMENTS = 15
"""The segments of a request."""
_UNDER_WAY = """
SELECT sms_id, accepted_segments FROM sms WHERE state IN ('queued', 'sending') AND attempts > 0
"""
_STANDING = """
SELECT count(*) FROM sms JOIN unnest($1::bigint[], $2::bigint[]) AS before (sms_id, accepted) USING (sms_id)
WHERE sms.state IN ('queued', 'sending') AND sms.accepted_segments = before.accepted
"""
ENDED = ("undeliverable", "parked", "no_answer", "cancelled")


async def refuse_for(sinks: Sequence[Child], seconds: float, *, after: int) -> list[int]:
    """Has every SMSC refuse for so long, once it has accepted `after` segments; how often each one refused."""
    for sink in sinks:
        await sink.send("wait", submits=after)
    await asyncio.gather(*(sink.event("reached") for sink in sinks))
    for sink, status in zip(sinks, STATUSES, strict=True):
        await sink.ask("refuse", status=status)
    await asyncio.sleep(seconds)
    return [(await sink.ask("count"))["refusals"] for sink in sinks]


async def restore(sinks: Sequence[Child]) -> list[float]:
    """Seconds until each SMSC, which accepts from now on, has accepted a segment."""
    restored = [await sink.ask("refuse", status=0) for sink in sinks]
    for sink, event in zip(sinks, restored, strict=True):
        await sink.send("wait", submits=event["submits"] + 1)
    reached = await asyncio.gather(*(sink.event("reached") for sink in sinks))
    return [event["at"] - before["at"] for event, before in zip(reached, restored, strict=True)]


async def until_all_go_on(fresh: Rig, texts: Sequence[asyncpg.Record]) -> float:
    """The monotonic instant at which a further segment of each of these texts was accepted."""
    before = [text["sms_id"] for text in texts], [text["accepted_segments"] for text in texts]

    async def go_on() -> bool:
        standing: int = await fresh.database.fetchval(_STANDING, *before)
        return standing == 0

    return await fresh.until(go_on, within=3600.0)


async def all_asked(fresh: Rig, pupils: int) -> bool:
    """Whether every case that has not ended is asked."""
    return await fresh.cases("asked") + await fresh.cases(*ENDED) == pupils


async def main() -> None:
    given = arguments(__doc__, pupils=2000, seconds=600).parse_args()
    names = [f"x{status:02x}" for status in STATUSES]
    pupils = given.pupils * len(names)
    async with rig("--operators", ",".join(names)) as fresh, AsyncExitStack() as stack:
        sinks = {name: await stack.enter_async_context(fresh.sink()) for name in names}
        children = [child for child, _ in sinks.values()]
        first, *others = [{"name": name, "port": port, "tps": TPS} for name, (_, port) in sinks.items()]
        async with fresh.gateway(first, links=others) as gateway:
            await gateway.push("refusals", ndjson(families(pupils)))
            refusals = await refuse_for(children, given.seconds, after=given.pupils * SEGMENTS // 10)
            texts = await fresh.database.fetch(_UNDER_WAY)
            restored_at = time.monotonic()
            waits = await restore(children)
            all_wait = await until_all_go_on(fresh, texts) - restored_at
            await fresh.until(lambda: all_asked(fresh, pupils), within=3600.0)
            ended = await fresh.cases(*ENDED)
    rows = zip(STATUSES, refusals, waits, strict=True)
    report(
        {
            "cases": f"{pupils:,} on {len(names)} links",
            "refused for": f"{given.seconds} s",
            "cases ended by it": ended,
            **{f"0x{status:02X}": f"{n} refusals, goes on after {wait:.1f} s" for status, n, wait in rows},
            "all that were under way": f"{len(texts):,} texts, go on after {all_wait:.1f} s",
            "load": load(),
        },
        {"ended": ended, "longest_wait_s": round(max(waits), 1), "all_go_on_after_s": round(all_wait, 1)},
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
