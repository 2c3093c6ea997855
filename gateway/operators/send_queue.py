"""The queue of a link's texts in memory, and the order in which their segments are sent.

Two priorities: urgent texts (texts 2 and 3, clarifications, USSD screens) always before requests and repeats. No
sockets, rows or clocks are used here.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from gateway.store.outbox import Priority
from gateway.store.sms import ClaimedSms, ExpectedReceipt, SmsProgress, SmsState


class OutgoingText:
    """A text being sent: its unsent segments, and what the SMSC has responded to the others."""

    __slots__ = (
        "accepted_at", "accepted_segments", "again", "begun", "bodies", "busy", "busy_since", "claimed",
        "deadline", "expected", "given_up", "is_waiting", "message_ids", "queued", "refused", "sendings",
        "stale", "throttled", "timed_out", "tracked_segments", "undecided", "under_way", "unknown_segments",
        "unsent", "weight",
    )  # fmt: skip

    def __init__(
        self, claimed: ClaimedSms, bodies: Sequence[bytes], tracked: int, deadline: float | None = None
    ) -> None:
        self.claimed = claimed
        self.bodies = bodies
        self.weight = claimed.segments if len(bodies) == 1 else 1  # segments that the SMSC makes of one body
        self.tracked_segments = tracked  # bit n: a receipt is requested for segment n
        self.accepted_segments = claimed.accepted_segments  # bit n: the SMSC has accepted segment n
        self.unsent = deque(n for n in range(len(bodies)) if not claimed.accepted_segments >> n & 1)
        self.begun = (
            claimed.attempts > 1 or claimed.accepted_segments != 0
        )  # a segment was submitted, or may have been
        self.under_way = 0  # segments without a response
        self.message_ids: list[str | None] = (
            orjson.loads(claimed.message_ids) if claimed.message_ids else [None] * len(bodies)
        )
        self.expected: list[ExpectedReceipt] = []  # not yet written
        self.unknown_segments = 0  # bit n: segment n was submitted, and may have been accepted
        self.timed_out = False  # one of them by the time-out, so that its response may still come
        self.sendings = claimed.attempts  # of its segments, copies included
        self.refused: int | None = None  # the command_status of a permanent refusal
        self.given_up = False  # with segments of unknown outcome
        self.undecided: int | None = None  # the command_status of a refusal that may be the link's
        self.again = False  # another number has been accepted since, and this text was queued again
        self.accepted_at: datetime | None = None
        self.deadline = deadline  # monotonic; after it a USSD screen is not sent
        self.stale = False  # the deadline has passed
        self.busy = 0  # consecutive "busy" responses to it
        self.throttled = 0  # consecutive "throttled" responses to it
        self.busy_since = claimed.busy_since  # business time since which the SMSC has not taken it
        self.queued = False  # it is in one of the two deques
        self.is_waiting = False  # it is not sent before `requeue`

    @property
    def is_bulk(self) -> bool:
        return self.claimed.priority == Priority.BULK

    @property
    def is_screen(self) -> bool:
        return self.claimed.tlvs is not None

    @property
    def is_single(self) -> bool:
        """Whether the text is one submit_sm, so that a handset shows a copy of it."""
        return len(self.bodies) == 1

    @property
    def is_uncertain(self) -> bool:
        """Whether only segments of unknown outcome are left."""
        return bool(self.unknown_segments) and not self.unsent and not self.under_way

    @property
    def has_not_left(self) -> bool:
        """Whether the SMSC has nothing of it, by this claim, of which a handset would show a copy."""
        return not self.begun or (self.is_single and not self.unknown_segments and not self.accepted_segments)

    @property
    def is_accepted(self) -> bool:
        return self.accepted_segments == (1 << len(self.bodies)) - 1

    @property
    def progress(self) -> SmsProgress:
        """The progress to write to the row. A refusal is final when no segment is under way.

        A text that was given up is refused as well, unless a late response accepts the last of its segments."""
        state = SmsState.SENDING
        if self.refused is not None and not self.under_way:
            state = SmsState.REFUSED
        elif self.is_accepted:
            state = SmsState.ACCEPTED
        elif self.given_up:
            state = SmsState.REFUSED
        elif self.stale and not self.under_way:
            state = SmsState.CANCELLED
        return SmsProgress(
            self.claimed.sms_id,
            state,
            self.accepted_segments,
            self.tracked_segments,
            tuple(self.message_ids),
            self.accepted_at,
        )


class SegmentTag(NamedTuple):
    """The tag that the session returns with a response: the text and the number of the segment, from 0."""

    out: OutgoingText
    segment: int


class SendQueue:
    """The queue of one link. The sender fills it, and bounds it by `ready`."""

    def __init__(self, unsent: set[str]) -> None:
        """`unsent` is updated: the case_ids whose question is in memory and of which no segment was submitted."""
        self._unsent = unsent
        self.held: dict[int, OutgoingText] = {}  # all texts in memory, by sms_id
        self.ready = 0  # bulk segments that may be sent at once
        self.under_way = 0  # segments without a response
        self.urgent = 0  # urgent texts in memory
        self._urgent: deque[OutgoingText] = deque()
        self._bulk: deque[OutgoingText] = deque()

    def add(self, out: OutgoingText) -> None:
        """Adds a text, after those of its priority."""
        self.held[out.claimed.sms_id] = out
        if not out.is_bulk:
            self.urgent += 1
        elif not out.begun and out.claimed.case_id is not None:
            self._unsent.add(out.claimed.case_id)
        self._enqueue(out)

    def forget(self, out: OutgoingText) -> None:
        """Removes a text and its unsent segments."""
        if self.held.pop(out.claimed.sms_id, None) is None:
            return
        if not out.is_bulk:
            self.urgent -= 1
        elif not out.begun and out.claimed.case_id is not None:
            self._unsent.discard(out.claimed.case_id)
        self.drop_unsent(out)

    def next(self) -> OutgoingText | None:
        """The text whose segment is to be sent next; None when there is none."""
        for queue in (self._urgent, self._bulk):
            while queue:
                if queue[0].unsent and not queue[0].is_waiting:
                    return queue[0]
                queue.popleft().queued = False
        return None

    def pop_segment(self, out: OutgoingText) -> int:
        """The number (from 0) of the text's next segment, now under way."""
        if out.is_bulk:
            self.ready -= 1
            if not out.begun and out.claimed.case_id is not None:
                self._unsent.discard(out.claimed.case_id)
        out.begun = True
        out.under_way += 1
        self.under_way += 1
        return out.unsent.popleft()

    def segment_done(self, out: OutgoingText) -> None:
        """Notes that a segment has got its response or time-out."""
        out.under_way -= 1
        self.under_way -= 1

    def put_back(self, out: OutgoingText, segment: int) -> None:
        """Queues a segment to be sent again, before all others of its priority."""
        if out.claimed.sms_id not in self.held:
            return
        out.unsent.appendleft(segment)
        if out.is_bulk and not out.is_waiting:
            self.ready += 1
        if not out.queued and not out.is_waiting:
            out.queued = True
            (self._bulk if out.is_bulk else self._urgent).appendleft(out)

    def drop(self, out: OutgoingText, segment: int) -> None:
        """Removes the segment if it is queued."""
        if segment in out.unsent:
            out.unsent.remove(segment)
            if out.is_bulk and not out.is_waiting:
                self.ready -= 1

    def repeat_unknown(self, out: OutgoingText) -> None:
        """Queues the segments of unknown outcome of a waiting text again."""
        unknown = out.unknown_segments
        out.unsent.extend(n for n in range(len(out.bodies)) if unknown >> n & 1)
        out.unknown_segments, out.timed_out = 0, False
        out.sendings += 1
        self.requeue(out)

    def move_back(self, out: OutgoingText) -> None:
        """Moves a queued text behind the others of its priority."""
        queue = self._bulk if out.is_bulk else self._urgent
        if out.queued and len(queue) > 1:
            queue.remove(out)
            queue.append(out)

    def drop_unsent(self, out: OutgoingText) -> None:
        """Removes all unsent segments of the text."""
        if out.is_bulk and not out.is_waiting:
            self.ready -= len(out.unsent)
        out.unsent.clear()

    def set_waiting(self, out: OutgoingText) -> None:
        """Sends no segment of the text before `requeue`."""
        if not out.is_waiting:
            out.is_waiting = True
            if out.is_bulk:
                self.ready -= len(out.unsent)

    def requeue(self, out: OutgoingText) -> None:
        """Queues a waiting text again, after those of its priority."""
        if out.is_waiting and out.claimed.sms_id in self.held:
            out.is_waiting = False
            self._enqueue(out)

    def _enqueue(self, out: OutgoingText) -> None:
        if out.is_bulk:
            self.ready += len(out.unsent)
        if not out.queued:
            out.queued = True
            (self._bulk if out.is_bulk else self._urgent).append(out)
