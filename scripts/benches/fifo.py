"""An SMSC that serves one segment after the other, 0.4 s each, and a link with default settings: the used share of
what the SMSC can take, and the copies it gets.

A full window takes longer than response_timeout here. The SMSC is the simulator, in this process.
"""

import asyncio
from collections import Counter

from benches.families import families, ndjson
from benches.rig import arguments, load, report, rig
from gateway.simulators.smsc import SmscSimulator

SERVICE_SECONDS = 0.4
TPS, WINDOW = 100, 100
"""The defaults of a link."""


async def main() -> None:
    given = arguments(__doc__, pupils=40).parse_args()
    smsc = SmscSimulator(habits=f"service_time={SERVICE_SECONDS}")
    async with smsc, rig() as fresh, fresh.gateway(smsc.port, tps=TPS, window=WINDOW) as gateway:
        await gateway.push("fifo", ndjson(families(given.pupils)))

        async def all_asked() -> bool:
            return await fresh.cases("asked") >= int(given.pupils)

        await fresh.until(all_asked, within=3600.0)
    responded = [submit.responded_at for submit in smsc.submitted if submit.responded_at is not None]
    seconds = max(responded) - smsc.submitted[0].at
    sendings = Counter((submit.destination, submit.reference, submit.number) for submit in smsc.submitted)
    copies = (sendings.total() - len(sendings)) / len(sendings)
    share = len(responded) * SERVICE_SECONDS / seconds
    report(
        {
            "segments": f"{len(sendings):,}",
            "seconds": f"{seconds:.1f}",
            "used share": f"{share:.3f} of {1 / SERVICE_SECONDS:.1f} segments a second",
            "copies": f"{copies:.2%}",
            "load": load(),
        },
        {"used_share": round(share, 4), "copies": round(copies, 4), "segments": len(sendings)},
        as_json=given.json,
    )


if __name__ == "__main__":
    asyncio.run(main())
