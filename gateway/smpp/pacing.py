"""How fast a link may send: smooth, close under the operator's limit, slower when the operator says so.

The limit is the generic cell rate algorithm (ITU-T I.371): every segment moves the *theoretical* instant of
the next one on by one interval, and each may go up to a tolerance before its own. The tolerance is what a
timer that wakes late catches up with. Any window of one second then holds at most ⌈(1 + tolerance) · rate⌉
segments: with rate = 0.99 · tps and 5 ms, ⌈0.995 · tps⌉. The rest of the margin is for the network, which may
bunch what was sent apart.

An operator that throttles below its `tps` shows what it can really do: its answers slow the link down at
once, and accepted segments bring the rate back up little by little.
"""

from math import inf
from typing import Final

UTILISATION: Final = 0.99
TOLERANCE: Final = 0.005
"""Seconds. (1 + TOLERANCE) · UTILISATION stays below 1: that is the promise of no window above `tps`."""

PAUSE: Final = 1.0
"""Seconds without sending after a throttled answer: operators count by the second."""
BACK_OFF: Final = 0.8
"""What is left of the rate after it."""
RECOVERY: Final = 0.01
"""How much of the full rate comes back with each second of accepted segments; also what is left at least."""


class Pacer:
    """The pace of one link, over all its sessions. Instants are monotonic seconds: the caller's `now`.

    `tps` is the operator's limit in segments a second, fractions too; 0 means no limit until the operator
    throttles: from then on it is slowed down from what it took in a second, and sped up again without end.
    """

    def __init__(self, tps: float) -> None:
        self._full = tps * UTILISATION if tps else inf
        self._step = self._full * RECOVERY
        self._set_rate(self._full)
        self._next = -inf  # the theoretical instant of the next segment
        self._paused_until = -inf
        self._second_began = -inf  # without a limit, takes are counted by the second
        self._this_second = self._last_second = 0

    @property
    def rate(self) -> float:
        """Segments a second that the link sends at most now; infinite without a limit."""
        return self._rate

    def delay(self, now: float) -> float:
        """How many seconds to wait before the next segment; 0: it may go now."""
        return max(self._next - TOLERANCE - now, 0.0)

    def take(self, now: float, n: int = 1) -> None:
        """Count what goes now: a segment, or the `n` that one submit_sm with message_payload makes."""
        self._next = max(self._next, now) + n * self._interval
        if self._full == inf:
            if now - self._second_began >= 1.0:
                self._last_second, self._this_second, self._second_began = self._this_second, 0, now
            self._this_second += n

    def throttled(self, now: float) -> None:
        """Pause and slow down. All answers that come during the pause speak of one and the same excess."""
        if now < self._paused_until:
            return
        if self._rate == inf:
            observed = float(max(self._last_second, self._this_second, 1))
            self._step = observed * RECOVERY
            self._set_rate(observed)
        self._set_rate(max(self._rate * BACK_OFF, self._step))
        self._paused_until = now + PAUSE
        self._next = max(self._next, self._paused_until + TOLERANCE)

    def accepted(self, now: float) -> None:
        """Speed up a little, if the link was slowed down; each segment stands for the time it took."""
        if self._rate < self._full and now >= self._paused_until:
            self._set_rate(min(self._rate + self._step / self._rate, self._full))

    def _set_rate(self, rate: float) -> None:
        self._rate, self._interval = rate, 1 / rate
