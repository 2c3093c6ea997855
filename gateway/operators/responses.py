"""What the SMSC's responses mean for the texts of a link: accepted, refused, to be sent again and when."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from smpplib.consts import SMPP_ESME_RSUBMITFAIL

from gateway import metrics
from gateway.config import Link as LinkConfig
from gateway.config.policy import LinkPolicy
from gateway.operators.link_health import LinkHealth
from gateway.operators.progress_writer import ProgressWriter
from gateway.operators.resending import Resending
from gateway.operators.send_queue import OutgoingText, SegmentTag, SendQueue
from gateway.smpp import status
from gateway.smpp.pacing import Pacer
from gateway.smpp.receipt import normalize_message_id
from gateway.smpp.refusals import Cause
from gateway.smpp.session import LateResponse, NoResponse, SubmitResponse
from gateway.store.sms import ExpectedReceipt
from gateway.usecases.sent_texts import SentTexts

THROTTLED_BEFORE_OTHERS = 3
"""The number of throttled responses in a row after which the other texts of the same priority go first."""


class Responses:
    """The responses to a link's segments, over all its binds, and the waits of texts that they cause."""

    def __init__(
        self,
        config: LinkConfig,
        *,
        policy: LinkPolicy,
        texts: SentTexts,
        queue: SendQueue,
        pacer: Pacer,
        writer: ProgressWriter,
        pump: Callable[[], None],
        review_waiting: Callable[[], object],
    ) -> None:
        """`pump` sends what may be sent; `review_waiting` releases the texts that are to wait in their rows."""
        self._config = config
        self._policy = policy
        self._texts = texts
        self._queue = queue
        self._pacer = pacer
        self._writer = writer
        self._pump = pump
        self._review_waiting = review_waiting
        self._loop = asyncio.get_running_loop()
        self.health = LinkHealth(config, policy, self._loop.time)
        self._resending = Resending(config.response_timeout.total_seconds(), policy, self._loop.time)
        self._not_accepted = ("", 0)  # the last number that was not accepted, and how often in a row
        self._undecided: dict[int, OutgoingText] = {}  # by sms_id: refused, perhaps by the link's fault
        self._statuses = config.statuses
        self._outcomes = {kind: metrics.SEGMENTS.labels(config.name, kind.value) for kind in status.StatusKind}
        self._uncounted = 0  # accepted segments that are not in the metric yet
        self._link = config.name

    # --- responses -----------------------------------------------------------------------------------------

    def responded(self, event: SubmitResponse[SegmentTag]) -> None:
        """Processes the response to a segment under way."""
        out, segment = event.tag
        self._queue.segment_done(out)
        kind = status.classify(event.command_status, self._statuses)
        if kind is not status.StatusKind.ACCEPTED:
            if self._exceeds_window(event.command_status) or (
                kind is status.StatusKind.LINK and self._stands_alone(out)
            ):
                kind = status.StatusKind.BUSY
            self._outcomes[kind].inc()
        else:
            self._uncounted += 1
            now = self._loop.time()
            self.health.accepted(now)
            self._pacer.accepted(now)
            if self.health.is_suspect:
                self._resending.accepted()
                self._link_accepted(out, late=False)
        if out.accepted_segments >> segment & 1:  # a copy: the response to the first sending came late
            self._writer.touch(out)
            return
        match kind:
            case status.StatusKind.ACCEPTED:
                self._accepted(out, segment, event.message_id)
            case status.StatusKind.THROTTLED:
                self._pacer.throttled(self._loop.time())
                self._queue.put_back(out, segment)
                self._note_throttled(out, event.command_status)
            case status.StatusKind.BUSY:
                self._queue.put_back(out, segment)
                self._wait_for_smsc(out, event.command_status)
            case _:
                self._refused(out, segment, kind, event.command_status)
        if out.unknown_segments:
            self._wait_if_uncertain(out)

    def _exceeds_window(self, command_status: int) -> bool:
        """Whether it is ESME_RSUBMITFAIL among acceptances: for a full window (gateway/smpp/window.py)."""
        return (
            command_status == SMPP_ESME_RSUBMITFAIL
            and command_status not in self._statuses
            and self.health.accepted_within(self._policy.full_window_seconds)
        )

    def _stands_alone(self, out: OutgoingText) -> bool:
        """Whether the link has accepted others since it was stopped for this text: it is not the link's fault.

        Of a text that was in its row meanwhile, whether it has accepted any for so long as that.
        """
        recently = self.health.accepted_within(self._policy.busy_pause.total_seconds())
        return out.again or (out.claimed.busy_since is not None and recently)

    def responded_late(self, event: LateResponse[SegmentTag]) -> None:
        """Counts a late ESME_ROK: also when a copy is under way, and when the text has been released."""
        self.health.responded_late(event.seconds)
        if event.command_status != 0:
            return
        out, segment = event.tag
        if self.health.accepted_late(event.seconds):
            self._link_accepted(out, late=True)
        held = self._queue.held.get(out.claimed.sms_id)
        if held is None:
            expected = self._expected(out, segment, event.message_id)
            self._writer.accepted_late(out.claimed.sms_id, segment, expected)
        elif not held.accepted_segments >> segment & 1:
            self._uncounted += 1
            self._queue.drop(held, segment)
            held.unknown_segments &= ~(1 << segment)
            self._accepted(held, segment, event.message_id)

    def not_responded(self, event: NoResponse[SegmentTag], *, timed_out: bool) -> None:
        """Notes a segment of unknown outcome. `timed_out`: its response may still come."""
        out, segment = event.tag
        self._queue.segment_done(out)
        metrics.count_unknown(self._link, 1)
        if timed_out:
            self.health.is_suspect = True
            self._resending.timed_out()
        if out.accepted_segments >> segment & 1 or out.refused is not None:
            self._writer.touch(out)
            return
        out.unknown_segments |= 1 << segment
        out.timed_out |= timed_out
        self._wait_if_uncertain(out)

    def count_accepted(self) -> None:
        """Adds the segments accepted since the last call to the metric."""
        counted, self._uncounted = self._uncounted, 0
        self._outcomes[status.StatusKind.ACCEPTED].inc(counted)

    def _accepted(self, out: OutgoingText, segment: int, message_id: str) -> None:
        out.accepted_segments |= 1 << segment
        out.busy = out.throttled = 0
        out.busy_since = out.undecided = None
        out.again = False
        if message_id:
            out.message_ids[segment] = message_id
            if (expected := self._expected(out, segment, message_id)) is not None:
                out.expected.append(expected)
        else:  # accepted without a message_id: no receipt can be matched
            out.tracked_segments &= ~(1 << segment)
        if out.is_accepted:
            out.accepted_at = self._texts.now()
        self._writer.touch(out)

    def _expected(self, out: OutgoingText, segment: int, message_id: str) -> ExpectedReceipt | None:
        """The receipt to expect; None when none was requested, or could be matched."""
        if not message_id or not out.tracked_segments >> segment & 1:
            return None
        return ExpectedReceipt(normalize_message_id(message_id), message_id, out.claimed.sms_id, segment)

    # --- refusals ------------------------------------------------------------------------------------------

    def _refused(self, out: OutgoingText, segment: int, kind: status.StatusKind, command_status: int) -> None:
        again = out.again and not out.is_waiting
        match self.health.refused(out.claimed.msisdn, kind, again=again):
            case Cause.NUMBER:
                self._refuse(out, command_status)
            case Cause.UNDECIDED:
                self._queue.put_back(out, segment)
                self._wait_for_decision(out, command_status)
            case Cause.LINK:
                self._queue.put_back(out, segment)
                if self._gives_up(out):
                    self._refuse(out, command_status)
                else:
                    self._stop_link(command_status)
                    out.undecided = command_status
                    self._undecided[out.claimed.sms_id] = out  # not the link's fault if it accepts others before
                    self._queue.move_back(out)  # the next probe is another text

    def _refuse(self, out: OutgoingText, command_status: int) -> None:
        out.refused = command_status
        out.unknown_segments = 0
        self._queue.drop_unsent(out)
        self._writer.touch(out)

    def _stop_link(self, command_status: int) -> None:
        undecided, self._undecided = self._undecided, {}
        for out in undecided.values():
            out.again = False
            self._queue.requeue(out)
        self.health.stop(command_status)

    def _link_accepted(self, out: OutgoingText, *, late: bool) -> None:
        """The link works: numbers refused before go again, and are at fault if they are refused again."""
        for other in list(self._undecided.values()):
            if other.claimed.msisdn == out.claimed.msisdn or other.under_way:
                continue
            self._undecided.pop(other.claimed.sms_id)
            if other.claimed.sms_id not in self._queue.held or other.undecided is None:
                continue
            if other.again:
                self._refuse(other, other.undecided)
            else:
                other.again = True
                self._queue.requeue(other)
        self.health.resume(is_suspect=late or bool(self._undecided))

    # --- waits ---------------------------------------------------------------------------------------------

    def _wait_for_smsc(self, out: OutgoingText, command_status: int) -> None:
        """Delays a text for which the SMSC was busy, longer each time; other texts are still sent."""
        if self._gives_up(out):
            self._refuse(out, command_status)
        elif not out.is_waiting:
            out.busy += 1
            self._wait(out, self._policy.busy.delay(out.busy))

    def _note_throttled(self, out: OutgoingText, command_status: int) -> None:
        """Lets the other texts go first where only this one is throttled, until it is given up."""
        out.throttled += 1
        if self._gives_up(out):
            self._refuse(out, command_status)
        elif out.throttled >= THROTTLED_BEFORE_OTHERS:
            self._queue.move_back(out)

    def _wait_for_decision(self, out: OutgoingText, command_status: int) -> None:
        """Keeps a text that was refused, perhaps by the link's fault, for its next try."""
        out.undecided = command_status
        if self._gives_up(out):
            self._refuse(out, command_status)
        elif not out.is_waiting:
            self._undecided[out.claimed.sms_id] = out
            self._wait(out, self.health.undecided_wait_seconds())

    def _wait(self, out: OutgoingText, seconds: float) -> None:
        self._queue.set_waiting(out)
        self._loop.call_later(seconds, self._waited, out)

    def _waited(self, out: OutgoingText) -> None:
        if out.busy > self._policy.max_busy_retries:
            self._review_waiting()
        else:
            self._queue.requeue(out)
            self._pump()

    def _gives_up(self, out: OutgoingText) -> bool:
        """Whether the SMSC has not accepted the text for `give_up`, and it is not the link's fault.

        That is so where it has accepted others meanwhile, or has had no other number to refuse for long. It is
        noted when the SMSC began not to accept it.
        """
        now = self._texts.now()
        out.busy_since = out.busy_since or now
        waited = now - out.busy_since
        if not out.is_waiting:  # of the segments of one try, the first counts
            number, times = self._not_accepted
            same = number == out.claimed.msisdn
            self._not_accepted = (out.claimed.msisdn, times + 1 if same else 1)
        alone = self._not_accepted[1] >= self._policy.alone_after_tries and not self.health.is_stopped
        return waited >= self._config.give_up and (alone or self.health.accepted_within(waited.total_seconds()))

    def _wait_if_uncertain(self, out: OutgoingText) -> None:
        """Has a text wait of which only segments of unknown outcome are left, or gives it up."""
        if not out.is_uncertain or out.is_waiting or out.refused is not None:
            return
        self._queue.set_waiting(out)
        if self._gives_up(out):
            out.given_up = True
            self._writer.touch(out)
            return
        if out.is_single:
            self._review_waiting()  # it waits in its row, which counts its sendings
        else:
            self._loop.call_later(self._resending.wait_seconds(out), self._send_again, out, out.sendings)

    def _send_again(self, out: OutgoingText, sendings: int) -> None:
        if out.unknown_segments and out.sendings == sendings and not out.given_up:
            self._queue.repeat_unknown(out)
            self._pump()

    # --- texts that wait in their rows ---------------------------------------------------------------------

    def is_to_wait_in_row(self, out: OutgoingText, *, memory_full: bool) -> bool:
        """Whether a waiting text is to be released: after many waits, to be counted, or as memory is full."""
        busy = out.busy > self._policy.max_busy_retries
        return busy or (out.is_uncertain and (out.is_single or memory_full))

    def wait_in_row(self, out: OutgoingText) -> timedelta:
        """For which a released text stays in its row."""
        if out.unknown_segments:
            return timedelta(seconds=self._resending.wait_seconds(out))
        return self._policy.busy_pause if out.busy > self._policy.max_busy_retries else timedelta()

    def forget(self, out: OutgoingText) -> None:
        """Forgets a released text."""
        self._undecided.pop(out.claimed.sms_id, None)
