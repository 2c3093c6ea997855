"""From queued texts to the SMSC's answers: taken in batches, cut into segments, paced, and recorded in batches.

What is in memory is bounded: a little more than the windows hold, or a quarter of a second's worth. A text that
leaves memory unfinished goes back to its row, with the segments that the SMSC has accepted noted; whoever takes
it next sends the others with the same reference.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import NamedTuple

from gateway import metrics
from gateway.config import Link as LinkConfig
from gateway.consent.case import Event, EventType
from gateway.consent.inputs import ConfirmAccepted, Input, ReportRefused
from gateway.consent.texts import Kind
from gateway.operators.connection import SmppConnection
from gateway.operators.send_queue import OutgoingText, SendQueue
from gateway.smpp import status, ussd
from gateway.smpp.pacing import Pacer
from gateway.smpp.pdu import SubmitEncoder
from gateway.smpp.receipt import normalize_message_id
from gateway.smpp.session import LateResponse, NoResponse, SubmitResponse
from gateway.smpp.text import LongMessages, segments
from gateway.store import journal, nodes, sms
from gateway.store.sms import URGENT, ClaimedSms, SmsProgress, SmsState
from gateway.usecases.unit_of_work import Journeys, Step

GATHER_SECONDS = 0.02
"""Seconds for which answers are gathered before they are written in one transaction."""
READY_SECONDS = 0.25
READY_WINDOWS = 4
"""How much bulk is kept ready: so many seconds of `tps`, at most so many windows."""
TYPICAL_SEGMENTS = 16
"""Of a request (order A1, text 1): how many texts fill the room there is."""
MAX_URGENT_TEXTS = 200
"""ParentReply texts in memory, whatever bulk there is besides."""
MAX_UNWRITTEN_TEXTS = 500
"""Texts in memory besides those that are ready: when so many are not written yet, the database is slow."""
BUSY_BACKOFF_SECONDS = (0.5, 30.0)
"""First and longest wait, in seconds, after an SMSC says that it is too busy for a text."""
MAX_BUSY_RETRIES = 6
BUSY_REST = timedelta(minutes=1)
"""After so many waits in memory the text goes back to its row and rests there."""
RECEIPTS_EXPECTED_FOR = timedelta(days=3)


class SegmentTag(NamedTuple):
    """What the session hands back with an answer: the text, and the segment's number from 0."""

    out: OutgoingText
    segment: int


class _Writing(NamedTuple):
    """A text's progress on its way to the row."""

    out: OutgoingText
    progress: SmsProgress
    expected: list[tuple[str, str, int, int]]


class Sender:
    """The sending half of a link, over all its binds."""

    def __init__(
        self,
        config: LinkConfig,
        journeys: Journeys,
        reply_text_sent: Callable[[str], None],
        unsent: set[str],
    ) -> None:
        """`reply_text_sent` is told the case_id whenever the first segment of an answer leaves.

        `unsent` gets the cases whose question is in memory, until a segment of it leaves.
        """
        self._config = config
        self._journeys = journeys
        self._answer_sent = reply_text_sent
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(config.tps)
        self._paced = config.tps > 0
        self._encoder = SubmitEncoder(config.source_address, receipts=config.receipts)
        self._screen_encoder = SubmitEncoder(
            config.source_address,
            receipts="none",
            service_type=ussd.SERVICE_TYPE,
        )
        self._binds: list[SmppConnection[SegmentTag]] = []
        self._outbox = SendQueue(unsent)
        self._dirty: dict[int, OutgoingText] = {}
        self._rows = asyncio.Lock()  # a row is not given back while what was answered is being written to it
        self._gathered = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._more = False  # the last look at the rows left bulk there
        self._crowded = False  # the last look at the rows was cut short: memory is full
        self._unsure: set[int] = set()  # texts that were given back, or not: nobody has heard
        self._stopping = False
        self._drained = asyncio.Event()
        windows = config.window * config.sessions * READY_WINDOWS
        self._target = min(windows, max(1, int(config.tps * READY_SECONDS))) if config.tps else windows
        self._most_held = MAX_UNWRITTEN_TEXTS + self._target // TYPICAL_SEGMENTS
        self._wake = journeys.signals.texts[config.name]
        self._falling_back = [link.name for link in journeys.links.values() if config.name in link.fallback]
        self._statuses = {number: status.StatusKind(kind) for number, kind in config.statuses.items()}
        self._outcomes = {kind: metrics.SEGMENTS.labels(config.name, kind.value) for kind in status.StatusKind}
        self._unknown = metrics.SEGMENTS_UNKNOWN.labels(config.name)

    # --- what the link tells -------------------------------------------------------------------------------

    def bound(self, bind: SmppConnection[SegmentTag]) -> None:
        """The bind may be used from now on."""
        self._binds.append(bind)
        self._wake.set()
        self.pump()

    def unbound(self, bind: SmppConnection[SegmentTag]) -> None:
        """The bind is no more; when it was the last, what is in memory goes back to its rows."""
        if bind in self._binds:
            self._binds.remove(bind)
        self._wake.set()

    def stop(self) -> None:
        """Submits nothing more; answers are still taken."""
        self._stopping = True
        self._note_drained()

    async def drained(self) -> None:
        """Returns when, after stop(), no segment waits for its answer."""
        await self._drained.wait()

    async def finish(self) -> None:
        """The last words: what was answered is written, everything else goes back to its rows."""
        await self.write()
        await self._give_back(self._outbox.held.values(), timedelta())

    # --- segments out --------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Submits as much as windows and pacing allow now."""
        outbox = self._outbox
        if not self._journeys.lease.is_exclusive:  # another process sends these by now, perhaps
            return
        while not self._stopping and (out := outbox.next()):
            now = time.monotonic()  # the loop's own time stands still during its turn
            if out.deadline is not None and now >= out.deadline:
                out.stale = True
                outbox.drop_unsent(out)
                self._touch(out)
                continue
            bind = self._widest()
            if bind is None:
                break
            if delay := self._pacer.delay(now):
                if self._pause is None:
                    self._pause = self._loop.call_later(delay, self._unpause)
                break
            self._pacer.record_sent(now, out.weight)
            segment = outbox.take_segment(out)
            bind.submit(out.bodies[segment], SegmentTag(out, segment))
            if self._paced:
                bind.flush()  # now, not when this turn of the loop ends: the SMSC counts by the second
            if segment == 0 and not out.is_bulk and not out.is_screen and out.taken.case_id is not None:
                self._answer_sent(out.taken.case_id)
        if self._more and outbox.ready < self._target // 2 and not self._stopping and not self._crowded:
            self._wake.set()

    def _unpause(self) -> None:
        self._pause = None
        self.pump()

    def _widest(self) -> SmppConnection[SegmentTag] | None:
        """The bind with most room in its window."""
        if len(self._binds) == 1:
            return self._binds[0] if self._binds[0].free > 0 else None
        bind = max(self._binds, key=lambda b: b.free, default=None)
        return bind if bind is not None and bind.free > 0 else None

    # --- answers in ----------------------------------------------------------------------------------------

    def answered(self, event: SubmitResponse[SegmentTag] | LateResponse[SegmentTag]) -> None:
        """Takes the SMSC's answer to a segment; one that comes late counts unless the segment went again."""
        out, segment = event.tag
        if isinstance(event, SubmitResponse):
            self._came_back(out)
        elif event.command_status or not self._outbox.drop(out, segment):
            return
        kind = status.classify(event.command_status, self._statuses)
        self._outcomes[kind].inc()
        match kind:
            case status.StatusKind.ACCEPTED:
                self._pacer.accepted(self._loop.time())
                self._accept(out, segment, event.message_id)
            case status.StatusKind.THROTTLED:
                self._pacer.throttled(self._loop.time())
                self._outbox.put_back(out, segment)
            case status.StatusKind.BUSY:
                self._outbox.put_back(out, segment)
                self._rest(out)
            case status.StatusKind.REFUSED:
                out.refused = event.command_status
                self._outbox.drop_unsent(out)
                self._touch(out)

    def unanswered(self, event: NoResponse[SegmentTag]) -> None:
        """Nobody knows whether the SMSC has the segment: it goes again, byte for byte the same."""
        out, segment = event.tag
        self._came_back(out)
        self._unknown.inc()
        if out.refused is None:
            self._outbox.put_back(out, segment)
        else:
            self._touch(out)

    def _came_back(self, out: OutgoingText) -> None:
        self._outbox.came_back(out)
        self._note_drained()

    def _note_drained(self) -> None:
        if self._stopping and not self._outbox.under_way:
            self._drained.set()

    def _accept(self, out: OutgoingText, segment: int, message_id: str) -> None:
        out.accepted_segments |= 1 << segment
        out.busy = 0
        if message_id:
            out.message_ids[segment] = message_id
            if out.tracked_segments >> segment & 1:
                out.expected.append((normalize_message_id(message_id), message_id, out.taken.sms_id, segment))
        else:  # accepted, but no receipt can name it
            out.tracked_segments &= ~(1 << segment)
        if out.is_accepted:
            out.accepted_at = self._journeys.clock.now()
        self._touch(out)

    def _rest(self, out: OutgoingText) -> None:
        """The SMSC is too busy for this text: it waits, longer each time; the others go on."""
        if out.aside:
            return
        self._outbox.set_aside(out)
        first, longest = BUSY_BACKOFF_SECONDS
        delay = min(longest, first * 2**out.busy) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        out.busy += 1
        self._loop.call_later(delay, self._rested, out)

    def _rested(self, out: OutgoingText) -> None:
        if out.busy > MAX_BUSY_RETRIES:
            self._wake.set()  # fill() gives it back
        else:
            self._outbox.line_up_again(out)
            self.pump()

    def _touch(self, out: OutgoingText) -> None:
        """The row has to be written, in a moment, together with others."""
        self._dirty[out.taken.sms_id] = out
        if self._gathering is None:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._gather)

    def _gather(self) -> None:
        self._gathering = None
        self._gathered.set()

    # --- rows in -------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Takes texts from their rows while there is room for them; runs until cancelled."""
        # It runs anew when the database was lost: perhaps between its commit and our knowing of it.
        journeys, held = self._journeys, self._outbox.held
        async with journeys.database.acquire() as connection:
            ours = await sms.still_claimed(connection, journeys.node, self._unsure)
            for out in [held[sms_id] for sms_id in self._unsure & held.keys()]:
                (self._outbox.line_up_again if out.taken.sms_id in ours else self._outbox.forget)(out)
            self._unsure.clear()
            await sms.release_others(connection, journeys.node, self._config.name, held.keys())
        while True:
            await self._wake.wait()
            if not self._binds:
                await self._give_back(held.values(), timedelta())
                continue
            if tired := [
                o for o in held.values() if o.aside and o.busy > MAX_BUSY_RETRIES
            ]:  # else nothing need wait for write()
                await self._give_back(tired, BUSY_REST)
            while not self._stopping and await self._take():
                self.pump()
            self.pump()

    async def _take(self) -> bool:
        """Takes one batch; whether there may be more."""
        journeys, outbox = self._journeys, self._outbox
        room = self._target - outbox.ready
        in_window = journeys.rules.calendar.in_window(journeys.clock.now())
        full = len(outbox.held) >= self._most_held
        bulk = room > 0 and in_window and not full
        limit = -(-room // TYPICAL_SEGMENTS) if bulk else MAX_URGENT_TEXTS - outbox.answers
        self._crowded = full or limit <= 0
        if not self._binds or limit <= 0:
            return False
        left, self._more = self._more, False  # nobody need wake us meanwhile
        async with journeys.database.acquire() as connection:
            others = await nodes.down_links(connection, self._falling_back) if self._falling_back else []
            taken = await sms.claim(
                connection,
                journeys.node,
                self._config.name,
                others=others,
                bulk=bulk,
                limit=limit,
            )
        for row in taken:
            self._hold(row)
        full = len(taken) == limit
        self._more = full if bulk else left and in_window
        return full and (outbox.ready < self._target or taken[-1].priority == URGENT)

    def _hold(self, row: ClaimedSms) -> None:
        out = self._text(row) if row.tlvs is None else self._screen(row, row.tlvs)
        self._outbox.hold(out)
        if not out.unsent:  # all was accepted, but the text as a whole never became so
            out.accepted_at = self._journeys.clock.now()
            self._touch(out)

    def _text(self, row: ClaimedSms) -> OutgoingText:
        data_coding, parts = segments(row.body, LongMessages(row.long_messages), row.reference)
        bodies = self._encoder.bodies(row.msisdn, parts, data_coding)
        every, last = (1 << len(bodies)) - 1, 1 << len(bodies) - 1
        return OutgoingText(row, bodies, {"all": every, "last": last, "none": 0}[self._config.receipts])

    def _screen(self, row: ClaimedSms, tlvs: bytes) -> OutgoingText:
        data_coding, parts = ussd.encode_screen(row.body, tlvs)
        bodies = self._screen_encoder.bodies(row.msisdn, parts, data_coding)
        return OutgoingText(row, bodies, 0, deadline=self._loop.time() + (row.fresh_for or 0.0))

    async def _give_back(self, outs: Iterable[OutgoingText], delay: timedelta) -> None:
        """Returns texts with nothing under way and nothing unwritten to their rows."""
        async with self._rows:
            idle = [out for out in outs if not out.under_way and out.taken.sms_id not in self._dirty]
            if not idle:
                return
            for out in idle:  # a bind may come up meanwhile
                self._outbox.set_aside(out)
            sms_ids = {out.taken.sms_id for out in idle}
            self._unsure |= sms_ids
            async with self._journeys.database.acquire() as connection:
                unsent = [out.taken.sms_id for out in idle if not out.begun]
                await sms.release(connection, self._journeys.node, sms_ids, delay, unsent=unsent)
            self._unsure -= sms_ids
            for out in idle:
                self._outbox.forget(out)

    # --- rows out ------------------------------------------------------------------------------------------

    async def record(self) -> None:
        """Writes gathered answers; runs until cancelled. While the database is away they wait, bounded."""
        while True:
            await self.write()
            await self._gathered.wait()
            self._gathered.clear()

    async def write(self) -> None:
        """Writes what the SMSC has answered so far: the texts' progress and what it means for their cases."""
        async with self._rows:
            while self._dirty:
                batch = [self._writing(out) for out in self._dirty.values()]
                self._dirty = {}
                try:
                    ours = await self._journeys.transact(lambda step, batch=batch: self._write(step, batch))  # type: ignore[misc]
                except BaseException:
                    for writing in batch:
                        writing.out.expected = writing.expected + writing.out.expected
                        self._dirty[writing.out.taken.sms_id] = writing.out
                    raise
                for out, progress, _ in batch:
                    if progress.state is not SmsState.SENDING or progress.sms_id not in ours:
                        self._outbox.forget(out)
        if self._crowded or not self._binds:
            self._wake.set()  # there is room now, or what was unwritten can be given back

    def _writing(self, out: OutgoingText) -> _Writing:
        expected, out.expected = out.expected, []
        progress = out.progress
        return _Writing(out, progress._replace(message_ids=tuple(progress.message_ids)), expected)

    async def _write(self, step: Step, batch: list[_Writing]) -> set[int]:
        """The sms_ids of those texts that were still this node's."""
        ours = await sms.record(step.connection, self._journeys.node, [w.progress for w in batch])
        expected = [e for w in batch if w.progress.sms_id in ours for e in w.expected]
        if expected:
            await sms.expect_receipts(step.connection, self._config.name, expected, RECEIPTS_EXPECTED_FOR)
        questions: list[tuple[str, Input]] = []
        answers: list[journal.Entry] = []
        for writing in batch:
            case_id, progress = writing.out.taken.case_id, writing.progress
            decided = progress.state in (SmsState.ACCEPTED, SmsState.REFUSED)
            if not decided or progress.sms_id not in ours or case_id is None:
                continue
            outcome = self._outcome(writing)
            if writing.out.is_bulk:
                questions.append((case_id, outcome))
            else:  # the journey does not wait for an answer's fate: no case need be loaded to journal it
                accepted = progress.state is SmsState.ACCEPTED
                name = EventType.TEXT_ACCEPTED if accepted else EventType.TEXT_REFUSED
                answers.append(journal.entry(step.now, case_id, Event(name, outcome.detail)))
        await step.take(questions)
        step.journal(answers)
        return ours

    def _outcome(self, writing: _Writing) -> ConfirmAccepted | ReportRefused:
        taken, progress = writing.out.taken, writing.progress
        told = {"sms_id": taken.sms_id, "text": taken.kind, "link": self._config.name}
        if progress.state is SmsState.REFUSED:
            command_status = writing.out.refused or 0
            return ReportRefused(
                text=Kind(taken.kind),
                repeat=taken.repeat,
                msisdn=taken.msisdn,
                detail=told | {"command_status": command_status, "name": status.name(command_status)},
            )
        assert progress.accepted_at is not None, "an accepted text knows when"
        return ConfirmAccepted(
            text=Kind(taken.kind),
            repeat=taken.repeat,
            msisdn=taken.msisdn,
            at=progress.accepted_at,
            detail=told | {"message_ids": list(progress.message_ids), "attempts": taken.attempts},
        )
