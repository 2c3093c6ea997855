"""Whether a partner responds as its contract says, and how long it gets no requests where it does not."""

from datetime import timedelta

from prometheus_client import Gauge

from gateway import metrics
from gateway.backoff import Backoff
from gateway.config.policy import PartnerPolicy
from gateway.logs.log import Event, get_logger
from gateway.partners.responses import FailureKind, at_least

log = get_logger()


class Availability:
    """A partner as one process sees it: the state behind the waits, their log lines, the metric and the alert.

    An outage ends by itself, and the waits are short. A pause is for what a person has to settle: the waits are
    long, and only a response that fits the contract ends it.
    """

    def __init__(self, partner: str, *, outage: Backoff, policy: PartnerPolicy) -> None:
        self._partner = partner
        self._outage = outage
        self._policy = policy
        self._failures = 0  # in a row, of the present kind of wait
        self._invalid = 0  # responses in a row
        self._paused: FailureKind | None = None
        self._responded: Gauge | None = None
        metrics.PARTNER_FAILURES.labels(partner).set(0)

    @property
    def failing(self) -> bool:
        """Whether the last request failed: requests are then made one at a time."""
        return self._failures > 0

    def count_invalid(self) -> bool:
        """Counts an invalid response; True when there were so many in a row that the partner is to blame."""
        self._invalid += 1
        return self._invalid >= self._policy.max_invalid_responses

    def responded(self) -> None:
        """A response fits the contract."""
        self._invalid = 0
        if self._responded is None:  # not before: a metric of 0 would be an instant
            self._responded = metrics.PARTNER_RESPONDED.labels(self._partner)
        self._responded.set_to_current_time()

    def failed(self, kind: FailureKind, reason: str, retry_after: timedelta | None) -> float:
        """Seconds until the next attempt: by backoff, or longer where the partner says so."""
        if kind is not FailureKind.OUTAGE and kind is not self._paused:
            self._end_pause()
            self._failures = 0
            self._paused = kind
            metrics.PARTNER_PAUSED.labels(self._partner, kind).set(1)
        self._failures += 1
        metrics.PARTNER_FAILURES.labels(self._partner).set(self._failures)
        metrics.PARTNER_FAILED.labels(self._partner).set_to_current_time()
        metrics.PARTNER_FAILURE.labels(self._partner).info({"reason": reason})
        backoff = self._policy.pause if self._paused else self._outage
        seconds = at_least(backoff.delay(self._failures), retry_after)
        if self._paused:
            log.error(
                Event.PARTNER_PAUSED,
                call=self._partner,
                why=self._paused,
                reason=reason,
                retry_in=round(seconds, 1),
            )
        else:
            log.warning(Event.PARTNER_UNAVAILABLE, call=self._partner, reason=reason, retry_in=round(seconds, 1))
        return seconds

    def succeeded(self) -> None:
        """A request succeeded: requests are made as usual."""
        if self._failures:
            self._failures = 0
            metrics.PARTNER_FAILURES.labels(self._partner).set(0)
        if self._paused:
            self._end_pause()
            log.info(Event.PARTNER_RESUMED, call=self._partner)

    def close(self) -> None:
        """This process makes no more requests, so it pauses nobody."""
        metrics.PARTNER_FAILURES.labels(self._partner).set(0)
        self._end_pause()

    def _end_pause(self) -> None:
        if self._paused:
            metrics.PARTNER_PAUSED.labels(self._partner, self._paused).set(0)
        self._paused = None
