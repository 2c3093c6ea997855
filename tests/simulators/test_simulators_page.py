"""The simulators' page over HTTP, beside real simulators: what it shows, what a visitor can do, and who cannot."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.pages import page_files
from gateway.simulators.mcb import McbSimulator
from gateway.simulators.partner import Call, PartnerSimulator, json_response
from gateway.simulators.playground.environment import SimulatedEnvironment
from gateway.simulators.playground.report import DailyReport
from gateway.simulators.playground.server import FOLDER, HEADERS, PageServer
from gateway.simulators.sdu import SduSimulator
from gateway.simulators.smsc import SmscSimulator
from gateway.simulators.wallet import WalletSimulator
from tests.esme_client import BindEsme

NUMBER = "77011234567"
TEXT = "Құрметті Ахметова Айгүл Серікқызы! «Тегін тамақтану»: 3#1 деп жіберіңіз.\n" * 4
START = datetime(2026, 11, 28, 9, tzinfo=UTC)
TIMEOUT = aiohttp.ClientTimeout(total=30)
FILES = {name: file.octets.decode() for name, file in page_files(FOLDER).items()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


class FakeGateway(PartnerSimulator):
    """Accepts the wallet's events."""

    def __init__(self) -> None:
        super().__init__(token="wallet")
        self._routes = {("POST", "/v1/wallet/events"): self._accept}

    async def _accept(self, call: Call) -> Any:
        return json_response({"taken": len(call.body["events"]), "errors": []})


@dataclass(kw_only=True)
class Served:
    """A environment, its page's server, and a signed-in client."""

    environment: SimulatedEnvironment
    server: PageServer
    gateway: FakeGateway
    http: aiohttp.ClientSession
    smsc: SmscSimulator
    wallet: WalletSimulator

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
            business_time=lambda at: START + timedelta(seconds=at), business_now=lambda: START,
            **{"send_seconds": 30.0, **getattr(request, "param", {})},
        )  # fmt: skip
        environment.gateway_url = gateway.url
        server = await stack.enter_async_context(PageServer(environment))
        base = f"http://127.0.0.1:{server.port}"
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address
        http = await stack.enter_async_context(aiohttp.ClientSession(base, cookie_jar=jar, timeout=TIMEOUT))
        served = Served(
            environment=environment, server=server, gateway=gateway, http=http, smsc=smsc, wallet=wallet
        )
        assert (await served.post("/session", {"key": server.key}))[0] == 204
        yield served


# Telephones


async def test_the_page_shows_a_text_of_several_segments_as_one_text(served: Served, esme: BindEsme) -> None:
    client = await esme(served.smsc)
    await client.submit(TEXT)
    await served.smsc.message(NUMBER, within=30)
    (shown,) = (await served.section(f"telephone/{NUMBER}"))["messages"]
    assert (shown["text"], shown["language"], shown["mine"]) == (TEXT, "kk", False)
    assert shown["segments"] > 1
    assert datetime.fromisoformat(shown["at"]) > START


async def test_a_reply_typed_on_the_page_reaches_the_gateway_as_a_deliver_sm(
    served: Served, esme: BindEsme
) -> None:
    served.environment.telephones.introduce(NUMBER, "kcell", "Ахметова Айгүл", show=True)
    client = await esme(served.smsc)
    answering = asyncio.create_task(served.act("send", number=NUMBER, text="3#1"))
    pdu = await client.acknowledge()
    assert (pdu.command, pdu.source_addr, pdu.short_message) == ("deliver_sm", NUMBER.encode(), b"3#1")
    assert await answering == (200, {})
    telephone = await served.section(f"telephone/{NUMBER}")
    assert telephone["name"] == "Ахметова Айгүл"
    assert [(shown["text"], shown["mine"], shown["failed"]) for shown in telephone["messages"]] == [
        ("3#1", True, False)
    ]


@pytest.mark.parametrize("served", [{"send_seconds": 0.1}], indirect=True)
@pytest.mark.parametrize(
    "act",
    [
        {"act": "send", "text": "3#1"},
        {"act": "dial", "code": "*1414*3#"},
        {"act": "type", "text": "1"},
    ],
)
async def test_a_message_from_the_page_without_a_bound_session_gets_409(
    served: Served, act: dict[str, str]
) -> None:
    served.environment.telephones.introduce(NUMBER, "kcell", "", show=True)
    status, problem = await served.post("/acts", {**act, "number": NUMBER})
    assert status == 409
    assert re.search("not bound|No dialogue", problem["detail"])


# Wallet and canteen


async def test_a_code_shown_by_the_simulated_wallet_uses_its_voucher_once(served: Served) -> None:
    voucher = await served.form_voucher()
    assert (await served.section("vouchers")) == [voucher]
    assert (await served.act("code", voucher=voucher))[0] == 409
    assert await served.act("activate", voucher=voucher) == (200, {})
    assert (await served.act("activate", voucher=voucher))[0] == 409
    assert (await served.section("canteen"))["pupils"] == ["Ахметов Нұрлан"]
    status, code = await served.act("code", voucher=voucher)
    assert (status, code["seconds"]) == (200, 30)
    assert re.fullmatch(r"(M\d+ \d+h\d+v1h-\d+z)+", code["path"])
    verdicts = [
        (await served.act("read", code=text))[1]["verdict"]
        for text in (f" {code['code'].lower()} ", code["code"], "V-000001-", "nothing")
    ]
    assert verdicts == ["served", "used", "unknown", "unknown"]
    told = [call.body["events"][0] for call in served.gateway.calls]
    assert [(event["case_id"], event["type"]) for event in told] == [("c-1", "activated"), ("c-1", "used")]
    shown = await served.section(f"voucher/{voucher}")
    assert (shown["number"], shown["pupil"]) == (NUMBER, "Ахметов Нұрлан")
    assert [entry["type"] for entry in shown["history"]] == ["formed", "activated", "used"]
    (day,) = await served.section("report")
    assert day == {
        "date": "2026-11-28", "activated": 1, "meals": 1, "no_number": 0, "service_received": 0,
    }  # fmt: skip


@pytest.mark.parametrize("served", [{"code_seconds": 0.0}], indirect=True)
async def test_an_expired_code_of_a_voucher_is_rejected_by_the_canteen(served: Served) -> None:
    voucher = await served.form_voucher()
    await served.act("activate", voucher=voucher)
    _, code = await served.act("code", voucher=voucher)
    assert (await served.act("read", code=code["code"]))[1]["verdict"] == "expired"
    assert len(served.gateway.calls) == 1


async def test_a_code_stays_valid_when_its_use_could_not_be_reported(served: Served) -> None:
    voucher = await served.form_voucher()
    await served.act("activate", voucher=voucher)
    _, code = await served.act("code", voucher=voucher)
    served.gateway.fail(status=503)
    assert (await served.act("read", code=code["code"]))[0] == 409
    assert (await served.act("read", code=code["code"]))[1]["verdict"] == "served"


# Switches


@pytest.mark.parametrize("partner", ["kcell", "mcb", "wallet", "sdu"])
async def test_the_page_breaks_and_repairs_a_simulated_partner(served: Served, partner: str) -> None:
    for act, works in (("break", False), ("break", False), ("repair", True), ("repair", True)):
        assert await served.act(act, partner=partner) == (200, {})
        assert (await served.section("switches"))[partner] is works
        assert served.environment.switches[partner].is_down is not works


async def test_a_broken_simulated_partner_rejects_the_acts_of_the_page(served: Served) -> None:
    served.environment.telephones.introduce(NUMBER, "kcell", "", show=True)
    voucher = await served.form_voucher()
    for partner in ("kcell", "wallet"):
        await served.act("break", partner=partner)
    for act, details in (
        ("send", {"number": NUMBER, "text": "3#1"}),
        ("activate", {"voucher": voucher}),
        ("read", {"code": "V-000001-000000"}),
    ):
        status, problem = await served.act(act, **details)
        assert (status, "broken" in problem["detail"]) == (409, True)


# Who may not


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "gateway.example:8100"}, 421),
        ({"Host": "127.0.0.1.example:8100"}, 421),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Cookie": "simulators=wrong"}, 401),
    ],
)
async def test_a_request_without_cookie_host_or_origin_of_the_page_is_rejected(
    served: Served, headers: dict[str, str], status: int
) -> None:
    if "Cookie" in headers:
        served.http.cookie_jar.clear()
    assert (await served.post("/acts", {"act": "break", "partner": "mcb"}, **headers))[0] == status
    assert not served.environment.switches["mcb"].is_down


async def test_the_simulators_page_shows_no_data_without_its_key(served: Served) -> None:
    served.http.cookie_jar.clear()
    assert (await served.post("/session", {"key": "wrong"}))[0] == 401
    async with served.http.get("/events") as response:
        assert response.status == 401
    async with served.http.get("/") as page:
        assert page.status == 200
        assert {name: page.headers[name] for name in HEADERS} == HEADERS


async def test_the_cookie_of_the_simulators_page_is_valid_for_that_page_only(served: Served) -> None:
    (cookie,) = served.http.cookie_jar
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert served.server.key not in cookie.value
    assert served.server.url.partition("#")[0] == f"{served.origin}/"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        {"act": "fly"},
        {"act": "break", "partner": "nobody"},
        {"act": "break", "partner": 7},
        {"act": "push", "language": "en"},
        {"act": "read", "code": "7" * 41},
        {"act": "send", "number": NUMBER, "text": "x" * 1001},
        {"act": "send", "number": NUMBER, "text": ""},
    ],
)
async def test_an_unknown_or_malformed_act_of_the_page_is_422(served: Served, body: Any) -> None:
    assert (await served.post("/acts", body))[0] == 422


@pytest.mark.parametrize("path", ["/page/", "/page/..%2Fserver.py", "/page/server.py", "/favicon.ico"])
async def test_the_simulators_page_serves_no_file_outside_its_folder(served: Served, path: str) -> None:
    async with served.http.get(path) as response:
        assert response.status == 404


# The page's files


def test_the_simulators_page_has_no_foreign_url_and_no_inline_script() -> None:
    page = FILES["index.html"]
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    for name, text in FILES.items():
        assert re.findall(r"https?://(?!www\.w3\.org/)|data:[^-]", text) == [], name


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_the_simulators_page_never_turn_data_into_markup(name: str) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\("
    assert re.findall(sinks, SCRIPTS[name]) == []


def test_all_files_and_ids_that_the_simulators_page_refers_to_exist() -> None:
    named = re.findall(r'(?:href|src)="page/([^"]+)"', FILES["index.html"])
    named += [name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)]
    assert {*named} == FILES.keys() - {"index.html"}
    ids = set(re.findall(r'\sid="([^"]+)"', FILES["index.html"]))
    made = {name for text in SCRIPTS.values() for name in re.findall(r'\bid: "([^"]+)"', text)}
    assert {name for text in SCRIPTS.values() for name in re.findall(r'byId\("([^"]+)"\)', text)} <= ids | made


def test_the_daily_report_for_nedb_counts_each_event_once_on_its_local_date() -> None:
    wallet = [{"type": "activated", "at": "2026-11-28T23:59:59+05:00"}]
    statuses = [{"status": status, "at": "2026-11-28T10:00:00+05:00"} for status in ("asked", "no_number")]
    report = DailyReport(wallet, statuses)
    report.rows()
    wallet.append({"type": "used", "at": "2026-11-29T00:00:00+05:00"})
    assert report.rows() == [
        {"date": "2026-11-29", "activated": 0, "meals": 1, "no_number": 0, "service_received": 0},
        {"date": "2026-11-28", "activated": 1, "meals": 0, "no_number": 1, "service_received": 0},
    ]
