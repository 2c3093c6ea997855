"""One ESME's connection to the fake SMSC: framing, bind, answers, and requests of the SMSC's own."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from smpplib import consts

from gateway.simulators import codec
from gateway.simulators.codec import Malformed, UnknownCommand
from gateway.simulators.handset import Submitted, submitted
from gateway.simulators.rules import SubmitReaction

if TYPE_CHECKING:
    from gateway.simulators.smsc import SmscSimulator

DRIP = 0.001  # seconds between the writes of a split PDU: long enough for the other side to read each alone
FOREIGN_COMMAND = 0x0000_01FF
BINDS = {"bind_transceiver": "transceiver", "bind_transmitter": "transmitter", "bind_receiver": "receiver"}


class NoAnswer(ConnectionError):
    """The ESME did not answer: the connection went first."""


@dataclass(slots=True, eq=False)
class Delivered:
    """One deliver_sm or data_sm that the SMSC sent, and its answer; instants are monotonic seconds."""

    kind: str
    """reply, receipt or raw."""
    at: float
    session: int
    source: str
    fields: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    answered_at: float | None = None


class Session(asyncio.Protocol):
    """A connection; `number` counts from 1, `role` is None until it is bound and stays afterwards."""

    def __init__(self, smsc: "SmscSimulator") -> None:
        self.smsc = smsc
        self.number = 0
        self.role: str | None = None
        self.system_id = ""
        self.bind: Any = None
        """The bind as smpplib read it."""
        self.bound = False
        self.closed = False
        self.silent = False
        self.requests: deque[Any] = deque(maxlen=1000)
        """What the ESME asked other than submit_sm: binds, enquire_link, unbind."""
        self.nacks: list[int] = []
        """command_status of each generic_nack of the ESME."""
        self.under_way: dict[int, Submitted] = {}
        """submit_sm not yet answered, by sequence_number."""
        self._buffer = bytearray()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._sequence_number = 0
        self._dripping: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def receives(self) -> bool:
        """It takes deliver_sm."""
        return self.bound and self.role != "transmitter"

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.smsc.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed, self.bound = True, False
        for future in self._asked.values():
            if not future.done():
                future.set_exception(NoAnswer("the connection is gone"))
                future.exception()  # somebody may have stopped waiting
        self._asked.clear()
        self.smsc.left(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for frame in codec.frames(self._buffer):
                if self._transport is None or self._transport.is_closing():
                    break  # it was cut by the answer to the PDU before
                self._received(frame)
        except Malformed as error:
            self._complain(str(error))
            self.send("generic_nack", 0, error.status)
            self._close()
        self.smsc.changed()

    # In

    def _received(self, frame: bytes) -> None:
        sequence_number = int.from_bytes(frame[12:16], "big")
        try:
            pdu = codec.parse(frame)
        except UnknownCommand as error:
            self._complain(str(error))
            self.send("generic_nack", sequence_number, consts.SMPP_ESME_RINVCMDID)
            return
        except Malformed as error:
            self._refuse_malformed(frame, sequence_number, error)
            return
        if not pdu.is_response() and not 1 <= sequence_number <= 0x7FFF_FFFF:
            self._complain(f"{pdu.command}: sequence_number {sequence_number:#x}")
        match pdu.command:
            case "bind_transceiver" | "bind_transmitter" | "bind_receiver":
                self.requests.append(pdu)
                self._bind(pdu)
            case "submit_sm":
                self._submit(pdu)
            case "enquire_link":
                self.requests.append(pdu)
                self.send("enquire_link_resp", sequence_number)
            case "unbind":
                self.requests.append(pdu)
                self.bound = False
                self.send("unbind_resp", sequence_number)
                self.smsc.happened("unbound", self)
                if not self.silent:
                    self._close()
            case "deliver_sm_resp" | "data_sm_resp" | "enquire_link_resp" | "unbind_resp" | "generic_nack":
                self._answered(pdu, frame)
            case other:
                self._complain(f"{other} is not what an ESME sends")
                self.send("generic_nack", sequence_number, consts.SMPP_ESME_RINVCMDID)

    def _refuse_malformed(self, frame: bytes, sequence_number: int, error: Malformed) -> None:
        self._complain(str(error))
        if frame[4:8] == (4).to_bytes(4, "big"):
            self.send("submit_sm_resp", sequence_number, error.status, body=False)
        else:
            self.send("generic_nack", sequence_number, error.status)

    def _bind(self, pdu: Any) -> None:
        status = self.smsc.bind_status(self, pdu, BINDS[pdu.command])
        if status is None:
            return
        self.bind, self.system_id = pdu, codec.text(pdu.system_id)
        if status == consts.SMPP_ESME_ROK:
            self.role, self.bound = BINDS[pdu.command], True
            self.send(
                pdu.command + "_resp",
                pdu.sequence,
                system_id=self.smsc.system_id,
                sc_interface_version=consts.SMPP_VERSION_34,
            )
            self.smsc.happened("bound", self, role=self.role, system_id=self.system_id)
        else:
            self.send(pdu.command + "_resp", pdu.sequence, status, body=False)
            self.smsc.happened("bind_refused", self, status=status, system_id=self.system_id)

    def _submit(self, pdu: Any) -> None:
        number = pdu.sequence
        if not self.bound or self.role == "receiver":
            self._complain("submit_sm outside a transmitter's bind")
            self.send("submit_sm_resp", number, consts.SMPP_ESME_RINVBNDSTS, body=False)
            return
        if number in self.under_way:
            self._complain(f"sequence_number {number} is still under way")
        try:
            submit = submitted(pdu, at=asyncio.get_running_loop().time(), session=self.number)
        except Malformed as error:
            self._complain(str(error))
            self.send("submit_sm_resp", number, error.status, body=False)
            return
        self.under_way[number] = submit
        self.smsc.took(self, submit)

    def _answered(self, pdu: Any, frame: bytes) -> None:
        if pdu.command == "generic_nack":
            self.nacks.append(pdu.status)
            self.smsc.happened("nacked", self, status=pdu.status)
        elif pdu.command.endswith("_sm_resp") and pdu.status == 0 and frame[16:] != b"\0":
            self._complain(f"{pdu.command} with body {frame[16:].hex()}, a single NUL is due")
        future = self._asked.pop(pdu.sequence, None)
        if future is None:
            if pdu.command != "generic_nack":
                self._complain(f"{pdu.command} {pdu.sequence} answers nothing")
        elif not future.done():
            future.set_result(pdu)

    def _complain(self, reason: str) -> None:
        self.smsc.complaints.append(f"session {self.number}: {reason}")
        self.smsc.happened("complaint", self, reason=reason)

    # Out

    def answer(self, submit: Submitted, answer: SubmitReaction) -> None:
        """Sends the submit_sm_resp, or what the rule puts in its place."""
        if self.closed:
            return
        if answer.drop == "before":
            self.drop()
            return
        if answer.silent or self.silent:
            return
        if answer.foreign:
            self.write(codec.HEADER.pack(codec.HEADER.size, FOREIGN_COMMAND, 0, 0x7FFF_FFFE))
        if answer.nack:
            octets = codec.encode("generic_nack", submit.sequence_number, answer.status)
        else:
            octets = codec.encode(
                "submit_sm_resp",
                submit.sequence_number,
                answer.status,
                body=answer.body,
                tlvs=answer.tlvs,
                message_id=submit.message_id or None,
            )
        self.under_way.pop(submit.sequence_number, None)
        submit.status, submit.answered_at = answer.status, asyncio.get_running_loop().time()
        self.write(octets, split=answer.split)
        detail = {"sequence_number": submit.sequence_number, "status": answer.status, "id": submit.message_id}
        self.smsc.happened("answered", self, **detail)
        self.smsc.changed()
        if answer.drop == "after":
            self._close()

    def send(self, name: str, sequence_number: int, status: int = 0, **fields: Any) -> None:
        """Sends a PDU by smpplib's names, unless the session is silent."""
        if not self.silent:
            self.write(codec.encode(name, sequence_number, status, **fields))

    def write(self, octets: bytes, *, split: int = 0) -> None:
        """Sends raw octets; with `split`, so many of them a write."""
        if self._transport is None or self.closed:
            return
        if split or self._dripping:
            size = split or len(octets)
            idle = not self._dripping
            self._dripping.extend(octets[at : at + size] for at in range(0, len(octets), size))
            if idle:
                self._drip()
        else:
            self._transport.write(octets)

    def _drip(self) -> None:
        if self._dripping and self._transport is not None and not self.closed:
            self._transport.write(self._dripping.popleft())
            asyncio.get_running_loop().call_later(DRIP, self._drip)

    def request(self, name: str, *, split: int = 0, **fields: Any) -> asyncio.Future[Any]:
        """Sends a request of the SMSC's own; the future is its response, NoAnswer if the connection goes."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.closed:
            future.set_exception(NoAnswer("the connection is gone"))
            return future
        self._sequence_number = self._sequence_number % 0x7FFF_FFFF + 1
        self._asked[self._sequence_number] = future
        self.write(codec.encode(name, self._sequence_number, **fields), split=split)
        return future

    async def enquire(self, *, within: float = 5.0) -> None:
        """Asks enquire_link and returns once it is answered; TimeoutError otherwise."""
        async with asyncio.timeout(within):
            await self.request("enquire_link")

    async def unbind(self, *, within: float = 5.0) -> None:
        """Unbinds from the SMSC's side, as before its maintenance: waits for unbind_resp, then closes."""
        async with asyncio.timeout(within):
            await self.request("unbind")
        self.bound = False
        self._close()

    def drop(self) -> None:
        """Cuts the TCP connection with what was not yet sent (a reset)."""
        if self._transport is not None:
            self.bound = False
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
