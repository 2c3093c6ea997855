"""Latency of the text after a reply, from deliver_sm to submit_sm, while requests are queued.

A link of 500 segments a second has 50,000 requests queued; 2,000 parents, asked before, reply at 50 a second.
"""

import asyncio

from benches.campaign import campaign
from benches.families import families, ndjson
from benches.rig import arguments, load, report, rig


async def main() -> None:
    given = arguments(__doc__, queued=50_000, replies=2_000, rate=50, tps=500).parse_args()
    replying = list(families(given.replies))
    bulk = ndjson(families(given.queued, first=replying[-1].number + 1))
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
            await sink.send("inject", numbers=[f.msisdn for f in replying], rate=given.rate, text="3#1")
            await sink.send("wait", reply_texts=given.replies)
            await sink.event("reached")
            stats, cost, left = await sink.ask("stats"), used(), await fresh.cases("queued")
    text, response = stats["reply_text_ms"], stats["response_ms"]
    report(
        {
            "requests queued": f"{queued:,} at the beginning, {left:,} at the end",
            "reply → text": "  ".join(f"{name} {ms:.0f} ms" for name, ms in text.items()),
            "reply → deliver_sm_resp": "  ".join(f"{name} {ms:.0f} ms" for name, ms in response.items()),
            "CPU": cost.table(),
            "load": load(),
        },
        {
            "p99_ms": text["p99"],
            "answer_ms": text,
            "response_ms": response,
            "replies": given.replies,
            "throttled": stats["throttled"],
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
