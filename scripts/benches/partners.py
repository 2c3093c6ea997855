"""MCB, wallet and SDU as servers on localhost; as a program, all three at once for benches.

`python -m benches.partners --mcb-port 9101 --wallet-port 9102 --sdu-port 9103` prints JSON lines: the ports,
then an answer to each command on standard input: `{"cmd": "stats"}`, `{"cmd": "down", "partner": "mcb"}` with
fields of Fault, `{"cmd": "up", "partner": "mcb"}`, `{"cmd": "quit"}`.
"""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

import uvloop

from gateway.simulators.mcb import Lookup, McbSimulator, derived_number
from gateway.simulators.partner import Call, Fault, Partner
from gateway.simulators.sdu import SduSimulator, new_secret, signature_fault
from gateway.simulators.wallet import Voucher, WalletSimulator

__all__ = [
    "Call",
    "Fault",
    "Lookup",
    "McbSimulator",
    "Partner",
    "SduSimulator",
    "Voucher",
    "WalletSimulator",
    "derived_number",
    "new_secret",
    "signature_fault",
]


def main() -> None:
    """Serves until `quit` or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m benches.partners", description=__doc__.partition("\n")[0])
    for name in ("mcb", "wallet", "sdu"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--secret", default=os.environ.get("SDU_SECRET"), help="whsec_…: verify signatures")
    uvloop.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> None:
    how: dict[str, Any] = {"record": False, "latency": arguments.latency}
    async with (
        McbSimulator(arguments.mcb_port, otherwise=derived_number, **how) as mcb,
        WalletSimulator(arguments.wallet_port, **how) as wallet,
        SduSimulator(arguments.sdu_port, secret=arguments.secret, **how) as sdu,
    ):
        partners: dict[str, Partner] = {"mcb": mcb, "wallet": wallet, "sdu": sdu}
        _say({"event": "listening", **{name: partner.url for name, partner in partners.items()}})
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            match json.loads(line):
                case {"cmd": "stats"}:
                    _say(_stats(mcb, wallet, sdu))
                case {"cmd": "down", "partner": str(name), **fault}:
                    partners[name].down(**{str(field): value for field, value in fault.items()})
                    _say({"event": "down", "partner": name})
                case {"cmd": "up", "partner": str(name)}:
                    partners[name].up()
                    _say({"event": "up", "partner": name})
                case {"cmd": "quit"}:
                    break
                case other:
                    _say({"event": "error", "reason": f"no such command: {other}"})


def _stats(mcb: McbSimulator, wallet: WalletSimulator, sdu: SduSimulator) -> dict[str, Any]:
    shared = {
        name: {
            "called": partner.called,
            "failed": partner.failed,
            "most_under_way": partner.most_under_way,
            "complaints": partner.complaints[:10],
        }
        for name, partner in (("mcb", mcb), ("wallet", wallet), ("sdu", sdu))
    }
    shared["mcb"] |= {"looked_up": mcb.looked_up, "largest_batch": mcb.largest_batch}
    shared["wallet"] |= {"vouchers": len(wallet.vouchers), "repeated": wallet.repeated}
    shared["sdu"] |= {"events": sdu.count.total(), "by_status": dict(sdu.count)}
    return {"event": "stats", **shared}


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
