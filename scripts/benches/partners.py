"""MCB, wallet and SDU simulators for the benches, in one process that keeps only counters.

`python -m benches.partners --mcb-port 9101 --wallet-port 9102 --sdu-port 9103` prints JSON lines: the URLs, then
a response to each command on standard input: `{"cmd": "stats"}`, `{"cmd": "down", "partner": "mcb"}` with fields
of Fault, `{"cmd": "up", "partner": "mcb"}`, `{"cmd": "quit"}`.
"""

import argparse
import os
from typing import Any

import uvloop

from benches.json_lines import commands, print_event
from gateway.simulators.mcb import McbSimulator, Number, derived_number
from gateway.simulators.partner import PartnerSimulator
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.wallet import WalletSimulator


def main() -> None:
    """Serves until `quit` or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m benches.partners", description=__doc__.partition("\n")[0])
    for name in ("mcb", "wallet", "sdu"):
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each response")
    parser.add_argument("--operators", default="", help="the MCB names one of these for each number, in turns")
    parser.add_argument("--secret", default=os.environ.get("SDU_SECRET"), help="whsec_…: verify signatures")
    uvloop.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> None:
    how: dict[str, Any] = {"record": False, "latency": arguments.latency}
    operators = arguments.operators.split(",")

    def number(iin: str) -> Number:
        derived = derived_number(iin)
        return (derived, operators[int(derived) % len(operators)]) if arguments.operators else derived

    async with (
        McbSimulator(arguments.mcb_port, otherwise=number, **how) as mcb,
        WalletSimulator(arguments.wallet_port, **how) as wallet,
        SduSimulator(arguments.sdu_port, secret=arguments.secret, **how) as sdu,
    ):
        partners: dict[str, PartnerSimulator] = {"mcb": mcb, "wallet": wallet, "sdu": sdu}
        print_event("listening", **{name: partner.url for name, partner in partners.items()})
        async for command in commands():
            match command:
                case {"cmd": "stats"}:
                    print_event("stats", **_stats(mcb, wallet, sdu))
                case {"cmd": "down", "partner": str(name), **fault}:
                    partners[name].down(**{str(field): value for field, value in fault.items()})
                    print_event("down", partner=name)
                case {"cmd": "up", "partner": str(name)}:
                    partners[name].up()
                    print_event("up", partner=name)
                case {"cmd": "quit"}:
                    break
                case other:
                    print_event("error", reason=f"no such command: {other}")


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
    return shared


if __name__ == "__main__":
    main()
