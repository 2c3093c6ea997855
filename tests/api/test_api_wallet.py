"""Events of the wallet about vouchers: each accepted once, each fault with its JSON pointer."""

import asyncio
from typing import Any

import pytest

from gateway.api.requests import MAX_JSON_VALUES
from gateway.api.wallet import MAX_EVENTS
from gateway.components import Components
from gateway.consent.inputs import IssueVoucher, ParentReply, UseNumber
from gateway.consent.reply import Verdict
from tests.api.apiclient import Api
from tests.record_factories import good

PATH = "/v1/wallet/events"
AT = "2026-11-23T09:30:00+05:00"
UNKNOWN = "01JD0000000000000000000000"


@pytest.fixture
async def case_id(api: Api, components: Components) -> str:
    """A case whose voucher has been issued."""
    await api.push([good(1)])
    case_id = await api.case_id()
    await issue(components, case_id, "77011234567")
    return case_id


async def issue(components: Components, case_id: str, msisdn: str) -> None:
    await components.transactions.apply([(case_id, UseNumber(msisdn=msisdn))])
    reply = ParentReply(
        msisdn=msisdn,
        verdict=Verdict.AGREE,
        normalised=False,
        reply_at=components.clock.now(),
        submitted=True,
        evidence="sha256:00",
        link="kcell",
    )
    await components.transactions.apply([(case_id, reply), (case_id, IssueVoucher(voucher_id="V-1"))])


def event(case_id: str, kind: str = "activated", event_id: str = "e-1", **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "case_id": case_id, "type": kind, "at": AT, **changes}


async def send(api: Api, *events: object) -> Any:
    response = await api.post(PATH, {"events": events}, "wallet-token-of-tests")
    assert response.status == 200
    return response.json


async def statuses(api: Api, case_id: str) -> list[str]:
    journal = (await api.get(f"/v1/cases/{case_id}")).json["journal"]
    return [e["event"] for e in journal if e["event"] in ("voucher_activated", "service_received")]


@pytest.mark.parametrize("body", [{"events": [], "x": 42}, {"events": [], "Events": []}, {"x": []}])
async def test_an_unknown_field_in_a_body_of_wallet_events_is_422(api: Api, body: dict[str, Any]) -> None:
    response = await api.post(PATH, body, "wallet-token-of-tests")
    assert response.status == 422
    assert "unknown_field" in [error["code"] for error in response.json["errors"]]


async def test_a_body_of_many_values_is_413_and_not_read(api: Api) -> None:
    body: dict[str, Any] = {"events": [[]] * MAX_JSON_VALUES}
    response = await api.post(PATH, body, "wallet-token-of-tests")
    assert response.status == 413
    assert "65536 values" in response.json["detail"]


async def test_a_full_body_of_events_is_read_and_each_fault_is_told(api: Api) -> None:
    response = await api.post(PATH, {"events": [{"x": 1}] * MAX_EVENTS}, "wallet-token-of-tests")
    assert response.status == 200
    assert len(response.json["errors"]) == 5 * MAX_EVENTS


async def test_voucher_activation_and_first_use_become_statuses_once(api: Api, case_id: str) -> None:
    events = [event(case_id), event(case_id, "used", "e-2"), event(case_id, "used", "e-3")]
    assert await send(api, *events) == {"taken": 3, "errors": []}
    assert await statuses(api, case_id) == ["voucher_activated", "service_received"]
    assert await api.fetch("SELECT event_id FROM wallet_events ORDER BY 1") == [("e-1",), ("e-2",), ("e-3",)]


async def test_a_repeated_wallet_event_is_accepted_and_changes_nothing(api: Api, case_id: str) -> None:
    await send(api, event(case_id))
    assert await send(api, event(case_id), event(case_id, "used")) == {"taken": 2, "errors": []}
    assert await statuses(api, case_id) == ["voucher_activated"]


async def test_a_wallet_event_sent_several_times_at_once_counts_once(api: Api, case_id: str) -> None:
    responses = await asyncio.gather(*(send(api, event(case_id)) for _ in range(8)))
    assert responses == [{"taken": 1, "errors": []}] * 8
    assert await statuses(api, case_id) == ["voucher_activated"]
    assert await api.fetch("SELECT event_id FROM wallet_events") == [("e-1",)]


async def test_a_wallet_event_id_sent_for_two_cases_at_once_counts_for_one(
    api: Api, components: Components, case_id: str
) -> None:
    await api.push([good(2)], "list-2")
    ((other,),) = await api.fetch("SELECT case_id FROM cases WHERE list_id = 'list-2'")
    await issue(components, other, "77011234568")
    responses = await asyncio.gather(*(send(api, event(one)) for one in (case_id, other) * 4))
    assert responses == [{"taken": 1, "errors": []}] * 8
    assert [*await statuses(api, case_id), *await statuses(api, other)] == ["voucher_activated"]


async def test_a_wallet_event_of_an_unknown_case_is_rejected_and_the_others_are_accepted(
    api: Api, case_id: str
) -> None:
    response = await send(api, event(UNKNOWN, event_id="e-0"), event(case_id))
    assert response["taken"] == 1
    assert [(e["pointer"], e["code"]) for e in response["errors"]] == [("/events/0/case_id", "unknown")]
    assert await statuses(api, case_id) == ["voucher_activated"]


async def test_a_wallet_event_of_a_case_without_a_voucher_is_rejected_and_not_stored(api: Api) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    for _ in range(2):
        response = await send(api, event(case_id))
        assert (response["taken"], response["errors"][0]["code"]) == (0, "no_voucher")
    assert await api.fetch("SELECT FROM wallet_events") == []


FAULTS = [
    (7, "", "type"),
    ({"event_id": None}, "/event_id", "required"),
    ({"event_id": 1}, "/event_id", "type"),
    ({"event_id": "x" * 65}, "/event_id", "length"),
    ({"event_id": "e\x00"}, "/event_id", "format"),
    ({"case_id": None}, "/case_id", "required"),
    ({"case_id": "\x00"}, "/case_id", "format"),
    ({"type": "lost"}, "/type", "range"),
    ({"at": "2026-11-23"}, "/at", "format"),
    ({"at": "2026-11-23T09:30:00"}, "/at", "format"),
    ({"at": "2026-02-30T09:30:00Z"}, "/at", "format"),
    ({"at": "0001-01-01T00:00:00+05:00"}, "/at", "format"),
    ({"at": "٢٠٢٦-11-23T09:30:00Z"}, "/at", "format"),
    ({"meal": "soup"}, "", "unknown_field"),
]


@pytest.mark.parametrize(("change", "pointer", "code"), FAULTS)
async def test_an_invalid_wallet_event_is_rejected_with_its_json_pointer(
    api: Api, change: Any, pointer: str, code: str
) -> None:
    faulty = {**event(UNKNOWN), **change} if isinstance(change, dict) else change
    response = await send(api, faulty)
    assert response["taken"] == 0
    assert [(e["pointer"], e["code"]) for e in response["errors"]] == [(f"/events/0{pointer}", code)]
    assert await api.rows() == {}


@pytest.mark.parametrize(
    "at", ["2026-11-23T04:30:00Z", "2026-11-23t04:30:00.123456789z", "2026-11-23 09:30:00.5+05:00"]
)
async def test_instants_are_accepted_in_every_form_of_rfc_3339(api: Api, case_id: str, at: str) -> None:
    assert (await send(api, event(case_id, at=at)))["taken"] == 1
