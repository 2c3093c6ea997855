"""For how long a partner has not responded, as its gauge says."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from gateway.partners.responses import InvalidResponse
from gateway.partners.silence import FORGOTTEN_AFTER_SECONDS, Silence
from tests.harness import eventually, metric
from tests.partners.http_failures import RawServer, raw_server, read_request
from tests.partners.partner_calls import SUCCESS, Partner, call

KINDS = {Partner.MCB: "lookup", Partner.MCB_BATCH: "lookup", Partner.WALLET: "voucher", Partner.SDU: "sdu"}


class Now:
    """A clock that is set."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def time_out(silence: Silence, now: Now, seconds: float) -> None:
    with suppress(TimeoutError), silence.request():
        now.seconds += seconds
        raise TimeoutError


def test_a_silence_lasts_over_time_outs_and_the_waits_between_them() -> None:
    now = Now()
    silence = Silence("lookup", now=now)
    for _ in range(3):
        time_out(silence, now, 5.0)
        now.seconds += 1.0
    assert (silence.seconds(), metric("partner_silent_seconds", kind="lookup")) == (18.0, 18.0)


@pytest.mark.parametrize("error", [None, InvalidResponse("200 without JSON")])
def test_a_response_ends_a_silence_even_one_that_fits_no_contract(error: InvalidResponse | None) -> None:
    now = Now()
    silence = Silence("voucher", now=now)
    time_out(silence, now, 30.0)
    with suppress(InvalidResponse), silence.request():
        if error:
            raise error
    assert silence.seconds() == 0.0


@pytest.mark.parametrize("error", [ConnectionRefusedError(), aiohttp.ServerDisconnectedError()])
def test_a_connection_that_fails_neither_begins_a_silence_nor_ends_one(error: Exception) -> None:
    now = Now()
    silence = Silence("sdu", now=now)
    for before in (0.0, 30.0):
        if before:
            time_out(silence, now, before)
        with pytest.raises(type(error)), silence.request():
            raise error
        assert silence.seconds() == before


def test_slow_responses_to_some_of_many_requests_are_no_silence() -> None:
    now = Now()
    silence = Silence("lookup", now=now)
    with silence.request():
        now.seconds += 40.0
        with silence.request():
            now.seconds += 1.0
        assert silence.seconds() == 0.0
        now.seconds += 2.0
        assert silence.seconds() == 2.0


def test_a_request_that_times_out_although_later_ones_had_a_response_leaves_no_silence() -> None:
    now = Now()
    silence = Silence("lookup", now=now)
    with suppress(TimeoutError), silence.request():
        now.seconds += 1.0
        with silence.request():
            pass
        raise TimeoutError
    now.seconds += 20.0
    assert silence.seconds() == 0.0


def test_a_silence_is_forgotten_where_this_process_calls_no_more() -> None:
    now = Now()
    silence = Silence("sdu", now=now)
    time_out(silence, now, 30.0)
    now.seconds += FORGOTTEN_AFTER_SECONDS
    assert silence.seconds() == 30.0 + FORGOTTEN_AFTER_SECONDS
    now.seconds += 1.0
    assert silence.seconds() == 0.0


@pytest.mark.parametrize("partner", Partner)
async def test_a_server_that_never_responds_is_silent_until_it_does(
    http: aiohttp.ClientSession, partner: Partner
) -> None:
    respond = asyncio.Event()

    async def serve(state: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.requests.append(await read_request(reader))
        await respond.wait()
        body = SUCCESS[partner]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()

    def silent() -> float:
        return metric("partner_silent_seconds", kind=KINDS[partner])

    async with raw_server(serve) as server:
        calling = asyncio.create_task(call(partner, http, server.url))
        await eventually(lambda: bool(server.requests) and silent() > 0.1)
        respond.set()
        await calling
        assert silent() == 0.0
