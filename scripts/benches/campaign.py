"""A list of pupils from PUT to the last response committed: MCB in batches of 100, one link, no pacing."""

import asyncio
import time

from benches.families import families, ndjson
from benches.rig import Rig, Used, arguments, load, median, report, rig


async def campaign(rig: Rig, pupils: int, *, first: int = 1, push: bool = False) -> tuple[float, int, Used]:
    """Segments a second, segments, and what it cost."""
    body = ndjson(families(pupils, first))
    asked = await rig.cases("asked") + pupils
    async with rig.sink() as (sink, port), rig.gateway(port, push=push) as gateway:
        used = rig.meter(gateway, sink)
        began = time.monotonic()
        await gateway.push(f"campaign-{first}", body)

        async def all_asked() -> bool:
            return await rig.cases("asked") == asked

        ended = await rig.until(all_asked)
        cost = used()
        segments = (await sink.ask("stats"))["submits"]
    return segments / (ended - began), segments, cost


async def main() -> None:
    parser = arguments(__doc__, pupils=20_000, runs=1)
    parser.add_argument("--push", action="store_true", help="push statuses to SDU meanwhile")
    given = parser.parse_args()
    rates = []
    for run in range(given.runs):
        async with rig() as fresh:
            rate, segments, used = await campaign(fresh, given.pupils, push=given.push)
        rates.append(rate)
        print(f"run {run + 1}: {rate:,.0f} segments/s, CPU {used.table()}, load {load()}", flush=True)
    rate = median(rates)
    report(
        {
            "pupils": f"{given.pupils:,}",
            "segments": f"{segments:,}",
            "segments a second": f"{rate:,.0f} (median of {given.runs})",
            "families a second": f"{rate * given.pupils / segments:,.0f}",
            "CPU": used.table(),
            "CPU of the gateway a segment": f"{used.cpu['gateway'] / segments * 1e6:.0f} µs",
        },
        {
            "segments_per_s": round(rate, 1),
            "segments": segments,
            "seconds": round(used.seconds, 2),
            "cpu_s": {name: round(cpu, 2) for name, cpu in used.cpu.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
