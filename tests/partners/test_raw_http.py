"""Responses that only a raw TCP server can send, and time-outs in each phase of a request."""

import asyncio
import gzip
import socket
import zlib
from datetime import timedelta

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.partners.http_session import MAX_INTERIM_RESPONSES
from gateway.partners.responses import MAX_RESPONSE_BYTES
from tests.partners.http_failures import (
    Behaviour,
    RawServer,
    answering_early,
    head,
    raw_server,
    repeating,
    response,
    sending,
    silent,
)
from tests.partners.partner_calls import MEANING_OF_SUCCESS, SUCCESS, Meaning, Partner, call

SHORT = timedelta(milliseconds=150)
"""The clients' timeout where it is to elapse."""
WITH_BODY = [Partner.MCB, Partner.MCB_BATCH, Partner.WALLET]
"""Those whose responses have a body that matters."""
CHUNKED = "Transfer-Encoding: chunked"
GZIP = "Content-Encoding: gzip"
TWO_MEGABYTES = bytes(2 << 20)


async def call_raw(
    behaviour: Behaviour,
    partner: Partner,
    http: aiohttp.ClientSession,
    *,
    within: timedelta = timedelta(seconds=5),
    body: bytes = b"{}",
) -> tuple[set[Meaning], RawServer]:
    """What the call of such a server means, and what the server has seen. The connection is closed afterwards."""
    async with raw_server(behaviour) as server:
        async with asyncio.timeout(10):
            meanings = await call(partner, http, server.url, within=within, body=body)
        return set(meanings), server


class _HangingResolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(3600)
        return []

    async def close(self) -> None: ...


@pytest.mark.parametrize("partner", Partner)
async def test_timeout_while_connecting_is_retried(partner: Partner) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_HangingResolver())) as http:
        assert set(await call(partner, http, "http://partner.example", within=SHORT)) == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", Partner)
async def test_timeout_in_the_tls_handshake_is_retried(http: aiohttp.ClientSession, partner: Partner) -> None:
    async with raw_server(silent) as server:
        secure = server.url.replace("http:", "https:")
        assert set(await call(partner, http, secure, within=SHORT)) == {Meaning.RETRIED}
        async with asyncio.timeout(30):
            await server.closed.wait()
        assert not any(b"POST" in octets for octets in server.requests)


@pytest.mark.parametrize("partner", Partner)
async def test_plain_http_on_a_tls_port_is_retried(http: aiohttp.ClientSession, partner: Partner) -> None:
    async def plain(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(SUCCESS[partner]))
        await writer.drain()

    async with raw_server(plain) as server:
        secure = server.url.replace("http:", "https:")
        assert set(await call(partner, http, secure)) == {Meaning.RETRIED}


async def test_timeout_while_sending_the_request_is_retried(http: aiohttp.ClientSession) -> None:
    behaviour = answering_early(b"")
    meanings, server = await call_raw(behaviour, Partner.SDU, http, within=SHORT, body=8 * TWO_MEGABYTES)
    assert meanings == {Meaning.RETRIED}
    assert server.connections == 1


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"])
async def test_timeout_while_waiting_for_the_head_is_retried(
    http: aiohttp.ClientSession, partner: Partner, sent: bytes
) -> None:
    meanings, server = await call_raw(sending(sent, then="hang"), partner, http, within=SHORT)
    assert meanings == {Meaning.RETRIED}
    assert server.connections == 1


@pytest.mark.parametrize("partner", WITH_BODY)
async def test_timeout_while_reading_the_body_is_retried(http: aiohttp.ClientSession, partner: Partner) -> None:
    whole = SUCCESS[partner]
    half = response(whole[:-1], length=len(whole))
    meanings, _ = await call_raw(sending(half, then="hang"), partner, http, within=SHORT)
    assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", WITH_BODY)
async def test_total_timeout_holds_for_a_body_that_drips(http: aiohttp.ClientSession, partner: Partner) -> None:
    dripping = repeating(head(200, CHUNKED), b"1\r\n \r\n", pause_seconds=0.02)
    meanings, _ = await call_raw(dripping, partner, http, within=SHORT)
    assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", Partner)
async def test_total_timeout_holds_for_informational_responses_without_end(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    continuing = repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause_seconds=0.01)
    meanings, _ = await call_raw(continuing, partner, http, within=SHORT)
    assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", WITH_BODY)
@pytest.mark.parametrize("status", [200, 201, 409, 422])
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_body_cut_off_before_its_length_is_retried(
    http: aiohttp.ClientSession, partner: Partner, status: int, then: str
) -> None:
    if partner is not Partner.WALLET and status != 200:
        status = 200
    whole = SUCCESS[partner]
    cut = response(whole, status, length=len(whole) + 1)  # what comes is valid JSON, and yet not all
    meanings, server = await call_raw(sending(cut, then), partner, http)
    assert meanings == {Meaning.RETRIED}
    assert server.connections == 1


@pytest.mark.parametrize("partner", WITH_BODY)
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_chunked_body_without_its_last_chunk_is_retried(
    http: aiohttp.ClientSession, partner: Partner, then: str
) -> None:
    whole = SUCCESS[partner]
    cut = head(200, CHUNKED) + b"%x\r\n%b\r\n" % (len(whole), whole)
    meanings, _ = await call_raw(sending(cut, then), partner, http)
    assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", WITH_BODY)
async def test_half_a_body_without_length_is_never_a_result(http: aiohttp.ClientSession, partner: Partner) -> None:
    whole = SUCCESS[partner]
    for length in range(len(whole)):
        meanings, _ = await call_raw(sending(head() + whole[:length]), partner, http)
        assert meanings == {Meaning.INVALID}
    meanings, _ = await call_raw(sending(head() + whole), partner, http)
    assert meanings == {MEANING_OF_SUCCESS[partner]}


NO_HTTP = {
    "no HTTP": b"garbage\r\n\r\n",
    "HTTP 9.9": b"HTTP/9.9 200 OK\r\n\r\n",
    "status in words": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "negative length": response(b"{}", length=-1),
    "length in words": response(b"{}", length="many"),
    "header without colon": response(b"{}", headers=["No colon here"]),
    "long header": response(b"{}", headers=["X: " + "x" * 100_000]),
    "chunk size in words": head(200, CHUNKED) + b"zz\r\n",
    "negative chunk size": head(200, CHUNKED) + b"-1\r\n",
    "chunked with length": head(200, CHUNKED, "Content-Length: 5") + b"5\r\n{}\r\n",
}


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize("octets", NO_HTTP.values(), ids=NO_HTTP)
async def test_response_that_is_no_http_is_retried(
    http: aiohttp.ClientSession, partner: Partner, octets: bytes
) -> None:
    meanings, _ = await call_raw(sending(octets), partner, http)
    assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("status", [0, 99, 101])
async def test_push_with_a_status_below_200_is_not_accepted(http: aiohttp.ClientSession, status: int) -> None:
    meanings, _ = await call_raw(sending(response(b"", status)), Partner.SDU, http)
    assert meanings == {Meaning.INVALID}


@pytest.mark.parametrize("partner", WITH_BODY)
@pytest.mark.parametrize("status", [101, 202, 203, 206, 226])
async def test_status_that_no_contract_knows_is_invalid(
    http: aiohttp.ClientSession, partner: Partner, status: int
) -> None:
    meanings, _ = await call_raw(sending(response(SUCCESS[partner], status), then="keep"), partner, http)
    assert meanings == {Meaning.INVALID}


@pytest.mark.parametrize("partner", WITH_BODY)
@pytest.mark.parametrize("framing", ["chunked", "length", "until close"])
async def test_body_without_end_is_read_up_to_the_limit_and_is_invalid(
    http: aiohttp.ClientSession, partner: Partner, framing: str
) -> None:
    piece = b" " * (1 << 16)
    endless = {
        "chunked": repeating(head(200, CHUNKED), b"10000\r\n" + piece + b"\r\n"),
        "length": repeating(head(200, f"Content-Length: {1 << 40}"), piece),
        "until close": repeating(head(), piece),
    }[framing]
    async with raw_server(endless) as server:
        assert set(await call(partner, http, server.url)) == {Meaning.INVALID}
        requests = server.connections
        assert server.octets_sent < requests * 4 * MAX_RESPONSE_BYTES
    assert requests == {Partner.MCB_BATCH: 3}.get(partner, 1)


@pytest.mark.parametrize("partner", Partner)
async def test_interim_responses_without_end_end_the_request_at_once(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    async with raw_server(repeating(head(103), head(103) * 10_000)) as server:
        async with asyncio.timeout(5):
            assert set(await call(partner, http, server.url)) == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", Partner)
async def test_a_few_interim_responses_come_before_a_response(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    interim = head(103, "Link: </v1>") * MAX_INTERIM_RESPONSES
    meanings, _ = await call_raw(sending(interim + response(SUCCESS[partner])), partner, http)
    assert meanings == {MEANING_OF_SUCCESS[partner]}


async def test_body_without_end_after_a_push_is_not_read(http: aiohttp.ClientSession) -> None:
    piece = b" " * (1 << 16)
    async with raw_server(repeating(head(200, CHUNKED), b"10000\r\n" + piece + b"\r\n")) as server:
        assert await call(Partner.SDU, http, server.url) == [Meaning.TAKEN]
        async with asyncio.timeout(30):
            await server.closed.wait()
        assert server.octets_sent < MAX_RESPONSE_BYTES


@pytest.mark.parametrize("body", [b"{}", 8 * TWO_MEGABYTES], ids=["small", "large"])
@pytest.mark.parametrize(("status", "meaning"), [(200, Meaning.TAKEN), (413, Meaning.TOO_LARGE)])
async def test_early_response_of_sdu_ends_the_push(
    http: aiohttp.ClientSession, body: bytes, status: int, meaning: Meaning
) -> None:
    meanings, _ = await call_raw(answering_early(response(b"", status)), Partner.SDU, http, body=body)
    assert meanings == {meaning}


def _damaged(octets: bytes) -> bytes:
    middle = len(octets) // 2
    return octets[:middle] + bytes([octets[middle] ^ 0xFF]) + octets[middle + 1 :]


@pytest.mark.parametrize("partner", WITH_BODY)
@pytest.mark.parametrize(
    ("damage", "meaning"),
    [
        ("no gzip", Meaning.RETRIED),
        ("another format", Meaning.RETRIED),
        ("octet changed", Meaning.RETRIED),
        ("checksum wrong", Meaning.RETRIED),
        ("header only", Meaning.INVALID),  # as long as Content-Length says, and no JSON once decompressed
        ("cut off", Meaning.INVALID),
    ],
)
async def test_gzip_that_does_not_decompress_is_never_a_result(
    http: aiohttp.ClientSession, partner: Partner, damage: str, meaning: Meaning
) -> None:
    whole = SUCCESS[partner]
    packed = gzip.compress(whole)
    body = {
        "no gzip": whole,
        "another format": zlib.compress(whole),
        "octet changed": _damaged(packed),
        "checksum wrong": packed[:-8] + bytes(8),
        "header only": packed[:10],
        "cut off": packed[:-12],
    }[damage]
    meanings, _ = await call_raw(sending(response(body, headers=[GZIP]), then="keep"), partner, http)
    assert meanings == {meaning}


@pytest.mark.parametrize("partner", WITH_BODY)
async def test_gzip_that_decompresses_is_a_result(http: aiohttp.ClientSession, partner: Partner) -> None:
    body = gzip.compress(SUCCESS[partner])
    meanings, _ = await call_raw(sending(response(body, headers=[GZIP]), then="keep"), partner, http)
    assert meanings == {MEANING_OF_SUCCESS[partner]}


@pytest.mark.parametrize("partner", Partner)
async def test_cancelled_call_closes_its_connection(http: aiohttp.ClientSession, partner: Partner) -> None:
    half = response(SUCCESS[partner], length=1000) if partner is not Partner.SDU else b""
    async with raw_server(sending(half, then="hang")) as server:
        task = asyncio.create_task(call(partner, http, server.url))
        async with asyncio.timeout(30):
            await server.requested.wait()
        await asyncio.sleep(0.05)  # what was sent has arrived
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            await server.closed.wait()
        assert server.connections == 1


@pytest.mark.parametrize("partner", Partner)
async def test_connection_closed_without_a_response_is_retried(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    for then in ("close", "reset"):
        meanings, _ = await call_raw(sending(b"", then), partner, http)
        assert meanings == {Meaning.RETRIED}


@pytest.mark.parametrize("partner", Partner)
async def test_surplus_octets_after_a_response_are_no_second_response(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    surplus = response(SUCCESS[partner]) + response(b'{"found": false, "voucher_id": "V-2", "results": []}')
    async with raw_server(sending(surplus, then="keep")) as server:
        for _ in range(3):
            assert set(await call(partner, http, server.url)) == {MEANING_OF_SUCCESS[partner]}


@pytest.mark.parametrize("partner", Partner)
async def test_cookie_of_a_partner_goes_to_nobody(http: aiohttp.ClientSession, partner: Partner) -> None:
    setting = response(SUCCESS[partner], headers=["Set-Cookie: session=1; Path=/"])
    async with raw_server(sending(setting, then="keep")) as server, raw_server(silent) as another:
        for _ in range(2):
            await call(partner, http, server.url.replace("127.0.0.1", "localhost"))
        await call(partner, http, another.url.replace("127.0.0.1", "localhost"), within=SHORT)
        assert len(server.requests) == 2
        assert not any(b"\r\ncookie:" in request.lower() for request in [*server.requests, *another.requests])
