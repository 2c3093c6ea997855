"""The simulators' page beside real simulators and a gateway that accepts whatever the wallet reports."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import Call, PartnerSimulator, json_response
from gateway.simulators.playground.environment import SimulatedEnvironment
from gateway.simulators.playground.server import PageServer
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator

NUMBER = "77011234567"
START = datetime(2026, 11, 28, 9, tzinfo=UTC)
TIMEOUT = aiohttp.ClientTimeout(total=30)


class FakeGateway(PartnerSimulator):
    """Accepts the wallet's events."""

    def __init__(self) -> None:
        super().__init__(token="wallet")
        self._routes = {("POST", "/v1/wallet/events"): self._accept}

    async def _accept(self, call: Call) -> Any:
        return json_response({"taken": len(call.body["events"]), "errors": []})


@dataclass(kw_only=True)
class Served:
    """An environment, its page's server, and a signed-in client."""

    environment: SimulatedEnvironment
    server: PageServer
    gateway: FakeGateway
    http: aiohttp.ClientSession
    smsc: SmscSimulator
    wallet: WalletSimulator
    sdu: SduSimulator

    async def act(self, name: str, **details: Any) -> tuple[int, Any]:
        """(status, JSON) of the response."""
        return await self.post("/acts", {"act": name, **details})

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """(status, JSON) of the response; as the page itself sends it, but for these headers."""
        sent = {"Origin": self.origin, "Content-Type": "application/json", **headers}
        async with self.http.post(path, data=orjson.dumps(body), headers=sent) as response:
            raw = await response.read()
            return response.status, orjson.loads(raw) if raw else None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def rejected(self, name: str, **details: Any) -> Any:
        """The code with which an act is rejected."""
        status, problem = await self.act(name, **details)
        assert status == 409
        return problem["code"]

    async def section(self, name: str) -> Any:
        """What the section of this name has now, as the first events tell it."""
        async with self.http.get("/events") as response:
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                if line.startswith(b"data: ["):
                    section, content = orjson.loads(line.removeprefix(b"data: "))
                    if section == name:
                        return content
        raise AssertionError(f"the events ended without {name}")

    async def form_voucher(self, case_id: str = "c-1") -> str:
        """The gateway has a voucher formed; its id."""
        names = {"surname": "Ахметов", "given_name": "Нұрлан"}
        body = {
            "case_id": case_id, "service": "3", "category": 1, "school_year": "2026/2027",
            "pupil": {"iin": "131106697007", **names},
            "recipient": {"relation": "mother", "iin": "870312497005", "msisdn": NUMBER, **names},
            "consent": {"at": "2026-11-28T11:02:41+05:00", "evidence": "sha256:0"},
        }  # fmt: skip
        headers = {"Idempotency-Key": case_id}
        async with self.http.post(f"{self.wallet.url}/v1/vouchers", json=body, headers=headers) as response:
            voucher_id: str = (await response.json())["voucher_id"]
            return voucher_id

    async def form_active_voucher(self) -> str:
        """The same, and it is activated."""
        voucher = await self.form_voucher()
        assert await self.act("activate", voucher=voucher) == (200, {})
        return voucher

    async def meals(self, voucher: str) -> list[dict[str, Any]]:
        """The meals in its history."""
        history = (await self.section(f"voucher/{voucher}"))["history"]
        return [entry for entry in history if entry["type"] == "used"]


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The environment of one operator; the parameter is settings of the SimulatedEnvironment."""
    async with AsyncExitStack() as stack:
        smsc, mcb = SmscSimulator(), McbSimulator()
        wallet, sdu, gateway = WalletSimulator(), SduSimulator(), FakeGateway()
        for simulator in (smsc, mcb, wallet, sdu, gateway):
            await stack.enter_async_context(simulator)
        environment = SimulatedEnvironment(
            smscs={"kcell": smsc}, mcb=mcb, wallet=wallet, sdu=sdu, wallet_token="wallet", day_seconds=15,
            business_time=lambda at: START + timedelta(seconds=at),
            **{"send_seconds": 30.0, "business_now": lambda: START, **getattr(request, "param", {})},
        )  # fmt: skip
        environment.gateway_url = gateway.url
        server = await stack.enter_async_context(PageServer(environment))
        base = f"http://127.0.0.1:{server.port}"
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address
        http = await stack.enter_async_context(aiohttp.ClientSession(base, cookie_jar=jar, timeout=TIMEOUT))
        served = Served(
            environment=environment, server=server, gateway=gateway, http=http, smsc=smsc, wallet=wallet, sdu=sdu
        )
        assert (await served.post("/session", {"key": server.key}))[0] == 204
        yield served
