"""PUT and GET of lists: accepted records, reported faults, and idempotence."""

import asyncio
import gzip
import zlib

import orjson
import pytest

from tests.api.apiclient import Api, ndjson
from tests.journal_entries import Entry, all_entries
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
        "errors": [
            {
                "line": 3,
                "record_id": "r-3",
                "pointer": "/mother/iin",
                "code": "iin_checksum",
            }
        ],
    }
    assert await api.fetch(
        "SELECT record_id, service, category, language, pupil_iin, state FROM cases ORDER BY case_id"
    ) == [
        ("r-1", "3", 1, "kk", PUPILS[0], "looking_up"),
        ("r-2", "3", 1, "kk", PUPILS[1], "looking_up"),
    ]
    [(record,)] = await api.fetch(
        "SELECT r.record FROM records r JOIN cases USING (case_id) WHERE record_id = 'r-1'"
    )
    assert orjson.loads(record)["recipients"] == [{"relation": "mother", **person(MOTHER, 2, "ова")}]
    assert await api.fetch("SELECT kind, node FROM calls") == [("lookup", None)] * 2
    async with api.database.acquire() as connection:
        journaled = await all_entries(connection)
    case_ids = [case_id for (case_id,) in await api.fetch("SELECT case_id FROM cases ORDER BY record_id")]
    assert journaled == [Entry(0, case_id, "received", case_id, "{}") for case_id in case_ids]
    assert await api.fetch("SELECT DISTINCT at = opened_at FROM journal_pending, cases") == [(True,)]


async def test_the_same_list_pushed_again_changes_nothing(api: Api) -> None:
    body = ndjson([good(1), good(2, category=7)])
    first = await api.push(body)
    before = await api.rows()
    again = await api.push(gzip.compress(body), encoding="gzip")
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert await api.rows() == before


async def test_another_body_for_the_same_list_id_is_409(api: Api) -> None:
    await api.push([good(1)])
    before = await api.rows()
    assert (await api.push([good(2)])).status == 409
    assert (await api.push(ndjson([good(1)]) + b"\n")).status == 409
    assert await api.rows() == before


async def test_an_evicted_process_accepts_no_list(api: Api) -> None:
    before = await api.rows()
    async with api.database.acquire() as connection:
        await connection.execute("DELETE FROM nodes")
    assert (await api.push([good(1)])).status == 503
    assert await api.rows() == before


async def test_two_identical_concurrent_pushes_are_one_list(api: Api) -> None:
    responses = await asyncio.gather(api.push([good(1), good(2)]), api.push([good(1), good(2)]))
    assert sorted(response.status for response in responses) == [200, 201]
    assert responses[0].json == responses[1].json
    assert await api.fetch("SELECT count(*) FROM cases") == [(2,)]


async def test_a_pupil_in_two_concurrent_lists_has_one_case(api: Api) -> None:
    responses = await asyncio.gather(api.push([good(1)], "a"), api.push([good(1)], "b"))
    assert [response.status for response in responses] == [201, 201]
    assert sorted((response.json["accepted"], response.json["duplicates"]) for response in responses) == [
        (0, 1),
        (1, 0),
    ]


async def test_a_streamed_body_of_several_gzip_members_is_accepted(api: Api) -> None:
    packed = gzip.compress(ndjson([good(1)])) + gzip.compress(ndjson([good(2)]))

    async def octets() -> object:
        for i in range(len(packed)):
            yield packed[i : i + 1]

    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    pushed = await api.call("PUT", "/v1/lists/l", token="sdu-token-of-tests", data=octets(), headers=headers)  # type: ignore[arg-type]
    assert (pushed.status, pushed.json["accepted"]) == (201, 2)


async def test_empty_lines_and_a_byte_order_mark_are_not_records(api: Api) -> None:
    pushed = await api.push(b"\xef\xbb\xbf" + ndjson([good(1), b"", b"  \t", good(2, category=0), b"\r"]))
    assert (pushed.json["records"], pushed.json["accepted"]) == (2, 1)
    assert [error["line"] for error in pushed.json["errors"]] == [4]


EMPTY = {
    "no octet": b"",
    "blank lines": b"\n \r\n\t\n",
    "a byte order mark": b"\xef\xbb\xbf",
    "a byte order mark and a blank line": b"\xef\xbb\xbf\r\n",
}
RECORDS = ndjson([good(1), good(2)]).decode()
NOT_UTF_8 = {
    "UTF-16 with a byte order mark": RECORDS.encode("utf-16"),
    "UTF-16 little endian": RECORDS.encode("utf-16-le"),
    "UTF-16 big endian": RECORDS.encode("utf-16-be"),
    "UTF-16 of ASCII": orjson.dumps({"record_id": "r-1"}).decode().encode("utf-16-le"),
    "UTF-16 after a blank line": ("\r\n" + RECORDS).encode("utf-16-le"),
    "UTF-32": RECORDS.encode("utf-32"),
    "Windows-1251": RECORDS.replace("ұ", "у").replace("қ", "к").replace("і", "и").encode("cp1251", "replace"),
    "half a character at the end": RECORDS.encode() + b'{"record_id": "\xd0',
    "one line of another encoding": ndjson([good(1), "Ахметов".encode("cp1251"), good(2)]),
}

WITHOUT_LINES = {
    "a JSON array": orjson.dumps([good(1), good(2)]),
    "carriage returns": RECORDS.replace("\n", "\r").encode(),
    "a line that is too long": b"{" + b" " * 70_000 + b"}",
}


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    ("code", "body"),
    [
        *(("empty", body) for body in EMPTY.values()),
        *(("encoding", body) for body in NOT_UTF_8.values()),
        *(("lines", body) for body in WITHOUT_LINES.values()),
    ],
    ids=[*EMPTY, *NOT_UTF_8, *WITHOUT_LINES],
)
async def test_a_body_without_records_or_not_in_utf_8_is_rejected_and_its_list_id_stays_free(
    api: Api, code: str, body: bytes, gzipped: bool
) -> None:
    rejected = await (api.push(gzip.compress(body), encoding="gzip") if gzipped else api.push(body))
    assert rejected.status == 400
    assert [(error["pointer"], error["code"]) for error in rejected.json["errors"]] == [("", code)]
    assert await api.rows() == {}
    assert (await api.push([good(1)])).status == 201


async def test_a_list_with_a_byte_order_mark_and_lines_ended_by_cr_lf_is_accepted(api: Api) -> None:
    body = b"\xef\xbb\xbf" + ndjson([good(1), good(2)]).replace(b"\n", b"\r\n")
    assert (await api.push(body)).json["accepted"] == 2


async def test_a_record_with_two_mothers_is_rejected_and_asks_neither(api: Api) -> None:
    two = orjson.dumps(good(1))[:-1] + b', "mother": ' + orjson.dumps(person(PUPILS[3])) + b"}"
    pushed = await api.push([two, good(2)])
    assert pushed.json["errors"] == [
        {
            "line": 1,
            "record_id": "r-1",
            "pointer": "/mother",
            "code": "duplicate_key",
        }
    ]
    assert await api.fetch("SELECT record_id FROM cases") == [("r-2",)]


async def test_escape_sequences_of_copy_in_a_record_are_stored_unchanged(api: Api) -> None:
    escapes = r"\N\t\\.\x41"
    await api.push([good(1, record_id=escapes, school={"bin": "990240001234", "name": '"\\N" \\. \\'})])
    [(record_id, record)] = await api.fetch("SELECT record_id, r.record FROM cases JOIN records r USING (case_id)")
    assert record_id == escapes
    assert orjson.loads(record)["school"]["name"] == '"\\N" \\. \\'


async def test_of_records_with_one_record_id_the_first_valid_one_is_accepted(api: Api) -> None:
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


async def test_a_pupil_twice_in_a_list_has_one_case(api: Api) -> None:
    pushed = await api.push([good(1), good(2, pupil=person(PUPILS[0])), good(3)])
    assert (pushed.json["accepted"], pushed.json["duplicates"], pushed.json["rejected"]) == (2, 1, 0)
    assert await api.fetch("SELECT record_id FROM cases ORDER BY 1") == [("r-1",), ("r-3",)]


async def test_the_errors_of_a_list_name_the_lines_of_its_duplicates(api: Api) -> None:
    await api.push([good(1)])
    pushed = await api.push([good(2), good(1), good(3, category=0), good(4, pupil=person(PUPILS[1]))], "list-2")
    assert (pushed.json["duplicates"], [error["code"] for error in pushed.json["errors"]]) == (2, ["range"])
    reported = (await api.get("/v1/lists/list-2/errors")).lines
    assert [(e["line"], e["record_id"], e["pointer"], e["code"]) for e in reported] == [
        (2, "r-1", "/pupil/iin", "duplicate"),
        (3, "r-3", "/category", "range"),
        (4, "r-4", "/pupil/iin", "duplicate"),
    ]


async def test_a_pupil_with_an_open_case_is_a_duplicate(api: Api) -> None:
    await api.push([good(1)])
    pushed = await api.push([good(1), good(2)], "list-2")
    assert (pushed.json["accepted"], pushed.json["duplicates"]) == (1, 1)


ENDED_CASES = [
    ("voucher_issued", "now()", 1),
    ("voucher_rejected", "now()", 1),
    ("voucher_issued", "now() - interval '2 years'", 0),
    ("refused", "now()", 0),
    ("no_answer", None, 0),
    ("cancelled", None, 0),
]


@pytest.mark.parametrize(("state", "answered_at", "duplicates"), ENDED_CASES)
async def test_an_ended_case_makes_a_duplicate_only_after_a_consent_of_this_school_year(
    api: Api, state: str, answered_at: str | None, duplicates: int
) -> None:
    await api.push([good(1)])
    await api.execute(
        f"UPDATE cases SET state = $1, ended_at = now(), answered_at = {answered_at or 'NULL'}", state
    )
    pushed = await api.push([good(1)], "list-2")
    assert (pushed.json["accepted"], pushed.json["duplicates"]) == (1 - duplicates, duplicates)


async def test_a_case_with_a_pending_voucher_makes_a_duplicate_in_any_school_year(api: Api) -> None:
    await api.push([good(1)])
    await api.execute("UPDATE cases SET state = 'consented', answered_at = now() - interval '2 years'")
    assert (await api.push([good(1)], "list-2")).json["duplicates"] == 1


async def test_the_progress_of_a_list_adds_up_to_its_accepted_records(api: Api) -> None:
    await api.push([good(1), good(2), good(3)])
    await api.execute(
        "INSERT INTO progress VALUES ('list-1', 'looking_up', -2), ('list-1', 'waiting', 1),"
        " ('list-1', 'queued', 1)"
    )
    shown = (await api.get("/v1/lists/list-1", "ops-token-of-tests")).json
    assert sum(shown["progress"].values()) == shown["accepted"] == 3
    assert {state: n for state, n in shown["progress"].items() if n} == {"looking_up": 1, "queued": 2}


async def test_1000_errors_are_in_the_response_and_all_of_them_at_errors(api: Api) -> None:
    pushed = await api.push(b"{}\n" * 1500)
    assert pushed.json["rejected"] == 1500
    assert len(pushed.json["errors"]) == 1000
    reported = (await api.get("/v1/lists/list-1/errors")).lines
    assert len(reported) == 4 * 1500
    assert reported == sorted(reported, key=lambda e: (e["line"], e["pointer"], e["code"]))
    assert reported[:1000] == pushed.json["errors"]


async def test_a_list_without_errors_has_an_empty_error_file(api: Api) -> None:
    await api.push([good(1)])
    response = await api.get("/v1/lists/list-1/errors")
    assert (response.status, response.body) == (200, b"")


async def test_lists_are_shown_newest_first(api: Api) -> None:
    for list_id in ("a", "b", "c"):
        await api.push([good(1)], list_id)
    shown = (await api.get("/v1/lists?limit=2", "ops-token-of-tests")).json["lists"]
    assert [one["list_id"] for one in shown] == ["c", "b"]


async def test_the_service_of_a_list_may_be_given(api: Api) -> None:
    assert (await api.push([good(1)], query="?service=3")).status == 201
    assert (await api.push([good(1)], "list-2", query="?service=4")).status == 404


async def test_a_list_of_max_list_bytes_is_accepted_and_a_longer_one_is_413(api: Api) -> None:
    line = b" " * 999 + b"\n"
    assert (await api.push(ndjson([good(1)]).rjust(1000) + line * 999, "just")).status == 201
    assert (await api.push(line * 1000 + b" ", "longer")).status == 413
    assert (await api.push(gzip.compress(line * 1001), "packed", encoding="gzip")).status == 413
    assert await api.fetch("SELECT list_id FROM lists") == [("just",)]


async def test_the_content_encoding_deflate_is_415(api: Api) -> None:
    assert (await api.push(zlib.compress(ndjson([good(1)])), encoding="deflate")).status == 415
    assert await api.rows() == {}
