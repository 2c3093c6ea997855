"""The segments of a session that the SMSC has not responded to, and the sequence numbers they use."""

from collections import OrderedDict
from typing import Final, Generic

from gateway.smpp.events import Tag
from gateway.smpp.pdu import MAX_SEQUENCE_NUMBER

MAX_LATE_RESPONSES: Final = 10_000
"""Segments without response whose late response is still recognised; the oldest are forgotten first."""


class InFlight(Generic[Tag]):
    """The segments by sequence_number, each with its tag and the instant it was sent at; oldest first.

    A segment is in `window` for response_timeout. Then it is in `overdue` for the same time: the SMSC may still be
    serving it, so it keeps its place in the window. After that only a late response is recognised. Instants are
    monotonic seconds.
    """

    def __init__(
        self,
        response_timeout: float,
        *,
        max_sequence_number: int = MAX_SEQUENCE_NUMBER,
        max_late: int = MAX_LATE_RESPONSES,
    ) -> None:
        """`response_timeout` is in seconds."""
        self.window: dict[int, tuple[Tag, float]] = {}
        self.overdue: dict[int, tuple[Tag, float]] = {}
        self.responded_at = float("-inf")
        """The instant of the last submit_sm_resp."""
        self._timeout = response_timeout
        self._max_sequence_number = max_sequence_number
        self._max_late = max_late
        self._late: OrderedDict[int, tuple[Tag, float]] = OrderedDict()
        self._sequence = 0
        self._is_reusing = False

    @property
    def places(self) -> int:
        """Places of the window that are taken."""
        return len(self.window) + len(self.overdue)

    def next_sequence_number(self) -> int:
        """The next of 1…0x7FFFFFFF, then from 1, without those whose response may still come (SMPP 3.4 §5.1.4)."""
        number = self._sequence + 1
        if number > self._max_sequence_number:
            number, self._is_reusing = 1, True
        if self._is_reusing:
            while number in self.window or number in self.overdue or number in self._late:
                number = number % self._max_sequence_number + 1
        self._sequence = number
        return number

    def pop_late(self, sequence_number: int, now: float) -> tuple[Tag, float] | None:
        """(tag, sent at) of a segment whose response_timeout is over; None when there is no such segment."""
        late = self.overdue.pop(sequence_number, None) or self._late.pop(sequence_number, None)
        if late is not None:
            self.responded_at = now
        return late

    def pop_timed_out(self, now: float) -> tuple[Tag, float] | None:
        """(tag, sent at) of the oldest segment in the window if it has timed out; it is overdue now."""
        for sequence_number, segment in self.window.items():
            if segment[1] + self._timeout > now:
                return None
            del self.window[sequence_number]
            self.overdue[sequence_number] = segment
            return segment
        return None

    def oldest_expired(self, now: float) -> float | None:
        """When the oldest segment was sent, if it has had no response for twice response_timeout."""
        for _, sent_at in self.overdue.values():
            return sent_at if sent_at + 2 * self._timeout <= now else None
        return None

    def free_oldest(self) -> None:
        """Gives up the place of the oldest overdue segment."""
        sequence_number = next(iter(self.overdue))
        self._late[sequence_number] = self.overdue.pop(sequence_number)
        if len(self._late) > self._max_late:
            self._late.popitem(last=False)

    def next_deadline(self, deadline: float) -> float:
        """The first instant up to `deadline` at which a segment times out or gives up its place."""
        for _, sent_at in self.window.values():
            deadline = min(deadline, sent_at + self._timeout)
            break
        for _, sent_at in self.overdue.values():
            return min(deadline, sent_at + 2 * self._timeout)
        return deadline
