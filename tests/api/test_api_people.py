"""People with names: what they search for, see and do, and the rows that this leaves."""

from pathlib import Path
from typing import Any

import pytest

from gateway.components import Components
from gateway.config import Config, load
from gateway.consent.inputs import Park, UseNumber
from gateway.evidence import verification
from gateway.store import erasure, people
from tests.api.apiclient import Api
from tests.api.conftest import CONFIG
from tests.record_factories import FATHER, MOTHER, PUPILS, good, person

NUMBER = "77011234567"
USERS = """
[http.users.aigerim]
role = "support"
token = "aigerims-token-of-tests"
[http.users.bolat]
role = "auditor"
token = ["bolats-token-of-tests", "bolats-token-before"]
[http.users.olga]
role = "ops"
token = "olgas-token-of-tests"
"""
AIGERIM, BOLAT, OLGA = "aigerims-token-of-tests", "bolats-token-of-tests", "olgas-token-of-tests"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + USERS, encoding="utf-8")
    return load(path)


async def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The access log, without instants."""
    response = await api.get(f"/v1/access-log{query}", BOLAT)
    assert response.status == 200
    return [{name: value for name, value in entry.items() if name != "at"} for entry in response.json["entries"]]


async def search(api: Api, body: object, token: str = AIGERIM) -> list[str]:
    """The record_ids that are found."""
    response = await api.post("/v1/cases/search", body, token)
    assert response.status == 200, response.json
    return [case["record_id"] for case in response.json["cases"]]


# Search


@pytest.mark.parametrize("indexed", [0, 1, 2, 3])
async def test_a_case_is_found_by_the_iin_of_anybody_in_its_record(api: Api, indexed: int) -> None:
    """Of the records so many are in the index already."""
    representatives = [person(MOTHER), person(FATHER)]
    await api.push([good(1, father=person(FATHER)), good(2, mother=None, representatives=representatives)])
    await api.push([good(3)], list_id="list-2")
    async with api.database.acquire() as connection:
        for _ in range(indexed):
            async with connection.transaction():
                assert await people.index(connection, 1)
    assert set(await search(api, {"iin": MOTHER})) == {"r-1", "r-2", "r-3"}
    assert set(await search(api, {"iin": FATHER})) == {"r-1", "r-2"}
    assert await search(api, {"iin": PUPILS[1]}) == ["r-2"]
    assert await search(api, {"iin": PUPILS[3]}) == []
    assert set(await search(api, {"iin": MOTHER, "service": "3"})) == {"r-1", "r-2", "r-3"}
    assert await search(api, {"iin": MOTHER, "service": "4"}) == []


async def test_a_search_by_iin_says_while_the_index_is_being_filled(api: Api, components: Components) -> None:
    await api.push([good(1)])
    of_a_person, of_a_number = {"iin": MOTHER}, {"msisdn": NUMBER}
    for body, told in ((of_a_person, True), (of_a_number, None), ({"iin": PUPILS[3]}, True)):
        assert (await api.post("/v1/cases/search", body, AIGERIM)).json.get("indexing") == told
    await components.housekeeping.index_people()
    response = (await api.post("/v1/cases/search", of_a_person, AIGERIM)).json
    assert ([case["record_id"] for case in response["cases"]], "indexing" in response) == (["r-1"], False)


async def test_a_search_by_an_iin_that_nobody_can_have_says_that_it_was_mistyped(
    api: Api, components: Components
) -> None:
    await api.push([good(1)])
    await components.housekeeping.index_people()
    for iin in ("870312497006", "000000000000"):
        response = await api.post("/v1/cases/search", {"iin": iin}, AIGERIM)
        assert (response.status, response.json) == (200, {"cases": [], "mistyped": True})
    assert "mistyped" not in (await api.post("/v1/cases/search", {"iin": PUPILS[3]}, AIGERIM)).json


async def test_a_found_case_shows_whom_it_asks_and_nobodys_iin(api: Api, components: Components) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    (case,) = (await api.post("/v1/cases/search", {"iin": MOTHER}, OLGA)).json["cases"]
    assert (case["case_id"], case["state"], case["relation"], case["msisdn"]) == (
        case_id,
        "looking_up",
        None,
        None,
    )
    await components.transactions.apply([(case_id, UseNumber(msisdn=NUMBER, operator="kcell"))])
    (case,) = (await api.post("/v1/cases/search", {"iin": PUPILS[0]}, BOLAT)).json["cases"]
    assert case | {"opened_at": ""} == {
        "case_id": case_id, "list_id": "list-1", "record_id": "r-1", "service": "3", "state": "queued",
        "opened_at": "", "relation": "mother", "msisdn": "+7701•••••67",
    }  # fmt: skip


async def test_the_cases_of_siblings_are_found_by_the_number_that_is_asked(
    api: Api, components: Components
) -> None:
    await api.push([good(1), good(2), good(3)])
    found = UseNumber(msisdn=NUMBER, operator="kcell")
    for record_id in ("r-1", "r-2", "r-3"):
        await components.transactions.apply([(await api.case_id(record_id), found)])
    for written in (NUMBER, "+7 (701) 123-45-67", "87011234567"):
        assert set(await search(api, {"msisdn": written})) == {"r-1", "r-2", "r-3"}
    assert await search(api, {"msisdn": "77021234567"}) == []


async def test_the_number_of_an_earlier_recipient_finds_the_case_by_its_question(api: Api) -> None:
    await api.push([good(1)])
    await api.execute(
        "INSERT INTO questions (service, msisdn, case_id) SELECT '3', $1, case_id FROM cases", NUMBER
    )
    assert await search(api, {"msisdn": NUMBER}) == ["r-1"]


async def test_the_index_of_people_is_complete_after_its_job(api: Api, components: Components) -> None:
    await api.push([good(1, father=person(FATHER)), good(2)])
    await api.push([good(3, representatives=[person(FATHER)])], list_id="list-2")
    for _ in range(2):
        await components.housekeeping.index_people()
    assert await api.fetch("SELECT count(*) FROM case_people_due") == [(0,)]
    assert await api.fetch("SELECT iin, count(*) FROM case_people GROUP BY iin ORDER BY iin") == [
        (int(FATHER), 2), (int(MOTHER), 3),
    ]  # fmt: skip


async def test_the_index_of_people_skips_a_list_whose_cases_are_being_erased(
    api: Api, components: Components
) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await api.post(f"/v1/cases/{case_id}/cancel", {"reason": "moved"}, OLGA)
    async with api.database.acquire() as connection, connection.transaction():
        now = components.clock.now()
        assert await erasure.erase_ended(connection, now, now, lambda octets: "hash", 10) == [case_id]
        await components.housekeeping.index_people()
        assert await api.fetch("SELECT count(*) FROM case_people_due") == [(1,)]
    await components.housekeeping.index_people()
    left = "SELECT (SELECT count(*) FROM case_people_due), (SELECT count(*) FROM case_people)"
    assert await api.fetch(left) == [(0, 0)]


@pytest.mark.parametrize("indexed", [False, True])
async def test_an_erased_case_is_found_by_nothing(api: Api, components: Components, indexed: bool) -> None:
    await api.push([good(1, father=person(FATHER)), good(2)])
    if indexed:
        await components.housekeeping.index_people()
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, UseNumber(msisdn=NUMBER, operator="kcell"))])
    await api.post(f"/v1/cases/{case_id}/cancel", {"reason": "moved"}, OLGA)
    async with api.database.acquire() as connection, connection.transaction():
        now = components.clock.now()
        assert await erasure.erase_ended(connection, now, now, lambda octets: f"hash-{len(octets)}", 10) == [
            case_id
        ]
    for body in ({"iin": PUPILS[0]}, {"iin": FATHER}, {"msisdn": NUMBER}):
        assert await search(api, body) == []
    assert await search(api, {"iin": MOTHER}) == ["r-2"]
    assert await api.fetch("SELECT count(*) FROM case_people WHERE case_id = $1", case_id) == [(0,)]


async def test_a_search_with_more_cases_than_a_response_holds_is_marked_as_truncated(api: Api) -> None:
    await api.push([good(1)])
    await api.execute(
        """WITH copied AS (
               INSERT INTO cases (case_id, list_id, record_id, service, category, language, pupil_iin, opened_at,
                                  state)
               SELECT overlay(case_id PLACING lpad(n::text, 3, '0') FROM 24), list_id, n::text, service, category,
                      language, 'p' || n, opened_at + n * interval '1 second', state
               FROM cases, generate_series(1, 100) AS n RETURNING case_id)
           INSERT INTO records SELECT copied.case_id, record FROM copied, records"""
    )
    response = await api.post("/v1/cases/search", {"iin": MOTHER}, AIGERIM)
    assert response.json["truncated"] is True
    assert [case["record_id"] for case in response.json["cases"]] == [str(n) for n in range(100, 0, -1)]


INVALID = {
    "nothing": ({}, "", "required"),
    "both": ({"iin": MOTHER, "msisdn": NUMBER}, "/msisdn", "unknown_field"),
    "an IIN of eleven digits": ({"iin": "87031249700"}, "/iin", "iin_length"),
    "an IIN of other digits": ({"iin": "٨٧٠٣١٢٤٩٧٠٠٥"}, "/iin", "iin_digits"),
    "an IIN that is a number": ({"iin": 870312497005}, "/iin", "type"),
    "an IIN that is null": ({"iin": None}, "/iin", "type"),
    "a number of another country": ({"msisdn": "+79161234567"}, "/msisdn", "format"),
    "an endless number": ({"msisdn": "7" * 5000}, "/msisdn", "format"),
    "a service that is none": ({"iin": MOTHER, "service": 3}, "/service", "type"),
    "an unknown field": ({"iin": MOTHER, "name": "Ахметов"}, "/name", "unknown_field"),
}


async def test_an_invalid_search_is_422_and_not_in_the_access_log(api: Api) -> None:
    for name, (body, pointer, code) in INVALID.items():
        response = await api.post("/v1/cases/search", body, AIGERIM)
        assert response.status == 422, name
        assert [(error["pointer"], error["code"]) for error in response.json["errors"]] == [(pointer, code)], name
    assert await entries(api) == []


# The access log


async def test_what_people_see_and_do_is_in_the_access_log_with_their_names(
    api: Api, components: Components
) -> None:
    await api.push([good(1), good(2)])
    first, second = await api.case_id("r-1"), await api.case_id("r-2")  # by SDU, which is no person
    await search(api, {"iin": PUPILS[0]})
    await api.get(f"/v1/cases/{first}", AIGERIM)
    await api.get("/v1/cases?list_id=list-1", OLGA)
    await api.get("/v1/cases?list_id=list-1&record_id=r-2", OLGA)
    await api.post(f"/v1/cases/{second}/cancel", {"reason": "moved"}, OLGA)
    await api.get(f"/v1/cases/{second}", "ops-token-of-tests")
    await api.get(f"/v1/cases/{second}/messages", OLGA)
    await api.get(f"/v1/cases/{first}/evidence", "bolats-token-before")
    log = await entries(api)
    assert [entry.pop("seq") for entry in log] == list(range(1, 9))
    digests = [entry.pop("digest", None) for entry in log]
    assert log == [
        {"actor": "aigerim", "role": "support", "action": "search", "case_ids": [first]},
        {"actor": "aigerim", "role": "support", "action": "view", "case_id": first},
        {"actor": "olga", "role": "ops", "action": "list", "list_id": "list-1"},
        {"actor": "olga", "role": "ops", "action": "search", "list_id": "list-1", "case_ids": [second]},
        {"actor": "olga", "role": "ops", "action": "cancel", "case_id": second},
        {"actor": "ops", "role": "ops", "action": "view", "case_id": second},
        {"actor": "olga", "role": "ops", "action": "messages", "case_id": second},
        {"actor": "bolat", "role": "auditor", "action": "evidence", "case_id": first},
    ]
    assert [digest is not None for digest in digests] == [True, False, False, True, False, False, False, False]
    stored = await api.fetch("SELECT access_log::text FROM access_log")
    assert PUPILS[0] not in str(stored)


async def test_the_access_log_has_equal_digests_for_one_person_and_different_ones_for_two(api: Api) -> None:
    for body in (
        {"iin": MOTHER},
        {"iin": MOTHER},
        {"iin": FATHER},
        {"msisdn": NUMBER},
        {"msisdn": "8 701 1234567"},
    ):
        await search(api, body)
    mother, again, father, number, other_spelling = (entry["digest"] for entry in await entries(api))
    assert mother == again != father
    assert number == other_spelling


async def test_a_reader_of_the_access_log_pages_through_it(api: Api) -> None:
    for _ in range(5):
        await search(api, {"iin": MOTHER})
    seen, after = [], 0
    while page := (await api.get(f"/v1/access-log?after={after}&limit=2", BOLAT)).json:
        if not page["entries"]:
            break
        seen += [entry["seq"] for entry in page["entries"]]
        after = page["next"]
    assert (seen, after) == ([1, 2, 3, 4, 5], 5)


async def test_a_page_that_a_console_polls_is_one_row_of_the_access_log(api: Api) -> None:
    for _ in range(3):
        for state in ("parked", "held"):
            await api.get(f"/v1/cases?state={state}", OLGA)
    await api.get("/v1/cases?state=parked", "ops-token-of-tests")
    assert [entry["actor"] for entry in await entries(api)] == ["olga", "olga", "ops"]


async def test_no_case_is_shown_or_changed_without_its_row_in_the_access_log(
    api: Api, components: Components
) -> None:
    await api.push([good(1)])
    case_id = await api.case_id()
    await components.transactions.apply([(case_id, Park(reason="mcb"))])
    await api.execute("ALTER TABLE access_log RENAME TO access_log_away")
    seen = [await api.post("/v1/cases/search", {"iin": MOTHER}, AIGERIM)]
    seen += [await api.get(f"/v1/cases/{case_id}", AIGERIM), await api.get(f"/v1/cases/{case_id}/evidence", BOLAT)]
    seen += [await api.get("/v1/cases?state=parked", OLGA)]
    seen += [await api.get("/v1/cases?list_id=list-1&record_id=r-1", OLGA)]
    seen += [await api.post(f"/v1/cases/{case_id}/{act}", {"reason": "x"}, OLGA) for act in ("release", "cancel")]
    assert [(one.status, "access log" in one.json["detail"]) for one in seen] == [(503, True)] * len(seen)
    assert (await api.get(f"/v1/cases/{case_id}")).json["state"] == "parked"  # SDU is no person


async def test_rows_of_the_access_log_are_deleted_after_keep_days(
    api: Api, components: Components, config: Config
) -> None:
    await search(api, {"iin": MOTHER})
    await search(api, {"iin": FATHER})
    await api.execute(
        "UPDATE access_log SET at = at - $1 * interval '1 day' WHERE seq = 1", config.privacy.keep_days
    )
    await components.access_log.expire()
    assert [entry["seq"] for entry in await entries(api)] == [2]


# Acts


async def test_every_act_on_a_case_carries_its_actor_in_the_journal(api: Api, components: Components) -> None:
    await api.push([good(1), good(2), good(3)])
    first, second, third = [await api.case_id(f"r-{number}") for number in (1, 2, 3)]
    await components.transactions.apply([(case_id, Park(reason="mcb")) for case_id in (first, second)])
    await api.post(f"/v1/cases/{first}/release", token=OLGA)
    await api.post("/v1/cases/release", {"case_ids": [second]}, "ops-token-of-tests")
    await api.post(f"/v1/cases/{third}/cancel", {"reason": "moved"}, OLGA)
    await api.execute(
        "UPDATE cases SET state = 'refused', ended_at = now(), msisdn = $2 WHERE case_id = $1", first, NUMBER
    )
    assert (await api.post(f"/v1/cases/{first}/resend", token=AIGERIM)).status == 200
    acts = {}
    for case_id in (first, second, third):
        for entry in (await api.get(f"/v1/cases/{case_id}")).json["journal"]:
            if "by" in entry["detail"]:
                acts[entry["event"], case_id] = entry["detail"]
    assert acts == {
        ("released", first): {"by": "olga"},
        ("resent", first): {"text": "refused", "by": "aigerim"},
        ("released", second): {"by": "ops"},
        ("cancelled", third): {"reason": "moved", "by": "olga"},
    }


async def test_no_status_for_sdu_names_who_of_ops_has_cancelled(api: Api) -> None:
    await api.push([good(1)])
    await api.post(f"/v1/cases/{await api.case_id()}/cancel", {"reason": "moved"}, OLGA)
    await api.get(f"/v1/cases/{await api.case_id()}")  # seals
    events = (await api.get("/v1/statuses")).json["events"]
    assert [(event["status"], event["detail"]) for event in events] == [
        ("received", {}), ("cancelled", {"reason": "moved"}),
    ]  # fmt: skip


# Evidence


async def test_the_evidence_of_a_case_verifies_offline(api: Api) -> None:
    await api.push([good(1), good(2)])
    case_id = await api.case_id()
    await api.post(f"/v1/cases/{case_id}/cancel", {"reason": "moved"}, OLGA)
    response = await api.get(f"/v1/cases/{case_id}/evidence", BOLAT)
    assert response.status == 200
    assert verification.check(response.json) == []
    assert [entry["event"] for entry in response.json["journal"]] == ["received", "cancelled"]
    refused = [await api.get(f"/v1/cases/{case_id}/evidence?at={at}", BOLAT) for at in ("1", "9999", "0", "x")]
    assert [one.status for one in refused] == [409, 409, 400, 400]
    assert (await api.get("/v1/cases/01KAN00000000000000000000A/evidence", BOLAT)).status == 404
