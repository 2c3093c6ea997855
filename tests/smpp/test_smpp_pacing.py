"""Pacing: never above the limit in any second, close below it, and slower after throttled responses."""

import itertools
import random
from collections import deque
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.pacing import RATE_WINDOW_SECONDS, Pacer


def send_all_that_may_go(pacer: Pacer, now: float) -> int:
    sent = 0
    while pacer.delay(now) == 0 and sent < 10_000:
        pacer.record_sent(now)
        sent += 1
    return sent


def fullest_second(sent_at: list[float]) -> int:
    """The most segments in any interval [t, t + 1)."""
    fullest, window = 0, deque[float]()
    for at in sent_at:
        window.append(at)
        while at - window[0] >= 1.0:
            window.popleft()
        fullest = max(fullest, len(window))
    return fullest


rates = st.one_of(st.integers(1, 3_000).map(float), st.floats(0.05, 300))
gaps = st.lists(st.one_of(st.floats(0, 0.05), st.floats(0, 3), st.just(0.005)), min_size=1, max_size=200)


@given(rates, gaps, st.floats(0, 1e6))
def test_no_second_holds_more_than_tps_however_late_the_timers_wake(
    tps: float, gaps: list[float], now: float
) -> None:
    pacer, sent_at = Pacer(tps), []
    for gap in gaps:
        sent_at += [now] * send_all_that_may_go(pacer, now)
        now += gap
    assert fullest_second(sent_at) <= ceil(tps)


@given(rates, gaps, st.data())
def test_no_second_holds_more_than_tps_with_throttled_and_accepted_responses_between(
    tps: float, gaps: list[float], data: st.DataObject
) -> None:
    pacer, sent_at, now = Pacer(tps), [], 0.0
    for gap in gaps:
        sent_at += [now] * send_all_that_may_go(pacer, now)
        now += gap
        response = data.draw(st.sampled_from([pacer.throttled, pacer.accepted, pacer.accepted]))
        response(now)
        assert 0 < pacer.rate <= tps
    assert fullest_second(sent_at) <= ceil(tps)


@pytest.mark.parametrize("tps", [0.5, 1, 1.5, 10, 100, 500, 2_000])
def test_with_work_waiting_98_percent_of_tps_are_used_though_timers_wake_late(tps: float) -> None:
    pacer, lateness = Pacer(tps), random.Random(1)
    now, sent, seconds = 0.0, 0, max(10, 1000 / tps)
    while now < seconds:
        sent += send_all_that_may_go(pacer, now)
        now += pacer.delay(now) + lateness.uniform(0, 0.005)
    assert sent >= 0.98 * tps * seconds


@pytest.mark.parametrize("tps", [100, 500, 2_000])
def test_segments_that_a_busy_process_delayed_are_caught_up_with(tps: int) -> None:
    pacer, stalls, sent_at = Pacer(tps), random.Random(1), []
    now, stalled_at = 0.0, 0.1
    while now < 20:
        sent_at += [now] * send_all_that_may_go(pacer, now)
        now += max(pacer.delay(now), 0.001)
        if now >= stalled_at:  # a transaction's worth of work every 50 ms
            now += stalls.uniform(0.002, 0.012)
            stalled_at = now + 0.05
    assert len(sent_at) >= 0.98 * tps * 20
    assert fullest_second(sent_at) <= tps


def test_delayed_segments_are_not_sent_in_one_burst() -> None:
    pacer = Pacer(1000)
    pacer.record_sent(0.0)
    assert send_all_that_may_go(pacer, 0.09) <= 11


def test_segments_are_sent_evenly() -> None:
    pacer, now, sent_at = Pacer(100), 0.0, []
    while now < 3:
        sent_at += [now] * send_all_that_may_go(pacer, now)
        now += 0.001
    gaps = [after - before for before, after in itertools.pairwise(sent_at)]
    assert max(gaps) < 0.012
    assert min(gaps[1:]) > 0.008


def test_a_text_in_message_payload_counts_with_all_its_segments() -> None:
    pacer = Pacer(100)
    pacer.record_sent(0.0, 16)
    assert pacer.delay(0.0) == pytest.approx(0.16 * RATE_WINDOW_SECONDS)


def test_idle_time_earns_no_extra_segments() -> None:
    pacer = Pacer(10)
    pacer.record_sent(0.0)
    assert send_all_that_may_go(pacer, 3600.0) == 1


def test_a_throttled_response_pauses_the_link_for_a_second() -> None:
    pacer = Pacer(100)
    pacer.record_sent(5.0)
    pacer.throttled(5.0)
    assert pacer.delay(5.0) == pytest.approx(1.0)
    assert pacer.delay(5.999) > 0
    assert pacer.delay(6.0001) == 0


def test_throttled_responses_within_the_pause_reduce_the_rate_once() -> None:
    once, often = Pacer(100), Pacer(100)
    once.throttled(5.0)
    for n in range(100):
        often.throttled(5.0 + n / 1000)
    assert often.rate == once.rate == pytest.approx(80 / RATE_WINDOW_SECONDS)
    assert often.delay(5.1) == once.delay(5.1)


def test_repeated_throttling_reduces_the_rate_to_one_percent_at_least() -> None:
    pacer = Pacer(100)
    for n in range(100):
        pacer.throttled(2.0 * n)
    assert pacer.rate == pytest.approx(1 / RATE_WINDOW_SECONDS)


def test_segments_accepted_during_the_pause_do_not_raise_the_rate() -> None:
    pacer = Pacer(100)
    pacer.throttled(5.0)
    slow = pacer.rate
    pacer.accepted(5.5)
    assert pacer.rate == slow
    pacer.accepted(6.1)
    assert pacer.rate > slow


def test_accepted_segments_restore_the_full_rate_slowly() -> None:
    pacer, now = Pacer(100), 0.0
    pacer.throttled(now)
    seconds = 0
    now += 1.0
    while pacer.rate < 100 / RATE_WINDOW_SECONDS:
        for n in range(int(pacer.rate)):
            pacer.accepted(now + n / 100)
        now, seconds = now + 1, seconds + 1
        assert seconds < 60
    assert seconds >= 15
    pacer.accepted(now)
    assert pacer.rate == 100 / RATE_WINDOW_SECONDS


def test_a_link_finds_the_rate_that_the_operator_really_accepts() -> None:
    pacer, now, accepted_at, throttled = Pacer(100), 0.0, deque[float](), 0
    accepted_after_100_s = 0
    while now < 300:
        if pacer.delay(now) == 0:
            pacer.record_sent(now)
            while accepted_at and now - accepted_at[0] >= 1:
                accepted_at.popleft()
            if len(accepted_at) < 60:
                accepted_at.append(now)
                pacer.accepted(now)
                accepted_after_100_s += now >= 100
            else:
                throttled += 1
                pacer.throttled(now)
        now += 0.001
    assert accepted_after_100_s / 200 >= 0.8 * 60
    assert throttled < 40


def test_without_a_limit_segments_are_sent_at_once() -> None:
    pacer = Pacer(0)
    assert send_all_that_may_go(pacer, 0.0) == 10_000
    pacer.accepted(0.0)
    assert pacer.rate == inf


def test_without_a_limit_a_throttled_link_slows_down_from_its_observed_rate() -> None:
    pacer = Pacer(0)
    for second in range(3):
        for n in range(500):
            pacer.record_sent(second + n / 500)
    pacer.throttled(3.0)
    assert pacer.rate == pytest.approx(400)
    assert pacer.delay(3.0) == pytest.approx(1.0)
    for n in range(2_000):
        pacer.accepted(4.0 + n / 400)
    assert 415 < pacer.rate < 430
