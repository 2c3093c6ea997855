"""Waiting cases that all reply 3#1, as fast as the gateway acknowledges: completed replies a second.

A reply is complete when it is committed, text 3 is submitted, the wallet has formed the voucher, and SDU has
accepted both statuses.
"""

import asyncio
import time
from typing import NamedTuple

from benches.campaign import campaign
from benches.families import families
from benches.json_lines import Child
from benches.rig import Gateway, Rig, Used, arguments, load, median, report, rig


class Result(NamedTuple):
    """Seconds until all replies were committed, confirmed by text 3, and complete."""

    replies: int
    committed: float
    confirmed: float
    complete: float
    used: Used

    @property
    def rate(self) -> float:
        return self.replies / self.complete


async def replies(rig: Rig, gateway: Gateway, sink: Child, pupils: int, *, first: int = 1) -> Result:
    """Has the families of an earlier campaign reply."""
    numbers = [family.msisdn for family in families(pupils, first)]
    await sink.send("reset")
    before = (await rig.partners.ask("stats"))["sdu"]["by_status"]
    issued = before.get("voucher_issued", 0) + pupils
    vouchers = await rig.cases("voucher_issued") + pupils
    used = rig.meter(gateway, sink)
    began = time.monotonic()
    await sink.send("inject", numbers=numbers, text="3#1")
    await sink.send("wait", acknowledged=pupils)
    await sink.send("wait", reply_texts=pupils)
    reached: dict[str, float] = {}
    for _ in range(2):
        event = await sink.event("reached")
        reached |= dict.fromkeys(event.keys() & {"acknowledged", "reply_texts"}, event["at"] - began)

    async def all_complete() -> bool:
        if await rig.cases("voucher_issued") < vouchers:
            return False
        pushed = (await rig.partners.ask("stats"))["sdu"]["by_status"]
        return bool(pushed.get("voucher_issued", 0) >= issued)

    ended = await rig.until(all_complete)
    return Result(pupils, reached["acknowledged"], reached["reply_texts"], ended - began, used())


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
            "all confirmed after": f"{median([result.confirmed for result in results]):.1f} s",
            "all complete after": f"{median([result.complete for result in results]):.1f} s",
            "CPU": "  ".join(f"{name} {seconds:.1f} s" for name, seconds in cpu.items()),
            "CPU a reply": f"gateway {cpu['gateway'] / given.pupils * 1e6:.0f} µs, "
            f"postgresql {cpu['postgresql'] / given.pupils * 1e6:.0f} µs",
            "load": load(),
        },
        {
            "replies_per_s": round(rate, 1),
            "acknowledged_per_s": round(median([result.replies / result.committed for result in results]), 1),
            "cpu_s": {name: round(seconds, 2) for name, seconds in cpu.items()},
        },
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
