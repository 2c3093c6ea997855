"""PUT and GET of lists: what is taken, what is told, and that it happens once."""

import asyncio
import gzip
import zlib

import orjson
import pytest

from tests.api.apiclient import Api, ndjson
from tests.record_factories import MOTHER, PUPILS, good, person


async def test_a_list_becomes_cases_calls_and_journal_entries(api: Api) -> None:
    pushed = await api.push([good(1), good(2), good(3, mother={**person(MOTHER), "iin": "870312497006"})])
    assert pushed.status == 201
    assert pushed.json == {
        "list_id": "list-1",
        "service": "3",
        "records": 3,
        "accepted": 2,
        "duplicates": 0,
        "rejected": 1,
        "errors": [{"line": 3, "record_id": "r-3", "pointer": "/mother/iin", "code": "iin_checksum"}],
    }
    assert await api.fetch(
        "SELECT record_id, service, category, language, pupil_iin, state FROM cases ORDER BY case_id"
    ) == [
        ("r-1", "3", 1, "kk", PUPILS[0], "looking_up"),
        ("r-2", "3", 1, "kk", PUPILS[1], "looking_up"),
    ]
    [(record,)] = await api.fetch("SELECT record FROM cases WHERE record_id = 'r-1'")
    assert orjson.loads(record)["recipients"] == [{"relation": "mother", **person(MOTHER, 2, "ова")}]
    assert await api.fetch("SELECT kind, node FROM calls") == [("lookup", None)] * 2
    entries = await api.fetch(
        "SELECT event, detail, event_id IS NOT NULL, at = opened_at"
        " FROM journal_pending JOIN cases USING (case_id)"
    )
    assert entries == [("received", "{}", True, True)] * 2


async def test_the_same_bytes_again_change_nothing(api: Api) -> None:
    body = ndjson([good(1), good(2, category=7)])
    first = await api.push(body)
    before = await api.rows()
    again = await api.push(gzip.compress(body), encoding="gzip")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert await api.rows() == before


async def test_other_bytes_under_the_same_id_are_a_conflict(api: Api) -> None:
    await api.push([good(1)])
    before = await api.rows()
    assert (await api.push([good(2)])).status == 409
    assert (await api.push(ndjson([good(1)]) + b"\n")).status == 409
    assert await api.rows() == before


async def test_a_process_that_was_taken_for_dead_takes_no_list(api: Api) -> None:
    before = await api.rows()
    async with api.database.acquire() as connection:
        await connection.execute("DELETE FROM nodes")
    assert (await api.push([good(1)])).status == 503
    assert await api.rows() == before


async def test_two_identical_pushes_at_once_are_one_list(api: Api) -> None:
    answers = await asyncio.gather(api.push([good(1), good(2)]), api.push([good(1), good(2)]))
    assert sorted(answer.status for answer in answers) == [200, 201]
    assert answers[0].json == answers[1].json
    assert await api.fetch("SELECT count(*) FROM cases") == [(2,)]


async def test_two_lists_at_once_ask_for_a_pupil_once(api: Api) -> None:
    answers = await asyncio.gather(api.push([good(1)], "a"), api.push([good(1)], "b"))
    assert [answer.status for answer in answers] == [201, 201]
    assert sorted((answer.json["accepted"], answer.json["duplicates"]) for answer in answers) == [(0, 1), (1, 0)]


async def test_a_streamed_body_of_several_gzip_members_is_taken(api: Api) -> None:
    packed = gzip.compress(ndjson([good(1)])) + gzip.compress(ndjson([good(2)]))

    async def octets() -> object:
        for i in range(len(packed)):
            yield packed[i : i + 1]

    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    pushed = await api.call("PUT", "/v1/lists/l", token="sdu-token", data=octets(), headers=headers)  # type: ignore[arg-type]
    assert (pushed.status, pushed.json["accepted"]) == (201, 2)


async def test_empty_lines_and_a_byte_order_mark_are_no_records(api: Api) -> None:
    pushed = await api.push(b"\xef\xbb\xbf" + ndjson([good(1), b"", b"  \t", good(2, category=0), b"\r"]))
    assert (pushed.json["records"], pushed.json["accepted"]) == (2, 1)
    assert [error["line"] for error in pushed.json["errors"]] == [4]


async def test_an_empty_list_is_a_list(api: Api) -> None:
    assert (await api.push(b"")).status == 201
    assert (await api.get("/v1/lists/list-1")).json["records"] == 0


async def test_what_copy_would_read_as_its_own_signs_is_kept_as_it_came(api: Api) -> None:
    odd = r"\N\t\\.\x41"
    await api.push([good(1, record_id=odd, school={"bin": "990240001234", "name": '"\\N" \\. \\'})])
    [(record_id, record)] = await api.fetch("SELECT record_id, record FROM cases")
    assert record_id == odd
    assert orjson.loads(record)["school"]["name"] == '"\\N" \\. \\'


async def test_of_records_that_share_a_record_id_the_first_good_one_is_taken(api: Api) -> None:
    shared = {"record_id": "r-1"}
    pushed = await api.push(
        [good(1, **shared, category=0), good(2, **shared), good(3, **shared), good(4, **shared)]
    )
    assert (pushed.json["accepted"], pushed.json["duplicates"], pushed.json["rejected"]) == (1, 0, 3)
    assert [(e["line"], e["pointer"], e["code"]) for e in pushed.json["errors"]] == [
        (1, "/category", "range"),
        (3, "/record_id", "duplicate_record_id"),
        (4, "/record_id", "duplicate_record_id"),
    ]
    assert await api.fetch("SELECT pupil_iin FROM cases") == [(PUPILS[1],)]


async def test_a_pupil_twice_in_a_list_is_asked_for_once(api: Api) -> None:
    pushed = await api.push([good(1), good(2, pupil=person(PUPILS[0])), good(3)])
    assert (pushed.json["accepted"], pushed.json["duplicates"], pushed.json["rejected"]) == (2, 1, 0)
    assert await api.fetch("SELECT record_id FROM cases ORDER BY 1") == [("r-1",), ("r-3",)]


async def test_a_pupil_with_an_open_case_is_a_duplicate(api: Api) -> None:
    await api.push([good(1)])
    pushed = await api.push([good(1), good(2)], "list-2")
    assert (pushed.json["accepted"], pushed.json["duplicates"]) == (1, 1)


ENDED = [
    ("voucher_issued", "now()", 1),
    ("voucher_rejected", "now()", 1),
    ("voucher_issued", "now() - interval '2 years'", 0),
    ("refused", "now()", 0),
    ("no_answer", None, 0),
    ("cancelled", None, 0),
]


@pytest.mark.parametrize(("state", "answered_at", "duplicates"), ENDED)
async def test_an_ended_case_is_in_the_way_only_after_this_school_years_consent(
    api: Api, state: str, answered_at: str | None, duplicates: int
) -> None:
    await api.push([good(1)])
    await api.execute(
        f"UPDATE cases SET state = $1, ended_at = now(), answered_at = {answered_at or 'NULL'}", state
    )
    pushed = await api.push([good(1)], "list-2")
    assert (pushed.json["accepted"], pushed.json["duplicates"]) == (1 - duplicates, duplicates)


async def test_a_consent_under_way_is_in_the_way_whenever_it_was_given(api: Api) -> None:
    await api.push([good(1)])
    await api.execute("UPDATE cases SET state = 'consented', answered_at = now() - interval '2 years'")
    assert (await api.push([good(1)], "list-2")).json["duplicates"] == 1


async def test_progress_adds_up_to_what_was_accepted(api: Api) -> None:
    await api.push([good(1), good(2), good(3)])
    await api.execute(
        "INSERT INTO progress VALUES ('list-1', 'looking_up', -2), ('list-1', 'waiting', 1),"
        " ('list-1', 'queued', 1)"
    )
    shown = (await api.get("/v1/lists/list-1", "ops-token")).json
    assert sum(shown["progress"].values()) == shown["accepted"] == 3
    assert {state: n for state, n in shown["progress"].items() if n} == {"looking_up": 1, "queued": 2}


async def test_a_thousand_errors_are_told_at_once_and_all_of_them_on_demand(api: Api) -> None:
    pushed = await api.push(b"{}\n" * 1500)
    assert pushed.json["rejected"] == 1500
    assert len(pushed.json["errors"]) == 1000
    told = (await api.get("/v1/lists/list-1/errors")).lines
    assert len(told) == 4 * 1500
    assert told == sorted(told, key=lambda e: (e["line"], e["pointer"], e["code"]))
    assert told[:1000] == pushed.json["errors"]


async def test_a_list_without_errors_has_an_empty_error_list(api: Api) -> None:
    await api.push([good(1)])
    answer = await api.get("/v1/lists/list-1/errors")
    assert (answer.status, answer.body) == (200, b"")


async def test_lists_are_shown_newest_first(api: Api) -> None:
    for list_id in ("a", "b", "c"):
        await api.push(b"", list_id)
    shown = (await api.get("/v1/lists?limit=2", "ops-token")).json["lists"]
    assert [one["list_id"] for one in shown] == ["c", "b"]


async def test_the_service_may_be_named(api: Api) -> None:
    assert (await api.push([good(1)], query="?service=3")).status == 201
    assert (await api.push([good(1)], "list-2", query="?service=4")).status == 404


async def test_a_list_as_long_as_the_limit_is_taken_and_no_longer(api: Api) -> None:
    line = b" " * 999 + b"\n"
    assert (await api.push(line * 1000, "just")).status == 201
    assert (await api.push(line * 1000 + b" ", "longer")).status == 413
    assert (await api.push(gzip.compress(line * 1001), "packed", encoding="gzip")).status == 413
    assert await api.fetch("SELECT list_id FROM lists") == [("just",)]


async def test_zlib_is_no_encoding_that_is_taken(api: Api) -> None:
    assert (await api.push(zlib.compress(ndjson([good(1)])), encoding="deflate")).status == 415
    assert await api.rows() == {}
