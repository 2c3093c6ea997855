"""How the simulated SMSC handles what ESMEs submit: reaction, response, handset, receipt, query and cancel."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any

from smpplib import consts

from gateway.simulators.codec import status_number, text
from gateway.simulators.habits import Habits
from gateway.simulators.handset import Handsets, Message
from gateway.simulators.held_responses import HeldResponses
from gateway.simulators.receipts import Receipts, outcome_for, policies, policy_for
from gateway.simulators.rules import Rule, SubmitReaction, parse_rules, reaction_to
from gateway.simulators.smsc_delivery import SmscDelivery
from gateway.simulators.smsc_session import Session
from gateway.simulators.submission import Submitted
from gateway.simulators.submit_multi import unsuccessful
from gateway.simulators.ussd import is_screen

RECEIPT_TIMEOUT_SECONDS = 600.0
SCHEDULED, EXPIRED, DELETED = "enroute", "expired", "deleted"
"""States of a message that is not on its handset."""


class SmscSubmits(SmscDelivery):
    """The part of SmscSimulator that handles requests of ESMEs."""

    def __init__(
        self,
        short_code: str,
        habits: Habits,
        *,
        rules: Iterable[Rule | str],
        receipts: Receipts | str | Iterable[Receipts | str],
        tps: int,
        message_ids: str,
        first_id: int,
    ) -> None:
        super().__init__(short_code, habits)
        self.rules = parse_rules(rules)
        self.receipts = policies(receipts)
        self.tps, self.message_ids = tps, message_ids
        self.submitted: list[Submitted] = []
        """Every well-formed submit_sm, in the order of arrival."""
        self.complaints: list[str] = []
        """Protocol violations of the ESME; empty for a conforming one."""
        self.throttled = 0
        """submit_sm beyond `tps`."""
        self.max_in_flight = 0
        """The largest number of submit_sm without a response in one session."""
        self.on_message: Callable[[Message], object] | None = None
        """Called with each message that is complete on its handset."""
        self._serials = count(first_id)
        self._by_id: dict[str, Submitted] = {}
        self._handsets = Handsets()
        self._last_second: deque[float] = deque()
        self._held = HeldResponses()

    # SessionOwner

    def receive_submit(self, session: Session, submit: Submitted) -> None:
        """Decides on a submit_sm: rate limit, rules, response, handset, receipt."""
        self.max_in_flight = max(self.max_in_flight, len(session.in_flight))
        reaction, rule = self._accept(session, submit, next(self._serials))
        receipts = self._receipts_for(submit)
        if receipts and receipts.before_response:
            self.start(self._send_receipts(submit, receipts, 0.0))
        self._respond(session, submit, reaction, rule, early=bool(receipts and receipts.before_response))
        if receipts and not receipts.before_response:
            self.start(self._send_receipts(submit, receipts, reaction.delay + submit.due_in + receipts.delay))
        self._forward(session, submit)

    def receive_submit_multi(self, session: Session, sequence_number: int, submits: list[Submitted]) -> None:
        """Decides on each destination; one response has the message_id of all and the refused ones."""
        serial = next(self._serials)
        reactions = [self._accept(session, submit, serial)[0] for submit in submits]
        refused = [
            (submit, reaction.status)
            for submit, reaction in zip(submits, reactions, strict=True)
            if reaction.status
        ]
        message_id = next((submit.message_id for submit in submits if submit.accepted), None)
        fields: dict[str, Any] = {"message_id": message_id, "unsuccess": unsuccessful(refused)}
        session.turns.add(
            self._service_seconds(session), partial(session.send, "submit_multi_resp", sequence_number, **fields)
        )
        for submit in submits:
            if receipts := self._receipts_for(submit):
                self.start(self._send_receipts(submit, receipts, submit.due_in + receipts.delay))
            self._forward(session, submit)

    def receive_query(self, session: Session, pdu: Any) -> None:
        """Responds with the state of the message, or ESME_RQUERYFAIL where this source_addr has none."""
        submit = self._by_id.get(text(pdu.message_id))
        fields: dict[str, Any] = {"status": consts.SMPP_ESME_RQUERYFAIL, "body": False}
        if submit is not None and submit.source == text(pdu.source_addr):
            state = self.habits.receipt_state(submit.state)[1]
            fields = {"message_id": submit.message_id, "message_state": state}
        session.turns.add(0.0, partial(session.send, "query_sm_resp", pdu.sequence, **fields))

    def receive_cancel(self, session: Session, pdu: Any) -> None:
        """Deletes what is scheduled: one message by its id, or all of this source to this destination."""
        addresses = (text(pdu.source_addr), text(pdu.destination_addr))
        if message_id := text(pdu.message_id):
            found = [self._by_id[message_id]] if message_id in self._by_id else []
        else:
            found = [one for one in self.submitted if (one.source, one.destination) == addresses]
        scheduled = [one for one in found if one.state == SCHEDULED and one.source == addresses[0]]
        for submit in scheduled:
            submit.state = DELETED
        status = consts.SMPP_ESME_ROK if scheduled else consts.SMPP_ESME_RCANCELFAIL
        session.turns.add(0.0, partial(session.send, "cancel_sm_resp", pdu.sequence, status))

    # Reaction and response

    def _accept(self, session: Session, submit: Submitted, serial: int) -> tuple[SubmitReaction, Rule | None]:
        """Records the submit_sm; the reaction to it, and the rule that has it."""
        self.submitted.append(submit)
        if submit.text is None:
            self.complaints.append(f"session {session.number}: segment is not valid text: {submit.octets.hex()}")
        reaction, rule = self._reaction(session, submit)
        if submit.accepted:
            own = reaction.message_id is None
            submit.serial, submit.state = serial, SCHEDULED
            submit.message_id = self._message_id(serial) if own else reaction.message_id or ""
            self._by_id[submit.message_id] = submit
            self.latest[submit.destination.lstrip("+")] = submit
        self.emit(
            "submitted",
            session,
            sequence_number=submit.sequence_number,
            to=submit.destination,
            segment=f"{submit.number}/{submit.total}",
            rule=rule.name if rule else "",
            text=submit.text,
        )
        return reaction, rule

    def _reaction(self, session: Session, submit: Submitted) -> tuple[SubmitReaction, Rule | None]:
        habitual = self._habitual_reaction(session, submit.at)
        reaction, rule = (habitual, None) if habitual else reaction_to(submit, self.rules)
        if not reaction.status and self._exceeds_tps(submit.at):
            self.throttled += 1
            reaction, rule = SubmitReaction(status=consts.SMPP_ESME_RTHROTTLED), None
        submit.accepted = reaction.taken and not reaction.status and not reaction.nack
        return reaction, rule

    def _habitual_reaction(self, session: Session, at: float) -> SubmitReaction | None:
        """What the SMSC's habits make of any submit_sm, whatever its content."""
        habits = self.habits
        if habits.close_at == "submit":
            return SubmitReaction(drop="before", taken=False)
        if habits.unbound_after and session.submits > habits.unbound_after:
            return SubmitReaction(status=consts.SMPP_ESME_RINVBNDSTS)
        if habits.refuse_all:
            self.refused_since = at if self.refused_since is None else self.refused_since
            if not habits.refuse_seconds or at - self.refused_since < habits.refuse_seconds:
                return SubmitReaction(status=status_number(habits.refuse_all))
        if habits.window and len(session.in_flight) > habits.window:
            return SubmitReaction(status=status_number(habits.window_status))
        return None

    def _respond(
        self, session: Session, submit: Submitted, reaction: SubmitReaction, rule: Rule | None, *, early: bool
    ) -> None:
        """Responds in the session's turn; `early`: after a receipt that was started before."""
        loop = asyncio.get_running_loop()
        until_whole = self.habits.hold_until_whole
        respond = partial(self._held.send, session, submit, reaction, rule, until_whole=until_whole)
        seconds = self._service_seconds(session)
        if reaction.delay:
            session.turns.add(seconds, partial(loop.call_later, reaction.delay, respond))
        elif early:
            session.turns.add(seconds, partial(loop.call_soon, respond))
        else:
            session.turns.add(seconds, respond)

    def _service_seconds(self, session: Session) -> float:
        habits = self.habits
        stalls = habits.stall_every and session.submits % habits.stall_every == 0
        return habits.service_time + (habits.stall_seconds if stalls else 0.0)

    def _exceeds_tps(self, at: float) -> bool:
        if not self.tps:
            return False
        while self._last_second and at - self._last_second[0] >= 1.0:
            self._last_second.popleft()
        if len(self._last_second) >= self.tps:
            return True
        self._last_second.append(at)
        return False

    def _message_id(self, serial: int) -> str:
        match self.message_ids:
            case "decimal":
                return str(serial)
            case "hex":
                return f"{serial:x}"
            case _:
                return str(uuid.uuid4())

    # Handset and receipts

    def _forward(self, session: Session, submit: Submitted) -> None:
        """Shows an accepted segment when it is due, unless it expires before."""
        if not submit.accepted:
            return
        if self.habits.echo_every and len(self.submitted) % self.habits.echo_every == 0:
            self.start(self.echo(submit))
        expires = submit.valid_for is not None and submit.valid_for < submit.due_in
        if expires:
            asyncio.get_running_loop().call_later(submit.valid_for or 0.0, self._expire, submit)
        elif submit.due_in:
            asyncio.get_running_loop().call_later(submit.due_in, self._show, session, submit)
        else:
            self._show(session, submit)

    def _expire(self, submit: Submitted) -> None:
        if submit.state == SCHEDULED:
            submit.state = EXPIRED
            self.changed()

    def _show(self, session: Session, submit: Submitted) -> None:
        """Shows a screen or a message's segment on the handset, unless it was cancelled."""
        if submit.state == DELETED:
            return
        submit.state = outcome_for(submit, self.receipts)
        if is_screen(submit):
            if complaint := self.dialogues.show(submit):
                self.complaints.append(f"session {session.number}: {complaint}")
                self.emit("complaint", session, reason=complaint)
        elif message := self._handsets.receive(submit):
            self._send_receipt_of_text(message)
            self.emit("message", session, to=message.destination, text=message.text)
            if self.on_message is not None:
                self.on_message(message)
        self.changed()

    def _receipts_for(self, submit: Submitted) -> Receipts | None:
        """The policy that applies to a segment itself; a joined text may have one receipt for all."""
        counts = {"segment": True, "first": submit.number == 1, "text": submit.total == 1}
        wanted = submit.accepted and counts[self.habits.receipts_per]
        return policy_for(submit, self.receipts) if wanted else None

    def _send_receipt_of_text(self, message: Message) -> None:
        if self.habits.receipts_per != "text" or message.total == 1:
            return
        found = (policy_for(segment, self.receipts) for segment in message.segments.values())
        if receipts := next(filter(None, found), None):
            self.start(self._send_receipts(message.segments[1], receipts, receipts.delay))

    async def _send_receipts(self, submit: Submitted, receipts: Receipts, delay: float) -> None:
        expires = submit.valid_for is not None and submit.valid_for < delay
        outcome = EXPIRED if expires else receipts.outcome
        if delay:  # without one the receipt has to precede a response that is sent in the next turn of the loop
            await asyncio.sleep(min(delay, submit.valid_for or delay))
        how: dict[str, Any] = {
            "id_form": receipts.id_form,
            "form": receipts.form,
            "until_accepted": True,
            "within": RECEIPT_TIMEOUT_SECONDS,
        }
        if receipts.intermediate:
            await self.receipt(submit, "enroute", intermediate=True, **how)
        for _ in range(receipts.times):
            await self.receipt(submit, DELETED if submit.state == DELETED else outcome, **how)
