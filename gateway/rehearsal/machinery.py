"""The real gateway with a list, or a part of it, between simulated partners and parents, in virtual days."""

import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config import Config, Service
from gateway.config.templates import load_templates
from gateway.consent.case import ENDED, State
from gateway.demo.process import PASSWORD, SECRET, TOKEN, GatewayProcess
from gateway.rehearsal.parents import Behaviour, Parent, Parents
from gateway.rehearsal.plan import CLARIFIED_HOURS
from gateway.rehearsal.scratch import scratch_configuration
from gateway.simulators.handset import Message
from gateway.simulators.mcb import McbSimulator, Number
from gateway.simulators.partner import PartnerSimulator
from gateway.simulators.receipts import Receipts
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

LIST_ID = "rehearsal"
SECONDS_PER_DAY = 86_400.0
HOURS_PER_DAY = 24
RECEIPT_SECONDS = 0.2
"""The time from a submit_sm to its receipt."""
REPLY_PAUSE_SECONDS = 2.5
"""The pause between two replies of a handset: the same octets within 2 s are one reply delivered twice."""
REPLY_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.5
SETTLE_SECONDS = 1.0
"""The wait after the last case has ended, for texts that should not come."""
_PAGE = 500
_MAX_REPLY_SHARE = 6  # replies come in the first sixth of the time to reply; their hours are not compared
_MISSING = "missing"
_UNCLEAR = "кто это?"
_PLACEHOLDER = re.compile(r"\{[a-z]+\}")
_OVER = {*(state.value for state in ENDED), State.PARKED.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the gateway did with the lines."""

    accepted: int
    duplicates: int
    rejected: int
    state_of: dict[str, str]  # by record_id
    segments: dict[str, int]  # by link
    failures: list[str]  # of partners that saw a violation of their contract
    seconds: float
    days: float  # virtual


class _SimulatedEnvironment:
    """The partners of one gateway, and the parents who read and reply."""

    def __init__(
        self, config: Config, service: Service, parents: Parents, lost: Sequence[str], day: float
    ) -> None:
        receipts = [Receipts(outcome="undeliverable", to=number) for number in lost]
        self.smscs = {
            link.name: SmscSimulator(
                password=PASSWORD,
                short_code=link.source,
                receipts=[*receipts, Receipts(delay=RECEIPT_SECONDS)],
                first_id=100_001 + 10_000_000 * place,
            )
            for place, link in enumerate(config.links)
        }
        self.partners: dict[str, PartnerSimulator] = {
            "mcb": McbSimulator(otherwise=self._number, token=TOKEN),
            "wallet": WalletSimulator(token=TOKEN),
            "sdu": SduSimulator(secret=SECRET, token=TOKEN),
        }
        self._parents, self._service, self._day_seconds = parents, service, day
        # Days are fast: the pauses between replies and a busy machine take hours of them.
        self._max_reply_hours = config.journey.answer_days * HOURS_PER_DAY / _MAX_REPLY_SHARE
        self._by_msisdn: dict[str, Parent] = {}
        self._last_reply_at: dict[str, float] = {}
        templates = list(load_templates(service.templates).all())
        self._questions = [_pattern(one.body) for one in templates if one.name == "request"]
        self._clarifications = [_pattern(one.body) for one in templates if one.name == "clarify"]
        for name, smsc in self.smscs.items():
            smsc.on_message = lambda message, name=name: self._read(name, message)

    @property
    def servers(self) -> dict[str, SmscSimulator | PartnerSimulator]:
        return {**self.smscs, **self.partners}

    def failures(self) -> list[str]:
        found = [f"{name}: {complaint}" for name, one in self.servers.items() for complaint in one.complaints]
        return found + [f"{name}: {error!r}" for name, smsc in self.smscs.items() for error in smsc.failures]

    def _number(self, iin: str) -> Number:
        parent = self._parents.of(iin)
        if parent is None:
            return None
        self._by_msisdn[parent.msisdn] = parent
        return parent.msisdn, parent.link.name  # the operator's name: numbers are portable

    def _read(self, link: str, message: Message) -> None:
        """A text has arrived: the parent may reply."""
        parent = self._by_msisdn[message.destination.lstrip("+")]
        asks = any(pattern.fullmatch(message.text) for pattern in self._questions)
        clarifies = any(pattern.fullmatch(message.text) for pattern in self._clarifications)
        agree, refuse = (f"{self._service.code}#{digit}" for digit in (self._service.agree, self._service.refuse))
        match parent.behaviour:
            case Behaviour.AGREE if asks or clarifies:
                reply = agree
            case Behaviour.REFUSE if asks or clarifies:
                reply = refuse
            case Behaviour.UNCLEAR if asks or clarifies:
                reply = _UNCLEAR if asks else agree
            case _:
                return
        hours = CLARIFIED_HOURS if clarifies else min(parent.reply_hours, self._max_reply_hours)
        self.smscs[link].start(self._reply(link, parent.msisdn, reply, hours))

    async def _reply(self, link: str, msisdn: str, text: str, hours: float) -> None:
        await asyncio.sleep(hours / HOURS_PER_DAY * self._day_seconds)
        now = asyncio.get_running_loop().time
        at = max(now(), self._last_reply_at.get(msisdn, 0.0) + REPLY_PAUSE_SECONDS)
        self._last_reply_at[msisdn] = at
        await asyncio.sleep(at - now())
        await self.smscs[link].reply(msisdn, text, until_accepted=True, within=REPLY_TIMEOUT_SECONDS)


async def run_machinery(
    config: Config,
    service: Service,
    parents: Parents,
    lines: Sequence[bytes],
    lost: Sequence[str],
    *,
    day_seconds: float,
    limit_seconds: float,
    report: Callable[[str], None],
) -> Result:
    """Runs the lines until every case has ended, or for `limit_seconds`; nothing of them is left behind.

    `lost` are the numbers that no text reaches. Raises GatewayError when the gateway does not start.
    """
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-rehearsal-")))
        environment = _SimulatedEnvironment(config, service, parents, lost, day_seconds)
        for server in environment.servers.values():
            await stack.enter_async_context(server)
        path = directory / "config.toml"
        text = scratch_configuration(
            config, directory,
            rate=SECONDS_PER_DAY / day_seconds,
            partners={name: partner.url for name, partner in environment.partners.items()},
            ports={name: smsc.port for name, smsc in environment.smscs.items()},
            token=TOKEN, password=PASSWORD, secret=SECRET,
        )  # fmt: skip
        path.write_text(text, encoding="utf-8")
        report("starting a scratch PostgreSQL, the gateway and simulated partners")
        gateway = await GatewayProcess.start(path, directory / "gateway.log")
        stack.push_async_callback(gateway.stop)
        session = aiohttp.ClientSession(gateway.url, headers={"Authorization": f"Bearer {TOKEN}-ops"})
        http = await stack.enter_async_context(session)
        began = time.monotonic()
        accepted = await _push(http, service, lines)
        await _until_over(http, limit_seconds, report)
        seconds = time.monotonic() - began
        return Result(
            accepted=accepted["accepted"],
            duplicates=accepted["duplicates"],
            rejected=accepted["rejected"],
            state_of=await _states(http),
            segments={name: len(smsc.submitted) for name, smsc in environment.smscs.items()},
            failures=environment.failures(),
            seconds=seconds,
            days=seconds / day_seconds,
        )


async def _push(http: aiohttp.ClientSession, service: Service, lines: Sequence[bytes]) -> dict[str, Any]:
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {TOKEN}-sdu"}
    query = {"service": service.code}
    async with http.put(
        f"/v1/lists/{LIST_ID}", data=b"".join(line + b"\n" for line in lines), params=query, headers=headers
    ) as response:
        response.raise_for_status()
        body: dict[str, Any] = await response.json()
        return body


async def _until_over(http: aiohttp.ClientSession, limit_seconds: float, report: Callable[[str], None]) -> None:
    """Returns when no case is open, or when the time is up."""
    shown = ""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            while True:
                async with http.get(f"/v1/lists/{LIST_ID}") as response:
                    progress: dict[str, int] = (await response.json())["progress"]
                now = ", ".join(f"{cases:,} {state}" for state, cases in progress.items() if cases)
                if now != shown:
                    report(now)
                shown = now
                if not any(cases for state, cases in progress.items() if state not in _OVER):
                    break
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)


async def _states(http: aiohttp.ClientSession) -> dict[str, str]:
    """The state of every case, by record_id."""
    states: dict[str, str] = {}
    query: dict[str, str] = {"list_id": LIST_ID, "limit": str(_PAGE)}
    while True:
        async with http.get("/v1/cases", params=query) as response:
            response.raise_for_status()
            page = await response.json()
        states.update((case["record_id"], case["state"]) for case in page["cases"])
        if page["next"] is None:
            return states
        query["after"] = page["next"]


def differences(expected: dict[str, State], found: Result) -> tuple[Counter[str], int]:
    """How many cases ended otherwise than calculated, as `calculated → found`, and how many had not ended."""
    pairs = [(state.value, found.state_of.get(record_id, _MISSING)) for record_id, state in expected.items()]
    unfinished = sum(state not in _OVER and state != _MISSING for _, state in pairs)
    ended = [(calculated, state) for calculated, state in pairs if state in _OVER or state == _MISSING]
    return Counter(f"{calculated} → {state}" for calculated, state in ended if calculated != state), unfinished


def _pattern(body: str) -> re.Pattern[str]:
    """Matches the template with any values in it."""
    return re.compile(".+".join(map(re.escape, _PLACEHOLDER.split(body))), re.DOTALL)
