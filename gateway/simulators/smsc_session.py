"""One ESME's connection to the simulated SMSC: framing, bind, responses, and the SMSC's own requests."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from smpplib import consts

from gateway.simulators import codec, submit_multi, text_coding
from gateway.simulators.codec import MalformedPdu, UnknownCommand
from gateway.simulators.habits import Habits
from gateway.simulators.observable import WITHIN_SECONDS
from gateway.simulators.rules import SubmitReaction
from gateway.simulators.submission import UDHI, Submitted, split_udh, submitted
from gateway.simulators.turns import Turns

SPLIT_PAUSE_SECONDS = 0.001
"""The pause between the writes of a split PDU: long enough for the ESME to read each write on its own."""
MAX_REQUESTS_KEPT = 1000
FOREIGN_COMMAND = 0x0000_01FF
UNUSED_SEQUENCE_NUMBER = 0x7FFF_FFFE
BINDS = {"bind_transceiver": "transceiver", "bind_transmitter": "transmitter", "bind_receiver": "receiver"}


class NoResponse(ConnectionError):
    """The connection closed before the ESME responded."""


@dataclass(slots=True, eq=False)
class Delivered:
    """One deliver_sm or data_sm that the SMSC sent, and its response; instants are monotonic seconds."""

    kind: str
    """The kind of delivery: reply, receipt, ussd or echo."""
    at: float
    session: int
    source: str
    fields: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    responded_at: float | None = None

    @property
    def text(self) -> str | None:
        """What the handset sent in this segment; None for octets that are not valid text."""
        octets = self.fields.get("short_message") or self.fields.get("message_payload", b"")
        if self.fields.get("esm_class", 0) & UDHI:
            _, octets = split_udh(octets)
        return text_coding.decode(octets, self.fields.get("data_coding", 0))


class SessionOwner(Protocol):
    """The SMSC as its sessions see it."""

    system_id: str
    complaints: list[str]
    habits: Habits

    def connection_opened(self, session: "Session") -> None: ...

    def connection_closed(self, session: "Session") -> None: ...

    def bind_status(self, session: "Session", pdu: Any, role: str) -> int | None:
        """command_status of the bind's response; None: no response."""

    def session_bound(self, session: "Session") -> None:
        """The bind's response is sent."""

    def receive_submit(self, session: "Session", submit: Submitted) -> None:
        """Decides on a submit_sm or data_sm; responds by `session.respond`."""

    def receive_submit_multi(self, session: "Session", sequence_number: int, submits: list[Submitted]) -> None:
        """Decides on a submit_multi, given as a submit_sm for each destination, and responds."""

    def receive_query(self, session: "Session", pdu: Any) -> None:
        """Responds to a query_sm."""

    def receive_cancel(self, session: "Session", pdu: Any) -> None:
        """Responds to a cancel_sm."""

    def emit(self, event: str, session: "Session", **detail: Any) -> None:
        """Reports an event."""

    def changed(self) -> None:
        """Something that others may wait for has changed."""


class Session(asyncio.Protocol):
    """A connection; `number` counts from 1, `role` is None until it is bound and stays afterwards."""

    def __init__(self, smsc: SessionOwner) -> None:
        self.smsc = smsc
        self.number = 0
        self.role: str | None = None
        self.system_id = ""
        self.bind: Any = None
        """The bind as smpplib parsed it."""
        self.bound = False
        self.closed = False
        self.silent = False
        self.requests: deque[Any] = deque(maxlen=MAX_REQUESTS_KEPT)
        """The ESME's requests other than submit_sm: binds, enquire_link, unbind."""
        self.nacks: list[int] = []
        """command_status of each generic_nack from the ESME."""
        self.in_flight: dict[int, Submitted] = {}
        """submit_sm without a response yet, by sequence_number."""
        self.submits = 0
        """submit_sm so far, since the bind."""
        self.turns = Turns()
        """The order in which its requests get their responses."""
        self._buffer = bytearray()
        self._awaiting: dict[int, asyncio.Future[Any]] = {}
        self._sequence_number = 0
        self._unwritten: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def receives(self) -> bool:
        """Whether deliver_sm can be sent on it."""
        return self.bound and self.role != "transmitter"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.smsc.connection_opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed, self.bound = True, False
        self.turns.clear()
        for future in self._awaiting.values():
            if not future.done():
                future.set_exception(NoResponse("the connection is closed"))
                future.exception()  # retrieved here because the caller may have stopped waiting
        self._awaiting.clear()
        self.smsc.connection_closed(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for frame in codec.frames(self._buffer):
                if self._transport is None or self._transport.is_closing():
                    break  # the response to the previous PDU closed it
                self._received(frame)
                if self.smsc.habits.one_pdu_per_read:
                    break
        except MalformedPdu as error:
            self._complain(str(error))
            self.send("generic_nack", 0, error.status)
            self.close()
        self.smsc.changed()

    # Received from the ESME

    def _received(self, frame: bytes) -> None:
        sequence_number = int.from_bytes(frame[12:16], "big")
        try:
            pdu = codec.parse(frame)
        except UnknownCommand as error:
            self._complain(str(error))
            self.send("generic_nack", sequence_number, consts.SMPP_ESME_RINVCMDID)
            return
        except MalformedPdu as error:
            self._reject_malformed(frame, sequence_number, error)
            return
        if not pdu.is_response() and not 1 <= sequence_number <= 0x7FFF_FFFF:
            self._complain(f"{pdu.command}: sequence_number {sequence_number:#x}")
        match pdu.command:
            case "bind_transceiver" | "bind_transmitter" | "bind_receiver":
                self.requests.append(pdu)
                self._bind(pdu)
            case "submit_sm" | "data_sm" | "submit_multi" | "query_sm" | "cancel_sm":
                self._receive_of_transmitter(pdu)
            case "enquire_link":
                self.requests.append(pdu)
                status = codec.status_number(self.smsc.habits.enquire_status)
                self.turns.add(0.0, partial(self.send, "enquire_link_resp", sequence_number, status))
            case "unbind":
                self.requests.append(pdu)
                self.bound = False
                self.turns.add(0.0, partial(self._unbound, sequence_number))
            case "deliver_sm_resp" | "data_sm_resp" | "enquire_link_resp" | "unbind_resp" | "generic_nack":
                self._handle_response(pdu, frame)
            case other:
                self._complain(f"{other} is not a command of an ESME")
                self.send("generic_nack", sequence_number, consts.SMPP_ESME_RINVCMDID)

    def _reject_malformed(self, frame: bytes, sequence_number: int, error: MalformedPdu) -> None:
        self._complain(str(error))
        if command := codec.command_with_response(frame):
            self.send(f"{command}_resp", sequence_number, error.status, body=False)
        else:
            self.send("generic_nack", sequence_number, error.status)

    def _bind(self, pdu: Any) -> None:
        if self.smsc.habits.close_at == "bind":
            self.close()
            return
        status = self.smsc.bind_status(self, pdu, BINDS[pdu.command])
        if status is None:
            return
        self.bind, self.system_id = pdu, codec.text(pdu.system_id)
        number = self.smsc.habits.bind_sequence or pdu.sequence
        if status == consts.SMPP_ESME_ROK:
            self.role, self.bound = BINDS[pdu.command], True
            self.send(
                pdu.command + "_resp",
                number,
                system_id=self.smsc.system_id,
                sc_interface_version=consts.SMPP_VERSION_34,
            )
            self.smsc.emit("bound", self, role=self.role, system_id=self.system_id)
            self.smsc.session_bound(self)
        else:
            self.send(pdu.command + "_resp", number, status, body=False)
            self.smsc.emit("bind_refused", self, status=status, system_id=self.system_id)

    def _unbound(self, sequence_number: int) -> None:
        self.send("unbind_resp", sequence_number)
        self.smsc.emit("unbound", self)
        if not self.silent:
            self.close()

    def _receive_of_transmitter(self, pdu: Any) -> None:
        """What only a transmitter or a transceiver may send."""
        if not self.bound or self.role == "receiver":
            self._complain(f"{pdu.command} without a transmitter bind")
            self.send(f"{pdu.command}_resp", pdu.sequence, consts.SMPP_ESME_RINVBNDSTS, body=False)
            return
        match pdu.command:
            case "query_sm":
                self.smsc.receive_query(self, pdu)
            case "cancel_sm":
                self.smsc.receive_cancel(self, pdu)
            case _:
                self._submit(pdu)

    def _submit(self, pdu: Any) -> None:
        number = pdu.sequence
        if number in self.in_flight:
            self._complain(f"sequence_number {number} is still in flight")
        at = asyncio.get_running_loop().time()
        several = pdu.command == "submit_multi"
        try:
            submits = [
                submitted(one, at=at, session=self.number, system_id=self.system_id, command=pdu.command)
                for one in (submit_multi.submits(pdu) if several else [pdu])
            ]
        except MalformedPdu as error:
            self._complain(str(error))
            self.send(f"{pdu.command}_resp", number, error.status, body=False)
            return
        self.submits += len(submits)
        if several:
            self.smsc.receive_submit_multi(self, number, submits)
        else:
            self.in_flight[number] = submits[0]
            self.smsc.receive_submit(self, submits[0])

    def _handle_response(self, pdu: Any, frame: bytes) -> None:
        if pdu.command == "generic_nack":
            self.nacks.append(pdu.status)
            self.smsc.emit("nacked", self, status=pdu.status)
        elif pdu.command.endswith("_sm_resp") and pdu.status == 0 and frame[16:] != b"\0":
            self._complain(f"{pdu.command} with body {frame[16:].hex()}, expected a single NUL")
        future = self._awaiting.pop(pdu.sequence, None)
        if future is None:
            if pdu.command != "generic_nack":
                self._complain(f"{pdu.command} {pdu.sequence} matches no request")
        elif not future.done():
            future.set_result(pdu)

    def _complain(self, reason: str) -> None:
        self.smsc.complaints.append(f"session {self.number}: {reason}")
        self.smsc.emit("complaint", self, reason=reason)

    # Sent to the ESME

    def respond(self, submit: Submitted, reaction: SubmitReaction) -> None:
        """Sends the submit_sm_resp, or what the reaction has instead of it."""
        if self.closed:
            return
        if reaction.drop == "before":
            self.drop()
            return
        if reaction.silent or self.silent:
            return
        if reaction.foreign:
            self.write(codec.HEADER.pack(codec.HEADER.size, FOREIGN_COMMAND, 0, UNUSED_SEQUENCE_NUMBER))
        if reaction.stray:
            self.write(codec.encode("submit_sm_resp", UNUSED_SEQUENCE_NUMBER, message_id="stray"))
        if reaction.nack:
            octets = codec.encode("generic_nack", submit.sequence_number, reaction.status)
        else:
            octets = codec.encode(
                f"{submit.command}_resp",
                submit.sequence_number,
                reaction.status,
                body=reaction.body,
                tlvs=reaction.tlvs,
                message_id=submit.message_id or None,
            )
        self.in_flight.pop(submit.sequence_number, None)
        submit.status, submit.responded_at = reaction.status, asyncio.get_running_loop().time()
        self.write(octets, split=reaction.split)
        detail = {"sequence_number": submit.sequence_number, "status": reaction.status, "id": submit.message_id}
        self.smsc.emit("responded", self, **detail)
        self.smsc.changed()
        if reaction.drop == "after":
            self.close()

    def send(self, name: str, sequence_number: int, status: int = 0, **fields: Any) -> None:
        """Sends a PDU, its fields by smpplib's names, unless the session is silent."""
        if not self.silent:
            self.write(codec.encode(name, sequence_number, status, **fields))

    def write(self, octets: bytes, *, split: int = 0) -> None:
        """Sends raw octets; `split` is the number of octets in each write, 0 for one write."""
        if self._transport is None or self.closed:
            return
        if split or self._unwritten:
            size = split or len(octets)
            idle = not self._unwritten
            self._unwritten.extend(octets[at : at + size] for at in range(0, len(octets), size))
            if idle:
                self._write_next()
        else:
            self._transport.write(octets)

    def _write_next(self) -> None:
        if self._unwritten and self._transport is not None and not self.closed:
            self._transport.write(self._unwritten.popleft())
            asyncio.get_running_loop().call_later(SPLIT_PAUSE_SECONDS, self._write_next)

    def request(self, name: str, *, split: int = 0, **fields: Any) -> asyncio.Future[Any]:
        """Sends a request; the future is its response, NoResponse if the connection closes."""
        future, octets = self._prepared(name, **fields)
        self.write(octets, split=split)
        return future

    def request_and_unbind(self, name: str, **fields: Any) -> asyncio.Future[Any]:
        """Like `request`, with an unbind in the same write, whose response closes the connection at once."""
        future, octets = self._prepared(name, **fields)
        unbound, unbind = self._prepared("unbind")
        unbound.add_done_callback(lambda _: self.close())
        self.write(octets + unbind)
        return future

    def _prepared(self, name: str, **fields: Any) -> tuple[asyncio.Future[Any], bytes]:
        """(future of the response, octets) of a request."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.closed:
            future.set_exception(NoResponse("the connection is closed"))
            future.exception()  # retrieved here because nobody may wait for it
            return future, b""
        self._sequence_number = self._sequence_number % 0x7FFF_FFFF + 1
        self._awaiting[self._sequence_number] = future
        return future, codec.encode(name, self._sequence_number, **fields)

    async def enquire(self, *, within: float = WITHIN_SECONDS) -> None:
        """Sends enquire_link and waits for the response; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            await self.request("enquire_link")

    async def unbind(self, *, within: float = WITHIN_SECONDS) -> None:
        """Sends unbind, as an SMSC does before maintenance; waits for unbind_resp, then closes."""
        async with asyncio.timeout(within):
            await self.request("unbind")
        self.bound = False
        self.close()

    def drop(self) -> None:
        """Aborts the TCP connection: unsent octets are lost and the ESME sees a reset."""
        if self._transport is not None:
            self.bound = False
            self._transport.abort()

    def close(self) -> None:
        """Closes the connection once what is written has left."""
        if self._transport is not None:
            self._transport.close()
