"""A scriptable SMSC: a real SMPP 3.4 server on localhost (docs/simulators.md)."""

import asyncio
import ssl as tls_library
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from itertools import count
from typing import Any

from smpplib import consts

from gateway.simulators.codec import status_number, text
from gateway.simulators.handset import Handsets, Message
from gateway.simulators.receipts import Receipts, policies, policy_for
from gateway.simulators.rules import Rule, SubmitReaction, parse_rules, reaction_to
from gateway.simulators.smsc_delivery import SmscDelivery
from gateway.simulators.smsc_session import Delivered, NoResponse, Session
from gateway.simulators.submission import Submitted
from gateway.simulators.ussd import Dialogue, is_screen

__all__ = [
    "Delivered",
    "Dialogue",
    "Message",
    "NoResponse",
    "Receipts",
    "Rule",
    "Session",
    "SmscSimulator",
    "Submitted",
]

REORDER_TIMEOUT_SECONDS = 0.2
"""How long a held response waits for others to be reordered with."""
RECEIPT_TIMEOUT_SECONDS = 600.0


class SmscSimulator(SmscDelivery):
    """An SMSC that listens as long as the `async with` block lasts.

    `port` 0 is any free one. Above `tps` segments in any one second the response is ESME_RTHROTTLED.
    `message_ids` is decimal, hex or uuid; they count from `first_id`. `receipts` are the policies for segments
    that request a receipt; by default none is sent. `tls` is a server's context.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        system_id: str = "SMSC",
        accounts: Mapping[str, str] | None = None,
        password: str | None = None,
        exclusive: bool = False,
        rules: Iterable[Rule | str] = (),
        receipts: Receipts | str | Iterable[Receipts | str] = (),
        tps: int = 0,
        message_ids: str = "decimal",
        first_id: int = 100_001,
        short_code: str = "1414",
        tls: tls_library.SSLContext | None = None,
    ) -> None:
        super().__init__(short_code)
        self.host, self.port, self.system_id = host, port, system_id
        self.accounts, self.password, self.exclusive = accounts, password, exclusive
        self.rules = parse_rules(rules)
        self.receipts = policies(receipts)
        self.tps, self.message_ids = tps, message_ids
        self.submitted: list[Submitted] = []
        """Every well-formed submit_sm, in the order of arrival."""
        self.complaints: list[str] = []
        """Protocol violations of the ESME; empty for a conforming one."""
        self.failures: list[BaseException] = []
        """Exceptions of background tasks, such as NoResponse to a handset's reply."""
        self.throttled = 0
        """submit_sm beyond `tps`."""
        self.max_in_flight = 0
        """The largest number of unanswered submit_sm in one session."""
        self.on_message: Callable[[Message], object] | None = None
        """Called with each message that is complete on its handset."""
        self._tls = tls
        self._bind_statuses: deque[int | None] = deque()
        self._silent = False
        self._serials = count(first_id)
        self._handsets = Handsets()
        self._last_second: deque[float] = deque()
        self._held: dict[Rule, list[tuple[Session, Submitted, SubmitReaction]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "SmscSimulator":
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def up(self) -> None:
        """Listens; after `down` on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stops listening and aborts all connections, until `up`."""
        if self._server is not None:
            self._server.close()
            self.drop()
            await self.wait_for(lambda: not self.sessions or None)
            self._server = None

    # Queries

    @property
    def sessions(self) -> list[Session]:
        """The open connections."""
        return [session for session in self.connections if not session.closed]

    @property
    def messages(self) -> list[Message]:
        """All messages on handsets, incomplete ones too, in the order of their first segments."""
        return self._handsets.messages

    def inbox(self, destination: str) -> list[Message]:
        """The complete messages of one number, oldest first."""
        return self._handsets.inbox(destination)

    def summary(self) -> str:
        bound = sum(session.bound for session in self.connections)
        return (
            f"the SMSC had {len(self.connections)} connections ({bound} bound), "
            f"{len(self.submitted)} submit_sm, {len(self.messages)} messages, "
            f"{len(self.delivered)} deliver_sm; complaints: {self.complaints}; failures: {self.failures}"
        )

    async def bound(self, sessions: int = 1, *, within: float = 5.0) -> list[Session]:
        """The bound sessions, once there are `sessions` of them."""

        def enough() -> list[Session] | None:
            bound = [session for session in self.connections if session.bound]
            return bound if len(bound) >= sessions else None

        found = await self.wait_for(enough, within=within)
        assert found
        return found

    async def message(
        self, destination: str, *, containing: str = "", nth: int = 1, within: float = 5.0
    ) -> Message:
        """The nth complete message of a number whose text contains these words."""

        def found() -> Message | None:
            matching = [message for message in self.inbox(destination) if containing in message.text]
            return matching[nth - 1] if len(matching) >= nth else None

        message = await self.wait_for(found, within=within)
        assert message
        return message

    # Actions; replies, dialogues and receipts are in SmscDelivery

    async def unbind(self) -> None:
        """Sends unbind on all sessions."""
        await asyncio.gather(*(session.unbind() for session in self.sessions if session.bound))

    def drop(self) -> None:
        """Aborts all TCP connections."""
        for session in self.sessions:
            session.drop()

    def silence(self, silent: bool = True) -> None:
        """Stops responding but still reads, on new sessions too; `silence(False)` ends it.

        What was submitted meanwhile never gets a response.
        """
        self._silent = silent
        for session in self.sessions:
            session.silent = silent

    async def enquire(self, *, within: float = 5.0) -> None:
        """Sends enquire_link on all sessions and waits for the responses."""
        await asyncio.gather(*(session.enquire(within=within) for session in self.sessions if session.bound))

    def add(self, rule: Rule | str, *, first: bool = False) -> Rule:
        """Appends a rule, or with `first` puts it before the others."""
        (added,) = parse_rules([rule])
        self.rules.insert(0 if first else len(self.rules), added)
        return added

    def refuse_binds(self, status: int | str | None, *, times: int = 1) -> None:
        """The next binds get this command_status; None: they get no response."""
        self._bind_statuses.extend([None if status is None else status_number(status)] * times)

    # SessionOwner

    def connection_opened(self, session: Session) -> None:
        self.connections.append(session)
        session.number, session.silent = len(self.connections), self._silent
        self.emit("connected", session)
        self.changed()

    def connection_closed(self, session: Session) -> None:
        self.emit("disconnected", session)
        self.changed()

    def bind_status(self, session: Session, pdu: Any, role: str) -> int | None:
        """command_status of the bind's response; None: no response."""
        if self._bind_statuses:
            return self._bind_statuses.popleft()
        system_id = text(pdu.system_id)
        bound = {(other.system_id, other.role) for other in self.connections if other.bound}
        if session.bound or (self.exclusive and (system_id, role) in bound):
            return status_number("RALYBND")
        password = self.password
        if self.accounts is not None:
            if system_id not in self.accounts:
                return status_number("RINVSYSID")
            password = self.accounts[system_id]
        wrong = password is not None and text(pdu.password) != password
        return status_number("RINVPASWD" if wrong else "ROK")

    def receive_submit(self, session: Session, submit: Submitted) -> None:
        """Decides on a submit_sm: rate limit, rules, response, handset, receipt."""
        self.submitted.append(submit)
        self.max_in_flight = max(self.max_in_flight, len(session.in_flight))
        if submit.text is None:
            self.complaints.append(f"session {session.number}: segment is not valid text: {submit.octets.hex()}")
        reaction, rule = self._reaction(submit)
        if submit.accepted:
            submit.serial = next(self._serials)
            own = reaction.message_id is None
            submit.message_id = self._message_id(submit.serial) if own else reaction.message_id or ""
        self.emit(
            "submitted",
            session,
            sequence_number=submit.sequence_number,
            to=submit.destination,
            segment=f"{submit.number}/{submit.total}",
            rule=rule.name if rule else "",
            text=submit.text,
        )
        self._respond(session, submit, reaction, rule)
        if submit.accepted:
            self._show(session, submit)

    def _reaction(self, submit: Submitted) -> tuple[SubmitReaction, Rule | None]:
        reaction, rule = reaction_to(submit, self.rules)
        if not reaction.status and self._exceeds_tps(submit.at):
            self.throttled += 1
            reaction, rule = SubmitReaction(status=consts.SMPP_ESME_RTHROTTLED), None
        submit.accepted = reaction.taken and not reaction.status and not reaction.nack
        return reaction, rule

    def _respond(self, session: Session, submit: Submitted, reaction: SubmitReaction, rule: Rule | None) -> None:
        """Responds, and starts the receipt before or after the response."""
        loop = asyncio.get_running_loop()
        receipts = policy_for(submit, self.receipts) if submit.accepted else None
        if receipts and receipts.before_response:
            self.start(self._send_receipts(submit, receipts))
        if rule and reaction.reorder:
            self._hold(rule, session, submit, reaction)
        elif reaction.delay:
            loop.call_later(reaction.delay, session.respond, submit, reaction)
        elif receipts and receipts.before_response:
            loop.call_soon(session.respond, submit, reaction)
        else:
            session.respond(submit, reaction)
        if receipts and not receipts.before_response:
            self.start(self._send_receipts(submit, receipts, reaction.delay + receipts.delay))

    def _show(self, session: Session, submit: Submitted) -> None:
        """Shows a screen or a message's segment on the handset."""
        if is_screen(submit):
            if complaint := self.dialogues.show(submit):
                self.complaints.append(f"session {session.number}: {complaint}")
                self.emit("complaint", session, reason=complaint)
        elif message := self._handsets.receive(submit):
            self.emit("message", session, to=message.destination, text=message.text)
            if self.on_message is not None:
                self.on_message(message)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a background task that ends with the server at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

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

    def _hold(self, rule: Rule, session: Session, submit: Submitted, reaction: SubmitReaction) -> None:
        held = self._held.setdefault(rule, [])
        held.append((session, submit, reaction))
        if len(held) >= reaction.reorder:
            self._release(rule)
        elif len(held) == 1:
            asyncio.get_running_loop().call_later(REORDER_TIMEOUT_SECONDS, self._release, rule)

    def _release(self, rule: Rule) -> None:
        for session, submit, reaction in reversed(self._held.pop(rule, [])):
            session.respond(submit, reaction)

    async def _send_receipts(self, submit: Submitted, receipts: Receipts, delay: float = 0.0) -> None:
        if delay:
            await asyncio.sleep(delay)
        how: dict[str, Any] = {
            "id_form": receipts.id_form,
            "form": receipts.form,
            "until_accepted": True,
            "within": RECEIPT_TIMEOUT_SECONDS,
        }
        if receipts.intermediate:
            await self.receipt(submit, "enroute", intermediate=True, **how)
        for _ in range(receipts.times):
            await self.receipt(submit, receipts.outcome, **how)
