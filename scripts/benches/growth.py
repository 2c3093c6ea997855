"""Whether the past slows the present: `campaign` and `replies` beside millions of ended cases, and without.

Both databases are there at once and take turns, so that a busy machine is unjust to both.
"""

import asyncio
from collections import defaultdict
from typing import NamedTuple

from benches.campaign import campaign
from benches.replies import replies
from benches.rig import Rig, arguments, load, median, report, rig
from benches.stock import stock


class Rates(NamedTuple):
    segments: float  # a second
    replies: float
    segment_cpu: float  # seconds of gateway and PostgreSQL
    reply_cpu: float


async def both(rig: Rig, pupils: int, first: int) -> Rates:
    """A campaign, and the replies to it."""
    async with rig.sink() as (sink, port), rig.gateway(port, push=True) as gateway:
        asked = await campaign(rig, gateway, sink, pupils, first=first)
        answered = await replies(rig, gateway, sink, pupils, first=first)
    return Rates(
        asked.rate, answered.rate, asked.used.of_us() / asked.segments, answered.used.of_us() / answered.replies
    )


async def main() -> None:
    given = arguments(__doc__, ended=2_000_000, pupils=20_000, runs=3).parse_args()
    runs: dict[str, list[Rates]] = defaultdict(list)
    async with rig() as young, rig() as old:
        await stock(old.database, given.ended, ended=True)
        for run in range(given.runs):
            for name, one in (("young", young), ("old", old)):
                runs[name].append(await both(one, given.pupils, first=1 + run * 1_000_000))
    without, beside = (Rates(*map(median, zip(*runs[name], strict=True))) for name in ("young", "old"))
    ratios = beside.segments / without.segments, beside.replies / without.replies
    report(
        {
            "ended cases": f"{given.ended:,}",
            "campaign": f"{without.segments:,.0f} without, {beside.segments:,.0f} segments/s beside them",
            "replies": f"{without.replies:,.0f} without, {beside.replies:,.0f} replies/s beside them",
            "µs a segment": f"{1e6 * without.segment_cpu:.0f} without, {1e6 * beside.segment_cpu:.0f} beside",
            "µs a reply": f"{1e6 * without.reply_cpu:.0f} without, {1e6 * beside.reply_cpu:.0f} beside",
            "load": load(),
        },
        {
            "ratio": round(min(ratios), 3),
            "campaign": round(ratios[0], 3),
            "replies": round(ratios[1], 3),
            "cpu_campaign": round(without.segment_cpu / beside.segment_cpu, 3),
            "cpu_replies": round(without.reply_cpu / beside.reply_cpu, 3),
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
