"""The simulated MCB, wallet and SDU, against aiohttp's client and independently computed signatures."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from benches.json_lines import Child

from gateway.simulators.mcb import McbSimulator, Number, derived_number
from gateway.simulators.partner import Fault
from gateway.simulators.sdu import SduSimulator, new_secret, signature_fault
from gateway.simulators.wallet import WalletSimulator

ROOT = Path(__file__).parents[2]
TIMEOUT = aiohttp.ClientTimeout(total=30)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        yield session


async def post(http: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """(status, JSON) of the response."""
    async with http.post(url, json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


# All partners


async def test_fail_applies_to_so_many_calls(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(2, status=429, retry_after=7)
        statuses = []
        for _ in range(3):
            async with http.post(f"{mcb.url}/v1/lookup", json={"iin": "1"}) as response:
                statuses.append((response.status, response.headers.get("Retry-After")))
        assert statuses == [(429, "7"), (429, "7"), (200, None)]
        assert (mcb.called, mcb.failed, len(mcb.lookups)) == (3, 2, 1)


async def test_every_call_fails_between_down_and_up(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.down(status=500)
        assert [(await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))[0] for _ in range(3)] == [500] * 3
        mcb.up()
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))[0] == 200


async def test_a_stopped_partner_refuses_connections_and_starts_on_the_same_port(
    http: aiohttp.ClientSession,
) -> None:
    async with McbSimulator() as mcb:
        port = mcb.port
        await mcb.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"})
        await mcb.start()
        assert mcb.port == port
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))[0] == 200


async def test_a_hanging_call_ends_when_the_caller_times_out(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(hang=True)
        with pytest.raises(TimeoutError):
            await http.post(f"{mcb.url}/v1/lookup", json={"iin": "1"}, timeout=aiohttp.ClientTimeout(total=0.05))
        await mcb.wait_for(lambda: mcb.in_flight == 0)
        assert mcb.calls[0].status is None


async def test_a_hanging_call_does_not_delay_the_stop(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(hang=True)
        call = asyncio.create_task(post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))
        await mcb.wait_for(lambda: mcb.in_flight == 1)
        await mcb.stop()
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_cut_call_gets_no_response(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(cut=True)
        with pytest.raises(aiohttp.ClientError):
            await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"})


async def test_the_body_of_a_fault_is_sent_as_it_is(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(status=200, body="<html>")
        async with http.post(f"{mcb.url}/v1/lookup", json={"iin": "1"}) as response:
            assert (response.status, await response.text()) == (200, "<html>")


async def test_a_fault_applies_only_to_calls_that_contain_its_characters(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.fail(containing="222")
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "111"}))[0] == 200
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "222"}))[0] == 503
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "222"}))[0] == 200


async def test_random_faults_are_the_same_for_the_same_seed(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        runs = []
        for _ in range(2):
            mcb.fail_randomly(0.5, Fault(status=500), Fault(status=503), seed=3)
            runs.append([(await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))[0] for _ in range(20)])
        assert runs[0] == runs[1]
        assert set(runs[0]) == {200, 500, 503}


async def test_a_missing_token_and_an_unknown_path_are_complaints(http: aiohttp.ClientSession) -> None:
    async with McbSimulator(token="secret") as mcb:
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}))[0] == 401
        known = {"Authorization": "Bearer secret"}
        assert (await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}, **known))[0] == 200
        assert (await post(http, f"{mcb.url}/v2/lookup", {"iin": "1"}, **known))[0] == 404
        assert len(mcb.complaints) == 2


async def test_calls_in_flight_are_counted(http: aiohttp.ClientSession) -> None:
    async with McbSimulator(latency=0.05) as mcb:
        await asyncio.gather(*(post(http, f"{mcb.url}/v1/lookup", {"iin": str(n)}) for n in range(5)))
        assert (mcb.max_in_flight, mcb.in_flight) == (5, 0)


# MCB


async def test_a_lookup_returns_the_number_as_it_was_configured() -> None:
    numbers: dict[str, Number] = {"1": "77011234567", "2": ("77051234567", "beeline"), "3": None, "4": "123"}
    async with McbSimulator(numbers=numbers) as mcb, aiohttp.ClientSession() as http:
        url = f"{mcb.url}/v1/lookup"
        assert await post(http, url, {"iin": "1"}) == (200, {"found": True, "msisdn": "+77011234567"})
        found = {"found": True, "msisdn": "+77051234567", "operator": "beeline"}
        assert await post(http, url, {"iin": "2"}) == (200, found)
        assert await post(http, url, {"iin": "3"}) == (200, {"found": False})
        assert await post(http, url, {"iin": "4"}) == (200, {"found": True, "msisdn": "123"})
        assert await post(http, url, {"iin": "5"}) == (200, {"found": False})
        assert [lookup.iin for lookup in mcb.lookups] == ["1", "2", "3", "4", "5"]
        assert mcb.asked("2") == 1


async def test_a_batch_response_has_another_order_and_lacks_omitted_iins(http: aiohttp.ClientSession) -> None:
    async with McbSimulator(otherwise=derived_number) as mcb:
        mcb.omitted["131106697007"] = 1
        body = {"iins": ["870312497005", "131106697007", "841130397007"]}
        responses = [await post(http, f"{mcb.url}/v1/lookups", body) for _ in range(2)]
        assert [[result["iin"] for result in response["results"]] for _, response in responses] == [
            ["841130397007", "870312497005"],
            ["841130397007", "131106697007", "870312497005"],
        ]
        assert responses[0][1]["results"][1] == {
            "iin": "870312497005",
            "found": True,
            "msisdn": "+77011249700",
        }
        assert mcb.largest_batch == 3


async def test_an_override_replaces_the_result_for_one_iin(http: aiohttp.ClientSession) -> None:
    async with McbSimulator() as mcb:
        mcb.overrides = {"1": {"found": "maybe"}, "2": b"not json"}
        assert await post(http, f"{mcb.url}/v1/lookup", {"iin": "1"}) == (200, {"found": "maybe"})
        assert await post(http, f"{mcb.url}/v1/lookups", {"iins": ["1"]}) == (
            200,
            {"results": [{"iin": "1", "found": "maybe"}]},
        )
        async with http.post(f"{mcb.url}/v1/lookup", json={"iin": "2"}) as response:
            assert await response.read() == b"not json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("lookup", {"iin": 1}),
        ("lookup", {"iin": "1", "name": "x"}),
        ("lookups", {"iins": []}),
        ("lookups", {"iins": ["1", "1"]}),
    ],
)
async def test_a_lookup_that_violates_the_contract_is_a_complaint(
    http: aiohttp.ClientSession, path: str, body: dict[str, Any]
) -> None:
    async with McbSimulator() as mcb:
        assert (await post(http, f"{mcb.url}/v1/{path}", body))[0] == 400
        assert len(mcb.complaints) == 1


# Wallet


def request(case_id: str = "c-1", pupil_iin: str = "131106697007", **changes: Any) -> dict[str, Any]:
    names = {"surname": "Ахметов", "given_name": "Нұрлан", "patronymic": "Ерланұлы"}
    recipient = {"relation": "mother", "iin": "870312497005", "msisdn": "77011234567", **names}
    return {
        "case_id": case_id,
        "service": "3",
        "category": 1,
        "school_year": "2026/2027",
        "pupil": {"iin": pupil_iin, **names},
        "recipient": recipient,
        "consent": {"at": "2026-11-22T11:02:41+05:00", "evidence": "sha256:00"},
        **changes,
    }


async def form(
    http: aiohttp.ClientSession, wallet: WalletSimulator, body: dict[str, Any], key: str | None = None
) -> Any:
    headers = {"Idempotency-Key": key or body["case_id"]}
    return await post(http, f"{wallet.url}/v1/vouchers", body, **headers)


async def test_a_repeated_key_forms_one_voucher(http: aiohttp.ClientSession) -> None:
    async with WalletSimulator() as wallet:
        assert await form(http, wallet, request()) == (201, {"voucher_id": "V-000001"})
        assert await form(http, wallet, request()) == (200, {"voucher_id": "V-000001"})
        assert (list(wallet.vouchers), wallet.repeated, wallet.keys) == (["c-1"], 1, ["c-1", "c-1"])


async def test_a_voucher_is_formed_although_the_response_was_lost(http: aiohttp.ClientSession) -> None:
    async with WalletSimulator() as wallet:
        wallet.fail(cut=True, after=True)
        with pytest.raises(aiohttp.ClientError):
            await form(http, wallet, request())
        assert await form(http, wallet, request()) == (200, {"voucher_id": "V-000001"})


async def test_a_pupil_who_has_a_voucher_gets_a_conflict(http: aiohttp.ClientSession) -> None:
    async with WalletSimulator() as wallet:
        await form(http, wallet, request())
        assert await form(http, wallet, request("c-2")) == (409, {"voucher_id": "V-000001"})
        wallet.has_voucher("120915597004", "V-7")
        assert await form(http, wallet, request("c-3", "120915597004")) == (409, {"voucher_id": "V-7"})


async def test_a_rejected_pupil_gets_422_with_the_reason(http: aiohttp.ClientSession) -> None:
    async with WalletSimulator() as wallet:
        wallet.reject("131106697007", "not entitled")
        status, body = await form(http, wallet, request())
        assert (status, body["detail"]) == (422, "not entitled")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (request(), "another"),
        (request(extra=1), None),
        (request(pupil={"iin": "1"}), None),
        (request(consent={"at": "x", "evidence": "md5:00"}), None),
    ],
)
async def test_a_voucher_request_that_violates_the_contract_is_a_complaint(
    http: aiohttp.ClientSession, body: dict[str, Any], key: str | None
) -> None:
    async with WalletSimulator() as wallet:
        assert (await form(http, wallet, body, key))[0] == 400
        assert len(wallet.complaints) == 1


async def test_a_key_repeated_with_another_body_is_a_complaint(http: aiohttp.ClientSession) -> None:
    async with WalletSimulator() as wallet:
        await form(http, wallet, request())
        assert (await form(http, wallet, request(category=2)))[0] == 400
        assert "another body" in wallet.complaints[0]


async def test_the_wallet_posts_its_events_to_the_gateway(gateway: tuple[str, list[Any]]) -> None:
    url, seen = gateway
    event = WalletSimulator.event("c-1", "used", event_id="e-1", at="2026-11-22T11:02:41+05:00")
    assert await WalletSimulator().post_events(url, "token", [event]) == (200, {"taken": 1, "errors": []})
    assert seen == [("/v1/wallet/events", "Bearer token", {"events": [event]})]


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[str, list[Any]]]:
    """(URL, received requests) of a server in place of the gateway."""
    seen: list[Any] = []

    async def accept(request: web.BaseRequest) -> web.Response:
        seen.append((request.path, request.headers["Authorization"], await request.json()))
        return web.json_response({"taken": 1, "errors": []})

    runner = web.ServerRunner(web.Server(accept))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}", seen
    await runner.cleanup()


# SDU


def event(seq: int, status: str = "received", case_id: str = "c-1", **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"e-{seq}",
        "seq": seq,
        "at": "2026-11-22T10:15:03.512+05:00",
        "status": status,
        "list_id": "l-1",
        "record_id": "r" + case_id,
        "case_id": case_id,
        "service": "3",
        "pupil_iin": "131106697007",
        "detail": {},
        **changes,
    }


async def push(http: aiohttp.ClientSession, sdu: SduSimulator, *events: dict[str, Any], secret: str) -> int:
    raw, stamp = json.dumps({"events": events}).encode(), str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{stamp}.".encode() + raw, hashlib.sha256).digest()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1,b2xk v1," + base64.b64encode(digest).decode(),
    }
    async with http.post(f"{sdu.url}/v1/statuses", data=raw, headers=headers) as response:
        return response.status


def test_the_signature_of_the_published_example_is_valid() -> None:
    """The vector in Standard Webhooks' own libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret, raw = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    assert signature_fault(headers, raw, secret, 1_614_265_330) is None
    assert "does not match" in str(signature_fault(headers, raw + b" ", secret, 1_614_265_330))
    assert "not current" in str(signature_fault(headers, raw, secret, 1_614_265_330 + 301))
    assert "missing" in str(signature_fault({}, raw, secret, 1_614_265_330))


async def test_events_are_recorded_once_and_in_order(http: aiohttp.ClientSession) -> None:
    secret = new_secret()
    async with SduSimulator(secret=secret) as sdu:
        assert await push(http, sdu, event(1), event(2, "asked"), secret=secret) == 200
        assert await push(http, sdu, event(2, "asked"), event(3, "consented"), secret=secret) == 200
        assert sdu.statuses("rc-1") == sdu.statuses("c-1") == ["received", "asked", "consented"]
        assert (sdu.repeated, sdu.count["asked"], sdu.complaints) == (1, 1, [])
        assert (await sdu.status("rc-1", "consented"))["seq"] == 3


async def test_an_event_out_of_its_cases_order_is_a_complaint(http: aiohttp.ClientSession) -> None:
    secret = new_secret()
    async with SduSimulator(secret=secret) as sdu:
        await push(http, sdu, event(5), event(3, case_id="c-2"), event(4), secret=secret)
        assert sdu.complaints == ["case c-1: seq 4 after 5"]


async def test_events_are_accepted_although_the_response_was_an_error(http: aiohttp.ClientSession) -> None:
    secret = new_secret()
    async with SduSimulator(secret=secret) as sdu:
        sdu.fail(status=500, after=True)
        assert await push(http, sdu, event(1), secret=secret) == 500
        assert await push(http, sdu, event(1), secret=secret) == 200
        assert (len(sdu.events), sdu.repeated) == (1, 1)


async def test_a_wrong_signature_and_a_wrong_body_are_complaints(http: aiohttp.ClientSession) -> None:
    secret = new_secret()
    async with SduSimulator(secret=secret, batch=2) as sdu:
        assert await push(http, sdu, event(1), secret=new_secret(b"another")) == 401
        assert await push(http, sdu, event(1, more=1), secret=secret) == 400
        assert await push(http, sdu, event(1), event(2), event(3), secret=secret) == 400
        assert await push(http, sdu, secret=secret) == 400
        assert (len(sdu.complaints), sdu.events) == (4, [])


# The program


async def test_the_benches_program_serves_mcb_wallet_and_sdu(http: aiohttp.ClientSession) -> None:
    program = await Child.start("benches.partners")
    urls = await program.event("listening")
    iin = "870312497005"
    found = {"found": True, "msisdn": "+77011249700"}
    assert await post(http, f"{urls['mcb']}/v1/lookup", {"iin": iin}) == (200, found)
    assert (await post(http, f"{urls['sdu']}/v1/statuses", {"events": [event(1)]}))[0] == 200
    await program.ask("down", partner="mcb", status=500)
    assert (await post(http, f"{urls['mcb']}/v1/lookup", {"iin": iin}))[0] == 500
    stats = await program.ask("stats")
    assert (stats["mcb"]["looked_up"], stats["mcb"]["failed"], stats["sdu"]["events"]) == (1, 1, 1)
    assert await program.stop() == 0
