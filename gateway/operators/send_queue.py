"""The texts of a link that are in memory, and whose segment goes next.

Two lines: answers (texts 2 and 3, clarifications) always go before requests and repeats. No sockets, rows or
clocks here.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

import orjson

from gateway.store.sms import BULK, ClaimedSms, SmsProgress, SmsState


class OutgoingText:
    """A text under way: which segments are still to be sent, and what the SMSC has said of the others."""

    __slots__ = (
        "accepted_at", "accepted_segments", "aside", "begun", "bodies", "busy", "deadline", "expected", "in_line",
        "message_ids", "refused", "stale", "taken", "tracked_segments", "under_way", "unsent", "weight",
    )  # fmt: skip

    def __init__(
        self, taken: ClaimedSms, bodies: Sequence[bytes], tracked: int, deadline: float | None = None
    ) -> None:
        self.taken = taken
        self.bodies = bodies
        self.weight = taken.segments if len(bodies) == 1 else 1  # segments on the air that one body stands for
        self.tracked_segments = tracked  # bit n: a receipt is asked for segment n
        self.accepted_segments = taken.accepted_segments  # bit n: the SMSC has accepted segment n
        self.unsent = deque(n for n in range(len(bodies)) if not taken.accepted_segments >> n & 1)
        self.begun = taken.attempts > 1 or taken.accepted_segments != 0  # a segment has left, or may have
        self.under_way = 0
        self.message_ids: list[str | None] = (
            orjson.loads(taken.message_ids) if taken.message_ids else [None] * len(bodies)
        )
        self.expected: list[tuple[str, str, int, int]] = []  # receipts to expect, not yet written
        self.refused: int | None = None  # the command_status that refused it for good
        self.accepted_at: datetime | None = None
        self.deadline = deadline  # monotonic: after it a screen is gone, and nothing is sent to it
        self.stale = False  # the deadline came first
        self.busy = 0  # how often in a row the SMSC was too busy for it
        self.in_line = False
        self.aside = False

    @property
    def is_bulk(self) -> bool:
        return self.taken.priority == BULK

    @property
    def is_screen(self) -> bool:
        return self.taken.tlvs is not None

    @property
    def is_accepted(self) -> bool:
        return self.accepted_segments == (1 << len(self.bodies)) - 1

    @property
    def progress(self) -> SmsProgress:
        """What the row is to say. A refusal is final once nothing of the text is under way."""
        state = SmsState.SENDING
        if self.refused is not None and not self.under_way:
            state = SmsState.REFUSED
        elif self.is_accepted:
            state = SmsState.ACCEPTED
        elif self.stale and not self.under_way:
            state = SmsState.CANCELLED
        return SmsProgress(
            self.taken.sms_id,
            state,
            self.accepted_segments,
            self.tracked_segments,
            self.message_ids,
            self.accepted_at,
        )


class SendQueue:
    """Bounded by whoever fills it: `ready` is the number of bulk segments that could go at once."""

    def __init__(self, unsent: set[str]) -> None:
        """`unsent` is kept: the cases whose question is held and of which nothing has left."""
        self._unsent = unsent
        self.held: dict[int, OutgoingText] = {}  # all texts in memory, by sms_id
        self.ready = 0
        self.under_way = 0
        self.answers = 0  # answer texts in memory
        self._answers: deque[OutgoingText] = deque()
        self._bulk: deque[OutgoingText] = deque()

    def hold(self, out: OutgoingText) -> None:
        """Takes a text in, behind its like."""
        self.held[out.taken.sms_id] = out
        if not out.is_bulk:
            self.answers += 1
        elif not out.begun and out.taken.case_id is not None:
            self._unsent.add(out.taken.case_id)
        self._line_up(out)

    def forget(self, out: OutgoingText) -> None:
        """Lets a text go, whatever of it was still to be sent."""
        if self.held.pop(out.taken.sms_id, None) is None:
            return
        if not out.is_bulk:
            self.answers -= 1
        elif not out.begun and out.taken.case_id is not None:
            self._unsent.discard(out.taken.case_id)
        self.drop_unsent(out)

    def next(self) -> OutgoingText | None:
        """The text whose turn it is; it has a segment to send."""
        for line in (self._answers, self._bulk):
            while line:
                if line[0].unsent and not line[0].aside:
                    return line[0]
                line.popleft().in_line = False
        return None

    def take_segment(self, out: OutgoingText) -> int:
        """The number (from 0) of the text's next segment, which is under way from now on."""
        if out.is_bulk:
            self.ready -= 1
            if not out.begun and out.taken.case_id is not None:
                self._unsent.discard(out.taken.case_id)
        out.begun = True
        out.under_way += 1
        self.under_way += 1
        return out.unsent.popleft()

    def came_back(self, out: OutgoingText) -> None:
        """A segment is no longer under way."""
        out.under_way -= 1
        self.under_way -= 1

    def put_back(self, out: OutgoingText, segment: int) -> None:
        """A segment that has to go again, before all others of its kind."""
        if out.taken.sms_id not in self.held:
            return
        out.unsent.appendleft(segment)
        if out.is_bulk and not out.aside:
            self.ready += 1
        if not out.in_line and not out.aside:
            out.in_line = True
            (self._bulk if out.is_bulk else self._answers).appendleft(out)

    def drop(self, out: OutgoingText, segment: int) -> bool:
        """A segment need not go again; False when it was not waiting to."""
        if segment not in out.unsent:
            return False
        out.unsent.remove(segment)
        if out.is_bulk and not out.aside:
            self.ready -= 1
        return True

    def drop_unsent(self, out: OutgoingText) -> None:
        """Nothing of the text that has not left will leave."""
        if out.is_bulk and not out.aside:
            self.ready -= len(out.unsent)
        out.unsent.clear()

    def set_aside(self, out: OutgoingText) -> None:
        """The text waits; the others go on."""
        if not out.aside:
            out.aside = True
            if out.is_bulk:
                self.ready -= len(out.unsent)

    def line_up_again(self, out: OutgoingText) -> None:
        """A text that was set aside takes its place at the end of the line."""
        if out.aside and out.taken.sms_id in self.held:
            out.aside = False
            self._line_up(out)

    def _line_up(self, out: OutgoingText) -> None:
        if out.is_bulk:
            self.ready += len(out.unsent)
        if not out.in_line:
            out.in_line = True
            (self._bulk if out.is_bulk else self._answers).append(out)
