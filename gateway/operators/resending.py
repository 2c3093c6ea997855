"""When segments whose outcome is unknown are sent again: later each time, so that a slow SMSC is not flooded."""

from collections.abc import Callable

from gateway.backoff import Backoff
from gateway.config.policy import LinkPolicy
from gateway.operators.send_queue import OutgoingText


class Resending:
    """The waits of one link. A response that comes meanwhile makes the copy unnecessary."""

    def __init__(self, response_timeout_seconds: float, policy: LinkPolicy, now: Callable[[], float]) -> None:
        """`now` is the monotonic clock, in seconds."""
        self._backoff = Backoff(
            first_seconds=response_timeout_seconds,
            max_seconds=max(policy.max_resend_wait_seconds, response_timeout_seconds),
        )
        self._pause_after_copy_seconds = policy.pause_after_copy.total_seconds()
        self._now = now
        self._failures = 0  # of the link: periods in which segments timed out and none was accepted
        self._period_ends = float("-inf")

    def timed_out(self) -> None:
        """A segment had no response within response_timeout."""
        now = self._now()
        if now >= self._period_ends:
            self._failures += 1
            self._period_ends = now + self._backoff.ceiling(self._failures)

    def accepted(self) -> None:
        """A segment was accepted in time."""
        self._failures, self._period_ends = 0, float("-inf")

    def wait_seconds(self, out: OutgoingText) -> float:
        """From now until the text's segments of unknown outcome are to be sent again."""
        if not out.unknown_segments:
            return 0.0
        if out.is_single and out.sendings % 2 == 0:
            return self._pause_after_copy_seconds
        if not out.timed_out and out.sendings == 1:  # the connection was lost: no response can come any more
            return 0.0
        own = self._backoff.ceiling(out.sendings if out.timed_out else out.sendings - 1)
        return max(own, self._period_ends - self._now() if out.timed_out else 0.0)
