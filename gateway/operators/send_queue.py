"""The texts of a link that are in memory, and whose segment goes next.

Two queues: urgent texts (texts 2 and 3, clarifications, USSD screens) always go before requests and repeats. No
sockets, rows or clocks here.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

import orjson

from gateway.store.sms import ClaimedSms, ExpectedReceipt, Priority, SmsProgress, SmsState


class OutgoingText:
    """A text under way: which segments are still to be sent, and what the SMSC has responded to the others."""

    __slots__ = (
        "accepted_at", "accepted_segments", "begun", "bodies", "busy", "claimed", "deadline", "expected", "is_waiting",
        "message_ids", "queued", "refused", "stale", "tracked_segments", "under_way", "unsent", "weight",
    )  # fmt: skip

    def __init__(
        self, claimed: ClaimedSms, bodies: Sequence[bytes], tracked: int, deadline: float | None = None
    ) -> None:
        self.claimed = claimed
        self.bodies = bodies
        self.weight = claimed.segments if len(bodies) == 1 else 1  # segments on the air that one body stands for
        self.tracked_segments = tracked  # bit n: a receipt is asked for segment n
        self.accepted_segments = claimed.accepted_segments  # bit n: the SMSC has accepted segment n
        self.unsent = deque(n for n in range(len(bodies)) if not claimed.accepted_segments >> n & 1)
        self.begun = (
            claimed.attempts > 1 or claimed.accepted_segments != 0
        )  # a segment was submitted, or may have been
        self.under_way = 0
        self.message_ids: list[str | None] = (
            orjson.loads(claimed.message_ids) if claimed.message_ids else [None] * len(bodies)
        )
        self.expected: list[ExpectedReceipt] = []  # not yet written
        self.refused: int | None = None  # the command_status that refused it for good
        self.accepted_at: datetime | None = None
        self.deadline = deadline  # monotonic: after it a USSD screen is not sent any more
        self.stale = False  # the deadline came first
        self.busy = 0  # how often in a row the SMSC was too busy for it
        self.queued = False
        self.is_waiting = False

    @property
    def is_bulk(self) -> bool:
        return self.claimed.priority == Priority.BULK

    @property
    def is_screen(self) -> bool:
        return self.claimed.tlvs is not None

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
            self.claimed.sms_id,
            state,
            self.accepted_segments,
            self.tracked_segments,
            self.message_ids,
            self.accepted_at,
        )


class SendQueue:
    """Bounded by the sender, which fills it: `ready` is the number of bulk segments that could go at once."""

    def __init__(self, unsent: set[str]) -> None:
        """`unsent` is kept up to date: the cases whose question is held, and of which no segment has left."""
        self._unsent = unsent
        self.held: dict[int, OutgoingText] = {}  # all texts in memory, by sms_id
        self.ready = 0
        self.under_way = 0
        self.urgent = 0  # urgent texts in memory
        self._urgent: deque[OutgoingText] = deque()
        self._bulk: deque[OutgoingText] = deque()

    def add(self, out: OutgoingText) -> None:
        """Holds a text from now on, behind those of its priority."""
        self.held[out.claimed.sms_id] = out
        if not out.is_bulk:
            self.urgent += 1
        elif not out.begun and out.claimed.case_id is not None:
            self._unsent.add(out.claimed.case_id)
        self._enqueue(out)

    def forget(self, out: OutgoingText) -> None:
        """Drops a text, whatever of it was still to be sent."""
        if self.held.pop(out.claimed.sms_id, None) is None:
            return
        if not out.is_bulk:
            self.urgent -= 1
        elif not out.begun and out.claimed.case_id is not None:
            self._unsent.discard(out.claimed.case_id)
        self.drop_unsent(out)

    def next(self) -> OutgoingText | None:
        """The text that is next; it has a segment to send."""
        for queue in (self._urgent, self._bulk):
            while queue:
                if queue[0].unsent and not queue[0].is_waiting:
                    return queue[0]
                queue.popleft().queued = False
        return None

    def pop_segment(self, out: OutgoingText) -> int:
        """The number (from 0) of the text's next segment, which is under way from now on."""
        if out.is_bulk:
            self.ready -= 1
            if not out.begun and out.claimed.case_id is not None:
                self._unsent.discard(out.claimed.case_id)
        out.begun = True
        out.under_way += 1
        self.under_way += 1
        return out.unsent.popleft()

    def segment_done(self, out: OutgoingText) -> None:
        """A segment is no longer under way."""
        out.under_way -= 1
        self.under_way -= 1

    def put_back(self, out: OutgoingText, segment: int) -> None:
        """A segment that is sent again, before all others of its priority."""
        if out.claimed.sms_id not in self.held:
            return
        out.unsent.appendleft(segment)
        if out.is_bulk and not out.is_waiting:
            self.ready += 1
        if not out.queued and not out.is_waiting:
            out.queued = True
            (self._bulk if out.is_bulk else self._urgent).appendleft(out)

    def drop(self, out: OutgoingText, segment: int) -> bool:
        """A segment need not be sent again; False when it was not queued for that."""
        if segment not in out.unsent:
            return False
        out.unsent.remove(segment)
        if out.is_bulk and not out.is_waiting:
            self.ready -= 1
        return True

    def drop_unsent(self, out: OutgoingText) -> None:
        """No further segment of the text is sent."""
        if out.is_bulk and not out.is_waiting:
            self.ready -= len(out.unsent)
        out.unsent.clear()

    def set_waiting(self, out: OutgoingText) -> None:
        """The text waits until `requeue`; the others go on."""
        if not out.is_waiting:
            out.is_waiting = True
            if out.is_bulk:
                self.ready -= len(out.unsent)

    def requeue(self, out: OutgoingText) -> None:
        """A text that has waited takes its place at the end of its queue."""
        if out.is_waiting and out.claimed.sms_id in self.held:
            out.is_waiting = False
            self._enqueue(out)

    def _enqueue(self, out: OutgoingText) -> None:
        if out.is_bulk:
            self.ready += len(out.unsent)
        if not out.queued:
            out.queued = True
            (self._bulk if out.is_bulk else self._urgent).append(out)
