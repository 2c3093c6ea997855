"""The writer of a link's sending progress: responses are collected and written in one transaction.

While the database is down they stay in memory. The sender claims no more texts than it may keep so.
"""

import asyncio
from typing import Final

from gateway.operators.send_queue import OutgoingText, SendQueue
from gateway.store.sms import ExpectedReceipt, SmsState
from gateway.usecases.sent_texts import SentTexts, TextProgress

GATHER_SECONDS: Final = 0.05
"""For which responses are collected before they are written."""


class ProgressWriter:
    """The progress of one link's texts that is not yet written to their rows."""

    def __init__(self, texts: SentTexts, queue: SendQueue) -> None:
        self.lock = asyncio.Lock()
        """Held while rows are written: none of them is released meanwhile."""
        self._texts = texts
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._unwritten: dict[int, OutgoingText] = {}  # by sms_id
        self._late_accepted: dict[int, int] = {}  # masks of segments of released texts, by sms_id
        self._late_expected: list[ExpectedReceipt] = []
        self._gathered = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None

    def touch(self, out: OutgoingText) -> None:
        """Schedules the write of the text's progress, together with others."""
        self._unwritten[out.claimed.sms_id] = out
        self._gather_soon()

    def accepted_late(self, sms_id: int, segment: int, expected: ExpectedReceipt | None) -> None:
        """Schedules the write of a segment that was accepted after its text had been released."""
        self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | 1 << segment
        if expected is not None:
            self._late_expected.append(expected)
        self._gather_soon()

    def released(self, out: OutgoingText) -> None:
        """Notes that the text was released: segments accepted meanwhile are written to its row as late ones."""
        if self._unwritten.pop(out.claimed.sms_id, None) is not None:
            sms_id = out.claimed.sms_id
            self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | out.accepted_segments
            self._late_expected += out.expected
            self._gather_soon()

    def is_unwritten(self, out: OutgoingText) -> bool:
        """Whether the text has progress that is not written."""
        return out.claimed.sms_id in self._unwritten

    async def gathered(self) -> None:
        """Returns when there is progress to write."""
        await self._gathered.wait()
        self._gathered.clear()

    async def write(self) -> None:
        """Writes the progress so far and its effects on the cases; finished texts leave the queue."""
        async with self.lock:
            await self._write_late()
            while self._unwritten:
                outs = list(self._unwritten.values())
                batch = [_progress(out) for out in outs]
                self._unwritten = {}
                try:
                    owned = await self._texts.record(batch)
                except BaseException:
                    for out, text in zip(outs, batch, strict=True):
                        out.expected = [*text.expected, *out.expected]
                        self._unwritten[out.claimed.sms_id] = out
                    raise
                for out, text in zip(outs, batch, strict=True):
                    if text.progress.state is not SmsState.SENDING or out.claimed.sms_id not in owned:
                        self._queue.forget(out)

    async def _write_late(self) -> None:
        if not self._late_accepted:
            return
        accepted, self._late_accepted = self._late_accepted, {}
        expected, self._late_expected = self._late_expected, []
        try:
            await self._texts.accept_late(accepted, expected)
        except BaseException:
            for sms_id, segments in accepted.items():
                self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | segments
            self._late_expected = [*expected, *self._late_expected]
            raise

    def _gather_soon(self) -> None:
        if self._gathering is None:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gather)

    def _gather(self) -> None:
        self._gathering = None
        self._gathered.set()


def _progress(out: OutgoingText) -> TextProgress:
    """The progress of the text to write now; its expected receipts are moved into it."""
    expected, out.expected = out.expected, []
    progress = out.progress
    return TextProgress(
        out.claimed, progress._replace(message_ids=tuple(progress.message_ids)), expected, out.refused
    )
