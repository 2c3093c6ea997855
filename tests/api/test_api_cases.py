"""Cases: how they are shown and found, and the manual actions on them."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from gateway.components import Components
from gateway.consent.inputs import HoldReply, ParentReply, Park, UseNumber
from gateway.consent.reply import Verdict
from gateway.store import inbound, journal
from gateway.store.inbound import StoredReply
from gateway.store.writes import execute
from tests.api.apiclient import Api
from tests.record_factories import MOTHER, good

AT = datetime(2026, 11, 22, 5, tzinfo=UTC)
WORDS = {"reason": "the family has moved"}


async def test_a_new_case_is_looking_up_and_shows_its_journal(api: Api) -> None:
    await api.push([good(1)])
    case = (await api.get(f"/v1/cases/{await api.case_id()}")).json
    assert (case["list_id"], case["record_id"], case["service"]) == ("list-1", "r-1", "3")
    assert (case["state"], case["ended_at"], case["recipient"]) == ("looking_up", None, None)
    assert [(e["seq"], e["event"], e["detail"]) for e in case["journal"]] == [(1, "received", {})]
    assert case["journal"][0]["at"] == case["opened_at"]
    assert case["opened_at"].endswith("+05:00")


async def test_the_msisdn_of_a_case_is_shown_masked(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn="77011234567", operator="kcell"))])
    case = (await api.get(f"/v1/cases/{case_id}", "ops-token-of-tests")).json
    assert case["recipient"] == {"relation": "mother", "msisdn": "+7701•••••67"}
    assert case["state"] == "queued"
    assert [entry["event"] for entry in case["journal"]] == ["received", "number_found", "text_queued"]


async def test_a_case_that_waits_for_its_number_is_shown_as_queued(api: Api, components: Components) -> None:
    await api.push([good(1), good(2)])
    for record_id in ("r-1", "r-2"):
        await components.transactions.apply([(await api.case_id(record_id), UseNumber(msisdn="77011234567"))])
    assert await api.fetch("SELECT state FROM cases ORDER BY record_id") == [("queued",), ("waiting",)]
    assert (await api.get(f"/v1/cases/{await api.case_id('r-2')}")).json["state"] == "queued"
    progress = (await api.get("/v1/lists/list-1")).json["progress"]
    assert (progress["queued"], sum(progress.values())) == (2, 2)


async def test_an_erased_case_shows_no_recipient(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn="77011234567"))])
    await api.execute("DELETE FROM records; UPDATE cases SET msisdn = 'hmac-sha256:00', erased_at = now()")
    assert (await api.get(f"/v1/cases/{case_id}")).json["recipient"] is None


async def test_a_case_is_found_by_list_id_and_record_id_without_its_journal(api: Api) -> None:
    record_id = "№ 7/а & ?"
    await api.push([good(1, record_id=record_id), good(2, category=0)])
    found = (await api.get("/v1/cases?list_id=list-1&record_id=№%207/а%20%26%20%3F")).json["cases"]
    assert [(case["record_id"], "journal" in case) for case in found] == [(record_id, False)]
    assert (await api.get("/v1/cases?list_id=list-1&record_id=r-2")).json == {"cases": []}


async def test_a_case_is_found_by_every_record_id_that_a_list_accepts(api: Api) -> None:
    record_ids = ["a\u00a0b", "\u200bx", "e\u0301"]  # no-break space, zero-width space, combining mark
    await api.push([good(number, record_id=record_id) for number, record_id in enumerate(record_ids, start=1)])
    for record_id in record_ids:
        assert await api.case_id(quote(record_id))


async def test_iins_and_msisdns_in_a_reason_are_stored_masked(api: Api) -> None:
    await api.push([good(1)])
    given = {"reason": f"мать {MOTHER} сменила номер 87011234567"}
    cancelled = await api.post(f"/v1/cases/{await api.case_id()}/cancel", given)
    kept = {"reason": "мать 8703••••••05 сменила номер +7701•••••67", "by": "ops"}
    assert cancelled.json["journal"][-1]["detail"] == kept


async def test_cancelling_ends_a_case_and_journals_the_reason(api: Api) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    cancelled = await api.post(f"/v1/cases/{case_id}/cancel", WORDS, "sdu-token-of-tests")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert cancelled.json["ended_at"] is not None
    assert cancelled.json["journal"][-1]["event"] == "cancelled"
    assert cancelled.json["journal"][-1]["detail"] == {**WORDS, "by": "sdu"}
    assert await api.fetch("SELECT FROM calls") == []
    again = await api.post(f"/v1/cases/{case_id}/cancel", WORDS)
    assert again.status == 409


async def test_only_a_parked_case_can_be_released(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    assert (await api.post(f"/v1/cases/{case_id}/release")).status == 409
    await components.transactions.apply([(case_id, Park(reason="mcb"))])
    assert (await api.get(f"/v1/cases/{case_id}")).json["state"] == "parked"
    released = await api.post(f"/v1/cases/{case_id}/release")
    assert (released.status, released.json["state"]) == (200, "looking_up")


@pytest.mark.parametrize("state", ["looking_up", "no_number"])
async def test_a_case_without_a_sent_text_cannot_be_resent(api: Api, state: str) -> None:
    await api.push([good(1)])
    await api.execute("UPDATE cases SET state = $1", state)
    assert (await api.post(f"/v1/cases/{await api.case_id()}/resend")).status == 409


async def test_a_resend_queues_the_current_text_again(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn="77011234567"))])
    await api.execute("UPDATE cases SET state = 'asked', due_at = now() + interval '1 day'")
    resent = await api.post(f"/v1/cases/{case_id}/resend")
    assert (resent.status, [entry["event"] for entry in resent.json["journal"][-2:]]) == (
        200,
        ["resent", "text_queued"],
    )
    assert await api.fetch("SELECT kind FROM sms") == [("request",), ("request",)]


# many at once


async def park(api: Api, components: Components, reason: str, *records: str, list_id: str = "list-1") -> list[str]:
    """Parks cases and seals their entries; the case_ids."""
    case_ids = [await api.case_id(record_id, list_id) for record_id in records]
    await components.transactions.apply([(case_id, Park(reason=reason)) for case_id in case_ids])
    async with components.database.acquire() as connection:
        await journal.seal(connection)
    return case_ids


async def pages(api: Api, query: str) -> list[list[str]]:
    """The record_ids of every page, to the last."""
    found = []
    after = ""
    while True:
        page = (await api.get(f"/v1/cases?{query}{after}", "ops-token-of-tests")).json
        found.append([case["record_id"] for case in page["cases"]])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


async def test_parked_cases_are_listed_with_their_latest_reason(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    await park(api, components, "mcb: 403", "r-1", "r-3")
    (first, third) = (await api.get("/v1/cases?list_id=list-1&state=parked")).json["cases"]
    assert (first["record_id"], first["parked"]["reason"]) == ("r-1", "mcb: 403")
    assert first["parked"]["at"].endswith("+05:00")
    await api.post(f"/v1/cases/{third['case_id']}/release")
    await park(api, components, "mcb: no JSON", "r-3")
    (_, third) = (await api.get("/v1/cases?list_id=list-1&state=parked")).json["cases"]
    assert third["parked"]["reason"] == "mcb: no JSON"


async def test_a_case_is_listed_as_parked_before_its_reason_is_sealed(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await components.transactions.apply([(await api.case_id(), Park(reason="mcb: 403"))])
    (case,) = (await api.get("/v1/cases?state=parked")).json["cases"]
    assert (case["state"], "parked" in case) == ("parked", False)


async def test_parked_cases_of_all_lists_are_paged_in_order_of_their_lists(
    api: Api, components: Components
) -> None:
    for list_id, first, second in (("list-2", 1, 2), ("list-1", 3, 4)):
        await api.push([good(first), good(second)], list_id)
        await park(api, components, "mcb: 403", f"r-{first}", f"r-{second}", list_id=list_id)
    assert await pages(api, "state=parked") == [["r-3", "r-4", "r-1", "r-2"]]
    assert await pages(api, "state=parked&limit=3") == [["r-3", "r-4", "r-1"], ["r-2"]]
    assert await pages(api, "state=parked&limit=3&list_id=list-2") == [["r-1", "r-2"]]


async def test_the_cases_of_a_list_are_paged_in_order_of_their_records(api: Api) -> None:
    await api.push([good(n) for n in range(1, 5)])
    await api.execute("UPDATE cases SET state = 'asked' WHERE record_id IN ('r-2', 'r-4')")
    await api.execute("UPDATE cases SET state = 'waiting' WHERE record_id = 'r-3'")
    assert await pages(api, "list_id=list-1&limit=3") == [["r-1", "r-2", "r-3"], ["r-4"]]
    assert await pages(api, "list_id=list-1&state=asked") == [["r-2", "r-4"]]
    assert await pages(api, "list_id=list-1&state=queued") == [["r-3"]]
    assert await pages(api, "list_id=list-1&state=refused") == [[]]
    assert await pages(api, "list_id=no-such-list") == [[]]


@pytest.mark.http_policy(max_scanned_cases=2)
async def test_a_page_reads_a_limited_number_of_cases(api: Api) -> None:
    await api.push([good(n) for n in range(1, 4)])
    await api.execute("UPDATE cases SET state = 'asked' WHERE record_id = 'r-3'")
    assert await pages(api, "list_id=list-1&state=asked") == [[], ["r-3"]]
    assert await pages(api, "list_id=list-1") == [["r-1", "r-2", "r-3"]]  # of any state: nothing is passed over


async def test_a_case_is_found_by_its_ids_only_in_the_given_state(api: Api) -> None:
    await api.push([good(1)])
    for state, found in (("looking_up", 1), ("parked", 0)):
        response = await api.get(f"/v1/cases?list_id=list-1&record_id=r-1&state={state}")
        assert len(response.json["cases"]) == found


@pytest.mark.parametrize(
    "query",
    [
        "list_id=",
        "state=waiting&list_id=list-1",
        "state=parked&limit=1001",
        "list_id=list-1&after=r-1",
        "list_id=list-1&record_id=r%0A1",
        "list_id=list-1&record_id=r-1&after=r-1",
        "list_id=%E0%B8%81",
        "list_id=list%201&state=parked",
    ],
)
async def test_a_case_query_that_is_incomplete_or_unknown_is_400(api: Api, query: str) -> None:
    await api.push([good(1)])
    assert (await api.get(f"/v1/cases?{query}")).status == 400


@pytest.mark.parametrize("query", ["", "state=asked", "record_id=r-1", "state=parked&record_id=r-1"])
async def test_a_case_query_that_names_no_list_is_400(api: Api, query: str) -> None:
    await api.push([good(1)])
    assert (await api.get(f"/v1/cases?{query}")).status == 400


async def test_a_cursor_that_is_no_case_of_the_list_is_404(api: Api) -> None:
    await api.push([good(1)])
    await api.push([good(2)], "list-2")
    other_list = await api.case_id("r-2", "list-2")
    for unknown in (other_list, "01KAN00000000000000000000A", "Z" * 26):
        assert (await api.get(f"/v1/cases?list_id=list-1&after={unknown}")).status == 404
    assert (await api.get(f"/v1/cases?state=parked&after={'Z' * 26}", "ops-token-of-tests")).status == 404


async def hold(
    api: Api, components: Components, verdict: Verdict, *record_ids: str, list_id: str = "list-1"
) -> None:
    """Lets a reply to each of these cases come by a link that may not carry the number."""
    for record_id in record_ids:
        case_id = await api.case_id(record_id, list_id)
        number = f"77011234{record_id.removeprefix('r-'):0>3}"
        await components.transactions.apply([(case_id, UseNumber(msisdn=number, operator="kcell"))])
        await api.execute("UPDATE cases SET state = 'asked' WHERE case_id = $1", case_id)
        reply = ParentReply(
            msisdn=number,
            verdict=verdict,
            normalised=False,
            reply_at=AT,
            submitted=True,
            evidence="",
            link="tele2",
        )
        held = HoldReply(reply=reply, operator="kcell", digest="")
        await components.transactions.apply([(case_id, held)])
        row = StoredReply(case_id, "tele2", number, "1414", b"3#1", 0, "", verdict, False, "1", held=True)
        async with components.database.acquire() as connection:
            await execute(connection, [inbound.keeping([row], AT)])


async def test_a_case_with_a_held_reply_shows_it_and_keeps_its_state(api: Api, components: Components) -> None:
    await api.push([good(1), good(2)])
    await hold(api, components, Verdict.AGREE, "r-1")
    case = (await api.get(f"/v1/cases/{await api.case_id()}")).json
    held = {"at": "2026-11-22T10:00:00.000+05:00", "link": "tele2", "operator": "kcell", "verdict": "agree"}
    assert (case["state"], case["held"]) == ("asked", held)
    (listed,) = (await api.get("/v1/cases?list_id=list-1&state=asked")).json["cases"]
    assert listed["held"] == held
    assert "held" not in (await api.get(f"/v1/cases/{await api.case_id('r-2')}")).json


async def test_cases_with_a_held_reply_are_listed_of_one_list_or_of_all(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    await api.push([good(4)], "list-2")
    await hold(api, components, Verdict.AGREE, "r-1", "r-3")
    await hold(api, components, Verdict.REFUSE, "r-4", list_id="list-2")
    assert await pages(api, "state=held") == [["r-1", "r-3", "r-4"]]
    assert await pages(api, "state=held&limit=2") == [["r-1", "r-3"], ["r-4"]]
    assert await pages(api, "state=held&list_id=list-1") == [["r-1", "r-3"]]
    for record_id, found in (("r-1", 1), ("r-2", 0)):
        response = await api.get(f"/v1/cases?list_id=list-1&record_id={record_id}&state=held")
        assert len(response.json["cases"]) == found


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.AGREE, "consented"), (Verdict.REFUSE, "refused")])
async def test_accepting_a_held_reply_counts_it_and_journals_the_role(
    api: Api, components: Components, verdict: Verdict, state: str
) -> None:
    await api.push([good(1)])
    await hold(api, components, verdict, "r-1")
    case_id = await api.case_id()
    accepted = await api.post(f"/v1/cases/{case_id}/accept-reply")
    assert (accepted.status, accepted.json["state"], "held" in accepted.json) == (200, state, False)
    (detail,) = [entry["detail"] for entry in accepted.json["journal"] if entry["event"] == "reply_accepted"]
    assert (detail["by"], detail["link"]) == ("ops", "tele2")
    assert (await api.get("/v1/cases?state=held")).json["cases"] == []


@pytest.mark.parametrize(
    ("state", "detail"),
    [
        ("asked", "No reply of the case is held."),
        ("no_answer", "No reply of the case is held."),
        ("consented", "The case has its consent: a reply was counted already."),
        ("voucher_issued", "The case has its consent: a reply was counted already."),
        ("refused", "The case has its refusal: a reply was counted already."),
        ("cancelled", "The case was cancelled."),
    ],
)
async def test_a_case_without_a_held_reply_cannot_accept_one(api: Api, state: str, detail: str) -> None:
    await api.push([good(1)])
    await api.execute("UPDATE cases SET state = $1", state)
    problem = await api.post(f"/v1/cases/{await api.case_id()}/accept-reply")
    assert (problem.status, problem.json["detail"]) == (409, detail)


async def test_only_ops_accept_a_reply_and_only_of_a_case_that_exists(api: Api, components: Components) -> None:
    await api.push([good(1)])
    await hold(api, components, Verdict.AGREE, "r-1")
    assert (
        await api.post(f"/v1/cases/{await api.case_id()}/accept-reply", None, "sdu-token-of-tests")
    ).status == 403
    assert (await api.post("/v1/cases/01KAN00000000000000000000A/accept-reply")).status == 404
    assert (await api.post("/v1/cases/nothing/accept-reply")).status == 404


async def test_releasing_many_cases_skips_those_that_are_not_parked(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    parked = await park(api, components, "mcb: 403", "r-1", "r-2")
    asked = [*parked, await api.case_id("r-3"), "01KAN00000000000000000000A"]
    assert (await api.post("/v1/cases/release", {"case_ids": asked})).json == {"released": 2}
    assert (await api.get("/v1/cases?state=parked")).json == {"cases": [], "next": None}
    assert (await api.post("/v1/cases/release", {"case_ids": asked})).json == {"released": 0}


async def test_the_role_sdu_cannot_release_cases(api: Api, components: Components) -> None:
    await api.push([good(1)])
    (case_id,) = await park(api, components, "mcb: 403", "r-1")
    for path, body in ((f"/v1/cases/{case_id}/release", None), ("/v1/cases/release", {"case_ids": [case_id]})):
        assert (await api.post(path, body, "sdu-token-of-tests")).status == 403
    assert (await api.get(f"/v1/cases/{case_id}")).json["state"] == "parked"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/case_ids"),
        ({"case_ids": "all"}, "/case_ids"),
        ({"case_ids": []}, "/case_ids"),
        ({"case_ids": ["01KAN00000000000000000000A"] * 501}, "/case_ids"),
        ({"case_ids": ["01KAN00000000000000000000A", 7]}, "/case_ids/1"),
        ({"case_ids": ["01KAN00000000000000000000A"], "list_id": "l"}, "/list_id"),
    ],
)
async def test_a_release_without_valid_case_ids_is_422(api: Api, body: object, pointer: str) -> None:
    response = await api.post("/v1/cases/release", body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (422, pointer)
