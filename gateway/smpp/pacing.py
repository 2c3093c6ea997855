"""How fast a link may send: smooth, close under the operator's limit, slower when the operator says so.

Three rules, and the strictest decides. The *schedule*: every segment moves the instant of the next one on by one
interval; one that a late timer or a busy process has held up takes nothing away from those behind it. *Catching
up* is no burst: segments behind their schedule go at a higher pace, but for the few that one wake-up of a
timer stands for. And the *window*: whatever was late, no span of a little more than a second ever holds more than
`tps` segments. What it is longer than a second is for the network, which may bunch what was sent apart.

An operator that throttles below its `tps` shows what it can really do: its answers slow the link down at
once, and accepted segments bring the rate back up little by little.
"""

from collections import deque
from math import ceil, inf
from typing import Final

LATE: Final = 0.1
"""Seconds behind its instant up to which a segment was held up; beyond, the link was idle: nothing is saved up."""
CATCHING_UP: Final = 2.0
"""The pace, as a multiple of the rate, at which held-up segments go."""
AT_ONCE: Final = 0.005
"""Seconds' worth of them that may go at once: a timer does not wake for each."""
WINDOW: Final = 1.012
"""Seconds that hold `tps` segments at most; the link's pace is so much below it."""

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
        self._full = tps / WINDOW if tps else inf
        self._step = self._full * RECOVERY
        self._set_rate(self._full)
        self._next = -inf  # the instant of the next segment by the schedule
        self._soonest = -inf  # and by the pace of catching up
        self._sent: deque[float] = deque()  # instants of the segments of the window
        self._paused_until = -inf
        self._second_began = -inf  # without a limit, takes are counted by the second
        self._this_second = self._last_second = 0

    @property
    def rate(self) -> float:
        """Segments a second that the link sends at most now; infinite without a limit."""
        return self._rate

    def delay(self, now: float) -> float:
        """How many seconds to wait before the next segment; 0: it may go now."""
        if self._rate == inf:
            return 0.0
        sent = self._sent
        while sent and sent[0] <= now - WINDOW:
            sent.popleft()
        held = sent[len(sent) - self._most] + WINDOW - now if len(sent) >= self._most else 0.0
        return max(self._next - now, self._soonest - AT_ONCE - now, held, 0.0)

    def record_sent(self, now: float, n: int = 1) -> None:
        """Count what goes now: a segment, or the `n` that one submit_sm with message_payload makes."""
        if self._rate == inf:
            if now - self._second_began >= 1.0:
                self._last_second, self._this_second, self._second_began = self._this_second, 0, now
            self._this_second += n
            return
        if now - self._next > LATE:
            self._next = now
        self._next += n * self._interval
        self._soonest = max(self._soonest, now) + n * self._interval / CATCHING_UP
        self._sent.extend([now] * n)

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
        self._next = max(self._next, self._paused_until)

    def accepted(self, now: float) -> None:
        """Speed up a little, if the link was slowed down; each segment stands for the time it took."""
        if self._rate < self._full and now >= self._paused_until:
            self._set_rate(min(self._rate + self._step / self._rate, self._full))

    def _set_rate(self, rate: float) -> None:
        self._rate, self._interval = rate, 1 / rate
        self._most = max(ceil(rate * WINDOW - 1e-6), 1) if rate < inf else 0
