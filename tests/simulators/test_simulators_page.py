"""The simulators' page over HTTP, beside real simulators: what it shows, what a visitor can do, and who cannot."""

import asyncio
import re
import socket
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gateway.simulators.playground.server import HEADERS
from tests.esme_client import BindEsme
from tests.simulators_page import NUMBER, START, Served

TEXT = "Құрметті Ахметова Айгүл Серікқызы! «Тегін тамақтану»: 3#1 деп жіберіңіз.\n" * 4
ALMATY = timezone(timedelta(hours=5))


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
    assert (status, problem["code"]) == (409, "no_dialogue" if act["act"] == "type" else "not_bound")


# Wallet and canteen


async def test_a_code_shown_by_the_simulated_wallet_uses_its_voucher_once(served: Served) -> None:
    voucher = await served.form_voucher()
    assert (await served.section("vouchers")) == [voucher]
    assert await served.rejected("code", voucher=voucher) == "not_active"
    assert await served.act("activate", voucher=voucher) == (200, {})
    assert await served.rejected("activate", voucher=voucher) == "already_active"
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
    voucher = await served.form_active_voucher()
    _, code = await served.act("code", voucher=voucher)
    assert (await served.act("read", code=code["code"]))[1]["verdict"] == "expired"
    assert len(served.gateway.calls) == 1


async def test_a_code_stays_valid_when_its_use_could_not_be_reported(served: Served) -> None:
    voucher = await served.form_active_voucher()
    _, code = await served.act("code", voucher=voucher)
    served.gateway.fail(status=503)
    _, problem = await served.act("read", code=code["code"])
    assert (problem["code"], problem["fields"]) == ("event_rejected", {"status": "503"})
    assert (await served.act("read", code=code["code"]))[1]["verdict"] == "served"


async def test_the_card_of_a_pupil_is_good_for_a_meal_once_the_voucher_is_active(served: Served) -> None:
    voucher = await served.form_voucher()
    assert (await served.act("read-card", voucher=voucher))[1]["verdict"] == "not_active"
    assert served.gateway.calls == []
    await served.act("activate", voucher=voucher)
    status, reading = await served.act("read-card", voucher=voucher)
    assert (status, reading["verdict"], reading["means"], reading["served"]) == (200, "served", "card", True)
    assert [call.body["events"][0]["type"] for call in served.gateway.calls] == ["activated", "used"]
    assert len(await served.meals(voucher)) == 1
    assert (await served.section("report"))[0]["meals"] == 1
    assert await served.rejected("read-card", voucher="V-999999") == "no_voucher"


@pytest.mark.parametrize(
    ("served", "verdict"),
    [
        ({"business_now": lambda: datetime(2027, 8, 31, 23, 59, tzinfo=ALMATY)}, "served"),
        ({"business_now": lambda: datetime(2027, 9, 1, tzinfo=ALMATY)}, "ended"),
    ],
    indirect=["served"],
)
async def test_a_voucher_is_good_for_meals_until_the_end_of_its_school_year(served: Served, verdict: str) -> None:
    voucher = await served.form_active_voucher()
    _, code = await served.act("code", voucher=voucher)
    assert (await served.act("read", code=code["code"]))[1]["verdict"] == verdict
    assert (await served.act("read-card", voucher=voucher))[1]["verdict"] == verdict


async def test_a_meal_is_rated_once_and_the_gateway_is_not_told(served: Served) -> None:
    voucher = await served.form_active_voucher()
    for _ in range(2):
        await served.act("read-card", voucher=voucher)
    first, second = await served.meals(voucher)
    before = (len(served.gateway.calls), await served.section("report"))
    assert await served.act("rate", meal=second["meal"], marks=4) == (200, {})
    assert await served.rejected("rate", meal=second["meal"], marks=5) == "already_rated"
    assert [meal["marks"] for meal in await served.meals(voucher)] == [None, 4]
    activation = served.wallet.accepted[0]["event_id"]
    assert await served.rejected("rate", meal=activation, marks=5) == "no_meal"
    assert (await served.act("rate", meal=first["meal"], marks=5))[0] == 200
    assert (len(served.gateway.calls), await served.section("report")) == before


async def test_a_complaint_is_kept_with_its_number_and_the_gateway_is_not_told(served: Served) -> None:
    assert await served.rejected("complain", number=NUMBER, text="Тамақ суық.") == "no_voucher"
    await served.form_voucher()
    for text in ("Тамақ суық.", "<b>Еда холодная</b>"):
        assert await served.act("complain", number=NUMBER, text=text) == (200, {})
    sent = (await served.section("complaints"))[NUMBER]
    assert [(one["number"], one["text"]) for one in sent] == [(2, "<b>Еда холодная</b>"), (1, "Тамақ суық.")]
    assert served.gateway.calls == []
    assert await served.section("report") == []


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
    assert await served.rejected("send", number=NUMBER, text="3#1") == "operator_broken"
    for act, details in (
        ("activate", {"voucher": voucher}),
        ("read", {"code": "V-000001-000000"}),
        ("read-card", {"voucher": voucher}),
        ("rate", {"meal": "any", "marks": 1}),
        ("complain", {"number": NUMBER, "text": "Тамақ суық."}),
    ):
        assert await served.rejected(act, **details) == "wallet_broken"


async def test_a_switch_that_fails_says_why(served: Served) -> None:
    await served.act("break", partner="kcell")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", served.smsc.port))
        taken.listen()
        status, problem = await served.act("repair", partner="kcell")
    assert (status, problem["code"]) == (409, "failed")
    assert problem["fields"]["reason"]


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
        {"act": "complain", "number": NUMBER, "text": "x" * 1001},
        {"act": "rate", "meal": "any", "marks": 0},
        {"act": "rate", "meal": "any", "marks": 6},
        {"act": "rate", "meal": "any", "marks": True},
        {"act": "rate", "meal": "any", "marks": "5"},
    ],
)
async def test_an_unknown_or_malformed_act_of_the_page_is_422(served: Served, body: Any) -> None:
    assert (await served.post("/acts", body))[0] == 422


@pytest.mark.parametrize("path", ["/page/", "/page/..%2Fserver.py", "/page/server.py", "/favicon.ico"])
async def test_the_simulators_page_serves_no_file_outside_its_folder(served: Served, path: str) -> None:
    async with served.http.get(path) as response:
        assert response.status == 404
