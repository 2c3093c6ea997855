"""CPU and memory of the gateway while hundreds of thousands of cases wait for a reply."""

import asyncio

from benches.rig import arguments, load, report, rig
from benches.stock import stock

SETTLE_SECONDS = 10.0
"""The wait between the start and the measurement."""


async def main() -> None:
    given = arguments(__doc__, waiting=500_000, seconds=30).parse_args()
    async with rig() as fresh:
        await stock(fresh.database, given.waiting, ended=False)
        async with fresh.sink() as (sink, port), fresh.gateway(port, push=True) as gateway:
            await asyncio.sleep(SETTLE_SECONDS)
            used = fresh.meter(gateway, sink)
            await asyncio.sleep(given.seconds)
            cost, rss_mb = used(), gateway.rss_mb
    cpu = {name: seconds / cost.seconds for name, seconds in cost.cpu.items()}
    report(
        {
            "cases waiting": f"{given.waiting:,}",
            "CPU": f"gateway {100 * cpu['gateway']:.1f} %, postgresql {100 * cpu['postgresql']:.1f} % of a core",
            "memory of the gateway": f"{rss_mb:.0f} MB",
            "load": load(),
        },
        {
            "cpu": round(cpu["gateway"], 4),
            "rss_mb": round(rss_mb, 1),
            "cpu_postgresql": round(cpu["postgresql"], 4),
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
