"""MCB, wallet and SDU simulators for the benches, in one process that keeps only counters.

`python -m benches.partners --mcb-port 9101 --wallet-port 9102 --sdu-port 9103` prints JSON lines: the URLs, then
a response to each command on standard input: `{"cmd": "stats"}`, `{"cmd": "down", "partner": "mcb"}` with fields
of Fault, `{"cmd": "up", "partner": "mcb"}`, `{"cmd": "quit"}`.
"""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

import uvloop

from gateway.simulators.mcb import McbSimulator, derived_number
from gateway.simulators.partner import PartnerSimulator
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.wallet import WalletSimulator


def main() -> None:
    """Serves until `quit` or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m benches.partners", description=__doc__.partition("\n")[0])
    for name in ("mcb", "wallet", "sdu"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--secret", default=os.environ.get("SDU_SECRET"), help="whsec_…: verify signatures")
    uvloop.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> None:
    how: dict[str, Any] = {"record": False, "latency": arguments.latency}
    async with (
        McbSimulator(arguments.mcb_port, otherwise=derived_number, **how) as mcb,
        WalletSimulator(arguments.wallet_port, **how) as wallet,
        SduSimulator(arguments.sdu_port, secret=arguments.secret, **how) as sdu,
    ):
        partners: dict[str, PartnerSimulator] = {"mcb": mcb, "wallet": wallet, "sdu": sdu}
        _print({"event": "listening", **{name: partner.url for name, partner in partners.items()}})
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            match json.loads(line):
                case {"cmd": "stats"}:
                    _print(_stats(mcb, wallet, sdu))
                case {"cmd": "down", "partner": str(name), **fault}:
                    partners[name].down(**{str(field): value for field, value in fault.items()})
                    _print({"event": "down", "partner": name})
                case {"cmd": "up", "partner": str(name)}:
                    partners[name].up()
                    _print({"event": "up", "partner": name})
                case {"cmd": "quit"}:
                    break
                case other:
                    _print({"event": "error", "reason": f"no such command: {other}"})


def _stats(mcb: McbSimulator, wallet: WalletSimulator, sdu: SduSimulator) -> dict[str, Any]:
    shared = {
        name: {
            "called": partner.called,
            "failed": partner.failed,
            "max_in_flight": partner.max_in_flight,
            "complaints": partner.complaints[:10],
        }
        for name, partner in (("mcb", mcb), ("wallet", wallet), ("sdu", sdu))
    }
    shared["mcb"] |= {"looked_up": mcb.looked_up, "largest_batch": mcb.largest_batch}
    shared["wallet"] |= {"vouchers": len(wallet.vouchers), "repeated": wallet.repeated}
    shared["sdu"] |= {"events": sdu.count.total(), "by_status": dict(sdu.count)}
    return {"event": "stats", **shared}


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
