"""What is told of a case, and what people may do about it."""

from urllib.parse import quote

import pytest
from apiclient import Api
from people import good

from gateway.consent.inputs import Park, UseNumber
from gateway.journeys import Journeys

WORDS = {"reason": "the family has moved"}


async def test_a_new_case_waits_for_its_look_up_and_shows_how_it_came(api: Api) -> None:
    await api.push([good(1)])
    case = (await api.get(f"/v1/cases/{await api.case_id()}")).json
    assert (case["list_id"], case["record_id"], case["service"]) == ("list-1", "r-1", "3")
    assert (case["state"], case["ended_at"], case["recipient"]) == ("looking_up", None, None)
    assert [(e["seq"], e["event"], e["detail"]) for e in case["journal"]] == [(1, "received", {})]
    assert case["journal"][0]["at"] == case["opened_at"]
    assert case["opened_at"].endswith("+05:00")


async def test_a_number_is_shown_masked(api: Api, journeys: Journeys) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await journeys.take([(case_id, UseNumber(msisdn="77011234567", operator="kcell"))])
    case = (await api.get(f"/v1/cases/{case_id}", "ops-token")).json
    assert case["recipient"] == {"relation": "mother", "msisdn": "+7701•••••67"}
    assert case["state"] == "queued"
    assert [entry["event"] for entry in case["journal"]] == ["received", "number_found", "text_queued"]


async def test_waiting_for_a_siblings_turn_shows_as_queued(api: Api, journeys: Journeys) -> None:
    await api.push([good(1), good(2)])
    for record_id in ("r-1", "r-2"):
        await journeys.take([(await api.case_id(record_id), UseNumber(msisdn="77011234567"))])
    assert await api.fetch("SELECT state FROM cases ORDER BY record_id") == [("queued",), ("waiting",)]
    assert (await api.get(f"/v1/cases/{await api.case_id('r-2')}")).json["state"] == "queued"
    progress = (await api.get("/v1/lists/list-1")).json["progress"]
    assert (progress["queued"], sum(progress.values())) == (2, 2)


async def test_an_erased_case_shows_nobody(api: Api, journeys: Journeys) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await journeys.take([(case_id, UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE cases SET record = NULL, msisdn = 'hmac-sha256:00', erased_at = now()")
    assert (await api.get(f"/v1/cases/{case_id}")).json["recipient"] is None


async def test_a_record_is_found_by_its_ids_without_a_journal(api: Api) -> None:
    odd = "№ 7/а & ?"
    await api.push([good(1, record_id=odd), good(2, category=0)])
    found = (await api.get("/v1/cases?list_id=list-1&record_id=№%207/а%20%26%20%3F")).json["cases"]
    assert [(case["record_id"], "journal" in case) for case in found] == [(odd, False)]
    assert (await api.get("/v1/cases?list_id=list-1&record_id=r-2")).json == {"cases": []}


async def test_every_record_id_that_a_list_may_have_finds_its_case(api: Api) -> None:
    odd = ["a\u00a0b", "\u200bx", "e\u0301"]  # no-break space, zero-width space, combining mark
    await api.push([good(number, record_id=record_id) for number, record_id in enumerate(odd, start=1)])
    for record_id in odd:
        assert await api.case_id(quote(record_id))


async def test_cancelling_ends_a_case_and_says_why(api: Api) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    cancelled = await api.post(f"/v1/cases/{case_id}/cancel", WORDS, "sdu-token")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert cancelled.json["ended_at"] is not None
    assert cancelled.json["journal"][-1]["event"] == "cancelled"
    assert cancelled.json["journal"][-1]["detail"] == WORDS
    assert await api.fetch("SELECT FROM calls") == []
    again = await api.post(f"/v1/cases/{case_id}/cancel", WORDS)
    assert again.status == 409


async def test_releasing_lets_a_parked_case_go_on_and_no_other(api: Api, journeys: Journeys) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    assert (await api.post(f"/v1/cases/{case_id}/release")).status == 409
    await journeys.take([(case_id, Park(reason="mcb"))])
    assert (await api.get(f"/v1/cases/{case_id}")).json["state"] == "parked"
    released = await api.post(f"/v1/cases/{case_id}/release")
    assert (released.status, released.json["state"]) == (200, "looking_up")


@pytest.mark.parametrize("state", ["looking_up", "no_number"])
async def test_there_is_nothing_to_send_again_before_a_text_was_sent(api: Api, state: str) -> None:
    await api.push([good(1)])
    await api.execute("UPDATE cases SET state = $1", state)
    assert (await api.post(f"/v1/cases/{await api.case_id()}/resend")).status == 409


async def test_the_current_text_is_sent_again(api: Api, journeys: Journeys) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await journeys.take([(case_id, UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE cases SET state = 'asked', due_at = now() + interval '1 day'")
    resent = await api.post(f"/v1/cases/{case_id}/resend")
    assert (resent.status, [entry["event"] for entry in resent.json["journal"][-2:]]) == (
        200,
        ["resent", "text_queued"],
    )
    assert await api.fetch("SELECT kind FROM sms") == [("request",), ("request",)]
