"""The visitor's part: the simulators' page, families of his own, and the addresses that are printed."""

import errno
import socket
from pathlib import Path

import aiohttp
from rich.console import Console

from gateway.demo.clock import ObservedClock
from gateway.demo.families import Family, record_line
from gateway.demo.parents import Exchange
from gateway.demo.partners import SimulatedPartners, push_list, sdu_headers
from gateway.demo.process import TOKEN, GatewayError, GatewayProcess
from gateway.simulators.mcb import derived_number
from gateway.simulators.playground.environment import SimulatedEnvironment
from gateway.simulators.playground.rejected import RejectedAct, Rejection
from gateway.simulators.playground.server import HOST, PageServer

LANGUAGES = ("kk", "ru")
"""The languages of the first families, by rotation."""


class Visit:
    """The simulators' page beside these partners, inside the `async with` block.

    The page listens on `port`, the gateway is to listen on `gateway_port`, the next one; with 0 on any free ones.
    """

    def __init__(self, partners: SimulatedPartners, clock: ObservedClock, port: int) -> None:
        self._partners, self._families = partners, partners.families
        self._lists = 0
        self.environment = SimulatedEnvironment(
            smscs=partners.smscs,
            mcb=partners.mcb,
            wallet=partners.wallet,
            sdu=partners.sdu,
            business_time=clock.at,
            business_now=clock.now,
            day_seconds=clock.day_seconds,
            wallet_token=f"{TOKEN}-wallet",
            push=self.push,
        )
        for family in self._families.families:
            self._introduce(family, show=False)
        self._server = PageServer(self.environment, port)
        self.gateway_port = port + 1 if port else 0

    async def __aenter__(self) -> "Visit":
        self.gateway_port = _checked(self.gateway_port)
        try:
            await self._server.__aenter__()
        except OSError as error:
            raise _port_error(self._server.port, error) from None
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._server.__aexit__(*failure)

    def note(self, exchange: Exchange) -> None:
        """What a scripted parent sends is on the telephone's screen, too."""
        if not exchange.to_parent and exchange.family.msisdn:
            self.environment.telephones.note_sent(exchange.family.msisdn, exchange.text)

    async def begin(self, gateway: GatewayProcess, families: int) -> None:
        """The telephones are the visitor's from now on; so many families of his are pushed."""
        self.environment.gateway_url = gateway.url
        self._partners.parents.leave()
        self._partners.mcb.otherwise = derived_number  # who pushes a list of his own finds its telephones
        for number in range(families):
            await self.push(LANGUAGES[number % len(LANGUAGES)])

    async def push(self, language: str) -> None:
        """Pushes a list of one record, of a new family whose texts are in this language."""
        family = self._families.add_visitor(language)
        self._partners.mcb.numbers.update(self._families.mcb)
        self._introduce(family, show=True)
        self._lists += 1
        lines = map(record_line, family.children)
        try:
            async with aiohttp.ClientSession(self.environment.gateway_url, headers=sdu_headers()) as http:
                await push_list(http, lines, f"visitor-{self._lists}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RejectedAct(Rejection.LIST_REJECTED, reason=str(error) or type(error).__name__) from None

    def print_addresses(self, console: Console, gateway: GatewayProcess, config: Path) -> None:
        """Prints both addresses, signed in."""
        for line in (
            f"The simulators are running; a day lasts {self.environment.day_seconds:g} s. Ctrl-C ends everything.",
            f"  the simulators' page  {self._server.url}",
            f"  the console         {gateway.url}/console#token={TOKEN}-ops",
            f"  a list of your own  gateway push FILE --config {config}",
        ):
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _introduce(self, family: Family, *, show: bool) -> None:
        if family.msisdn and family.recipient:
            name = family.recipient.full_name
            self.environment.telephones.introduce(family.msisdn, family.operator, name, show=show)


def _checked(port: int) -> int:
    """The port, or a free one for 0; GatewayError when something listens on it."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise _port_error(port, error) from None
        free: int = tried.getsockname()[1]
        return free


def _port_error(port: int, error: OSError) -> GatewayError:
    if error.errno == errno.EADDRINUSE:
        return GatewayError(f"port {port} is in use: end what listens there, or give another with --port")
    return GatewayError(f"cannot listen on port {port}: {error.strerror or error}; give another with --port")
