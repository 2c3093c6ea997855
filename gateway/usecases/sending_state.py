"""State in the memory of one process that the sending and the receiving side share."""

import time

from gateway import metrics
from gateway.usecases.immediate_texts import LinkSender

MAX_TIMED_REPLIES = 2_000
"""Replies whose latency is being measured. Beyond that, sending has stopped and all are dropped."""


class SendingState:
    """Senders, unsent questions and the latency of replies: links write the former two, receivers read them."""

    def __init__(self) -> None:
        self.senders: dict[str, LinkSender] = {}
        """The senders of the links that this process holds, by link."""
        self.unsent_questions: set[str] = set()
        """case_ids whose question is claimed, or about to be, and of which no segment was submitted yet."""
        self._received_at: dict[str, float] = {}  # monotonic, by case_id

    def reply_received(self, case_id: str) -> None:
        """Starts measuring the time from the parent's reply to the text that follows it."""
        if len(self._received_at) > MAX_TIMED_REPLIES:
            self._received_at.clear()
        self._received_at[case_id] = time.monotonic()

    def text_sent(self, case_id: str) -> None:
        """Observes the latency: the first segment of the text that follows the reply was submitted."""
        if (at := self._received_at.pop(case_id, None)) is not None:
            metrics.REPLY_LATENCY.observe(time.monotonic() - at)
