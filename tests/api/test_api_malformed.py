"""Invalid requests: each gets one clear response and leaves no row."""

import asyncio
import gzip
from collections.abc import Mapping
from typing import NamedTuple

import orjson
import pytest

from gateway.api.fields import MAX_UNKNOWN_SHOWN, unknown_field_errors
from tests.api.apiclient import NDJSON, Api, ndjson
from tests.record_factories import good

LIST = "/v1/lists/list-1"
CASE = "/v1/cases/01JD0000000000000000000000"
PACKED = gzip.compress(ndjson([good(1)]))
BOMB = gzip.compress(b" " * 3_000_000)
DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000


class InvalidRequest(NamedTuple):
    """A request, and the status and words of its response."""

    method: str
    path: str
    status: int
    words: str
    body: bytes | None = None
    token: str | None = "sdu-token-of-tests"
    headers: Mapping[str, str] = {}


def put(status: int, words: str, body: bytes = b"", *, path: str = LIST, **headers: str) -> InvalidRequest:
    sent = {"Content-Type": NDJSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return InvalidRequest("PUT", path, status, words, body, headers=sent)


def packed(status: int, words: str, body: bytes) -> InvalidRequest:
    return put(status, words, body, Content_Encoding="gzip")


def get(path: str, status: int, words: str, token: str | None = "sdu-token-of-tests") -> InvalidRequest:
    return InvalidRequest("GET", path, status, words, token=token)


def post(
    path: str,
    status: int,
    words: str,
    body: bytes | None = None,
    token: str = "ops-token-of-tests",
    **headers: str,
) -> InvalidRequest:
    sent = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return InvalidRequest("POST", path, status, words, body, token, sent if body is not None else {})


def cancel(status: int, words: str, body: bytes, **headers: str) -> InvalidRequest:
    return post(f"{CASE}/cancel", status, words, body, **headers)


def events(status: int, words: str, body: bytes, token: str = "wallet-token-of-tests") -> InvalidRequest:
    return post("/v1/wallet/events", status, words, body, token)


REQUESTS = {
    "no token": get(LIST, 401, "asks for a bearer token", token=None),
    "unknown token": get(LIST, 401, "not known", token="sdu"),
    "token cut": get(LIST, 401, "not known", token="sdu-token-of-test"),
    "token of another script": get(LIST, 401, "not known", token="sdu-tоken-of-tests"),
    "wallet pushes a list": put(403, "role wallet")._replace(token="wallet-token-of-tests"),
    "ops pushes a list": put(403, "role ops")._replace(token="ops-token-of-tests"),
    "ops reads the feed": get("/v1/statuses", 403, "role ops", token="ops-token-of-tests"),
    "sdu sends wallet events": events(403, "role sdu", b"{}", token="sdu-token-of-tests"),
    "sdu releases a case": post(f"{CASE}/release", 403, "role sdu", token="sdu-token-of-tests"),
    "sdu asks for the links": get("/v1/links", 403, "role sdu"),
    "unknown path": get("/v1/list", 404, "no such path"),
    "deleting a list": InvalidRequest("DELETE", LIST, 405, "Allow names"),
    "posting a list": InvalidRequest("POST", LIST, 405, "Allow names", b""),
    "patching a case": InvalidRequest("PATCH", CASE, 405, "Allow names"),
    "list_id too long": put(400, "list_id", path="/v1/lists/" + "x" * 65),
    "list_id of other letters": put(400, "list_id", path="/v1/lists/%D1%82"),
    "list_id with NUL": put(400, "list_id", path="/v1/lists/a%00b"),
    "no content type": put(415, NDJSON, b"{}", Content_Type=""),
    "plain JSON": put(415, NDJSON, b"[]", Content_Type="application/json"),
    "brotli": put(415, "gzip", b"\x0b", Content_Encoding="br"),
    "gzip twice": put(415, "gzip", Content_Encoding="gzip, gzip"),
    "unknown service": put(404, "service", path=f"{LIST}?service=99"),
    "not gzip": packed(400, "the gzip is invalid", b"{}\n"),
    "gzip of nothing": packed(400, "the gzip is cut off", b""),
    "gzip cut off": packed(400, "the gzip is cut off", PACKED[:-9]),
    "gzip and garbage": packed(400, "the gzip is invalid", PACKED + b"x" * 20),
    "gzip bomb": packed(413, "1000000 octets", BOMB),
    "list too long": put(413, "1000000 octets", b"\n" * 1_000_001),
    "unknown list": get("/v1/lists/none", 404, "no such list"),
    "errors of an unknown list": get("/v1/lists/none/errors", 404, "no such list"),
    "invalid list_id": get("/v1/lists/%00", 404, "no such list"),
    "a page of no lists": get("/v1/lists?limit=0", 400, "limit"),
    "unknown case": get(CASE, 404, "no such case"),
    "invalid case_id": get("/v1/cases/%00", 404, "no such case"),
    "record_id without list_id": get("/v1/cases?record_id=r", 400, "list_id"),
    "unknown state": get("/v1/cases?list_id=l&state=lost", 400, "state"),
    "record_id with NUL": get("/v1/cases?list_id=l&record_id=%00", 400, "record_id"),
    "record_id too long": get("/v1/cases?list_id=l&record_id=" + "x" * 65, 400, "record_id"),
    "cancelling an unknown case": cancel(404, "no such case", b'{"reason": "moved"}'),
    "cancelling without a body": cancel(400, "not JSON", b""),
    "cancelling with half a body": cancel(400, "not JSON", b'{"reason": '),
    "cancelling with a list": cancel(422, "errors", b"[]"),
    "cancelling without a reason": cancel(422, "errors", b"{}"),
    "a reason that is not a text": cancel(422, "errors", b'{"reason": 7}'),
    "a reason of blanks": cancel(422, "errors", b'{"reason": "  "}'),
    "a reason with NUL": cancel(422, "errors", b'{"reason": "a\\u0000"}'),
    "a reason too long": cancel(422, "errors", b'{"reason": "%s"}' % (b"x" * 501)),
    "an unknown field beside the reason": cancel(422, "errors", b'{"reason": "moved", "a/b": 1}'),
    "a body too deep": cancel(400, "not JSON", DEEP),
    "a body too long": cancel(413, "65536", b" " * 65_537),
    "a body of another type": cancel(415, "application/json", b"{}", Content_Type="text/plain"),
    "a packed body": cancel(415, "not encoded", b"{}", Content_Encoding="gzip"),
    "releasing an unknown case": post(f"{CASE}/release", 404, "no such case"),
    "resending an unknown case": post(f"{CASE}/resend", 404, "no such case"),
    "a cursor below zero": get("/v1/statuses?after=-1", 400, "after"),
    "a cursor of words": get("/v1/statuses?after=x", 400, "after"),
    "a cursor of other digits": get("/v1/statuses?after=%D9%A3", 400, "after"),
    "a cursor past counting": get(f"/v1/statuses?after={1 << 63}", 400, "after"),
    "a page too long": get("/v1/statuses?limit=5001", 400, "limit"),
    "waiting too long": get("/v1/statuses?wait=61", 400, "wait"),
    "a reason with a line separator": cancel(422, "errors", b'{"reason": "a\\u2028b"}'),
    "no events": events(422, "errors", b"{}"),
    "events that are not a list": events(422, "errors", b'{"events": {}}'),
    "too many events": events(422, "errors", b'{"events": [%s0]}' % (b"0," * 5000)),
    "events too long": events(413, "1048576", b" " * 1_048_577),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_invalid_request_gets_a_problem_with_its_reason_and_leaves_no_row(api: Api, name: str) -> None:
    invalid = REQUESTS[name]
    response = await api.call(
        invalid.method, invalid.path, token=invalid.token, data=invalid.body, headers=invalid.headers
    )
    assert (response.status, response.headers["Content-Type"]) == (invalid.status, "application/problem+json")
    assert invalid.words in response.json["detail"]
    assert ("errors" in response.json) == (invalid.status == 422)
    assert ("WWW-Authenticate" in response.headers) == (invalid.status in (401, 403))
    assert ("Allow" in response.headers) == (invalid.status == 405)
    assert await api.rows() == {}


RECORDS: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"{", "", "json"),
    "no object": (b"[1]", "", "json"),
    "a lone surrogate": (b'{"record_id": "\\ud800"}', "", "json"),
    "too deep": (DEEP, "", "json"),
    "too long": (b'"' + b"x" * 70_000 + b'"', "", "line_length"),
    "unknown field": (orjson.dumps(good(1, phone="77011234567")), "/phone", "unknown_field"),
    "NUL in a name": (orjson.dumps(good(1)).replace("ұлы".encode(), b"\\u0000", 1), "/pupil/patronymic", "format"),
    "no recipient": (orjson.dumps(good(1, mother=None)), "", "no_recipient"),
    "a wrong check digit": (orjson.dumps(good(1)).replace(b"131106697007", b"131106697008"), "/pupil/iin",
                            "iin_checksum"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
async def test_an_invalid_record_is_reported_and_the_valid_ones_are_accepted(api: Api, name: str) -> None:
    line, pointer, code = RECORDS[name]
    pushed = await api.push([good(2), line, good(3)])
    assert (pushed.status, pushed.json["accepted"], pushed.json["rejected"]) == (201, 2, 1)
    assert [(e["line"], e["pointer"], e["code"]) for e in pushed.json["errors"]] == [(2, pointer, code)]
    assert (await api.get("/v1/lists/list-1/errors")).lines == pushed.json["errors"]


HEAD = (
    f"PUT {LIST} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer sdu-token-of-tests\r\n"
    f"Content-Type: {NDJSON}\r\n"
)

RAW = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a header without a colon": (b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nNonsense\r\n\r\n", 400),
    "a request line too long": (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n", 431),
    "a header too long": (b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    "a head too long": (
        b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n"
        + b"X: " * 9
        + b"x" * 7000
        + b"\r\n"
        + (b"X: " + b"x" * 7000 + b"\r\n") * 2
        + b"\r\n",
        431,
    ),
    "trailers too long": (
        HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + (b"X: " + b"x" * 7000 + b"\r\n") * 20,
        400,
    ),
    "too many headers": (b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n" + b"X: y\r\n" * 100 + b"\r\n", 400),
    "two lengths": (HEAD.encode() + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n", 400),
    "an invalid length": (HEAD.encode() + b"Content-Length: -1\r\n\r\n", 400),
    "an invalid chunk size": (HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", RAW)
async def test_octets_that_are_not_http_get_a_problem_that_quotes_none_of_them(api: Api, name: str) -> None:
    octets, status = RAW[name]
    head, body = await _exchange(api, octets)
    assert int(head.split()[1]) == status
    assert b"application/problem+json" in head
    problem = orjson.loads(body)
    assert problem["status"] == status
    assert b"sdu-token-of-tests" not in body
    assert b"xxx" not in body
    assert await api.rows() == {}


FRAMINGS = {"length": b"Content-Length: 100000\r\n", "chunked": b"Transfer-Encoding: chunked\r\n"}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_body_cut_off_by_its_sender_leaves_no_row(api: Api, framing: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    writer.write(HEAD.encode() + FRAMINGS[framing] + b"Expect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    body = ndjson([good(1), good(2)])
    writer.write(b"2000\r\n" + body if framing == "chunked" else body)
    await writer.drain()
    writer.close()
    await reader.read()
    assert (await api.push([good(3)])).status == 201, "the list_id is free"
    assert await api.fetch("SELECT record_id FROM cases") == [("r-3",)]


async def _exchange(api: Api, octets: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.call.port)
    writer.write(octets)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    body = await reader.readexactly(length)
    writer.close()
    return head, body


def test_unknown_fields_of_a_body_are_named_unless_their_name_cannot_be_shown() -> None:
    body = {"reason": "moved", "a/b": 1, "7701" * 17: 2, "line\nbreak": 3}
    errors = unknown_field_errors(body, "reason")
    assert [(error.pointer, error.detail) for error in errors] == [
        ("/a~1b", "is no field of this body"),
        ("", "may have reason only"),
    ]
    many = {f"field-{n}": n for n in range(10_000)}
    assert len(unknown_field_errors(many, "reason")) == MAX_UNKNOWN_SHOWN
