"""Retry-After as partners write it: a wait between nothing and an hour, or none that can be used."""

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aioresponses import aioresponses
from hypothesis import given
from hypothesis import strategies as st

from gateway.partners.responses import MAX_RETRY_AFTER, Retry, retry_after
from tests.harness import Family, Harness
from tests.partners.http_failures import MockedResponse
from tests.partners.partner_calls import PATHS, Meaning, Partner, call, outcomes, push

URL = "http://partner.example"
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

VALUES = {
    "1": timedelta(seconds=1),
    "  60 ": MINUTE,
    "3600": HOUR,
    "3601": HOUR,
    "99999999999": HOUR,
    "9" * 5000: HOUR,
    "0" * 5000: None,
    "0": None,
    "-1": None,
    "-99999999999": None,
    "+5": None,
    "1.5": None,
    "1e3": None,
    "0x10": None,
    "5, 10": None,
    "": None,
    "soon": None,
    "²": None,
    "٣": None,
    "NaN": None,
    "Infinity": None,
    "Mon, 23 Nov 2026 05:01:00 GMT": MINUTE,
    "Monday, 23-Nov-26 05:01:00 GMT": MINUTE,
    "Mon Nov 23 05:01:00 2026": MINUTE,
    "Mon, 23 Nov 2026 05:01:00 -0000": MINUTE,
    "Mon, 23 Nov 2026 10:01:00 +0500": MINUTE,
    "Fri, 31 Dec 9999 23:59:59 GMT": HOUR,
    "Fri, 31 Dec 9999 23:59:59 -2359": HOUR,
    "Mon, 23 Nov 2026 05:00:00 GMT": None,
    "Sun, 06 Nov 1994 08:49:37 GMT": None,
    "Mon, 01 Jan 0001 00:00:00 +2359": None,
    "Mon, 23 Nov 99999999999 05:01:00 GMT": None,
    "Mon, 23 Nov 2026 05:01:00 +99999999999999999": None,
    "Mon, 99 Nov 2026 05:01:00 GMT": None,
    "Mon, 23 Nov 2026 99:99:99 GMT": None,
}


@pytest.mark.parametrize(("value", "wait"), VALUES.items(), ids=lambda value: str(value)[:40])
def test_value_of_retry_after(value: str, wait: timedelta | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == wait


def test_absent_retry_after_is_no_wait() -> None:
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize("host_ahead", [-30 * 24 * HOUR, -HOUR, -MINUTE, 24 * HOUR, 30 * 24 * HOUR])
def test_a_date_means_the_wait_by_the_partners_clock_whatever_the_hosts_says(host_ahead: timedelta) -> None:
    headers = {"Retry-After": "Mon, 23 Nov 2026 05:01:00 GMT", "Date": "Mon, 23 Nov 2026 05:00:00 GMT"}
    assert retry_after(headers, NOW + host_ahead) == MINUTE


@pytest.mark.parametrize("date", ["", "soon", "Mon, 99 Nov 2026 05:00:00 GMT", "9" * 5000])
def test_a_date_of_the_response_that_cannot_be_read_gives_way_to_the_hosts_clock(date: str) -> None:
    headers = {"Retry-After": "Mon, 23 Nov 2026 05:01:00 GMT", "Date": date}
    assert retry_after(headers, NOW) == MINUTE


dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "", "x"]),
    st.integers(),
    st.sampled_from(["Nov", "11", "Foo"]),
    st.integers(),
    *[st.integers(-1, 100)] * 3,
    st.one_of(st.just("GMT"), st.integers().map("{:+}".format), st.text(max_size=5)),
)


@given(st.one_of(st.text(), st.integers().map(str), st.floats().map(str), dates))
def test_any_value_gives_a_wait_up_to_an_hour_or_none(value: str) -> None:
    wait = retry_after({"Retry-After": value}, NOW)
    assert wait is None or timedelta() < wait <= MAX_RETRY_AFTER


@pytest.mark.parametrize("partner", Partner)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@pytest.mark.parametrize("value", ["7", "9" * 5000, "-7", "0", "Mon, 23 Nov 2026 05:01:00 +99999999999999999"])
async def test_failed_call_is_retried_whatever_its_retry_after(
    http: aiohttp.ClientSession, mocked: aioresponses, partner: Partner, status: int, value: str
) -> None:
    mocked.post(
        URL + PATHS[partner],
        status=status,
        headers={"Retry-After": value},
        response_class=MockedResponse,
        repeat=True,
    )
    assert set(await call(partner, http, URL)) == {Meaning.RETRIED}
    expected = retry_after({"Retry-After": value}, NOW)
    if partner is Partner.SDU:
        unavailable = await push(http, URL)
        assert unavailable is not None
        assert (unavailable.reason, unavailable.retry_after) == (str(status), expected)
    else:
        for outcome in await outcomes(partner, http, URL):
            assert isinstance(outcome, Retry)
            assert (outcome.reason, outcome.retry_after) == (str(status), expected)


@pytest.mark.parametrize("value", [0, "Sun, 06 Nov 1994 08:49:37 GMT"])
async def test_sdu_that_names_no_wait_is_not_pushed_to_without_pause(harness: Harness, value: int | str) -> None:
    harness.sdu.down(status=503, retry_after=value)
    await harness.start()
    await harness.push(Family(n=1))
    await harness.sdu.wait_for(lambda: harness.sdu.failed >= 6)
    first, *_, last = harness.sdu.calls[:6]
    assert last.at - first.at >= 0.5 * (0.02 + 0.04 + 0.08 + 0.16 + 0.2)


@pytest.mark.parametrize("value", [0, "Sun, 06 Nov 1994 08:49:37 GMT"])
async def test_mcb_that_names_no_wait_is_not_called_without_pause(harness: Harness, value: int | str) -> None:
    harness.mcb.down(status=503, retry_after=value)
    await harness.start(mcb={"concurrency": 1})
    await harness.push(*(Family(n=n) for n in range(1, 21)))
    await harness.mcb.wait_for(lambda: harness.mcb.failed >= 6)
    first, *_, last = harness.mcb.calls[:6]
    assert last.at - first.at >= 0.5 * (0.02 + 0.04 + 0.08 + 0.16 + 0.2)


async def test_sdu_with_an_endless_retry_after_is_pushed_to_again(harness: Harness) -> None:
    """Not after the hour that it means: what is tested is that the value stops nothing."""
    harness.sdu.fail(status=503, retry_after="-" + "9" * 5000)
    await harness.start()
    await harness.ask(Family(n=1))
    assert harness.sdu.called >= 2
