"""The shells, in virtual time: processes one after the other, around the real session and pacer.

They keep the contract of the real ones: no effect that is not first a row, no deliver_sm_resp before the commit,
and memory may be lost at any instant. `Bug` plants errors that the simulation must find.
"""

import random
from collections.abc import Callable
from enum import Enum, auto
from functools import cache

from gateway.consent.details import TextAccepted, TextRefused, TextUndeliverable
from gateway.consent.inputs import (
    ConfirmAccepted,
    Effect,
    HoldReply,
    Input,
    IssueVoucher,
    ParentReply,
    RejectVoucher,
    ReportDelivered,
    ReportRefused,
    ReportUndeliverable,
    SkipRecipient,
    UseNumber,
)
from gateway.consent.reply import ReplyRules, Verdict, read_reply
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.pacing import Pacer
from gateway.smpp.session import Role, Session, SessionState
from tests.simulation.simulated_rows import Rows, Sms
from tests.simulation.simulated_smsc import Smsc, Wire
from tests.simulation.simulated_time import DAY, Timeline
from tests.simulation.simulated_truth import Truth

GATHER_SECONDS = 0.05
RETRY = 1.0
RESTART = (0.5, 15.0)
DECISION_SECONDS = (0.0, 5 * DAY)
"""Seconds after which ops count a held reply: the question may be repeated or over by then."""
SAME_REPLY_WITHIN_SECONDS = 2.0
LOSS_DETECTION_SECONDS = 60.0
"""Responses sent longer than this before the end of a connection have reached the SMSC."""
_RULES = ReplyRules(service="3", agree="1", refuse="2", strict=False)


class Bug(Enum):
    """Errors that the shells could have."""

    ACKNOWLEDGES_BEFORE_THE_COMMIT = auto()
    TREATS_RESPONSES_AS_DURABLE_BEFORE_THE_COMMIT = auto()
    IGNORES_POSSIBLE_REDELIVERIES = auto()
    SENDS_ACCEPTED_SEGMENTS_AGAIN = auto()
    LEAVES_TEXTS_OF_UNSEEN_COMMITS = auto()


class Killed(Exception):
    """The process is ended by SIGKILL."""


class Away(Exception):
    """The database is away; it is not known whether the transaction was committed."""


@cache
def _verdict(text: str) -> Verdict:
    return read_reply(text, _RULES).verdict


class Gateway:
    """The process and its supervisor, which starts it again."""

    def __init__(
        self,
        dice: random.Random,
        time: Timeline,
        truth: Truth,
        rows: Rows,
        smsc: Smsc,
        *,
        numbers: dict[str, list[str | None]],
        window: int,
        tps: float,
        kill: float,
        away: float,
        bugs: frozenset[Bug],
        base_lags: bool,
    ) -> None:
        """`kill`, `away`: probabilities at each commit. `numbers`: of the recipients of each case, in order.

        `base_lags`: all numbers have moved, so that every reply comes by a link that may not carry it.
        """
        self.dice, self.time, self.truth, self.rows, self.smsc = dice, time, truth, rows, smsc
        self.numbers, self.window, self.tps = numbers, window, tps
        self.kill, self.away, self.bugs = kill, away, bugs
        self.base_lags = base_lags
        self.deciding = 0  # held replies on which ops have not decided
        self.kills = 0
        self.life: ProcessLife | None = None
        self.died_at: float | None = None
        self.deadlines: set[float] = set()

    def start(self) -> None:
        self.life = ProcessLife(self)
        self.life.guarded(self.life.begin)

    def decide_later(self, case_id: str) -> None:
        self.deciding += 1
        self.time.after(self.dice.uniform(*DECISION_SECONDS), self.accept_reply, case_id)

    def accept_reply(self, case_id: str) -> None:
        """Ops count the held reply in the process that runs at that time."""
        if (life := self.life) is None:
            self.time.after(RETRY, self.accept_reply, case_id)
            return
        self.deciding -= 1
        life.guarded(life.accept_reply, case_id)

    def die(self) -> None:
        assert self.life is not None
        self.kills += 1
        self.died_at = self.time.now
        life, self.life = self.life, None
        life.wire.cut()
        self.time.after(self.dice.uniform(*RESTART), self.start)


class ProcessLife:
    """One process, from its start to its kill."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.time, self.rows = gateway, gateway.time, gateway.rows
        self.dice, self.truth, self.bugs = gateway.dice, gateway.truth, gateway.bugs
        self.pacer = Pacer(gateway.tps)
        self.held: dict[int, Sms] = {}
        self.unsent: list[tuple[Sms, int]] = []
        self.accepted: dict[int, int] = {}  # accepted segments by sms_id; the rows are written later
        self.refused: set[int] = set()
        self.under_way: dict[int, int] = {}
        self.dirty: set[int] = set()
        self.gathering = self.pumping = False
        self.calling: set[str] = set()
        self.tick_at = float("inf")
        self.connect()

    # --- start and kill ------------------------------------------------------------------------------------

    def guarded(self, work: Callable[..., None], *arguments: object) -> None:
        """Runs `work` if this process still runs; the work may end it."""
        if self.gateway.life is self:
            try:
                work(*arguments)
            except Killed:
                self.gateway.die()

    def after(self, delay: float, work: Callable[..., None], *arguments: object) -> None:
        self.time.after(delay, self.guarded, work, *arguments)

    def transact(self, work: Callable[[], None]) -> None:
        """Commits `work`, or nothing of it; either may be followed by Killed, and by Away."""
        gateway = self.gateway
        chance = self.dice.random()
        before, after = gateway.kill / 2, gateway.kill
        if chance < before:
            raise Killed
        if after <= chance < after + gateway.away / 2:
            raise Away
        work()
        if chance < after:
            raise Killed
        if chance < after + gateway.away:
            raise Away
        self.schedule_deadlines()

    def begin(self) -> None:
        self.rows.release()
        if self.gateway.died_at is not None:
            self.rows.note_unacknowledged(self.gateway.died_at - LOSS_DETECTION_SECONDS)
        self.schedule_deadlines()
        self.dispatch()

    # --- the link ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        self.session = Session[tuple[Sms, int]](
            role=Role.TRANSCEIVER,
            system_id="sim",
            password="sim",
            window=self.gateway.window,
            enquire_link=DAY / 3,
            response_timeout=10.0,
        )
        self.wire: Wire = self.gateway.smsc.connect()
        self.wire.on_octets = lambda octets: self.guarded(self.receive, octets)
        self.wire.on_cut = lambda: self.guarded(self.disconnected)
        self.session.connected(self.time.now)
        self.flush()

    def receive(self, octets: bytes) -> None:
        self.handle(self.session.receive(octets, self.time.now))

    def disconnected(self) -> None:
        self.rows.note_unacknowledged(self.time.now - LOSS_DETECTION_SECONDS)
        self.handle(self.session.disconnected(self.time.now))
        for sms in [sms for sms_id, sms in self.held.items() if sms_id not in self.dirty]:
            sms.state = "queued"  # its row is released
            del self.held[sms.sms_id]
        self.unsent = [(sms, n) for sms, n in self.unsent if sms.sms_id in self.held]
        self.after(self.dice.uniform(1.0, 5.0), self.connect)

    def tick(self, at: float) -> None:
        if at == self.tick_at:
            self.tick_at = float("inf")
            self.handle(self.session.tick(self.time.now))

    def handle(self, events: list[smpp.Event[tuple[Sms, int]]]) -> None:
        for event in events:
            match event:
                case smpp.SubmitResponse(tag=(sms, segment)):
                    self.under_way[sms.sms_id] -= 1
                    self.process_response(sms, segment, event.command_status)
                case smpp.NoResponse(tag=(sms, segment)):
                    self.under_way[sms.sms_id] -= 1
                    self.send_again(sms, segment)
                case smpp.LateResponse(tag=(sms, segment)):
                    if event.command_status == 0 and (sms, segment) in self.unsent:
                        self.unsent.remove((sms, segment))
                        self.process_response(sms, segment, 0)
                case smpp.Received():
                    self.process_reply(event)
        self.pump()

    def flush(self) -> None:
        if octets := self.session.data_to_send():
            self.wire.to_smsc(octets)
        if self.session.state is SessionState.CLOSED:
            self.wire.cut()
        deadline = self.session.next_deadline()
        if deadline is not None and deadline < self.tick_at:
            self.tick_at = deadline
            self.after(max(deadline - self.time.now, 0.0), self.tick, deadline)

    # --- texts out ---------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Claims texts and submits the segments that window and pacing allow."""
        now = self.time.now
        self.claim_texts()
        while self.unsent and self.session.free:
            if delay := self.pacer.delay(now):
                self.pump_soon(delay)
                break
            sms, segment = self.unsent.pop(0)
            self.pacer.record_sent(now)
            note = f"{sms.sms_id}|{segment}|{sms.msisdn}|{sms.reference}|{sms.segments}|{sms.case_id}|{sms.kind}"
            self.session.submit(note.encode(), (sms, segment), now)
            self.under_way[sms.sms_id] += 1
            self.truth.submitted(sms.sms_id, segment, now, sum(self.under_way.values()))
        self.flush()

    def pump_soon(self, delay: float) -> None:
        if not self.pumping:
            self.pumping = True
            self.after(delay, self.pump_again)

    def pump_again(self) -> None:
        self.pumping = False
        self.pump()

    def claim_texts(self) -> None:
        if not self.session.free or len(self.unsent) >= self.gateway.window:
            return
        calendar = self.rows.rules.calendar
        queued = [sms for sms in self.rows.sms.values() if sms.state == "queued"]
        if not queued:
            return
        in_window = calendar.in_window(self.time.at)
        if not in_window and any(sms.is_bulk for sms in queued):
            self.pump_soon((calendar.next_opening(self.time.at) - self.time.at).total_seconds())
        ready = [sms for sms in queued if in_window or not sms.is_bulk]
        if not ready:
            return
        claimed = sorted(ready, key=lambda sms: (sms.is_bulk, sms.sms_id))[:2]

        def claim() -> None:
            for sms in claimed:
                sms.state, sms.attempts = "sending", sms.attempts + 1

        try:
            self.transact(claim)
        except Away:
            if Bug.LEAVES_TEXTS_OF_UNSEEN_COMMITS not in self.bugs:
                self.after(RETRY, self.release_unheld)
            self.pump_soon(RETRY)
            return
        for sms in claimed:
            self.held[sms.sms_id] = sms
            self.accepted[sms.sms_id] = sms.accepted_segments
            self.under_way.setdefault(sms.sms_id, 0)
            everything = Bug.SENDS_ACCEPTED_SEGMENTS_AGAIN in self.bugs
            self.unsent += [
                (sms, n) for n in range(sms.segments) if everything or not sms.accepted_segments >> n & 1
            ]

    def release_unheld(self) -> None:
        """Releases texts that an unseen commit has claimed."""
        for sms in self.rows.sms.values():
            if sms.state == "sending" and sms.sms_id not in self.held:
                sms.state = "queued"
        self.pump()

    def process_response(self, sms: Sms, segment: int, command_status: int) -> None:
        match status.classify(command_status, {}):
            case status.StatusKind.ACCEPTED:
                self.pacer.accepted(self.time.now)
                self.accepted[sms.sms_id] |= 1 << segment
                if Bug.TREATS_RESPONSES_AS_DURABLE_BEFORE_THE_COMMIT in self.bugs:
                    self.truth.durable.add((sms.sms_id, segment))
                self.touch(sms)
            case status.StatusKind.THROTTLED:
                self.pacer.throttled(self.time.now)
                self.send_again(sms, segment)
            case status.StatusKind.BUSY:
                self.send_again(sms, segment)
            case status.StatusKind.REFUSED:
                self.refused.add(sms.sms_id)
                self.unsent = [other for other in self.unsent if other[0] is not sms]
                self.touch(sms)

    def send_again(self, sms: Sms, segment: int) -> None:
        if sms.sms_id in self.held and sms.sms_id not in self.refused:
            self.unsent.insert(0, (sms, segment))

    def touch(self, sms: Sms) -> None:
        self.dirty.add(sms.sms_id)
        if not self.gathering:
            self.gathering = True
            self.after(GATHER_SECONDS, self.write)

    def write(self) -> None:
        """Stores the responses of the SMSC and applies them to the cases."""
        self.gathering = False
        batch = [self.held[sms_id] for sms_id in sorted(self.dirty) if sms_id in self.held]

        def record() -> None:
            for sms in batch:
                sms.accepted_segments = self.accepted[sms.sms_id]
                self.truth.durable |= {
                    (sms.sms_id, n) for n in range(sms.segments) if sms.accepted_segments >> n & 1
                }
                if sms.is_accepted or (sms.sms_id in self.refused and not self.under_way[sms.sms_id]):
                    sms.state = "accepted" if sms.is_accepted else "refused"
                    self.rows.apply([(sms.case_id, self.outcome(sms))])

        try:
            self.transact(record)
        except Away:
            # The commit may have succeeded: then these rows are not this process's any more (sms.node).
            self.gathering = True
            self.after(RETRY, self.write)
            self.forget(batch)
            return
        self.dirty -= {sms.sms_id for sms in batch}
        self.forget(batch)
        for sms in batch:
            if sms.state == "accepted" and sms.is_bulk and (chance := self.dice.random()) < 0.6:
                report = ReportDelivered if chance < 0.5 else _undeliverable
                reported = report(text=sms.kind, repeat=sms.repeat, msisdn=sms.msisdn)
                self.after(self.dice.uniform(0.1, 60.0), self.step, [(sms.case_id, reported)])
        self.pump()

    def forget(self, batch: list[Sms]) -> None:
        for sms in batch:
            if sms.state != "sending" and sms.sms_id in self.held:
                del self.held[sms.sms_id]

    def outcome(self, sms: Sms) -> Input:
        if sms.state == "refused":
            return ReportRefused(text=sms.kind, repeat=sms.repeat, msisdn=sms.msisdn, detail=_REFUSED)
        return ConfirmAccepted(
            text=sms.kind, repeat=sms.repeat, msisdn=sms.msisdn, at=self.time.at, detail=_ACCEPTED
        )

    # --- replies in --------------------------------------------------------------------------------------

    def process_reply(self, received: smpp.Received) -> None:
        msisdn, text, number = received.body.decode().split("|")
        if Bug.ACKNOWLEDGES_BEFORE_THE_COMMIT in self.bugs:
            self.session.respond(received.command_id, received.sequence_number)
            self.flush()

        def store() -> None:
            at = self.rows.recent.get((msisdn, text), -DAY)
            self.rows.recent[msisdn, text] = self.time.now
            self.truth.stored[int(number)] += 1
            if self.time.now - at <= SAME_REPLY_WITHIN_SECONDS:
                return
            case_id, possible_redelivery = self.rows.addressee(msisdn, text)
            if case_id is None:
                return
            reply = ParentReply(
                msisdn=msisdn,
                verdict=_verdict(text),
                normalised=False,
                reply_at=self.time.at,
                submitted=True,
                possible_redelivery=possible_redelivery and Bug.IGNORES_POSSIBLE_REDELIVERIES not in self.bugs,
                evidence="sha256:",
                link="link",
            )
            if self.gateway.base_lags:
                self.rows.hold(case_id, HoldReply(reply=reply, operator="moved from", digest=""))
                self.gateway.decide_later(case_id)
            else:
                self.rows.apply([(case_id, reply)])

        try:
            self.transact(store)
        except Away:
            self.rows.note_unacknowledged(self.time.now)
            self.session.respond(received.command_id, received.sequence_number, 0x64)
            self.flush()
            return
        self.session.respond(received.command_id, received.sequence_number)
        self.flush()
        self.dispatch()
        self.pump()

    # --- other inputs of cases -----------------------------------------------------------------------

    def step(self, inputs: list[tuple[str, Input]]) -> None:
        """One transaction with these inputs, repeated until the database is there."""
        try:
            self.transact(lambda: self.rows.apply(inputs))
        except Away:
            self.after(RETRY, self.step, inputs)
        self.dispatch()
        self.pump()

    def accept_reply(self, case_id: str) -> None:
        """Counts the held reply; ops try again when it is not known whether it was counted."""
        try:
            self.transact(lambda: self.rows.apply([(case_id, self.rows.acceptance(case_id))]))
        except (Away, Killed) as error:
            self.gateway.decide_later(case_id)
            if isinstance(error, Killed):
                raise
        self.dispatch()
        self.pump()

    def schedule_deadlines(self) -> None:
        for case in self.rows.cases.values():
            if case.due_at is not None:
                at = max((case.due_at - self.time.at).total_seconds(), 0.0) + self.time.now
                if at not in self.gateway.deadlines:
                    self.gateway.deadlines.add(at)
                    self.time.after(at - self.time.now, self.gateway_meets, at)

    def gateway_meets(self, at: float) -> None:
        """Meets deadlines in the process that runs at that time."""
        self.gateway.deadlines.discard(at)
        life = self.gateway.life
        if life is None:
            self.time.after(RETRY, self.gateway_meets, at)
        else:
            life.guarded(lambda: life.step(life.rows.due()))

    def dispatch(self) -> None:
        """Makes the calls that are stored as rows."""
        for case_id, kind in list(self.rows.calls.items()):
            if case_id not in self.calling:
                self.calling.add(case_id)
                self.after(self.dice.uniform(0.01, 0.5), self.call, case_id, kind)

    def call(self, case_id: str, kind: Effect) -> None:
        """Calls the partner, whose response may be lost."""
        if self.rows.calls.get(case_id) is not kind:
            self.calling.discard(case_id)
            return
        if kind is Effect.FORM_VOUCHER:
            self.truth.asked_for_voucher(case_id)
        if self.dice.random() < 0.1:
            self.after(RETRY, self.call, case_id, kind)
            return
        self.after(0.01, self.called, case_id, kind)

    def called(self, case_id: str, kind: Effect) -> None:
        case = self.rows.cases[case_id]
        given: Input
        if kind is Effect.LOOK_UP:
            number = self.gateway.numbers[case_id][case.position]
            given = UseNumber(msisdn=number) if number else SkipRecipient()
        elif case_id.endswith("7"):
            given = RejectVoucher(reason="not entitled")
        else:
            given = IssueVoucher(voucher_id=f"V-{case_id}")

        def finish() -> None:
            if self.rows.calls.get(case_id) is kind:
                del self.rows.calls[case_id]
                self.rows.apply([(case_id, given)])

        try:
            self.transact(finish)
        except Away:
            self.after(RETRY, self.called, case_id, kind)
            return
        self.calling.discard(case_id)
        self.dispatch()
        self.pump()


_ACCEPTED = TextAccepted(sms_id=0, text="", link="link", message_ids=(), attempts=1)
_REFUSED = TextRefused(sms_id=0, text="", link="link", command_status=11, name="ESME_RINVDSTADR")
_UNDELIVERABLE = TextUndeliverable(sms_id=0, text="", state="undeliverable", error="")


def _undeliverable(**about: object) -> ReportUndeliverable:
    return ReportUndeliverable(detail=_UNDELIVERABLE, **about)  # type: ignore[arg-type]
