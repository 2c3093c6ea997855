"""A scriptable SMSC: a real SMPP 3.4 server on localhost (docs/simulators.md)."""

import asyncio
import ssl as tls_library
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.simulators.codec import status_number, text
from gateway.simulators.habits import Habits, habits_from
from gateway.simulators.handset import Message
from gateway.simulators.observable import WITHIN_SECONDS
from gateway.simulators.receipts import Receipts
from gateway.simulators.rules import Rule, parse_rules
from gateway.simulators.smsc_session import Delivered, NoResponse, Session
from gateway.simulators.smsc_submits import SmscSubmits
from gateway.simulators.submission import Submitted
from gateway.simulators.ussd import Dialogue

__all__ = [
    "Delivered",
    "Dialogue",
    "Habits",
    "Message",
    "NoResponse",
    "Receipts",
    "Rule",
    "Session",
    "SmscSimulator",
    "Submitted",
]


class SmscSimulator(SmscSubmits):
    """An SMSC that listens as long as the `async with` block lasts.

    `port` 0 is any free one. Above `tps` segments in any one second the response is ESME_RTHROTTLED.
    `message_ids` is decimal, hex or uuid; they count from `first_id`. `receipts` are the policies for segments
    that request a receipt; by default none is sent. `habits` are what this SMSC does otherwise than others, in
    words or as Habits. `tls` is a server's context.
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
        habits: Habits | str | Iterable[str] = "",
        tls: tls_library.SSLContext | None = None,
    ) -> None:
        super().__init__(
            short_code, habits_from(habits),
            rules=rules, receipts=receipts, tps=tps, message_ids=message_ids, first_id=first_id,
        )  # fmt: skip
        self.host, self.port, self.system_id = host, port, system_id
        self.accounts, self.password, self.exclusive = accounts, password, exclusive
        self._tls = tls
        self._bind_statuses: deque[int | None] = deque()
        self._silent = False
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
        """Listens, if it does not yet; after `down` on the same port."""
        if self._server is not None:
            return
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
    def is_down(self) -> bool:
        """Whether it does not listen."""
        return self._server is None

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

    async def bound(self, sessions: int = 1, *, within: float = WITHIN_SECONDS) -> list[Session]:
        """The bound sessions, once there are `sessions` of them."""

        def enough() -> list[Session] | None:
            bound = [session for session in self.connections if session.bound]
            return bound if len(bound) >= sessions else None

        found = await self.wait_for(enough, within=within)
        assert found
        return found

    async def message(
        self, destination: str, *, containing: str = "", nth: int = 1, within: float = WITHIN_SECONDS
    ) -> Message:
        """The nth complete message of a number whose text contains these words."""

        def found() -> Message | None:
            matching = [message for message in self.inbox(destination) if containing in message.text]
            return matching[nth - 1] if len(matching) >= nth else None

        message = await self.wait_for(found, within=within)
        assert message
        return message

    # Actions; replies, dialogues and receipts are in SmscDelivery, what ESMEs submit is in SmscSubmits

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

    async def enquire(self, *, within: float = WITHIN_SECONDS) -> None:
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
        if self.habits.close_at == "connect":
            session.close()

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
