"""A scriptable SMSC: a real SMPP 3.4 server on localhost (docs/fake-smsc.md)."""

import asyncio
import ssl as tls_library
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from itertools import count
from typing import Any

from smpplib import consts

from gateway.simulators.codec import status_number, text
from gateway.simulators.handset import Handsets, Message, Submitted
from gateway.simulators.receipts import Receipts, policies, policy_for
from gateway.simulators.rules import Rule, SubmitReaction, answer_to, rulebook
from gateway.simulators.smsc_delivery import Delivering
from gateway.simulators.smsc_session import Delivered, NoAnswer, Session
from gateway.simulators.ussd import Dialogue, is_screen

__all__ = [
    "Delivered",
    "Dialogue",
    "Message",
    "NoAnswer",
    "Receipts",
    "Rule",
    "Session",
    "SmscSimulator",
    "Submitted",
]

REORDER_PATIENCE = 0.2  # seconds that a held answer waits for others to be reordered with


class SmscSimulator(Delivering):
    """An SMSC that listens as long as the `async with` block lasts.

    `port` 0 takes a free one. `tps` refuses with ESME_RTHROTTLED what exceeds so many segments in any one
    second. `message_ids` is decimal, hex or uuid; they count from `first_id`. `receipts` says how segments
    that ask for a receipt are reported on; none are by default. `tls` is a server's context.
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
        self.rules = rulebook(rules)
        self.receipts = policies(receipts)
        self.tps, self.message_ids = tps, message_ids
        self.submitted: list[Submitted] = []
        """Every well-formed submit_sm, in the order of arrival."""
        self.complaints: list[str] = []
        """What the ESME did against the protocol; empty for a good one."""
        self.failures: list[BaseException] = []
        """Exceptions that ended work started beside the server, such as NoAnswer to a parent's reply."""
        self.throttled = 0
        """submit_sm beyond `tps`."""
        self.most_under_way = 0
        """The widest window seen in one session."""
        self.on_message: Callable[[Message], object] | None = None
        """Called with each message that is whole on its handset."""
        self._tls = tls
        self._bind_statuses: deque[int | None] = deque()
        self._silent = False
        self._serials = count(first_id)
        self._handsets = Handsets()
        self._last_second: deque[float] = deque()
        self._held: dict[Rule, list[tuple[Session, Submitted, SubmitReaction]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    # Life

    async def __aenter__(self) -> "SmscSimulator":
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def up(self) -> None:
        """Listens, on the same port as before if it did already."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stops listening and cuts all connections; `up` brings it back."""
        if self._server is not None:
            self._server.close()
            self.drop()
            await self.wait_for(lambda: not self.sessions or None)
            self._server = None

    # What was seen

    @property
    def sessions(self) -> list[Session]:
        """The connections there are now."""
        return [session for session in self.connections if not session.closed]

    @property
    def messages(self) -> list[Message]:
        """All messages on handsets, incomplete ones too, in the order of their first segments."""
        return self._handsets.messages

    def inbox(self, destination: str) -> list[Message]:
        """The whole messages at one number, oldest first."""
        return self._handsets.inbox(destination)

    def seen(self) -> str:
        bound = sum(session.bound for session in self.connections)
        return (
            f"the SMSC saw {len(self.connections)} connections ({bound} bound), "
            f"{len(self.submitted)} submit_sm, {len(self.messages)} messages, "
            f"{len(self.delivered)} deliver_sm; complaints: {self.complaints}; failures: {self.failures}"
        )

    async def bound(self, sessions: int = 1, *, within: float = 5.0) -> list[Session]:
        """The bound sessions, once there are so many."""

        def enough() -> list[Session] | None:
            bound = [session for session in self.connections if session.bound]
            return bound if len(bound) >= sessions else None

        found = await self.wait_for(enough, within=within)
        assert found
        return found

    async def message(
        self, destination: str, *, containing: str = "", nth: int = 1, within: float = 5.0
    ) -> Message:
        """The nth whole message at a number whose text has these words."""

        def found() -> Message | None:
            fitting = [message for message in self.inbox(destination) if containing in message.text]
            return fitting[nth - 1] if len(fitting) >= nth else None

        message = await self.wait_for(found, within=within)
        assert message
        return message

    # What the SMSC does of itself; reply and receipt are Delivering's

    async def unbind(self) -> None:
        """Unbinds all sessions from the SMSC's side."""
        await asyncio.gather(*(session.unbind() for session in self.sessions if session.bound))

    def drop(self) -> None:
        """Cuts all TCP connections."""
        for session in self.sessions:
            session.drop()

    def silence(self, silent: bool = True) -> None:
        """Answers nothing any more (but reads on), in sessions to come too; `silence(False)` ends it.

        What was submitted meanwhile is never answered.
        """
        self._silent = silent
        for session in self.sessions:
            session.silent = silent

    async def enquire(self, *, within: float = 5.0) -> None:
        """Asks enquire_link in all sessions and waits for the answers."""
        await asyncio.gather(*(session.enquire(within=within) for session in self.sessions if session.bound))

    def add(self, rule: Rule | str, *, first: bool = False) -> Rule:
        """Puts a rule behind the others, or before them."""
        (added,) = rulebook([rule])
        self.rules.insert(0 if first else len(self.rules), added)
        return added

    def refuse_binds(self, status: int | str | None, *, times: int = 1) -> None:
        """The next binds get this command_status; None leaves them unanswered."""
        self._bind_statuses.extend([None if status is None else status_number(status)] * times)

    # What sessions report

    def joined(self, session: Session) -> None:
        self.connections.append(session)
        session.number, session.silent = len(self.connections), self._silent
        self.happened("connected", session)
        self.changed()

    def left(self, session: Session) -> None:
        self.happened("disconnected", session)
        self.changed()

    def bind_status(self, session: Session, pdu: Any, role: str) -> int | None:
        """command_status that a bind deserves; None: it stays unanswered."""
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

    def took(self, session: Session, submit: Submitted) -> None:
        """Decides on a submit_sm: pace, rules, answer, handset, receipt."""
        self.submitted.append(submit)
        self.most_under_way = max(self.most_under_way, len(session.under_way))
        if submit.text is None:
            self.complaints.append(f"session {session.number}: segment is no text: {submit.octets.hex()}")
        answer, rule = answer_to(submit, self.rules)
        if not answer.status and self._too_fast(submit.at):
            self.throttled += 1
            answer, rule = SubmitReaction(status=consts.SMPP_ESME_RTHROTTLED), None
        submit.taken = answer.taken and not answer.status and not answer.nack
        if submit.taken:
            submit.serial = next(self._serials)
            own = answer.message_id is None
            submit.message_id = self._message_id(submit.serial) if own else answer.message_id or ""
        self.happened(
            "submitted",
            session,
            sequence_number=submit.sequence_number,
            to=submit.destination,
            segment=f"{submit.number}/{submit.total}",
            rule=rule.name if rule else "",
            text=submit.text,
        )
        receipts = policy_for(submit, self.receipts) if submit.taken else None
        if receipts and receipts.before_response:
            self.start(self._report(submit, receipts))
        if rule and answer.reorder:
            self._hold(rule, session, submit, answer)
        elif answer.delay:
            asyncio.get_running_loop().call_later(answer.delay, session.answer, submit, answer)
        elif receipts and receipts.before_response:
            asyncio.get_running_loop().call_soon(session.answer, submit, answer)
        else:
            session.answer(submit, answer)
        if receipts and not receipts.before_response:
            self.start(self._report(submit, receipts, answer.delay + receipts.delay))
        if is_screen(submit):
            if submit.taken and (complaint := self.dialogues.show(submit)):
                self.complaints.append(f"session {session.number}: {complaint}")
                self.happened("complaint", session, reason=complaint)
        elif submit.taken and (message := self._handsets.take(submit)) and self.on_message is not None:
            self.on_message(message)

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs work beside the server until it ends or the server does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def _too_fast(self, at: float) -> bool:
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

    def _hold(self, rule: Rule, session: Session, submit: Submitted, answer: SubmitReaction) -> None:
        held = self._held.setdefault(rule, [])
        held.append((session, submit, answer))
        if len(held) >= answer.reorder:
            self._release(rule)
        elif len(held) == 1:
            asyncio.get_running_loop().call_later(REORDER_PATIENCE, self._release, rule)

    def _release(self, rule: Rule) -> None:
        for session, submit, answer in reversed(self._held.pop(rule, [])):
            session.answer(submit, answer)

    async def _report(self, submit: Submitted, receipts: Receipts, delay: float = 0.0) -> None:
        if delay:
            await asyncio.sleep(delay)
        how: dict[str, Any] = {
            "id_form": receipts.id_form,
            "form": receipts.form,
            "insist": True,
            "within": 600,
        }
        if receipts.intermediate:
            await self.receipt(submit, "enroute", intermediate=True, **how)
        for _ in range(receipts.times):
            await self.receipt(submit, receipts.outcome, **how)


if __name__ == "__main__":
    from gateway.simulators.smsc_cli import main

    main()
