"""How long a parent waits while a campaign runs: from a reply to its answer's submit_sm, behind queued bulk.

A link of 500 segments a second with 50,000 requests queued; 2,000 parents asked before reply, 50 a second.
"""

import asyncio

from benches.campaign import campaign
from benches.families import families, ndjson
from benches.rig import arguments, load, report, rig


async def main() -> None:
    given = arguments(__doc__, queued=50_000, replies=2_000, rate=50, tps=500).parse_args()
    repliers = list(families(given.replies))
    bulk = ndjson(families(given.queued, first=repliers[-1].number + 1))
    async with rig() as fresh:
        async with fresh.sink() as (sink, port), fresh.gateway(port) as gateway:
            await campaign(fresh, gateway, sink, given.replies)
        async with (
            fresh.sink("--tps", str(given.tps)) as (sink, port),
            fresh.gateway(port, tps=given.tps) as gateway,
        ):
            await gateway.push("bulk", bulk)

            async def looked_up() -> bool:
                return await fresh.cases("looking_up", "waiting") == 0

            await fresh.until(looked_up)
            queued = await fresh.cases("queued")
            used = fresh.meter(gateway, sink)
            await sink.tell("inject", numbers=[f.msisdn for f in repliers], rate=given.rate, text="3#1")
            await sink.tell("wait", answers=given.replies)
            await sink.event("reached")
            stats, cost, left = await sink.ask("stats"), used(), await fresh.cases("queued")
    answer, response = stats["answer_ms"], stats["response_ms"]
    report(
        {
            "requests queued": f"{queued:,} at the beginning, {left:,} at the end",
            "reply → answer": "  ".join(f"{name} {ms:.0f} ms" for name, ms in answer.items()),
            "reply → deliver_sm_resp": "  ".join(f"{name} {ms:.0f} ms" for name, ms in response.items()),
            "CPU": cost.table(),
            "load": load(),
        },
        {
            "p99_ms": answer["p99"],
            "answer_ms": answer,
            "response_ms": response,
            "replies": given.replies,
            "throttled": stats["throttled"],
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
