"""Waiting cases that all answer 3#1, as fast as the gateway takes it: replies a second, done.

Done is a reply when it is committed, text 3 is submitted, the wallet has formed the voucher, and SDU has taken
both statuses.
"""

import asyncio
import time
from typing import NamedTuple

from benches.campaign import campaign
from benches.families import families
from benches.rig import Child, Gateway, Rig, Used, arguments, load, median, report, rig


class Result(NamedTuple):
    replies: int
    committed: float  # seconds until all were
    answered: float
    done: float
    used: Used

    @property
    def rate(self) -> float:
        return self.replies / self.done


async def replies(rig: Rig, gateway: Gateway, sink: Child, pupils: int, *, first: int = 1) -> Result:
    """Lets the families of a campaign before answer."""
    numbers = [family.msisdn for family in families(pupils, first)]
    await sink.tell("reset")
    before = (await rig.partners.ask("stats"))["sdu"]["by_status"]
    issued = before.get("voucher_issued", 0) + pupils
    vouchers = await rig.cases("voucher_issued") + pupils
    used = rig.meter(gateway, sink)
    began = time.monotonic()
    await sink.tell("inject", numbers=numbers, text="3#1")
    await sink.tell("wait", taken=pupils)
    await sink.tell("wait", answers=pupils)
    reached: dict[str, float] = {}
    for _ in range(2):
        said = await sink.event("reached")
        reached |= dict.fromkeys(said.keys() & {"taken", "answers"}, said["at"] - began)

    async def all_done() -> bool:
        if await rig.cases("voucher_issued") < vouchers:
            return False
        told = (await rig.partners.ask("stats"))["sdu"]["by_status"]
        return bool(told.get("voucher_issued", 0) >= issued)

    ended = await rig.until(all_done)
    return Result(pupils, reached["taken"], reached["answers"], ended - began, used())


async def main() -> None:
    given = arguments(__doc__, pupils=20_000, runs=1).parse_args()
    results = []
    for _ in range(given.runs):
        async with rig() as fresh, fresh.sink() as (sink, port), fresh.gateway(port, push=True) as gateway:
            await campaign(fresh, gateway, sink, given.pupils)
            results.append(await replies(fresh, gateway, sink, given.pupils))
    rate = median([result.rate for result in results])
    cpu = {name: median([r.used.cpu[name] for r in results]) for name in results[0].used.cpu}
    report(
        {
            "replies": f"{given.pupils:,}",
            "replies a second": f"{rate:,.0f} ({' '.join(f'{result.rate:,.0f}' for result in results)})",
            "all committed after": f"{median([result.committed for result in results]):.1f} s",
            "all answered after": f"{median([result.answered for result in results]):.1f} s",
            "all done after": f"{median([result.done for result in results]):.1f} s",
            "CPU": "  ".join(f"{name} {seconds:.1f} s" for name, seconds in cpu.items()),
            "CPU a reply": f"gateway {cpu['gateway'] / given.pupils * 1e6:.0f} µs, "
            f"postgresql {cpu['postgresql'] / given.pupils * 1e6:.0f} µs",
            "load": load(),
        },
        {
            "replies_per_s": round(rate, 1),
            "taken_per_s": round(median([result.replies / result.committed for result in results]), 1),
            "cpu_s": {name: round(seconds, 2) for name, seconds in cpu.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
