"""The adaptive window alone, and against an SMSC that serves one PDU after the other."""

from collections import deque

import pytest

from gateway.smpp.window import FULL_SHARE, AdaptiveWindow


def test_a_window_has_its_configured_size_while_responses_come_early() -> None:
    window = AdaptiveWindow(100, 30.0)
    for n in range(1_000):
        window.responded(n / 100, n / 100 + 0.2)
    assert window.limit == 100


def test_late_responses_of_one_window_halve_it_once() -> None:
    window = AdaptiveWindow(100, 30.0)
    for n in range(100):
        window.responded(n / 100, 16.0 + n / 100)
    assert window.limit == 50


def test_responses_neither_early_nor_late_leave_the_window_as_it_is() -> None:
    window = AdaptiveWindow(100, 30.0, size=40.0)
    for n in range(1_000):
        window.responded(float(n), n + 10.0)
    assert window.limit == 40


def test_a_window_without_responses_shrinks_to_one_segment_and_no_further() -> None:
    window = AdaptiveWindow(100, 30.0)
    for n in range(20):
        window.timed_out(n * 30.0, (n + 1) * 30.0)
    assert window.limit == 1


def test_a_reduced_window_grows_by_one_for_each_window_of_early_responses() -> None:
    window = AdaptiveWindow(100, 30.0, size=10.0)
    for n in range(11):
        window.responded(float(n), n + 0.1)
    assert window.limit == 11


def test_a_window_stays_large_where_an_smsc_is_late_whatever_its_size() -> None:
    window = AdaptiveWindow(64, 30.0)
    sizes = []
    for n in range(40):
        sent_at = n * 31.0
        window.timed_out(sent_at, sent_at + 30.0)
        window.responded_late(sent_at, sent_at + 31.0)
        sizes.append(window.limit)
    assert min(sizes) == 16


@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_window_stays_large_where_some_late_responses_do_not_come(every: int) -> None:
    window = AdaptiveWindow(64, 30.0)
    sizes = []
    for n in range(200):
        sent_at = n * 31.0
        window.timed_out(sent_at, sent_at + 30.0)
        if n % every:
            window.responded_late(sent_at, sent_at + 31.0)
        sizes.append(window.limit)
    assert min(sizes) >= 4
    assert max(sizes[100:]) >= 32


def test_a_window_that_an_smsc_is_late_for_by_its_size_shrinks() -> None:
    window = AdaptiveWindow(64, 30.0)
    now = 0.0
    for _ in range(4):
        took = window.limit * 1.0
        if took > 30.0:
            window.timed_out(now, now + 30.0)
            window.responded_late(now, now + took)
        else:
            window.responded(now, now + took)
        now += took
    assert window.limit <= 16


@pytest.mark.parametrize("service_seconds", [0.05, 0.2, 0.4, 1.0, 5.0, 20.0])
def test_an_smsc_that_serves_one_pdu_after_the_other_is_kept_busy_and_times_no_segment_out_twice(
    service_seconds: float,
) -> None:
    response_timeout = 30.0
    window = AdaptiveWindow(100, response_timeout)
    now, timed_out = 0.0, 0
    under_way: list[float] = []
    for _ in range(2_000):
        under_way += [now] * (window.limit - len(under_way))
        now += service_seconds
        sent_at = under_way.pop(0)
        if now - sent_at > response_timeout:
            timed_out += 1
            window.timed_out(sent_at, now)
        else:
            window.responded(sent_at, now)
        assert under_way or window.limit == 1, "the SMSC has nothing to do"
    assert timed_out <= 200, "those sent before the SMSC was known to be slow"


class SmscWithWindow:
    """An SMSC that serves `limit` segments at once, 0.1 s each, and refuses others at once."""

    def __init__(self, limit: int, *, full_numbers: float = 0.0) -> None:
        """Of the segments, `full_numbers` are for numbers whose queues are full, whatever is under way."""
        self.window = AdaptiveWindow(100, 30.0)
        self._limit, self._full_numbers = limit, full_numbers
        self._ends: deque[float] = deque()
        self._now, self._full_segments = 0.0, 0.0

    def serve(self, segments: int) -> tuple[int, int]:
        """The numbers of segments accepted and refused, of those sent at 100 a second as the window allows."""
        accepted = refused = 0
        for _ in range(segments):
            self._now += 0.01
            while self._ends and (self._ends[0] <= self._now or len(self._ends) >= self.window.limit):
                end = self._ends.popleft()
                self._now = max(self._now, end)
                accepted += 1
                self.window.responded(end - 0.1, self._now)
                if self.window.may_be_full:
                    self.window.count(1, 0, 0, self._now)
            self._full_segments += self._full_numbers
            if len(self._ends) >= self._limit or self._full_segments >= 1.0:
                self._full_segments -= self._full_segments >= 1.0
                refused += 1
                self.window.responded(self._now, self._now)
                self.window.count(0, bool(self._ends), not self._ends, self._now)
            else:
                self._ends.append(self._now + 0.1)
        return accepted, refused


@pytest.mark.parametrize("limit", [1, 2, 5, 8])
def test_a_window_that_is_too_large_for_the_smsc_shrinks_to_what_it_accepts(limit: int) -> None:
    smsc = SmscWithWindow(limit)
    smsc.serve(1_000)
    accepted, refused = smsc.serve(20_000)
    assert refused / (accepted + refused) < FULL_SHARE
    assert limit / 2 <= smsc.window.limit <= limit + 2


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_window_stays_large_where_single_numbers_are_refused_whatever_its_size(share: float) -> None:
    smsc = SmscWithWindow(100, full_numbers=share)
    smsc.serve(20_000)
    sizes = []
    for _ in range(100):
        smsc.serve(200)
        sizes.append(smsc.window.limit)
    assert sorted(sizes)[10] >= 20


def test_a_window_stays_large_where_nothing_is_accepted() -> None:
    smsc = SmscWithWindow(0)
    smsc.serve(1_000)
    assert smsc.window.limit == 100
