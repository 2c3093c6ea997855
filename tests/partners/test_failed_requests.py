"""A request that fails is retried, whatever the client raises: it never means *no number*, a voucher, or taken."""

import asyncio
import errno
import socket
import ssl
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses
from aioresponses.core import RequestCall
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.partners.http_failures import MockedResponse, breaking_after
from tests.partners.partner_calls import MEANING_OF_SUCCESS, PATHS, SUCCESS, Meaning, Partner, call, outcomes

URL_OF_PARTNER = "https://partner.example"
ELSEWHERE = "https://elsewhere.example/collect"
KEY = Mock(host="partner.example", port=443, ssl=True, is_ssl=True)
REQUEST = aiohttp.RequestInfo(URL(URL_OF_PARTNER), "POST", CIMultiDictProxy(CIMultiDict()), URL(URL_OF_PARTNER))

ERRORS: dict[str, Exception] = {
    # a phase that takes too long
    "connect times out": aiohttp.ConnectionTimeoutError("connect"),
    "TLS handshake times out": aiohttp.ServerTimeoutError("handshake"),
    "read times out": aiohttp.SocketTimeoutError("read"),
    "total times out": TimeoutError(),
    # no connection
    "name is not resolved": aiohttp.ClientConnectorDNSError(KEY, OSError(socket.EAI_AGAIN, "temporary failure")),
    "connection refused": aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "refused")),
    "certificate is invalid": aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError("expired")),
    "TLS fails": aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "handshake")),
    "certificate is another": aiohttp.ServerFingerprintMismatch(b"a", b"b", "partner.example", 443),
    "proxy refuses": aiohttp.ClientHttpProxyError(REQUEST, (), status=407),
    # the connection breaks off
    "server disconnects": aiohttp.ServerDisconnectedError(),
    "server connection fails": aiohttp.ServerConnectionError(),
    "connection lost": aiohttp.ClientConnectionError("lost"),
    "reset while sending": aiohttp.ClientConnectionResetError("reset"),
    "socket fails": aiohttp.ClientOSError(errno.EPIPE, "broken pipe"),
    "reset by the peer": ConnectionResetError(errno.ECONNRESET, "reset"),
    "broken pipe": BrokenPipeError(errno.EPIPE, "broken pipe"),
    "no route": OSError(errno.EHOSTUNREACH, "no route"),
    "no file descriptors": OSError(errno.EMFILE, "too many open files"),
    # what comes is no HTTP, or no response of ours
    "malformed head": aiohttp.ClientResponseError(REQUEST, (), status=400, message="bad status line"),
    "malformed body": aiohttp.ClientPayloadError("not enough data"),
    "content type": aiohttp.ContentTypeError(REQUEST, (), status=200),
    "too many redirects": aiohttp.TooManyRedirects(REQUEST, ()),
    "invalid URL": aiohttp.InvalidURL("http://["),
    "invalid URL of a client": aiohttp.InvalidUrlClientError("http://["),
    "URL of another scheme": aiohttp.NonHttpUrlClientError("ftp://partner.example"),
}
BREAKS: dict[str, Exception] = {
    "reset": aiohttp.ClientOSError(errno.ECONNRESET, "reset"),
    "too short": aiohttp.ClientPayloadError("not enough data for the Content-Length"),
    "disconnected": aiohttp.ServerDisconnectedError(),
    "read times out": aiohttp.SocketTimeoutError("read"),
    "total times out": TimeoutError(),
}
WITH_BODY = [
    (Partner.MCB, 200),
    (Partner.MCB_BATCH, 200),
    (Partner.WALLET, 200),
    (Partner.WALLET, 201),
    (Partner.WALLET, 409),
    (Partner.WALLET, 422),
]


def url(partner: Partner) -> str:
    return URL_OF_PARTNER + PATHS[partner]


def requests(mocked: aioresponses) -> list[tuple[str, RequestCall]]:
    """Each request with the address that it went to."""
    return [(str(address), call) for (_, address), calls in mocked.requests.items() for call in calls]


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_request_that_fails_is_retried_after_a_single_attempt(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, error: Exception
) -> None:
    mocked.post(url(partner), exception=error, repeat=True)
    assert set(await call(partner, http, URL_OF_PARTNER)) == {Meaning.RETRIED}
    assert [address for address, _ in requests(mocked)] == [url(partner)]


@pytest.mark.parametrize(("partner", "status"), WITH_BODY)
@pytest.mark.parametrize("error", BREAKS.values(), ids=BREAKS)
@pytest.mark.parametrize("octets", ["none", "half", "all"])
async def test_body_that_breaks_off_is_retried_even_if_what_came_is_whole_json(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, status: int, error: Exception, octets: str
) -> None:
    whole = SUCCESS[partner]
    came = {"none": b"", "half": whole[: len(whole) // 2], "all": whole}[octets]
    mocked.post(url(partner), status=status, response_class=breaking_after(came, error), repeat=True)
    assert set(await call(partner, http, URL_OF_PARTNER)) == {Meaning.RETRIED}
    assert len(requests(mocked)) == 1


async def test_push_is_accepted_by_the_http_status_alone(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    broken = breaking_after(b"{", aiohttp.ClientPayloadError("not enough data"))
    mocked.post(url(Partner.SDU), status=200, response_class=broken)
    assert await call(Partner.SDU, http, URL_OF_PARTNER) == [Meaning.TAKEN]


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_redirect_is_not_followed_and_no_token_leaves_for_another_host(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, status: int
) -> None:
    for address in {url(partner), url(Partner.MCB)}:
        mocked.post(
            address,
            status=status,
            headers={"Location": ELSEWHERE},
            body=SUCCESS[partner],
            response_class=MockedResponse,
            repeat=True,
        )
    for method in (mocked.get, mocked.post):
        method(ELSEWHERE, status=200, body=SUCCESS[partner], response_class=MockedResponse, repeat=True)
    assert set(await call(partner, http, URL_OF_PARTNER)) == {Meaning.PAUSED}
    assert all(address.startswith(URL_OF_PARTNER) for address, _ in requests(mocked))


@pytest.mark.parametrize("partner", [Partner.MCB, Partner.MCB_BATCH, Partner.WALLET])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html><body>Sign in to the network</body></html>"),
        ("text/plain", b"OK"),
        ("application/json", b"\xef\xbb\xbf{}"),
        ("application/json; charset=utf-16", '{"found": false, "voucher_id": "V-1"}'.encode("utf-16")),
        ("application/octet-stream", bytes(100)),
        ("application/json", b""),
        ("application/json", b" \r\n"),
    ],
    ids=["page", "words", "byte order mark", "utf-16", "zeros", "empty", "spaces"],
)
async def test_response_without_json_is_invalid(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, content_type: str, body: bytes
) -> None:
    for address in {url(partner), url(Partner.MCB)}:
        mocked.post(address, body=body, content_type=content_type, response_class=MockedResponse, repeat=True)
    assert set(await call(partner, http, URL_OF_PARTNER)) == {Meaning.INVALID}


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize(
    "content_type", ["text/plain", "text/html; charset=windows-1251", "nothing of the kind", ""]
)
async def test_json_counts_whatever_its_content_type(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, content_type: str
) -> None:
    mocked.post(url(partner), body=SUCCESS[partner], content_type=content_type, response_class=MockedResponse)
    assert set(await call(partner, http, URL_OF_PARTNER)) == {MEANING_OF_SUCCESS[partner]}


@pytest.mark.parametrize("partner", Partner)
async def test_cancellation_passes_through_and_makes_no_outcome(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner
) -> None:
    arrived = asyncio.Event()

    async def hang(_: URL, **__: object) -> None:
        arrived.set()
        await asyncio.Event().wait()

    mocked.post(url(partner), callback=hang)
    task = asyncio.create_task(call(partner, http, URL_OF_PARTNER))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(requests(mocked)) == 1


@pytest.mark.parametrize(("partner", "status"), WITH_BODY)
async def test_cancellation_in_mid_body_makes_no_outcome(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, status: int
) -> None:
    cancelled = asyncio.CancelledError()
    mocked.post(url(partner), status=status, response_class=breaking_after(SUCCESS[partner], cancelled))
    with pytest.raises(asyncio.CancelledError):
        await call(partner, http, URL_OF_PARTNER)


async def test_batch_of_which_one_request_fails_retries_that_case_alone(
    http: aiohttp.ClientSession, mocked: aioresponses
) -> None:
    mocked.post(url(Partner.MCB_BATCH), status=400, response_class=MockedResponse)
    mocked.post(url(Partner.MCB), exception=aiohttp.ServerDisconnectedError())
    mocked.post(url(Partner.MCB), body=SUCCESS[Partner.MCB], response_class=MockedResponse)
    assert await call(Partner.MCB_BATCH, http, URL_OF_PARTNER) == [Meaning.RETRIED, Meaning.NUMBER]


@pytest.mark.parametrize("partner", [Partner.MCB, Partner.MCB_BATCH, Partner.WALLET])
async def test_reason_of_a_retry_names_the_error_and_quotes_nothing(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner
) -> None:
    mocked.post(url(partner), exception=aiohttp.ClientPayloadError("body was 870312497005"))
    reasons = {getattr(outcome, "reason", None) for outcome in await outcomes(partner, http, URL_OF_PARTNER)}
    assert reasons == {"ClientPayloadError"}
