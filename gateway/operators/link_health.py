"""Whether a link's SMSC accepts what is sent: refusals that are the link's fault, silence, late responses."""

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway import metrics
from gateway.config import Link as LinkConfig
from gateway.config.policy import LinkPolicy
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.smpp import status
from gateway.smpp.refusals import Cause, LinkStop, Refusals

log = get_logger()

LATE_LOG_SECONDS: Final = 60.0
"""The interval of log lines that say that responses come late."""
LATE_MARGIN: Final = 1.5
"""The factor between the time that a late response took and the response_timeout that it would need."""


class SendingHealth(NamedTuple):
    """What a link says about itself. Instants are monotonic seconds."""

    stopped_status: int | None  # the command_status with which the SMSC refuses whatever is sent
    stopped_at: float
    unaccepted_since: float | None  # the first submit_sm after which nothing was accepted
    needed_timeout_seconds: float | None  # that late responses would have needed; None: they are in time (again)


class LinkHealth:
    """The health of one link, over all its binds. Instants are monotonic seconds."""

    def __init__(self, config: LinkConfig, policy: LinkPolicy, now: Callable[[], float]) -> None:
        """`now` is the monotonic clock."""
        self.is_suspect = False
        """Whether there was a refusal or time-out since the last acceptance."""
        self._link = config.name
        self._response_timeout = config.response_timeout.total_seconds()
        self._now = now
        self._late_ends_seconds = policy.late_ends_seconds
        self._refusals = Refusals(policy.first_probe_seconds)
        self._stop = LinkStop(policy.first_probe_seconds)
        self._stopped_at = 0.0
        self._refused_at = float("-inf")
        self._accepted_at = float("-inf")
        self._waiting_since = float("-inf")  # the first submit_sm after the last acceptance
        self._silence_logged = float("-inf")  # the `_waiting_since` of the last line
        self._needed_timeout_seconds: float | None = None
        self._late_at = float("-inf")  # the last late response
        self._late_logged_at = float("-inf")
        metrics.LINK_STOPPED.labels(self._link).set(0)

    def delay(self, now: float) -> float:
        """Seconds until the next segment may be sent; more than 0 only while the link is stopped."""
        return self._stop.delay(now) if self.is_suspect else 0.0

    def submitted(self, now: float) -> None:
        """Notes that a segment was sent; that of a stopped link is a probe."""
        if self.is_suspect:
            self._stop.probed(now)
        if self._waiting_since <= self._accepted_at:
            self._waiting_since = now

    def accepted(self, now: float) -> None:
        """Notes that a segment was accepted in time."""
        self._accepted_at = now

    def accepted_late(self, seconds: float) -> bool:
        """Whether the acceptance of a segment sent so long ago shows that a suspect link works.

        A segment that was sent before the last refusal shows nothing.
        """
        self._accepted_at = self._now()
        return self.is_suspect and self._accepted_at - seconds > self._refused_at

    def refused(self, msisdn: str, kind: status.StatusKind, *, again: bool) -> Cause:
        """Whom a refusal of this number is about; while the link is stopped, the link.

        `again`: it was refused before, and another number has been accepted since.
        """
        self.is_suspect, self._refused_at = True, self._now()
        cause = self._refusals.refused(msisdn, kind, self._now(), again=again)
        return Cause.LINK if self._stop.command_status is not None else cause

    def undecided_wait_seconds(self) -> float:
        """Until a number whose refusal is undecided is tried again, if no other is accepted before."""
        return self._refusals.wait_seconds(self._now())

    def stop(self, command_status: int) -> None:
        """Stops the link: until an acceptance, only probes are sent."""
        if self._stop.stop(command_status, self._now()):
            self._stopped_at = self._now()
            log.error(LogEvent.LINK_STOPPED, link=self._link, command_status=status.name(command_status))
            metrics.LINK_STOPPED.labels(self._link).set(1)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is sent but probes."""
        return self._stop.command_status is not None

    def resume(self, *, is_suspect: bool) -> None:
        """The link works. `is_suspect`: some refusals are still undecided, or no segment was accepted in time."""
        self.is_suspect = is_suspect
        self._refusals.accepted()
        if self._stop.resume():
            log.info(LogEvent.LINK_RESUMED, link=self._link)
            metrics.LINK_STOPPED.labels(self._link).set(0)

    def accepted_within(self, seconds: float) -> bool:
        """Whether a segment was accepted in the last `seconds`."""
        return self._now() - self._accepted_at < seconds

    def responded_late(self, seconds: float) -> None:
        """Tells the response_timeout that late responses would need; a line a minute at most."""
        self._needed_timeout_seconds = max(seconds * LATE_MARGIN, self._needed_timeout_seconds or 0.0)
        now = self._late_at = self._now()
        if now - self._late_logged_at >= LATE_LOG_SECONDS:
            self._late_logged_at = now
            log.warning(
                LogEvent.LINK_RESPONSES_LATE,
                link=self._link,
                response_timeout=self._response_timeout,
                needed=round(self._needed_timeout_seconds, 1),
            )

    def report(self) -> SendingHealth:
        """What the link says about itself now; a silence of the SMSC is logged once."""
        since, now = self._waiting_since, self._now()
        if self._accepted_at - self._late_at >= self._late_ends_seconds:
            self._needed_timeout_seconds = None
        silent = since > self._accepted_at and now - since > self._response_timeout
        if silent and since != self._silence_logged:
            self._silence_logged = since
            log.warning(LogEvent.LINK_NOTHING_ACCEPTED, link=self._link, seconds=round(now - since, 1))
        return SendingHealth(
            self._stop.command_status, self._stopped_at, since if silent else None, self._needed_timeout_seconds
        )
