"""For how long a partner has not responded: what tells of one that accepts connections and then says nothing."""

import time
from collections.abc import Callable

from gateway import metrics
from gateway.partners.responses import InvalidResponse

FORGOTTEN_AFTER_SECONDS = 90.0
"""The time without a request after which a partner is no longer silent: perhaps another process calls it.
It is longer than any wait between two attempts at a partner that is away.
"""


class Silence:
    """The requests of one process to a partner, and the gauge of their silence.

    A silence begins with the oldest request that is under way or has timed out since the last response.
    Time-outs do not end it: it is noticed as soon where they are short, and they need not be short to notice it.
    """

    def __init__(self, partner: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._under_way: dict[object, float] = {}  # when each began, the oldest first
        self._timed_out: float | None = None  # when the first began that has timed out since the last response
        self._responded = self._ended = now()
        metrics.PARTNER_SILENT.labels(partner).set_function(self.seconds)

    def request(self) -> "Request":
        """A context manager around one request and the reading of its response; it lets each exception through."""
        return Request(self)

    def begin(self, request: "Request") -> float:
        """Notes a request that begins, and when."""
        began = self._under_way[request] = self._now()
        return began

    def end(self, request: "Request", began: float, error: type[BaseException] | None) -> None:
        """Notes the end of a request."""
        del self._under_way[request]
        self._ended = self._now()
        if error is None or issubclass(error, InvalidResponse):
            self._timed_out = None
            self._responded = self._ended
        elif issubclass(error, TimeoutError) and self._timed_out is None and began >= self._responded:
            self._timed_out = began

    def seconds(self) -> float:
        """For how long; 0 where no request waits for its response or has timed out since the last one."""
        now = self._now()
        if not self._under_way and now - self._ended > FORGOTTEN_AFTER_SECONDS:
            self._timed_out = None
        oldest = next(iter(self._under_way.values()), None)
        begins = [began for began in (oldest, self._timed_out) if began is not None]
        return now - max(min(begins), self._responded) if begins else 0.0


class Request:
    """A request of which a `Silence` knows while the block runs."""

    __slots__ = ("_began", "_silence")

    def __init__(self, silence: Silence) -> None:
        self._silence = silence

    def __enter__(self) -> None:
        self._began = self._silence.begin(self)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._silence.end(self, self._began, error)
