"""The sending side of a link: texts are claimed in batches, split into segments, paced, and recorded in batches.

The number of texts in memory is bounded by READY_SECONDS and READY_WINDOWS. A text that is not finished is
released to its row, which has the segments accepted by the SMSC. The process that claims it next sends the others
with the same concatenation reference.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from gateway import metrics
from gateway.cluster.lease import Lease
from gateway.cluster.wakeups import WakeUp
from gateway.config import Link as LinkConfig
from gateway.config.policy import LinkPolicy
from gateway.operators.connection import SmppConnection
from gateway.operators.encoders import screen_encoder, text_encoder
from gateway.operators.send_queue import OutgoingText, SendQueue
from gateway.smpp import status, ussd
from gateway.smpp.pacing import Pacer
from gateway.smpp.receipt import normalize_message_id
from gateway.smpp.session import LateResponse, NoResponse, SubmitResponse
from gateway.smpp.text import LongMessages, segments
from gateway.store.sms import ClaimedSms, ExpectedReceipt, Priority, SmsState
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts, TextProgress

GATHER_SECONDS = 0.02
"""For which responses are collected before they are written in one transaction."""
READY_SECONDS = 0.25
"""Of `tps`: the number of bulk segments kept ready in memory."""
READY_WINDOWS = 4
"""Upper limit of the same, in windows of all sessions."""
TYPICAL_SEGMENTS = 16
"""Of a request (order A1, text 1): the estimate by which the number of texts to claim is computed."""
MAX_URGENT_TEXTS = 200
"""In memory, independent of the number of bulk texts."""


class SegmentTag(NamedTuple):
    """The tag that the session returns with a response: the text and the number of the segment, from 0."""

    out: OutgoingText
    segment: int


class Sender:
    """The sender of a link, over all its binds."""

    def __init__(
        self,
        config: LinkConfig,
        *,
        texts: SentTexts,
        state: SendingState,
        lease: Lease,
        wakeup: WakeUp,
        policy: LinkPolicy,
    ) -> None:
        self._config = config
        self._texts = texts
        self._state = state
        self._lease = lease
        self._wakeup = wakeup
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(config.tps)
        self._paced = config.tps > 0
        self._encoder = text_encoder(config, config.receipts)
        self._screen_encoder = screen_encoder(config)
        self._binds: list[SmppConnection[SegmentTag]] = []
        self._queue = SendQueue(state.unsent_questions)
        self._unwritten: dict[int, OutgoingText] = {}
        self._rows_lock = asyncio.Lock()  # a row is not released while responses are being written to it
        self._gathered = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._more_bulk = False  # after the last claim, queued bulk texts may be left in the database
        self._is_full = False  # the last claim was limited by the number of texts in memory
        self._release_uncertain: set[int] = set()  # sms_ids whose release was not confirmed to be committed
        self._stopping = False
        self._drained = asyncio.Event()
        windows = config.window * config.sessions * READY_WINDOWS
        self._target = min(windows, max(1, int(config.tps * READY_SECONDS))) if config.tps else windows
        self._max_held = policy.max_unwritten_texts + self._target // TYPICAL_SEGMENTS
        self._statuses = config.statuses
        self._outcomes = {kind: metrics.SEGMENTS.labels(config.name, kind.value) for kind in status.StatusKind}
        self._unknown = metrics.SEGMENTS_UNKNOWN.labels(config.name)

    # --- binds ---------------------------------------------------------------------------------------------

    def bound(self, bind: SmppConnection[SegmentTag]) -> None:
        """Adds a bind to those used for sending."""
        self._binds.append(bind)
        self._wakeup.set()
        self.pump()

    def unbound(self, bind: SmppConnection[SegmentTag]) -> None:
        """Removes a bind from those used for sending; after the last one, the texts in memory are released."""
        if bind in self._binds:
            self._binds.remove(bind)
        self._wakeup.set()

    def stop(self) -> None:
        """Stops submitting; responses are still processed."""
        self._stopping = True
        self._note_drained()

    async def drained(self) -> None:
        """Returns when, after `stop`, no segment is under way."""
        await self._drained.wait()

    async def flush(self) -> None:
        """Writes the responses received, and releases all texts that are not finished."""
        await self.write()
        await self._release(self._queue.held.values(), timedelta())

    # --- segments out --------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Submits as many segments as windows and pacing allow now."""
        queue = self._queue
        if not self._lease.is_exclusive:  # another process may have claimed these texts
            return
        while not self._stopping and (out := queue.next()):
            now = time.monotonic()  # loop.time() may be constant during an iteration (uvloop)
            if out.deadline is not None and now >= out.deadline:
                out.stale = True
                queue.drop_unsent(out)
                self._touch(out)
                continue
            bind = self._freest_bind()
            if bind is None:
                break
            if delay := self._pacer.delay(now):
                if self._pause is None:
                    self._pause = self._loop.call_later(delay, self._unpause)
                break
            self._pacer.record_sent(now, out.weight)
            segment = queue.pop_segment(out)
            bind.submit(out.bodies[segment], SegmentTag(out, segment))
            if self._paced:
                bind.flush()  # now, not at the end of the iteration: the SMSC counts segments per second
            if segment == 0 and not out.is_bulk and not out.is_screen and out.claimed.case_id is not None:
                self._state.text_sent(out.claimed.case_id)
        if self._more_bulk and queue.ready < self._target // 2 and not self._stopping and not self._is_full:
            self._wakeup.set()

    def _unpause(self) -> None:
        self._pause = None
        self.pump()

    def _freest_bind(self) -> SmppConnection[SegmentTag] | None:
        """The bind with the most free window slots; None when all windows are full."""
        if len(self._binds) == 1:
            return self._binds[0] if self._binds[0].free > 0 else None
        bind = max(self._binds, key=lambda b: b.free, default=None)
        return bind if bind is not None and bind.free > 0 else None

    # --- responses in --------------------------------------------------------------------------------------

    def responded(self, event: SubmitResponse[SegmentTag] | LateResponse[SegmentTag]) -> None:
        """Processes the response to a segment; a late one counts unless the segment has been sent again."""
        out, segment = event.tag
        if isinstance(event, SubmitResponse):
            self._segment_done(out)
        elif event.command_status or not self._queue.drop(out, segment):
            return
        kind = status.classify(event.command_status, self._statuses)
        self._outcomes[kind].inc()
        match kind:
            case status.StatusKind.ACCEPTED:
                self._pacer.accepted(self._loop.time())
                self._accepted(out, segment, event.message_id)
            case status.StatusKind.THROTTLED:
                self._pacer.throttled(self._loop.time())
                self._queue.put_back(out, segment)
            case status.StatusKind.BUSY:
                self._queue.put_back(out, segment)
                self._wait_for_smsc(out)
            case status.StatusKind.REFUSED:
                out.refused = event.command_status
                self._queue.drop_unsent(out)
                self._touch(out)

    def not_responded(self, event: NoResponse[SegmentTag]) -> None:
        """Queues a segment of unknown outcome again, with the same octets."""
        out, segment = event.tag
        self._segment_done(out)
        self._unknown.inc()
        if out.refused is None:
            self._queue.put_back(out, segment)
        else:
            self._touch(out)

    def _segment_done(self, out: OutgoingText) -> None:
        self._queue.segment_done(out)
        self._note_drained()

    def _note_drained(self) -> None:
        if self._stopping and not self._queue.under_way:
            self._drained.set()

    def _accepted(self, out: OutgoingText, segment: int, message_id: str) -> None:
        out.accepted_segments |= 1 << segment
        out.busy = 0
        if message_id:
            out.message_ids[segment] = message_id
            if out.tracked_segments >> segment & 1:
                out.expected.append(
                    ExpectedReceipt(normalize_message_id(message_id), message_id, out.claimed.sms_id, segment)
                )
        else:  # accepted without a message_id: no receipt can be matched
            out.tracked_segments &= ~(1 << segment)
        if out.is_accepted:
            out.accepted_at = self._texts.now()
        self._touch(out)

    def _wait_for_smsc(self, out: OutgoingText) -> None:
        """Delays a text for which the SMSC was busy, longer each time; other texts are still sent."""
        if out.is_waiting:
            return
        self._queue.set_waiting(out)
        out.busy += 1
        self._loop.call_later(self._policy.busy.delay(out.busy), self._waited, out)

    def _waited(self, out: OutgoingText) -> None:
        if out.busy > self._policy.max_busy_retries:
            self._wakeup.set()  # `fill` releases it
        else:
            self._queue.requeue(out)
            self.pump()

    def _touch(self, out: OutgoingText) -> None:
        """Schedules the write of the text's progress, together with others."""
        self._unwritten[out.claimed.sms_id] = out
        if self._gathering is None:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gather)

    def _gather(self) -> None:
        self._gathering = None
        self._gathered.set()

    # --- rows in -------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Claims texts while there is room for them, until cancelled."""
        # Run again after a lost connection: a claim or release may have been committed without confirmation.
        held = self._queue.held
        still_claimed = await self._texts.still_claimed(self._release_uncertain)
        for out in [held[sms_id] for sms_id in self._release_uncertain & held.keys()]:
            (self._queue.requeue if out.claimed.sms_id in still_claimed else self._queue.forget)(out)
        self._release_uncertain.clear()
        await self._texts.release_others(held.keys())
        while True:
            await self._wakeup.wait()
            if not self._binds:
                await self._release(held.values(), timedelta())
                continue
            if exhausted := [o for o in held.values() if o.is_waiting and o.busy > self._policy.max_busy_retries]:
                await self._release(exhausted, self._policy.busy_pause)
            while not self._stopping and await self._claim():
                self.pump()
            self.pump()

    async def _claim(self) -> bool:
        """Whether there may be more texts to claim, after claiming one batch."""
        queue = self._queue
        room = self._target - queue.ready
        in_window = self._texts.in_window()
        memory_full = len(queue.held) >= self._max_held
        bulk = room > 0 and in_window and not memory_full
        limit = -(-room // TYPICAL_SEGMENTS) if bulk else MAX_URGENT_TEXTS - queue.urgent
        self._is_full = memory_full or limit <= 0
        if not self._binds or limit <= 0:
            return False
        more_before, self._more_bulk = self._more_bulk, False  # `pump` must not wake us during the claim
        claimed = await self._texts.claim(bulk=bulk, limit=limit)
        for row in claimed:
            self._add(row)
        all_claimed = len(claimed) == limit
        self._more_bulk = all_claimed if bulk else more_before and in_window
        return all_claimed and (queue.ready < self._target or claimed[-1].priority == Priority.URGENT)

    def _add(self, row: ClaimedSms) -> None:
        out = self._text(row) if row.tlvs is None else self._screen(row, row.tlvs)
        self._queue.add(out)
        if not out.unsent:  # all segments are accepted, but the state of the text was not written
            out.accepted_at = self._texts.now()
            self._touch(out)

    def _text(self, row: ClaimedSms) -> OutgoingText:
        data_coding, encoded = segments(row.body, LongMessages(row.long_messages), row.reference)
        bodies = self._encoder.bodies(row.msisdn, encoded, data_coding, row.kind)
        return OutgoingText(row, bodies, self._encoder.tracked_segments(len(bodies)))

    def _screen(self, row: ClaimedSms, tlvs: bytes) -> OutgoingText:
        data_coding, encoded = ussd.encode_screen(row.body, tlvs)
        bodies = self._screen_encoder.bodies(row.msisdn, encoded, data_coding)
        return OutgoingText(row, bodies, 0, deadline=self._loop.time() + (row.expires_in_seconds or 0.0))

    async def _release(self, outs: Iterable[OutgoingText], delay: timedelta) -> None:
        """Releases those of the texts without segments under way or unwritten progress."""
        async with self._rows_lock:
            idle = [out for out in outs if not out.under_way and out.claimed.sms_id not in self._unwritten]
            if not idle:
                return
            for out in idle:  # a bind may be established meanwhile
                self._queue.set_waiting(out)
            sms_ids = {out.claimed.sms_id for out in idle}
            self._release_uncertain |= sms_ids
            unsent = [out.claimed.sms_id for out in idle if not out.begun]
            await self._texts.release(sms_ids, delay, unsent=unsent)
            self._release_uncertain -= sms_ids
            for out in idle:
                self._queue.forget(out)

    # --- rows out ------------------------------------------------------------------------------------------

    async def record(self) -> None:
        """Writes collected responses until cancelled. While the database is down, they stay in memory, bounded."""
        while True:
            await self.write()
            await self._gathered.wait()
            self._gathered.clear()

    async def write(self) -> None:
        """Writes the responses received so far: the progress of the texts and its effects on their cases."""
        async with self._rows_lock:
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
        if self._is_full or not self._binds:
            self._wakeup.set()  # there is room for new texts, or written texts can be released


def _progress(out: OutgoingText) -> TextProgress:
    """The progress of the text to write now; its expected receipts are moved into it."""
    expected, out.expected = out.expected, []
    progress = out.progress
    return TextProgress(
        out.claimed, progress._replace(message_ids=tuple(progress.message_ids)), expected, out.refused
    )
