"""How much of an operator's rate limit a link uses with a full queue: share of `tps`, and throttled responses.

The SMSC counts exactly: a segment above `tps` in any one second gets ESME_RTHROTTLED.
"""

import asyncio
from typing import Any

from benches.families import families, ndjson
from benches.rig import Rig, arguments, load, report, rig

RATES = (100, 500, 2_000)
SETTLE_SECONDS = 2.0
"""The wait before the counting begins."""


async def pace(rig: Rig, tps: int, seconds: int, *, first: int) -> dict[str, Any]:
    """The SMSC's counts over so many seconds."""
    families_needed = int((seconds + SETTLE_SECONDS) * tps / 15) + 100
    async with rig.sink("--tps", str(tps)) as (sink, port), rig.gateway(port, tps=tps) as gateway:
        await gateway.push(f"pacing-{tps}", ndjson(families(families_needed, first)))

        async def looked_up() -> bool:
            return await rig.cases("looking_up", "waiting") == 0

        await rig.until(looked_up)
        await asyncio.sleep(SETTLE_SECONDS)
        before = await sink.ask("count")
        await asyncio.sleep(seconds)
        after = await sink.ask("count")
        stats = await sink.ask("stats")
    return {
        "utilisation": round((after["submits"] - before["submits"]) / (after["at"] - before["at"]) / tps, 4),
        "max_in_a_second": stats["max_in_a_second"],
        "throttled": stats["throttled"],
    }


async def main() -> None:
    given = arguments(__doc__, seconds=20).parse_args()
    found = {}
    async with rig() as fresh:
        for place, tps in enumerate(RATES):
            found[tps] = await pace(fresh, tps, given.seconds, first=1 + place * 1_000_000)
    report(
        {
            f"{tps:,} a second": f"{100 * one['utilisation']:.1f} % used, "
            f"{one['max_in_a_second']:,} in the busiest second, {one['throttled']} throttled"
            for tps, one in found.items()
        }
        | {"load": load()},
        {
            "utilisation": min(one["utilisation"] for one in found.values()),
            "throttled": sum(one["throttled"] for one in found.values()),
            "by_tps": found,
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
