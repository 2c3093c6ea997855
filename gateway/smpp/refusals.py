"""Whether a refusal is about the number or about the link, and when a stopped link is tried again.

An operator that has closed an account, or does not know a sender, refuses every segment. Such refusals must not
end cases: only an acceptance shows that the link was not at fault, and the link may have been restored in between.
So a number is believed to be at fault when it is refused, another one is accepted, and it is refused again. All
instants are monotonic seconds.
"""

from enum import StrEnum
from typing import Final

from gateway.smpp.status import StatusKind

LINK_AFTER_NUMBERS: Final = 20
"""Different numbers refused in a row, after which the refusals are the link's."""
CERTAIN_NUMBERS: Final = 2
"""Different numbers refused in a row, up to which a wrong number, or a second refusal, is believed at once."""
FIRST_PROBE_SECONDS: Final = 28.0
"""The first wait for a probe. A link goes on within 30 seconds of the end of an outage of ten minutes."""
LAST_PROBE_SECONDS: Final = 600.0
PROBES_PER_OUTAGE: Final = 22
"""The wait for a probe is this part of the time for which the link has been stopped: 10 minutes after 220."""


class Cause(StrEnum):
    """Whom a refusal is about."""

    NUMBER = "number"
    UNDECIDED = "undecided"
    """It ends no case until another number has been accepted, and this one is refused again."""
    LINK = "link"
    """The link is to be stopped."""


class Refusals:
    """The refusals of a link since its last acceptance."""

    def __init__(self, first_probe_seconds: float = FIRST_PROBE_SECONDS) -> None:
        self._first_probe_seconds = first_probe_seconds
        self._numbers: set[str] = set()
        self._since = 0.0

    def refused(self, msisdn: str, kind: StatusKind, now: float, *, again: bool = False) -> Cause:
        """The cause of a refusal; `kind` is REFUSED, UNCLEAR or LINK.

        `again`: the number was refused before, and another one has been accepted since.
        """
        if not self._numbers:
            self._since = now
        self._numbers.add(msisdn)
        if kind is StatusKind.LINK or len(self._numbers) >= LINK_AFTER_NUMBERS:
            return Cause.LINK
        certain = (kind is StatusKind.REFUSED or again) and len(self._numbers) <= CERTAIN_NUMBERS
        return Cause.NUMBER if certain else Cause.UNDECIDED

    def accepted(self) -> None:
        """The link works: the next refusal is the first of its row."""
        self._numbers.clear()

    def wait_seconds(self, now: float) -> float:
        """Until a number whose refusal is undecided is tried again, if no other is accepted before."""
        return _probe_wait(now - self._since, self._first_probe_seconds)


class LinkStop:
    """Whether a link is stopped, and when it sends the next probe: a segment that shows whether it works again."""

    def __init__(self, first_probe_seconds: float = FIRST_PROBE_SECONDS) -> None:
        self.command_status: int | None = None
        """The command_status with which the SMSC refuses; None: the link is not stopped."""
        self._first_probe_seconds = first_probe_seconds
        self._since = self._probe_at = 0.0

    def stop(self, command_status: int, now: float) -> bool:
        """Whether the link was not stopped before; a probe that is refused only changes the status."""
        is_new = self.command_status is None
        self.command_status = command_status
        if is_new:
            self._since, self._probe_at = now, now + self._first_probe_seconds
        return is_new

    def resume(self) -> bool:
        """Whether the link was stopped; it is not any more."""
        was_stopped = self.command_status is not None
        self.command_status = None
        return was_stopped

    def delay(self, now: float) -> float:
        """Seconds until the next segment may be sent; 0 when the link is not stopped."""
        return 0.0 if self.command_status is None else max(self._probe_at - now, 0.0)

    def probed(self, now: float) -> None:
        """Notes that a segment was sent; that of a stopped link is a probe."""
        if self.command_status is not None:
            self._probe_at = now + _probe_wait(now - self._since, self._first_probe_seconds)


def _probe_wait(outage_seconds: float, first_probe_seconds: float) -> float:
    return max(min(outage_seconds / PROBES_PER_OUTAGE, LAST_PROBE_SECONDS), first_probe_seconds)
