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
from gateway.logs.log import Event as LogEvent
from gateway.logs.log import get_logger
from gateway.operators.connection import SmppConnection
from gateway.operators.encoders import screen_encoder, text_encoder
from gateway.operators.resending import Resending
from gateway.operators.send_queue import OutgoingText, SendQueue
from gateway.smpp import status, ussd
from gateway.smpp.pacing import Pacer
from gateway.smpp.receipt import normalize_message_id
from gateway.smpp.refusals import Cause, LinkStop, Refusals
from gateway.smpp.session import LateResponse, NoResponse, SubmitResponse
from gateway.smpp.text import LongMessages, segments
from gateway.store.sms import ClaimedSms, ExpectedReceipt, Priority, Released, SmsState
from gateway.usecases.sending_state import SendingState
from gateway.usecases.sent_texts import SentTexts, TextProgress

log = get_logger()

GATHER_SECONDS = 0.02
"""For which responses are collected before they are written in one transaction."""
READY_SECONDS = 0.25
"""Of `tps`: the number of bulk segments kept ready in memory."""
READY_WINDOWS = 4
"""Upper limit of the same, in windows of all sessions."""
TYPICAL_SEGMENTS = 16
"""Of a request (order A1, text 1): the estimate by which the number of texts to claim is computed."""
LATE_LOG_SECONDS = 60.0
"""Between two log lines that say that responses come late."""
LATE_MARGIN = 1.5
"""Of the response_timeout to set over the time that a late response took."""
MAX_URGENT_TEXTS = 200
"""In memory, independent of the number of bulk texts."""


class SegmentTag(NamedTuple):
    """The tag that the session returns with a response: the text and the number of the segment, from 0."""

    out: OutgoingText
    segment: int


class SendingHealth(NamedTuple):
    """What a link says about itself. Instants are monotonic seconds."""

    stopped_status: int | None  # the command_status with which the SMSC refuses whatever is sent
    stopped_at: float
    unaccepted_since: float | None  # the first submit_sm after which nothing was accepted
    needed_timeout_seconds: float | None  # the response_timeout that late responses would have needed


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
        self._resending = Resending(config.response_timeout.total_seconds(), self._loop.time)
        self._refusals = Refusals()
        self._stop = LinkStop(policy.first_probe_seconds)
        self._undecided: dict[int, OutgoingText] = {}  # by sms_id: refused, perhaps by the link's fault
        self._in_doubt = False  # a refusal or time-out since the last acceptance
        self._late_accepted: dict[int, int] = {}  # masks of segments of released texts, not yet written
        self._late_expected: list[ExpectedReceipt] = []
        self._accepted_at = float("-inf")
        self._waiting_since = float("-inf")  # the first submit_sm after the last acceptance
        self._stopped_at = 0.0
        metrics.LINK_STOPPED.labels(config.name).set(0)
        self._needed_timeout_seconds: float | None = None
        self._late_logged_at = float("-inf")
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
                self._touch(out)
                continue
            bind = self._freest_bind()
            if bind is None:
                break
            delay = self._pacer.delay(now)
            if self._in_doubt:
                delay = max(delay, self._stop.delay(now))
            if delay:
                if self._pause is None:
                    self._pause = self._loop.call_later(delay, self._unpause)
                break
            self._pacer.record_sent(now, out.weight)
            if self._in_doubt:
                self._stop.probed(now)
            if self._waiting_since <= self._accepted_at:
                self._waiting_since = now
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
        """Processes the response to a segment; of late ones, those with ESME_ROK."""
        out, segment = event.tag
        if isinstance(event, LateResponse):
            self._note_late(event.seconds)
            if event.command_status == 0:
                self._accepted_late(out, segment, event.message_id)
            return
        self._segment_done(out)
        kind = status.classify(event.command_status, self._statuses)
        self._outcomes[kind].inc()
        if kind is status.StatusKind.ACCEPTED:
            now = self._loop.time()
            self._accepted_at = now
            self._pacer.accepted(now)
            if self._in_doubt:
                self._link_accepted(out)
        if out.accepted_segments >> segment & 1:  # a copy: the response to the first sending came late
            self._touch(out)
            return
        match kind:
            case status.StatusKind.ACCEPTED:
                self._accepted(out, segment, event.message_id)
            case status.StatusKind.THROTTLED:
                self._pacer.throttled(self._loop.time())
                self._queue.put_back(out, segment)
            case status.StatusKind.BUSY:
                self._queue.put_back(out, segment)
                self._wait_for_smsc(out, event.command_status)
            case _:
                self._refused(out, segment, kind, event.command_status)
        if out.unknown_segments:
            self._wait_if_uncertain(out)

    def not_responded(self, event: NoResponse[SegmentTag], *, timed_out: bool) -> None:
        """Notes a segment of unknown outcome. `timed_out`: its response may still come."""
        out, segment = event.tag
        self._segment_done(out)
        self._unknown.inc()
        if timed_out:
            self._in_doubt = True
            self._resending.timed_out()
        if out.accepted_segments >> segment & 1 or out.refused is not None:
            self._touch(out)
            return
        out.unknown_segments |= 1 << segment
        out.timed_out |= timed_out
        self._wait_if_uncertain(out)

    def _wait_if_uncertain(self, out: OutgoingText) -> None:
        """Has a text wait of which only segments of unknown outcome are left, until they are to be sent again."""
        if not out.is_uncertain or out.is_waiting or out.refused is not None:
            return
        self._queue.set_waiting(out)
        if out.is_single:
            self._wakeup.set()  # it waits in its row, which counts its sendings
        else:
            self._loop.call_later(self._resending.wait_seconds(out), self._send_again, out, out.sendings)

    def _send_again(self, out: OutgoingText, sendings: int) -> None:
        if out.unknown_segments and out.sendings == sendings:
            self._queue.repeat_unknown(out)
            self.pump()

    def _accepted_late(self, out: OutgoingText, segment: int, message_id: str) -> None:
        """Counts a late ESME_ROK: also when a copy is under way, and when the text has been released."""
        held = self._queue.held.get(out.claimed.sms_id)
        if held is None:
            sms_id = out.claimed.sms_id
            self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | 1 << segment
            if message_id and out.tracked_segments >> segment & 1:
                self._late_expected.append(self._expected(out, segment, message_id))
            self._gather_soon()
        elif not held.accepted_segments >> segment & 1:
            self._outcomes[status.StatusKind.ACCEPTED].inc()
            self._queue.drop(held, segment)
            held.unknown_segments &= ~(1 << segment)
            self._accepted(held, segment, message_id)

    def _note_late(self, seconds: float) -> None:
        """Tells the response_timeout that late responses would need; a line a minute at most."""
        self._needed_timeout_seconds = max(seconds * LATE_MARGIN, self._needed_timeout_seconds or 0.0)
        now = self._loop.time()
        if now - self._late_logged_at >= LATE_LOG_SECONDS:
            self._late_logged_at = now
            log.warning(
                LogEvent.LINK_RESPONSES_LATE,
                link=self._config.name,
                response_timeout=self._config.response_timeout.total_seconds(),
                needed=round(self._needed_timeout_seconds, 1),
            )

    # --- refusals ------------------------------------------------------------------------------------------

    def _refused(self, out: OutgoingText, segment: int, kind: status.StatusKind, command_status: int) -> None:
        self._in_doubt = True
        cause = self._refusals.refused(out.claimed.msisdn, kind)
        match Cause.LINK if self._stop.command_status is not None else cause:
            case Cause.NUMBER:
                self._refuse(out, command_status)
            case Cause.UNDECIDED:
                self._queue.put_back(out, segment)
                self._wait_for_decision(out, command_status)
            case Cause.LINK:
                self._queue.put_back(out, segment)
                self._stop_link(command_status)
                self._queue.move_back(out)  # the next probe is another text

    def _refuse(self, out: OutgoingText, command_status: int) -> None:
        out.refused = command_status
        out.unknown_segments = 0
        self._queue.drop_unsent(out)
        self._touch(out)

    def _wait_for_decision(self, out: OutgoingText, command_status: int) -> None:
        """Keeps a text that was refused, perhaps by the link's fault, until another number is accepted."""
        out.undecided = command_status
        if self._gives_up(out):
            self._refuse(out, command_status)
        elif not out.is_waiting:
            self._undecided[out.claimed.sms_id] = out
            self._queue.set_waiting(out)
            out.busy += 1
            self._loop.call_later(self._policy.undecided.delay(out.busy), self._waited, out)

    def _stop_link(self, command_status: int) -> None:
        undecided, self._undecided = self._undecided, {}
        for out in undecided.values():
            self._queue.requeue(out)
        if self._stop.stop(command_status, self._loop.time()):
            self._stopped_at = self._loop.time()
            name = status.name(command_status)
            log.error(LogEvent.LINK_STOPPED, link=self._config.name, status=name)
            metrics.LINK_STOPPED.labels(self._config.name).set(1)

    def _link_accepted(self, out: OutgoingText) -> None:
        """The link works: refusals of other numbers were not its fault."""
        self._resending.accepted()
        self._refusals.accepted()
        for other in list(self._undecided.values()):
            if other.claimed.msisdn == out.claimed.msisdn or other.under_way:
                continue
            self._undecided.pop(other.claimed.sms_id)
            if other.claimed.sms_id in self._queue.held and other.undecided is not None:
                self._refuse(other, other.undecided)
        self._in_doubt = bool(self._undecided)
        if self._stop.resume():
            log.info(LogEvent.LINK_RESUMED, link=self._config.name)
            metrics.LINK_STOPPED.labels(self._config.name).set(0)

    def _gives_up(self, out: OutgoingText) -> bool:
        """Whether the SMSC has not taken the text for `give_up`, but others; notes when that began."""
        now = self._texts.now()
        out.busy_since = out.busy_since or now
        waited = now - out.busy_since
        others_accepted = self._loop.time() - self._accepted_at < waited.total_seconds()
        return waited >= self._config.give_up and others_accepted

    def health(self) -> SendingHealth:
        """What the link says about itself now."""
        since = self._waiting_since
        waited = self._loop.time() - since
        silent = since > self._accepted_at and waited > self._config.response_timeout.total_seconds()
        return SendingHealth(
            self._stop.command_status, self._stopped_at, since if silent else None, self._needed_timeout_seconds
        )

    def _segment_done(self, out: OutgoingText) -> None:
        self._queue.segment_done(out)
        self._note_drained()

    def _note_drained(self) -> None:
        if self._stopping and not self._queue.under_way:
            self._drained.set()

    def _accepted(self, out: OutgoingText, segment: int, message_id: str) -> None:
        out.accepted_segments |= 1 << segment
        out.busy = 0
        out.busy_since = out.undecided = None
        if message_id:
            out.message_ids[segment] = message_id
            if out.tracked_segments >> segment & 1:
                out.expected.append(self._expected(out, segment, message_id))
        else:  # accepted without a message_id: no receipt can be matched
            out.tracked_segments &= ~(1 << segment)
        if out.is_accepted:
            out.accepted_at = self._texts.now()
        self._touch(out)

    def _expected(self, out: OutgoingText, segment: int, message_id: str) -> ExpectedReceipt:
        return ExpectedReceipt(normalize_message_id(message_id), message_id, out.claimed.sms_id, segment)

    def _wait_for_smsc(self, out: OutgoingText, command_status: int) -> None:
        """Delays a text for which the SMSC was busy, longer each time; other texts are still sent."""
        if self._gives_up(out):
            self._refuse(out, command_status)
            return
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
        self._gather_soon()

    def _gather_soon(self) -> None:
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
                await self._release(held.values())
                continue
            if exhausted := [out for out in held.values() if out.is_waiting and self._is_exhausted(out)]:
                await self._release(exhausted)
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

    def _is_exhausted(self, out: OutgoingText) -> bool:
        """Whether a waiting text is to wait in its row: after many waits, to be counted, or as memory is full."""
        busy = out.busy > self._policy.max_busy_retries
        return busy or (out.is_uncertain and (out.is_single or self._is_full))

    def _wait(self, out: OutgoingText) -> timedelta:
        """For which a released text stays in its row."""
        if out.unknown_segments:
            return timedelta(seconds=self._resending.wait_seconds(out))
        return self._policy.busy_pause if out.busy > self._policy.max_busy_retries else timedelta()

    async def _release(self, outs: Iterable[OutgoingText]) -> None:
        """Releases those of the texts without segments under way or unwritten progress."""
        async with self._rows_lock:
            idle = [out for out in outs if not out.under_way and out.claimed.sms_id not in self._unwritten]
            if not idle:
                return
            for out in idle:  # a bind may be established meanwhile
                self._queue.set_waiting(out)
            sms_ids = {out.claimed.sms_id for out in idle}
            self._release_uncertain |= sms_ids
            await self._texts.release(
                [Released(o.claimed.sms_id, self._wait(o), not o.begun, o.busy_since) for o in idle]
            )
            self._release_uncertain -= sms_ids
            for out in idle:
                self._queue.forget(out)
                self._undecided.pop(out.claimed.sms_id, None)

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
        if self._is_full or not self._binds:
            self._wakeup.set()  # there is room for new texts, or written texts can be released

    async def _write_late(self) -> None:
        if not self._late_accepted:
            return
        accepted, self._late_accepted = self._late_accepted, {}
        expected, self._late_expected = self._late_expected, []
        try:
            await self._texts.accept_late(accepted, expected)
        except BaseException:
            for sms_id, segments_ in accepted.items():
                self._late_accepted[sms_id] = self._late_accepted.get(sms_id, 0) | segments_
            self._late_expected = [*expected, *self._late_expected]
            raise


def _progress(out: OutgoingText) -> TextProgress:
    """The progress of the text to write now; its expected receipts are moved into it."""
    expected, out.expected = out.expected, []
    progress = out.progress
    return TextProgress(
        out.claimed, progress._replace(message_ids=tuple(progress.message_ids)), expected, out.refused
    )
