"""How many segments of a session may be under way: as many as the SMSC responds to in time.

An SMSC that serves one PDU after the other responds to the last segment of a full window after `window` times
its service time. Where that exceeds `response_timeout`, every segment of a full window would be sent again, for
ever. So the window shrinks while responses come late, and grows again while they come early (additive increase,
multiplicative decrease, as in TCP).

An SMSC may also take longer than response_timeout whatever the window is. Where a smaller window has not made late
responses faster, it becomes larger than before it was reduced.
"""

from typing import Final

LATE_SHARE: Final = 0.5
"""Of response_timeout, after which a response is late: the window is halved, long before a time-out."""
EARLY_SHARE: Final = 0.25
"""Of response_timeout, within which a response is early: a window of them lets it grow by one segment."""
_REDUCTION: Final = 0.5
_FASTER: Final = 0.75
"""Share of the time that a response took before, below which a smaller window has made it faster."""


class AdaptiveWindow:
    """The window of one session. Instants are monotonic seconds, `response_timeout` is in seconds."""

    __slots__ = (
        "_early_seconds", "_reduced_at", "_size", "_size_before", "_timeout", "_took", "_took_before", "ceiling",
        "late_seconds",
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
        elif took <= self._early_seconds:
            self._size = min(self._size + 1 / self._size, self.ceiling)

    def responded_late(self, sent_at: float, now: float) -> None:
        """Notes a response that came after the time-out."""
        self._took = now - sent_at

    def timed_out(self, sent_at: float, now: float) -> None:
        """Shrinks the window: a segment has no response within response_timeout."""
        self._reduce(sent_at, now)

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
