"""When a link may send its next segment: evenly, below the operator's limit, slower after a throttled response.

Three limits apply; the strictest decides.

- Schedule: segments are one interval apart. A segment that a late timer delayed does not delay those after it.
- Catch-up: delayed segments go at `CATCH_UP_FACTOR` times the rate, not in one burst. Only as many may go at
  once as a late timer of `CATCH_UP_BURST_SECONDS` delays.
- Rate window: no span of `RATE_WINDOW_SECONDS` holds more than `tps` segments. The span is longer than a second,
  because the network may bring segments closer together than they were sent.

Below `tps`, a throttled response reduces the rate at once. Accepted segments raise it again step by step.
"""

from collections import deque
from math import ceil, inf
from typing import Final

MAX_CATCH_UP_SECONDS: Final = 0.1
"""How late a segment may be and still be caught up with. Beyond it the link was idle, which earns nothing."""
CATCH_UP_FACTOR: Final = 2.0
"""Multiple of the rate at which delayed segments go."""
CATCH_UP_BURST_SECONDS: Final = 0.005
"""Delayed segments that were due within this time may go at once: timers are too coarse for one each."""
RATE_WINDOW_SECONDS: Final = 1.012
"""Any span of this length holds at most `tps` segments. The rate is `tps` divided by it."""

THROTTLED_PAUSE_SECONDS: Final = 1.0
"""Nothing is sent for so long after a throttled response: operators count by the second."""
THROTTLED_RATE_FACTOR: Final = 0.8
"""The rate is multiplied by this after a throttled response."""
RECOVERY_PER_SECOND: Final = 0.01
"""Share of the full rate that one second of accepted segments gives back. The rate never falls below it."""

_ROUNDING: Final = 1e-6


class Pacer:
    """The pace of one link, over all its sessions. Instants are monotonic seconds: the caller's `now`.

    `tps` is the operator's limit in segments a second, fractions included. 0 means no limit until the operator
    throttles: then the rate starts from what was sent within a second, and rises again without an upper limit.
    """

    def __init__(self, tps: float) -> None:
        self._full_rate = tps / RATE_WINDOW_SECONDS if tps else inf
        self._recovery_step = self._full_rate * RECOVERY_PER_SECOND
        self._set_rate(self._full_rate)
        self._scheduled_at = -inf  # the next segment, by the schedule
        self._catch_up_at = -inf  # the next segment, by the pace of catching up
        self._sent_at: deque[float] = deque()  # instants of the segments in the rate window
        self._paused_until = -inf
        self._second_began = -inf  # without a limit, segments are counted by the second
        self._this_second = self._last_second = 0

    @property
    def rate(self) -> float:
        """The most segments a second that the link sends now; infinite without a limit."""
        return self._rate

    def delay(self, now: float) -> float:
        """Seconds to wait before the next segment; 0 when it may go now."""
        if self._rate == inf:
            return 0.0
        sent_at = self._sent_at
        while sent_at and sent_at[0] <= now - RATE_WINDOW_SECONDS:
            sent_at.popleft()
        until_window = 0.0
        if len(sent_at) >= self._max_in_window:
            until_window = sent_at[len(sent_at) - self._max_in_window] + RATE_WINDOW_SECONDS - now
        until_catch_up = self._catch_up_at - CATCH_UP_BURST_SECONDS - now
        return max(self._scheduled_at - now, until_catch_up, until_window, 0.0)

    def record_sent(self, now: float, segments: int = 1) -> None:
        """Counts what is sent now: one segment, or the `segments` of one submit_sm with message_payload."""
        if self._rate == inf:
            if now - self._second_began >= 1.0:
                self._last_second, self._this_second, self._second_began = self._this_second, 0, now
            self._this_second += segments
            return
        if now - self._scheduled_at > MAX_CATCH_UP_SECONDS:
            self._scheduled_at = now
        self._scheduled_at += segments * self._interval
        self._catch_up_at = max(self._catch_up_at, now) + segments * self._interval / CATCH_UP_FACTOR
        self._sent_at.extend([now] * segments)

    def throttled(self, now: float) -> None:
        """Pauses and reduces the rate. More of them within the pause have the same cause and no effect."""
        if now < self._paused_until:
            return
        if self._rate == inf:
            observed = float(max(self._last_second, self._this_second, 1))
            self._recovery_step = observed * RECOVERY_PER_SECOND
            self._set_rate(observed)
        self._set_rate(max(self._rate * THROTTLED_RATE_FACTOR, self._recovery_step))
        self._paused_until = now + THROTTLED_PAUSE_SECONDS
        self._scheduled_at = max(self._scheduled_at, self._paused_until)

    def accepted(self, now: float) -> None:
        """Raises a reduced rate by one step's share: each segment counts for the time it took at this rate."""
        if self._rate < self._full_rate and now >= self._paused_until:
            self._set_rate(min(self._rate + self._recovery_step / self._rate, self._full_rate))

    def _set_rate(self, rate: float) -> None:
        self._rate, self._interval = rate, 1 / rate
        self._max_in_window = max(ceil(rate * RATE_WINDOW_SECONDS - _ROUNDING), 1) if rate < inf else 0
