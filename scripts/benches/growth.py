"""The rates of `campaign` and `replies` with millions of ended cases in the database, against those without.

Both databases run at once and are measured in turns, so that other load on the machine affects both.
"""

import asyncio
from collections import defaultdict
from typing import NamedTuple

from benches.campaign import campaign
from benches.replies import replies
from benches.rig import Rig, arguments, load, median, report, rig
from benches.stock import stock


class Rates(NamedTuple):
    """Segments and replies a second; CPU seconds of gateway and PostgreSQL for one of each."""

    segments: float
    replies: float
    segment_cpu: float
    reply_cpu: float


async def both(rig: Rig, pupils: int, first: int) -> Rates:
    """A campaign, and the replies to it."""
    async with rig.sink() as (sink, port), rig.gateway(port, push=True) as gateway:
        asked = await campaign(rig, gateway, sink, pupils, first=first)
        replied = await replies(rig, gateway, sink, pupils, first=first)
    return Rates(
        asked.rate,
        replied.rate,
        asked.used.gateway_and_database() / asked.segments,
        replied.used.gateway_and_database() / replied.replies,
    )


async def main() -> None:
    given = arguments(__doc__, ended=2_000_000, pupils=20_000, runs=3).parse_args()
    runs: dict[str, list[Rates]] = defaultdict(list)
    async with rig() as empty, rig() as full:
        await stock(full.database, given.ended, ended=True)
        for run in range(given.runs):
            for name, one in (("empty", empty), ("full", full)):
                runs[name].append(await both(one, given.pupils, first=1 + run * 1_000_000))
    without, beside = (Rates(*map(median, zip(*runs[name], strict=True))) for name in ("empty", "full"))
    ratios = beside.segments / without.segments, beside.replies / without.replies
    report(
        {
            "ended cases": f"{given.ended:,}",
            "campaign": f"{without.segments:,.0f} without, {beside.segments:,.0f} segments/s with them",
            "replies": f"{without.replies:,.0f} without, {beside.replies:,.0f} replies/s with them",
            "µs a segment": f"{1e6 * without.segment_cpu:.0f} without, {1e6 * beside.segment_cpu:.0f} with",
            "µs a reply": f"{1e6 * without.reply_cpu:.0f} without, {1e6 * beside.reply_cpu:.0f} with",
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
