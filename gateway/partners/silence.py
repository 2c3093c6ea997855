"""For how long a partner has not responded: what tells of one that accepts connections and then says nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around one request and the reading of its response; TimeoutError is let through, as any other."""
        request, began = object(), self._now()
        self._under_way[request] = began
        try:
            yield
        except TimeoutError:
            if self._timed_out is None and began >= self._responded:
                self._timed_out = began
            raise
        except InvalidResponse:
            self._end()
            raise
        else:
            self._end()
        finally:
            del self._under_way[request]
            self._ended = self._now()

    def seconds(self) -> float:
        """For how long; 0 where no request waits for its response or has timed out since the last one."""
        now = self._now()
        if not self._under_way and now - self._ended > FORGOTTEN_AFTER_SECONDS:
            self._timed_out = None
        oldest = next(iter(self._under_way.values()), None)
        begins = [began for began in (oldest, self._timed_out) if began is not None]
        return now - max(min(begins), self._responded) if begins else 0.0

    def _end(self) -> None:
        self._timed_out = None
        self._responded = self._now()
