"""The writer of a link's sending progress: responses are collected and written in one transaction.

While the database is down they stay in memory. The sender claims no more texts than it may keep so.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from gateway.operators.send_queue import OutgoingText, SendQueue
from gateway.store.sms import ExpectedReceipt, SmsState
from gateway.usecases.sent_texts import SentTexts, TextProgress

GATHER_SECONDS: Final = 0.05
"""The time for which responses are collected before they are written."""


class ProgressWriter:
    """The progress of one link's texts that is not yet written to their rows."""

    def __init__(self, texts: SentTexts, queue: SendQueue) -> None:
        self.lock = asyncio.Lock()
        """The lock that is held while rows are written: none of them is released meanwhile."""
        self._texts = texts
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._unwritten: dict[int, OutgoingText] = {}  # by sms_id
        self._late_accepted: dict[int, int] = {}  # masks of segments of released texts, by sms_id
        self._late_expected: list[ExpectedReceipt] = []
        self._late_writing: Mapping[int, int] = {}  # of those, being written
        self._late_of_claim: dict[int, int] | None = None  # that a claim under way may not find in its rows
        self._gathered = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None

    def touch(self, out: OutgoingText) -> None:
        """Schedules the write of the text's progress, together with others."""
        self._unwritten[out.claimed.sms_id] = out
        self._gather_soon()

    def accepted_late(self, sms_id: int, segment: int, expected: ExpectedReceipt | None) -> None:
        """Schedules the write of a segment that was accepted after its text had been released."""
        self._note_late(sms_id, 1 << segment)
        if expected is not None:
            self._late_expected.append(expected)
        self._gather_soon()

    def claim_begins(self) -> None:
        """Remembers segments accepted late until `claim_ends`: claimed rows may not have them."""
        self._late_of_claim = _united(self._late_writing, self._late_accepted)

    def claim_ends(self) -> Mapping[int, int]:
        """The segments accepted late, as masks by sms_id, that claimed rows may not have."""
        late, self._late_of_claim = self._late_of_claim or {}, None
        return late

    def released(self, out: OutgoingText) -> None:
        """Notes that the text was released: segments accepted meanwhile are written to its row as late ones."""
        if self._unwritten.pop(out.claimed.sms_id, None) is not None:
            self._note_late(out.claimed.sms_id, out.accepted_segments)
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
        accepted = self._late_writing = self._late_accepted
        self._late_accepted = {}
        expected, self._late_expected = self._late_expected, []
        try:
            await self._texts.accept_late(accepted, expected)
        except BaseException:
            self._late_accepted = _united(accepted, self._late_accepted)
            self._late_expected = [*expected, *self._late_expected]
            raise
        finally:
            self._late_writing = {}

    def _note_late(self, sms_id: int, segments: int) -> None:
        self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | segments
        if self._late_of_claim is not None:
            self._late_of_claim[sms_id] = self._late_of_claim.get(sms_id, 0) | segments

    def _gather_soon(self) -> None:
        if self._gathering is None:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gather)

    def _gather(self) -> None:
        self._gathering = None
        self._gathered.set()


def _united(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    """The masks of both."""
    return {sms_id: one.get(sms_id, 0) | other.get(sms_id, 0) for sms_id in one.keys() | other.keys()}


def _progress(out: OutgoingText) -> TextProgress:
    """The progress of the text to write now; its expected receipts are moved into it."""
    expected, out.expected = out.expected, []
    return TextProgress(out.claimed, out.progress, expected, out.refused)
