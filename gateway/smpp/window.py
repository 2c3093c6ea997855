"""How many segments of a session may be under way: as many as the SMSC responds to in time.

An SMSC that serves one PDU after the other responds to the last segment of a full window after `window` times
its service time. Where that exceeds `response_timeout`, every segment of a full window would be sent again, for
ever. So the window shrinks while responses come late, and grows again while they come early (additive increase,
multiplicative decrease, as in TCP).

An SMSC may also take longer than response_timeout whatever the window is. Where a smaller window has not made late
responses faster, it becomes larger than before it was reduced.

An SMSC may have a window of its own, and refuse what exceeds it. Where it accepts some segments and refuses others
with such a status, the window shrinks to what is accepted. Where it refuses them also one by one, that is undone.
"""

from typing import Final

from smpplib import consts

LATE_SHARE: Final = 0.5
"""The share of response_timeout after which a response is late: the window is halved, long before a time-out."""
EARLY_SHARE: Final = 0.25
"""The share of response_timeout within which a response is early: a window of them lets it grow by one segment."""
FULL_WINDOW_STATUSES: Final = frozenset({consts.SMPP_ESME_RMSGQFUL, consts.SMPP_ESME_RSUBMITFAIL})
"""The statuses with which SMSCs refuse a segment beyond their own window. ESME_RTHROTTLED slows the link down
(pacing.py).
"""
FULL_SAMPLE: Final = 32
"""The number of responses, or a window of them if that is more, that tells whether the window is too large."""
FULL_SHARE: Final = 1 / 8
"""The share of refused responses at which the window is too large: fewer may be for single numbers whose queues
are full.
"""
FULL_PAUSE: Final = 20
"""The number of response_timeouts for which the window stays as it is once a smaller one has not reduced refusals.
"""
_REDUCTION: Final = 0.5
_FASTER: Final = 0.75
"""The share of the time that a response took before, below which a smaller window has made it faster."""


class AdaptiveWindow:
    """The window of one session. Instants are monotonic seconds, `response_timeout` is in seconds."""

    __slots__ = (
        "_accepted", "_alone", "_early_seconds", "_fits_at", "_full", "_grows_at", "_reduced_at", "_size",
        "_size_before", "_size_before_full", "_timeout", "_took", "_took_before", "ceiling", "late_seconds",
    )  # fmt: skip

    def __init__(self, ceiling: int, response_timeout: float, size: float | None = None) -> None:
        """`ceiling` is the configured window; `size` that of an earlier session, from which this one goes on."""
        self.ceiling = ceiling
        self.late_seconds = response_timeout * LATE_SHARE
        self._early_seconds = response_timeout * EARLY_SHARE
        self._size = float(ceiling if size is None else min(size, ceiling))
        self._reduced_at = float("-inf")
        self._timeout = response_timeout
        self._took = self._took_before = 0.0  # the latest late response, and that before the reductions
        self._size_before = self._size
        self._accepted = self._full = self._alone = 0  # since a refusal that may be for a full window
        self._size_before_full = 0.0  # before the reductions for such refusals; 0: there were none
        self._grows_at = self._fits_at = float("-inf")

    @property
    def size(self) -> float:
        """The size with its fraction, for the session after this one."""
        return self._size

    @property
    def limit(self) -> int:
        """The number of segments that may be under way, from 1 to `ceiling`."""
        return int(self._size)

    def responded(self, sent_at: float, now: float) -> None:
        """Adapts the window to a response that came before the time-out."""
        took = now - sent_at
        if took > self.late_seconds:
            self._reduce(sent_at, now)
        elif took <= self._early_seconds and now >= self._grows_at and not self.may_be_full:
            self._size = min(self._size + 1 / self._size, self.ceiling)

    def responded_late(self, sent_at: float, now: float) -> None:
        """Notes a response that came after the time-out."""
        self._took = now - sent_at

    def timed_out(self, sent_at: float, now: float) -> None:
        """Shrinks the window: a segment has no response within response_timeout."""
        self._reduce(sent_at, now)

    @property
    def may_be_full(self) -> bool:
        """Whether acceptances are to be counted now, beside refusals for a full window."""
        return self._full > 0 or self._alone > 0

    def count(self, accepted: int, full: int, alone: int, now: float) -> None:
        """Counts acceptances and refusals with one of FULL_WINDOW_STATUSES.

        `alone` are refusals while no other segment was under way: those are not for the window. An SMSC that
        accepts nothing has another reason as well.
        """
        self._accepted += accepted
        self._full += full
        self._alone += alone
        counted = self._accepted + self._full + self._alone
        if counted < max(self._size, FULL_SAMPLE):
            return
        if self._accepted and counted - self._accepted >= counted * FULL_SHARE:
            self._fit(self._accepted / counted, now)
        self._accepted = self._full = self._alone = 0

    def _fit(self, accepted_share: float, now: float) -> None:
        """Shrinks the window to its accepted share, at least to half; or undoes that where it did not help."""
        if self._alone >= self._full:
            if self._size_before_full:
                self._size = max(self._size, self._size_before_full)
                self._size_before_full = 0.0
                self._fits_at = now + FULL_PAUSE * self._timeout
        elif now >= self._fits_at:
            self._size_before_full = self._size_before_full or self._size
            self._size = max(self._size * max(accepted_share, _REDUCTION), 1.0)
            self._grows_at = now + self._timeout

    def _reduce(self, sent_at: float, now: float) -> None:
        if sent_at < self._reduced_at:  # it is of the window that was reduced already
            return
        self._reduced_at = now
        if self._took_before and self._took > max(self._took_before * _FASTER, self._timeout):
            self._size = min(self._size_before / _REDUCTION, self.ceiling)
            self._took_before = 0.0
        else:
            if not self._took_before:
                self._size_before = self._size
            self._size = max(self._size * _REDUCTION, 1.0)
            self._took_before = self._took or self._took_before
        self._took = 0.0
