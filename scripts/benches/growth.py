"""Whether the past slows the present: `campaign` and `replies` beside millions of ended cases, and without.

Both databases are there at once and take turns, so that a busy machine is unjust to both.
"""

import asyncio
from collections import defaultdict

from benches.campaign import campaign
from benches.replies import replies
from benches.rig import Rig, arguments, load, median, report, rig
from benches.stock import stock


async def both(rig: Rig, pupils: int, first: int) -> tuple[float, float]:
    """Segments a second of a campaign, and replies a second."""
    async with rig.sink() as (sink, port), rig.gateway(port, push=True) as gateway:
        asked = await campaign(rig, gateway, sink, pupils, first=first)
        answered = await replies(rig, gateway, sink, pupils, first=first)
    return asked.rate, answered.rate


async def main() -> None:
    given = arguments(__doc__, ended=2_000_000, pupils=20_000, runs=3).parse_args()
    rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
    async with rig() as young, rig() as old:
        await stock(old.database, given.ended, ended=True)
        for run in range(given.runs):
            for name, one in (("young", young), ("old", old)):
                rates[name].append(await both(one, given.pupils, first=1 + run * 1_000_000))
    medians = {name: [median(list(column)) for column in zip(*runs, strict=True)] for name, runs in rates.items()}
    ratios = [old / young for young, old in zip(medians["young"], medians["old"], strict=True)]
    report(
        {
            "ended cases": f"{given.ended:,}",
            "campaign": f"{medians['young'][0]:,.0f} without, {medians['old'][0]:,.0f} segments/s beside them",
            "replies": f"{medians['young'][1]:,.0f} without, {medians['old'][1]:,.0f} replies/s beside them",
            "ratios": f"{ratios[0]:.2f}, {ratios[1]:.2f}",
            "load": load(),
        },
        {"ratio": round(min(ratios), 3), "campaign": round(ratios[0], 3), "replies": round(ratios[1], 3)},
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
