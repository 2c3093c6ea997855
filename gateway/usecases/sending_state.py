"""What one process has in memory of the texts it sends, as far as replies need it: shared by both directions."""

import time

from gateway import metrics

MAX_AWAITED = 2_000
"""Replies whose texts are awaited for the metric; beyond, all are forgotten: nothing is sent just now."""


class SendingState:
    """Written by the send queues, read where replies are received."""

    def __init__(self) -> None:
        self.unsent_questions: set[str] = set()
        """Cases whose question was claimed for sending, and of which no segment has left."""
        self._received_at: dict[str, float] = {}  # monotonic, by case_id: until the reply's text leaves

    def reply_received(self, case_id: str) -> None:
        """A text may follow: observes how long the parent waits for it."""
        if len(self._received_at) > MAX_AWAITED:
            self._received_at.clear()
        self._received_at[case_id] = time.monotonic()

    def text_sent(self, case_id: str) -> None:
        """The first segment of a text that follows a reply has left."""
        if (at := self._received_at.pop(case_id, None)) is not None:
            metrics.REPLY_LATENCY.observe(time.monotonic() - at)
