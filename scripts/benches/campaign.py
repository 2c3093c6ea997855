"""A list from PUT to the last committed response: every mother has a number, one link, no rate limit, look-ups in
batches of 100.
"""

import asyncio
import time
from typing import NamedTuple

from benches.families import families, ndjson
from benches.json_lines import Child
from benches.rig import Gateway, Rig, Used, arguments, load, median, report, rig


class Result(NamedTuple):
    segments: int
    seconds: float
    used: Used

    @property
    def rate(self) -> float:
        return self.segments / self.seconds


async def campaign(rig: Rig, gateway: Gateway, sink: Child, pupils: int, *, first: int = 1) -> Result:
    """Asks so many families; another `first` makes other families."""
    body = ndjson(families(pupils, first))
    target = await rig.cases("asked") + pupils
    before = (await sink.ask("count"))["submits"]
    used = rig.meter(gateway, sink)
    began = time.monotonic()
    await gateway.push(f"campaign-{first}", body)

    async def all_asked() -> bool:
        return await rig.cases("asked") == target

    ended = await rig.until(all_asked)
    return Result((await sink.ask("count"))["submits"] - before, ended - began, used())


async def main() -> None:
    parser = arguments(__doc__, pupils=20_000, runs=1)
    parser.add_argument("--push", action="store_true", help="push statuses to SDU meanwhile")
    given = parser.parse_args()
    results = []
    for _ in range(given.runs):
        async with rig() as fresh, fresh.sink() as (sink, port), fresh.gateway(port, push=given.push) as gateway:
            results.append(await campaign(fresh, gateway, sink, given.pupils))
    rate, segments = median([result.rate for result in results]), results[0].segments
    cpu = {name: median([r.used.cpu[name] for r in results]) for name in results[0].used.cpu}
    report(
        {
            "pupils": f"{given.pupils:,}",
            "segments": f"{segments:,}",
            "segments a second": f"{rate:,.0f} ({' '.join(f'{result.rate:,.0f}' for result in results)})",
            "families a second": f"{rate * given.pupils / segments:,.0f}",
            "CPU": "  ".join(f"{name} {seconds:.1f} s" for name, seconds in cpu.items()),
            "CPU a segment": f"gateway {cpu['gateway'] / segments * 1e6:.0f} µs, "
            f"postgresql {cpu['postgresql'] / segments * 1e6:.0f} µs",
            "load": load(),
        },
        {
            "segments_per_s": round(rate, 1),
            "segments": segments,
            "cpu_s": {name: round(seconds, 2) for name, seconds in cpu.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
