"""The sending side of a link: texts are claimed in batches, split into segments, paced, and recorded in batches.

Transactions of this process hand over texts that they have claimed themselves (arrivals.py). The number of texts
in memory is bounded by READY_SECONDS and READY_WINDOWS. A text that is not finished is released to its row, which
has the segments accepted by the SMSC. The process that claims it next sends the others with the same concatenation
reference.
"""

import asyncio
import time
from collections.abc import Iterable

from gateway.cluster.lease import Lease
from gateway.cluster.wakeups import WakeUp
from gateway.config import Link as LinkConfig
from gateway.config.policy import LinkPolicy
from gateway.operators.arrivals import Arrivals, Queue
from gateway.operators.connection import SmppConnection
from gateway.operators.encoders import screen_encoder, text_encoder
from gateway.operators.link_health import SendingHealth
from gateway.operators.progress_writer import ProgressWriter
from gateway.operators.responses import Responses
from gateway.operators.send_queue import OutgoingText, SegmentTag, SendQueue
from gateway.smpp import ussd
from gateway.smpp.pacing import Pacer
from gateway.smpp.session import LateResponse, NoResponse, SubmitResponse
from gateway.smpp.text import LongMessages, segments
from gateway.store.outbox import Priority
from gateway.store.sms import ClaimedSms, Released
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts

READY_SECONDS = 0.25
"""The share of `tps` that is kept ready in memory as bulk segments."""
READY_WINDOWS = 16
"""Upper limit of the same, in windows of all sessions."""
TYPICAL_SEGMENTS = 16
"""The segments of a request (order A1, text 1): the estimate by which the number of texts to claim is computed."""
MAX_URGENT_TEXTS = 200
"""The number of urgent texts in memory, independent of the number of bulk texts."""


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
        self._texts = texts
        self._state = state
        self._lease = lease
        self._wakeup = wakeup
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(config.tps)
        self._paced = config.tps > 0
        self._encoder = text_encoder(config, config.receipts)
        self._screen_encoder = screen_encoder(config)
        self._binds: list[SmppConnection[SegmentTag]] = []
        self._queue = SendQueue(state.unsent_questions)
        self._pause: asyncio.TimerHandle | None = None
        self._pause_ends_at = 0.0  # monotonic; uvloop's handles do not tell
        self._more_bulk = False  # after the last claim, queued bulk texts may be left in the database
        self._is_full = False  # the last claim was limited by the number of texts in memory
        self._release_uncertain: set[int] = set()  # sms_ids whose release was not confirmed to be committed
        self._stopping = False
        self._drained = asyncio.Event()
        windows = config.window * config.sessions * READY_WINDOWS
        self._target = min(windows, max(1, int(config.tps * READY_SECONDS))) if config.tps else windows
        self._max_held = policy.max_unwritten_texts + self._target // TYPICAL_SEGMENTS
        self.arrivals = Arrivals(
            Queue(
                has_room=self._has_room,
                refused=self._refused,
                add=lambda row: self._add(row, 0),
                pump=self.pump,
                wake=wakeup.set,
                unsent_questions=state.unsent_questions,
            ),
            policy.unheld_review_seconds,
        )
        self._writer = ProgressWriter(texts, self._queue)
        self._responses = Responses(
            config,
            policy=policy,
            texts=texts,
            queue=self._queue,
            pacer=self._pacer,
            writer=self._writer,
            pump=self.pump,
            review_waiting=wakeup.set,
        )
        self._health = self._responses.health

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

    def resume(self) -> None:
        """Submits again after `stop`."""
        self._stopping = False
        self._drained.clear()
        self._wakeup.set()
        self.pump()

    @property
    def awaits_late_responses(self) -> bool:
        """Whether segments have had their response_timeout whose responses may still come by the open binds."""
        return any(out.unknown_segments and out.timed_out for out in self._queue.held.values())

    async def drained(self) -> None:
        """Returns when, after `stop`, no segment is under way."""
        await self._drained.wait()

    async def flush(self) -> None:
        """Writes the responses received, and releases all texts that are not finished. `stop` comes before it."""
        await self.write()
        await self.arrivals.settled()
        await self.write()
        await self._release(self._queue.held.values())

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
                self._writer.touch(out)
                continue
            bind = self._freest_bind()
            if bind is None:
                break
            if delay := max(self._pacer.delay(now), self._health.delay(now)):
                self._pause_for(delay)
                break
            self._pacer.record_sent(now, out.weight)
            self._health.submitted(now)
            segment = queue.pop_segment(out)
            bind.submit(out.bodies[segment], SegmentTag(out, segment))
            if self._paced:
                bind.flush()  # now, not at the end of the iteration: the SMSC counts segments per second
            if segment == 0 and not out.is_bulk and not out.is_screen and out.claimed.case_id is not None:
                self._state.text_sent(out.claimed.case_id)
        ready = queue.ready + self.arrivals.reserved(Priority.BULK)
        if self._more_bulk and ready < self._target // 2 and not self._stopping and not self._is_full:
            self._wakeup.set()

    def _pause_for(self, seconds: float) -> None:
        """Pumps again after so long; a longer pause, that of a link that was stopped until now, ends with it."""
        ends_at = time.monotonic() + seconds
        if self._pause is not None:
            if self._pause_ends_at <= ends_at:
                return
            self._pause.cancel()
        self._pause = self._loop.call_later(seconds, self._unpause)
        self._pause_ends_at = ends_at

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

    def responded(self, event: SubmitResponse[SegmentTag]) -> None:
        """Processes the response to a segment."""
        self._responses.responded(event)
        self._note_drained()

    def responded_late(self, event: LateResponse[SegmentTag]) -> None:
        """Processes a response that came after the response_timeout of its segment."""
        self._responses.responded_late(event)

    def not_responded(self, event: NoResponse[SegmentTag], *, timed_out: bool) -> None:
        """Notes a segment of unknown outcome. `timed_out`: its response may still come."""
        self._responses.not_responded(event, timed_out=timed_out)
        self._note_drained()

    def health(self) -> SendingHealth:
        """What the link says about itself now."""
        return self._health.report()

    def _note_drained(self) -> None:
        if self._stopping and not self._queue.under_way:
            self._drained.set()

    # --- rows in -------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Claims texts while there is room for them, until cancelled."""
        # Run again after a lost connection: a claim or release may have been committed without confirmation.
        held = self._queue.held
        self.arrivals.expect_unheld()
        still_claimed = await self._texts.still_claimed(self._release_uncertain)
        for out in [held[sms_id] for sms_id in self._release_uncertain & held.keys()]:
            (self._queue.requeue if out.claimed.sms_id in still_claimed else self._queue.forget)(out)
        self._release_uncertain.clear()
        while True:
            if self.arrivals.is_review_due and self.arrivals.begin_review():
                await self._texts.release_others(held.keys())
                self.arrivals.reviewed()
                self._wakeup.set()  # there may be texts to claim now
            await self._wakeup.wait()
            if not self._binds:
                await self._release(held.values())
                continue
            if waiting := self._waiting_for_row():
                await self._release(waiting)
            while not self._stopping and await self._claim():
                self.pump()
                if self.arrivals.is_review_due:
                    self._wakeup.set()
                    break
            self.pump()

    def _has_room(self, priority: Priority) -> bool:
        """See Queue."""
        if self._stopping or not self._binds or not self._lease.is_exclusive:
            return False
        queue, reserved = self._queue, self.arrivals.reserved(priority)
        if priority is Priority.URGENT:
            return queue.urgent + reserved < MAX_URGENT_TEXTS
        return (
            queue.ready + reserved < self._target and len(queue.held) < self._max_held and self._texts.in_window()
        )

    def _refused(self, priority: Priority) -> None:
        """See Queue."""
        self._more_bulk |= priority is Priority.BULK

    async def _claim(self) -> bool:
        """Whether there may be more texts to claim, after claiming one batch."""
        queue, reserved = self._queue, self.arrivals.reserved
        room = self._target - queue.ready - reserved(Priority.BULK)
        in_window = self._texts.in_window()
        memory_full = len(queue.held) >= self._max_held
        bulk = room > 0 and in_window and not memory_full
        urgent = queue.urgent + reserved(Priority.URGENT)
        limit = -(-room // TYPICAL_SEGMENTS) if bulk else MAX_URGENT_TEXTS - urgent
        self._is_full = memory_full or limit <= 0
        if not self._binds or limit <= 0:
            return False
        more_before, self._more_bulk = self._more_bulk, False  # `pump` must not wake us during the claim
        self._writer.claim_begins()
        try:
            claimed = await self._texts.claim(bulk=bulk, limit=limit)
        finally:
            late = self._writer.claim_ends()
        for row in claimed:
            self._add(row, late.get(row.sms_id, 0))
        all_claimed = len(claimed) == limit
        self.arrivals.claimed(claimed, limit, bulk=bulk)
        self._more_bulk = all_claimed if bulk else more_before and in_window
        return all_claimed and (queue.ready < self._target or claimed[-1].priority == Priority.URGENT)

    def _add(self, row: ClaimedSms, late: int) -> None:
        """Queues a claimed text. `late`: segments accepted meanwhile, which its row may not have."""
        if late:
            row = row._replace(accepted_segments=row.accepted_segments | late)
        out = self._text(row) if row.tlvs is None else self._screen(row, row.tlvs)
        self._queue.add(out)
        if not out.unsent:  # all segments are accepted, but the state of the text was not written
            out.accepted_at = self._texts.now()
        if late or not out.unsent:
            self._writer.touch(out)

    def _text(self, row: ClaimedSms) -> OutgoingText:
        data_coding, encoded = segments(row.body, LongMessages(row.long_messages), row.reference)
        bodies = self._encoder.bodies(row.msisdn, encoded, data_coding, row.kind)
        return OutgoingText(row, bodies, self._encoder.tracked_segments(len(bodies)))

    def _screen(self, row: ClaimedSms, tlvs: bytes) -> OutgoingText:
        data_coding, encoded = ussd.encode_screen(row.body, tlvs)
        bodies = self._screen_encoder.bodies(row.msisdn, encoded, data_coding)
        return OutgoingText(row, bodies, 0, deadline=self._loop.time() + (row.expires_in_seconds or 0.0))

    def _waiting_for_row(self) -> list[OutgoingText]:
        """The waiting texts that are to wait in their rows instead of in memory."""
        waits, full = self._responses.is_to_wait_in_row, self._is_full
        return [out for out in self._queue.held.values() if out.is_waiting and waits(out, memory_full=full)]

    async def _release(self, outs: Iterable[OutgoingText]) -> None:
        """Releases those of the texts without segments under way or unwritten progress."""
        async with self._writer.lock:
            idle = [out for out in outs if not out.under_way and not self._writer.is_unwritten(out)]
            if not idle:
                return
            for out in idle:  # a bind may be established meanwhile
                self._queue.set_waiting(out)
            sms_ids = {out.claimed.sms_id for out in idle}
            self._release_uncertain |= sms_ids
            await self._texts.release(
                [
                    Released(o.claimed.sms_id, self._responses.wait_in_row(o), o.has_not_left, o.busy_since)
                    for o in idle
                ]
            )
            self._release_uncertain -= sms_ids
            for out in idle:
                self._queue.forget(out)
                self._responses.forget(out)
                self._writer.released(out)

    # --- rows out ------------------------------------------------------------------------------------------

    async def record(self) -> None:
        """Writes collected responses until cancelled. While the database is down, they stay in memory, bounded."""
        while True:
            await self.write()
            await self._writer.gathered()

    async def write(self) -> None:
        """Writes the responses received so far: the progress of the texts and its effects on their cases."""
        self._responses.count_accepted()
        await self._writer.write()
        if self._is_full or not self._binds:
            self._wakeup.set()  # there is room for new texts, or written texts can be released
