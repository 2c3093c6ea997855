"""The test of a link before it is used: one short and one long text to a handset, their receipts, and a reply.

It needs no database. While a gateway is bound, it works only if the operator allows one more session.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast, get_args

from gateway.config import Link as LinkConfig
from gateway.consent.identity import canonical_msisdn
from gateway.consent.texts import Kind
from gateway.operators import link_advice
from gateway.operators.connection import SmppConnection
from gateway.operators.encoders import text_encoder
from gateway.operators.link import new_session, roles_of, tls_context
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.pacing import Pacer
from gateway.smpp.pdu import MalformedPdu, ReceiptRequest, ShortMessage, decode_short_message
from gateway.smpp.receipt import IdRelation, Receipt, normalize_message_id, parse_receipt, related_ids
from gateway.smpp.text import segments

SHORT_TEXT = "Link test. Please reply 3#1"
LONG_TEXT = (
    "Байланысты тексеру: бұл хабарлама бірнеше бөліктен тұрады және экранда бір мәтін болып көрінуі керек. "
    "Проверка связи: это сообщение состоит из нескольких частей и должно прийти одним текстом."
)
UNBIND_TIMEOUT_SECONDS = 2.0
MAX_KEPT = 100
"""Receipts of one segment, of none, and unexpected PDUs that are kept of an SMSC that sends more of them."""
_ONE_SECOND = 1.0
_Kept = TypeVar("_Kept")


class LinkTestError(Exception):
    """The link could not be tested. The message is one line with the reason."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A submitted segment; instants are monotonic seconds."""

    text: str  # short, long, or burst
    number: int  # from 0
    tracked: bool  # a receipt was requested
    sent_at: float
    responded_at: float | None = None  # or timed out
    command_status: int | None = None
    message_id: str = ""
    receipts: list["Reported"] = field(default_factory=list)

    @property
    def is_unknown(self) -> bool:
        """Whether there is no response to it."""
        return self.command_status is None

    @property
    def accepted(self) -> bool:
        return self.command_status == 0

    @property
    def final(self) -> bool:
        """Whether nothing more is expected: it was refused, or has its final receipt if one was requested."""
        if not self.accepted:
            return self.responded_at is not None
        return not (self.tracked and self.message_id) or any(r.receipt.final for r in self.receipts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A receipt as received; `at` is monotonic seconds."""

    receipt: Receipt
    message: ShortMessage
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """A reply as received; `at` is monotonic seconds."""

    message: ShortMessage
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The result of sending as fast as the window allows."""

    sent: int  # segments
    throttled_at: int | None  # segments per second at which the SMSC throttled; None: it never did
    seconds: float  # from the first segment to the last


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The observations of a test."""

    smsc: str = ""  # system_id of the SMSC
    bound_in: float = 0.0  # seconds
    sent: list[Sent] = field(default_factory=list)
    stray: list[Reported] = field(default_factory=list)
    """Receipts whose id matches no segment, under any conversion."""
    reply: Replied | None = None
    deferred: Replied | None = None
    """The first delivery of the reply, which was refused to see whether it comes again."""
    unexpected: list[str] = field(default_factory=list)
    """PDUs that were malformed or unexpected."""
    burst: Burst | None = None

    def of(self, text: str) -> list[Sent]:
        """The segments of the text: short, long or burst."""
        return [segment for segment in self.sent if segment.text == text]


def relation(response_id: str, receipt_id: str) -> IdRelation | None:
    """The conversion from the id of a submit_sm_resp to that of the receipt; None when no conversion fits."""
    for how in cast("Sequence[IdRelation]", get_args(IdRelation)):
        if how != "auto" and normalize_message_id(receipt_id) in related_ids(response_id, how):
            return how
    return None


def form(message_id: str) -> str:
    """The format of the id: decimal, hexadecimal, uuid, other or empty."""
    if re.fullmatch(r"[0-9]+", message_id):
        return "decimal"
    if re.fullmatch(r"[0-9A-Fa-f]+", message_id):
        return "hexadecimal"
    if re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", message_id):
        return "uuid"
    return "other" if message_id else "empty"


class LinkTest:
    """One test of one link; `report` is called with lines about its progress."""

    def __init__(
        self, config: LinkConfig, msisdn: str, report: Callable[[str], None], *, defer: bool = False
    ) -> None:
        """`defer`: the first delivery of the reply gets `defer_status`, and is to come again."""
        self.outcome = Outcome()
        self._config = config
        self._msisdn = msisdn
        self._report = report
        self._defer = defer
        self._loop = asyncio.get_running_loop()
        self._binds: list[SmppConnection[Sent]] = []
        self._changed = asyncio.Event()
        self._bind_refusal: int | None = None  # command_status
        self._bound: set[SmppConnection[Sent]] = set()
        self._statuses = config.statuses
        self._early: list[Reported] = []
        """Receipts that came before the submit_sm_resp with their id."""

    async def run(self, wait_seconds: float, max_burst: int) -> Outcome:
        """The outcome of the test: binds, sends both texts and waits up to `wait_seconds` for receipts and reply.

        Then it submits up to `max_burst` segments as fast as the window allows. Raises LinkTestError when the link
        does not bind.
        """
        try:
            await self._bind()
            await self._send_texts()
            self._report(f"both texts are sent; reply 3#1 from that telephone within {wait_seconds:g} s")
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._until(self._is_complete)
            except TimeoutError:
                self._report("the time is over")
            if max_burst:
                await self._burst(max_burst)
        finally:
            await self._unbind()
        self.outcome.stray += self._early
        return self.outcome

    async def bind_only(self) -> Outcome:
        """Binds and unbinds, and sends nothing. Raises LinkTestError when the link does not bind."""
        try:
            await self._bind()
        finally:
            await self._unbind()
        return self.outcome

    async def _bind(self) -> None:
        config, began = self._config, self._loop.time()
        timeout_seconds = config.response_timeout.total_seconds()
        roles = list(dict.fromkeys(roles_of(config)))  # one session, whatever `sessions` is
        try:
            async with asyncio.timeout(timeout_seconds):
                for role in roles:
                    bind = SmppConnection(new_session(config, role), self._handle)
                    self._binds.append(bind)
                    await self._loop.create_connection(
                        lambda bind=bind: bind, config.host, config.port, ssl=tls_context(config)
                    )
                await self._until(lambda: len(self._bound) == len(roles) or self._is_over())
        except TimeoutError:
            raise LinkTestError(
                f"{config.host}:{config.port} has not responded to the bind in {timeout_seconds:g} s"
            ) from None
        except OSError as error:
            raise LinkTestError(f"{config.host}:{config.port} cannot be reached: {error}") from None
        if self._bind_refusal is not None:
            advice = link_advice.on_bind_refusal(self._bind_refusal)
            refusal = f"the SMSC refuses the bind: {status.name(self._bind_refusal)}"
            raise LinkTestError(f"{refusal}: {advice}" if advice else refusal)
        if len(self._bound) < len(roles):
            raise LinkTestError("the SMSC has closed the connection")
        self.outcome.bound_in = self._loop.time() - began
        self._report(f"bound to {self.outcome.smsc or 'the SMSC'} in {self.outcome.bound_in * 1000:.0f} ms")

    async def _send_texts(self) -> None:
        pacer = Pacer(self._config.tps)
        for name, text in (("short", SHORT_TEXT), ("long", LONG_TEXT)):
            bodies, tracked_segments = self._encode(text, self._config.receipts)
            for number, body in enumerate(bodies):
                tracked = bool(tracked_segments >> number & 1)
                await asyncio.sleep(pacer.delay(self._loop.time()))
                pacer.record_sent(self._loop.time())
                await self._submit(name, number, tracked, body)

    def _encode(self, text: str, receipts: ReceiptRequest) -> tuple[list[bytes], int]:
        """The submit_sm bodies of the text, and the segments that request a receipt; bit n: segment n."""
        config = self._config
        data_coding, encoded = segments(text, config.long_messages, secrets.randbelow(1 << 16))
        encoder = text_encoder(config, receipts)
        bodies = encoder.bodies(self._msisdn, encoded, data_coding, Kind.REQUEST)
        return bodies, encoder.tracked_segments(len(encoded))

    async def _submit(self, text: str, number: int, tracked: bool, body: bytes) -> None:
        await self._until(lambda: any(bind.free for bind in self._binds) or self._is_over())
        bind = max(self._binds, key=lambda b: b.free)
        if not bind.free:
            raise LinkTestError("the SMSC has closed the connection")
        segment = Sent(text=text, number=number, tracked=tracked, sent_at=self._loop.time())
        self.outcome.sent.append(segment)
        bind.submit(body, segment)

    async def _burst(self, max_burst: int) -> None:
        """Sends as fast as the window allows until the SMSC throttles."""
        self._report(f"sending up to {max_burst} short texts as fast as the window allows")
        (body,), _ = self._encode(SHORT_TEXT, "none")
        for number in range(max_burst):
            if self._first_throttled() is not None:
                break
            await self._submit("burst", number, False, body)
        burst = self.outcome.of("burst")
        await self._until(lambda: all(s.responded_at is not None for s in burst) or self._is_over())
        limit = None
        if (first := self._first_throttled()) is not None:
            limit = sum(s.accepted and first.sent_at - _ONE_SECOND < s.sent_at <= first.sent_at for s in burst)
        seconds = burst[-1].sent_at - burst[0].sent_at
        self.outcome.burst = Burst(sent=len(burst), throttled_at=limit, seconds=seconds)

    def _first_throttled(self) -> Sent | None:
        return next((s for s in self.outcome.of("burst") if self._is_throttled(s)), None)

    def _is_throttled(self, segment: Sent) -> bool:
        if segment.command_status is None:
            return False
        return status.classify(segment.command_status, self._statuses) is status.StatusKind.THROTTLED

    async def _unbind(self) -> None:
        for bind in self._binds:
            bind.unbind()
        try:
            async with asyncio.timeout(UNBIND_TIMEOUT_SECONDS):
                await self._until(self._is_over)
        except TimeoutError:
            for bind in self._binds:
                bind.abort()

    def _is_over(self) -> bool:
        return not any(bind.open for bind in self._binds)

    def _is_complete(self) -> bool:
        return (self.outcome.reply is not None and all(s.final for s in self.outcome.sent)) or self._is_over()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _handle(self, bind: SmppConnection[Sent], events: list[smpp.Event[Sent]]) -> None:
        for event in events:
            self._handle_event(bind, event)
        self._changed.set()

    def _handle_event(self, bind: SmppConnection[Sent], event: smpp.Event[Sent]) -> None:
        match event:
            case smpp.Bound():
                self.outcome.smsc = event.system_id
                self._bound.add(bind)
            case smpp.BindRefused():
                self._bind_refusal = event.command_status
            case smpp.SubmitResponse() | smpp.LateResponse():
                self._responded(event.tag, event.command_status, event.message_id)
            case smpp.NoResponse():
                event.tag.responded_at = self._loop.time()
            case smpp.Received():
                bind.respond(event.command_id, event.sequence_number, self._received(event))
            case smpp.UnexpectedPdu() | smpp.UnmatchedNack():
                _keep(self.outcome.unexpected, repr(event))

    def _responded(self, segment: Sent, command_status: int, message_id: str) -> None:
        segment.responded_at = self._loop.time()
        segment.command_status, segment.message_id = command_status, message_id
        early, self._early = self._early, []
        for reported in early:
            self._reported(reported)

    def _received(self, received: smpp.Received) -> int:
        """The command_status of the response: 0, but for a reply that is to come again."""
        now = self._loop.time()
        try:
            message = decode_short_message(received.command_id, received.body)
        except MalformedPdu as error:
            _keep(self.outcome.unexpected, str(error))
            return 0
        if receipt := parse_receipt(message, self._config.receipt_states):
            self._reported(Reported(receipt=receipt, message=message, at=now))
        elif self.outcome.reply is None and canonical_msisdn(message.source.addr) == self._msisdn:
            if self._defer and self.outcome.deferred is None:
                self.outcome.deferred = Replied(message=message, at=now)
                return self._config.defer_status
            self.outcome.reply = Replied(message=message, at=now)
        return 0

    def _reported(self, reported: Reported) -> None:
        """Assigns the receipt to its segment: one with exactly that id, else one whose id converts to it."""
        known = [s for s in self.outcome.sent if s.message_id]
        receipt_id = reported.receipt.message_id
        exact = (s for s in known if normalize_message_id(s.message_id) == normalize_message_id(receipt_id))
        converted = (s for s in known if relation(s.message_id, receipt_id))
        if (segment := next(exact, None) or next(converted, None)) is not None:
            _keep(segment.receipts, reported)
        else:
            _keep(self._early, reported)


def _keep(kept: list[_Kept], one: _Kept) -> None:
    """Adds one to what is kept: of a flood the latest, which may be of a segment without a response so far."""
    kept.append(one)
    del kept[:-MAX_KEPT]
