"""`gateway simulate`: the SMSC, MCB, wallet and SDU simulators as programs.

The simulators are imported only when the command runs: `gateway serve` must not load them.
"""

import argparse
import asyncio
import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli import numbers
from gateway.cli.errors import CommandError

if TYPE_CHECKING:
    from gateway.simulators.commands import Simulator
    from gateway.simulators.mcb import McbSimulator
    from gateway.simulators.smsc import SmscSimulator

SMSC_PORT, MCB_PORT, WALLET_PORT, SDU_PORT = 2775, 9101, 9102, 9103
SIMULATORS = ("smsc", "mcb", "wallet", "sdu")


class _SimulatorParser(ArgumentParser):
    """A parser whose help lists the rules and the commands of its simulators."""

    def format_help(self) -> str:
        from gateway.simulators import commands

        helps = {
            "smsc": commands.SMSC_HELP,
            "mcb": commands.MCB_HELP,
            "wallet": commands.WALLET_HELP,
            "sdu": commands.SDU_HELP,
        }
        names = self.get_default("simulators") or ()
        listed = "".join(f"{name}:\n{helps[name]}" if len(names) > 1 else helps[name] for name in names)
        prefix = ", after the simulator's name" if len(names) > 1 else ""
        rules = commands.RULES_HELP if "smsc" in names else ""
        self.epilog = (
            f"{rules}standard input, a command a line{prefix}; quit ends the program:\n{listed}" if names else None
        )
        return super().format_help()


def add_simulators(command: ArgumentParser) -> None:
    """Adds smsc, mcb, wallet, sdu and all, each with its options, to `gateway simulate`."""
    kinds = command.add_subparsers(
        title="simulators", metavar="SIMULATOR", required=True, parser_class=_SimulatorParser
    )
    smsc = _add(kinds, "smsc", run_smsc, "a scriptable SMSC that speaks SMPP 3.4")
    _add_port(smsc, "--port", SMSC_PORT)
    smsc.add_argument(
        "--account", action="append", type=_account, metavar="ID:PASSWORD", help="who may bind; anybody by default"
    )
    smsc.add_argument("--exclusive", action="store_true", help="a second bind of an account gets ESME_RALYBND")
    _add_smsc_behaviour(smsc, receipts=[])
    mcb = _add(kinds, "mcb", run_mcb, "the mobile citizens base: IIN to number")
    _add_partner_options(mcb, MCB_PORT)
    _add_mcb_numbers(mcb)
    wallet = _add(kinds, "wallet", run_wallet, "the social wallet: vouchers")
    _add_partner_options(wallet, WALLET_PORT)
    _add_gateway(wallet)
    sdu = _add(kinds, "sdu", run_sdu, "SDU, which accepts pushed statuses and verifies their signatures")
    _add_partner_options(sdu, SDU_PORT)
    sdu.add_argument("--secret", metavar="whsec_…", help="verify signatures; not verified by default")
    sdu.add_argument(
        "--batch", type=numbers.whole(1), default=500, help="events in one request at most (%(default)s)"
    )
    every = _add(kinds, "all", run_all, "all four in one process, and prints a config.toml for them", SIMULATORS)
    for name, port in zip(SIMULATORS, (SMSC_PORT, MCB_PORT, WALLET_PORT, SDU_PORT), strict=True):
        _add_port(every, f"--{name}-port", port)
    _add_smsc_behaviour(every, receipts=["delivered delay=1"])
    _add_mcb_numbers(every)
    _add_gateway(every, url="http://127.0.0.1:8080")
    every.add_argument("--token", help="the bearer token to require; made up by default")
    every.add_argument("--secret", metavar="whsec_…", help="of SDU's signatures; made up by default")
    every.add_argument("--password", help="of the account `gateway` at the SMSC; made up by default")


def run_smsc(arguments: Namespace) -> int:
    accounts = dict(arguments.account) if arguments.account else None
    smsc = _smsc(arguments, arguments.port, accounts=accounts, exclusive=arguments.exclusive)
    return _run({"smsc": smsc}, lambda: {"host": smsc.host, "port": smsc.port})


def run_mcb(arguments: Namespace) -> int:
    mcb = _mcb(arguments, arguments.port, token=arguments.token, latency=arguments.latency)
    return _run({"mcb": mcb}, lambda: {"url": mcb.url})


def run_wallet(arguments: Namespace) -> int:
    from gateway.simulators.wallet import WalletSimulator

    how = {"host": arguments.host, "token": arguments.token, "latency": arguments.latency}
    wallet = WalletSimulator(arguments.port, **how)
    return _run({"wallet": wallet}, lambda: {"url": wallet.url}, arguments)


def run_sdu(arguments: Namespace) -> int:
    from gateway.simulators.sdu import SduSimulator

    how = {"host": arguments.host, "token": arguments.token, "latency": arguments.latency}
    sdu = SduSimulator(arguments.port, secret=arguments.secret, batch=arguments.batch, **how)
    return _run({"sdu": sdu}, lambda: {"url": sdu.url})


def run_all(arguments: Namespace) -> int:
    """All four; the `listening` event has a config.toml with which `gateway serve` connects to them."""
    from gateway.simulators.sdu import SduSimulator, new_secret
    from gateway.simulators.wallet import WalletSimulator

    token = arguments.token or secrets.token_urlsafe(24)
    secret = arguments.secret or new_secret(secrets.token_bytes(32))
    password = arguments.password or secrets.token_urlsafe(6)
    smsc = _smsc(arguments, arguments.smsc_port, accounts={"gateway": password})
    how = {"host": arguments.host, "token": token}
    mcb = _mcb(arguments, arguments.mcb_port, token=token)
    wallet = WalletSimulator(arguments.wallet_port, **how)
    sdu = SduSimulator(arguments.sdu_port, secret=secret, **how)
    arguments.gateway_token = arguments.gateway_token or f"{token}-wallet"

    def started() -> dict[str, Any]:
        urls = {"mcb": mcb.url, "wallet": wallet.url, "sdu": sdu.url}
        smsc_at = {"smsc": f"{smsc.host}:{smsc.port}"}
        return {**smsc_at, **urls, "config": _configuration(smsc, urls, password, token=token, secret=secret)}

    return _run({"smsc": smsc, "mcb": mcb, "wallet": wallet, "sdu": sdu}, started, arguments)


def _configuration(
    smsc: "SmscSimulator", urls: Mapping[str, str], password: str, *, token: str, secret: str
) -> str:
    from gateway.simulators.configuration import caller_tokens, config_toml, partner_tables

    link = {"name": "simulated", "host": smsc.host, "port": smsc.port, "password": password, "tps": 1000}
    return config_toml(
        gateway={"data_dir": "var"},
        http={"port": 8080, "tokens": caller_tokens(token)},
        **partner_tables(urls, token=token, secret=secret),
        links=[{**link, "default": True}],
    )


def _smsc(arguments: Namespace, port: int, **settings: Any) -> "SmscSimulator":
    from gateway.simulators.smsc import SmscSimulator

    return SmscSimulator(
        port,
        host=arguments.host,
        rules=arguments.rule,
        receipts=arguments.default_receipts if arguments.receipts is None else arguments.receipts,
        tps=arguments.tps,
        message_ids=arguments.message_ids,
        short_code=arguments.short_code,
        habits=arguments.habits,
        **settings,
    )


def _mcb(arguments: Namespace, port: int, **settings: Any) -> "McbSimulator":
    from gateway.simulators.mcb import McbSimulator, derived_number

    otherwise = None if arguments.only_these else derived_number
    return McbSimulator(port, dict(arguments.number), otherwise=otherwise, host=arguments.host, **settings)


def _run(
    simulators: "Mapping[str, Simulator]", started: Callable[[], dict[str, Any]], gateway: Namespace | None = None
) -> int:
    from gateway.simulators.program import Program

    program = Program(
        simulators=simulators,
        started=started,
        gateway_url=gateway.gateway_url if gateway else "",
        gateway_token=gateway.gateway_token if gateway else "",
    )
    try:
        asyncio.run(program.run())
    except OSError as error:
        raise CommandError(f"cannot listen: {error.strerror or error}") from None
    return 0


def _rule(line: str) -> str:
    """The rule as it is given, if it is valid."""
    from gateway.simulators.rules import Rule

    return _valid(Rule.parse, line)


def _policy(line: str) -> str:
    """The receipt policy as it is given, if it is valid."""
    from gateway.simulators.receipts import Receipts

    return _valid(Receipts.parse, line)


def _habits(words: str) -> str:
    """The habits as they are given, if they are valid."""
    from gateway.simulators.habits import Habits

    return _valid(Habits.parse, words)


def _valid(parse: Callable[[str], object], line: str) -> str:
    try:
        parse(line)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return line


def _account(given: str) -> tuple[str, str]:
    """(system_id, password)."""
    system_id, colon, password = given.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{given}: ID:PASSWORD is expected")
    return system_id, password


def _number(given: str) -> tuple[str, tuple[str, str | None]]:
    """(IIN, (MSISDN, operator))."""
    iin, equals, number = given.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{given}: IIN=MSISDN or IIN=MSISDN,OPERATOR is expected")
    msisdn, _, operator = number.partition(",")
    return iin, (msisdn, operator or None)


def _add(
    kinds: "argparse._SubParsersAction[_SimulatorParser]",
    name: str,
    run: Callable[[Namespace], int],
    summary: str,
    simulators: Iterable[str] = (),
) -> ArgumentParser:
    parser = kinds.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. Prints one JSON object a line.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, simulators=tuple(simulators) or (name,))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    return parser


def _add_port(parser: ArgumentParser, option: str, port: int) -> None:
    parser.add_argument(option, type=numbers.whole(0, 65_535), default=port, help="0: any free one (%(default)s)")


def _add_smsc_behaviour(parser: ArgumentParser, *, receipts: list[str]) -> None:
    add = parser.add_argument
    add("--rule", action="append", type=_rule, default=[], metavar="RULE", help="see below; repeatable")
    default = f"; default: {', '.join(receipts)}" if receipts else ""
    add("--receipts", action="append", type=_policy, metavar="POLICY", help=f"see below; repeatable{default}")
    parser.set_defaults(default_receipts=receipts)
    add("--habits", action="append", type=_habits, default=[], metavar="HABITS", help="see below; repeatable")
    add("--tps", type=numbers.whole(0), default=0, help="more segments in any one second get ESME_RTHROTTLED")
    add("--message-ids", choices=("decimal", "hex", "uuid"), default="decimal", help="(%(default)s)")
    add("--short-code", default="1414", help="destination of replies (%(default)s)")


def _add_partner_options(parser: ArgumentParser, port: int) -> None:
    _add_port(parser, "--port", port)
    parser.add_argument("--token", help="the bearer token to require; none by default")
    parser.add_argument(
        "--latency", type=numbers.seconds(0), default=0.0, metavar="SECONDS", help="before each response"
    )


def _add_mcb_numbers(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--number",
        action="append",
        type=_number,
        default=[],
        metavar="IIN=MSISDN[,OPERATOR]",
        help="a known number; repeatable",
    )
    parser.add_argument(
        "--only-these", action="store_true", help="other IINs have no number; by default one derived from the IIN"
    )


def _add_gateway(parser: ArgumentParser, url: str = "") -> None:
    shown = f" ({url})" if url else ""
    parser.add_argument("--gateway-url", metavar="URL", default=url, help=f"where events are posted{shown}")
    parser.add_argument("--gateway-token", metavar="TOKEN", default="", help="http.tokens.wallet of the gateway")
