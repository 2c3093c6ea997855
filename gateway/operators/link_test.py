"""The trial of a link before it goes into service: one short and one long text to a telephone, and the echo.

It needs no database, and binds beside a gateway only where the operator allows one more session.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

from gateway.config import Link as LinkConfig
from gateway.consent.identity import canonical_msisdn
from gateway.operators.connection import SmppConnection
from gateway.operators.link import new_session, roles_of, tls_context
from gateway.smpp import session as smpp
from gateway.smpp import status
from gateway.smpp.pacing import Pacer
from gateway.smpp.pdu import MalformedPdu, ReceiptRequest, ShortMessage, SubmitEncoder, decode_short_message
from gateway.smpp.receipt import IdRelation, Receipt, normalize_message_id, parse_receipt, related_ids
from gateway.smpp.text import segments

SHORT_TEXT = "Link test. Please answer 3#1"
LONG_TEXT = (
    "Байланысты тексеру: бұл хабарлама бірнеше бөліктен тұрады және экранда бір мәтін болып көрінуі керек. "
    "Проверка связи: это сообщение состоит из нескольких частей и должно прийти одним текстом."
)
GOOD_BYE = 2.0
"""Seconds that the SMSC gets for its unbind_resp."""
_ONE_SECOND = 1.0


class LinkTestError(Exception):
    """The link could not be tried at all. The message is one line that says why."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A segment on its way; instants are monotonic seconds."""

    text: str  # short, long, or burst
    number: int
    tracked: bool
    sent_at: float
    answered_at: float | None = None
    command_status: int | None = None
    message_id: str = ""
    receipts: list["Reported"] = field(default_factory=list)

    @property
    def is_lost(self) -> bool:
        """Nobody has answered it."""
        return self.command_status is None

    @property
    def accepted(self) -> bool:
        return self.command_status == 0

    @property
    def final(self) -> bool:
        """Nothing more is to come: a refusal, or the final receipt where one was asked for."""
        if not self.accepted:
            return self.answered_at is not None
        return not (self.tracked and self.message_id) or any(r.receipt.final for r in self.receipts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A receipt as it came."""

    receipt: Receipt
    message: ShortMessage
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """A reply as it came."""

    message: ShortMessage
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What the SMSC did when it was sent as much as its window takes."""

    sent: int
    throttled_at: int | None  # segments in a second at which it throttled; None: it never did
    seconds: float  # from the first segment to the last


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All that a trial has seen."""

    smsc: str = ""
    bound_in: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    stray: list[Reported] = field(default_factory=list)
    """Receipts whose id is that of no segment, however it is read."""
    reply: Replied | None = None
    unexpected: list[str] = field(default_factory=list)
    burst: Burst | None = None

    def of(self, text: str) -> list[Sent]:
        return [segment for segment in self.sent if segment.text == text]


def relation(response_id: str, receipt_id: str) -> IdRelation | None:
    """How the id of a response became that of its receipt; None when neither reading makes them one."""
    for how in cast("Sequence[IdRelation]", get_args(IdRelation)):
        if how != "auto" and normalize_message_id(receipt_id) in related_ids(response_id, how):
            return how
    return None


def form(message_id: str) -> str:
    """What the id looks like: decimal, hexadecimal, uuid or other."""
    if re.fullmatch(r"[0-9]+", message_id):
        return "decimal"
    if re.fullmatch(r"[0-9A-Fa-f]+", message_id):
        return "hexadecimal"
    if re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", message_id):
        return "uuid"
    return "other" if message_id else "empty"


class LinkTest:
    """One trial of one link; `told` hears of its progress in words."""

    def __init__(self, config: LinkConfig, msisdn: str, told: Callable[[str], None]) -> None:
        self.outcome = Outcome()
        self._config = config
        self._msisdn = msisdn
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._binds: list[SmppConnection[Sent]] = []
        self._changed = asyncio.Event()
        self._refused: int | None = None
        self._bound: set[SmppConnection[Sent]] = set()
        self._statuses = config.statuses
        self._early: list[Reported] = []
        """Receipts that came before the response they belong to."""

    async def run(self, wait: float, most: int) -> Outcome:
        """Binds, sends, waits up to `wait` seconds for receipts and reply, then bursts up to `most` segments.

        Raises LinkTestError when the link does not bind.
        """
        try:
            await self._bind()
            await self._send_texts()
            self._told(f"both texts are sent; answer 3#1 from that telephone within {wait:g} s")
            try:
                async with asyncio.timeout(wait):
                    await self._until(self._is_complete)
            except TimeoutError:
                self._told("the time is over")
            if most:
                await self._burst(most)
        finally:
            await self._part()
        self.outcome.stray += self._early
        return self.outcome

    async def _bind(self) -> None:
        config, began = self._config, self._loop.time()
        patience = config.response_timeout.total_seconds()
        roles = list(dict.fromkeys(roles_of(config)))  # one of each, whatever `sessions` says
        try:
            async with asyncio.timeout(patience):
                for role in roles:
                    bind = SmppConnection(new_session(config, role), self._handle)
                    self._binds.append(bind)
                    await self._loop.create_connection(
                        lambda bind=bind: bind, config.host, config.port, ssl=tls_context(config)
                    )
                await self._until(lambda: len(self._bound) == len(roles) or self._is_over())
        except TimeoutError:
            raise LinkTestError(
                f"{config.host}:{config.port} has not answered the bind in {patience:g} s"
            ) from None
        except OSError as error:
            raise LinkTestError(f"{config.host}:{config.port} cannot be reached: {error}") from None
        if self._refused is not None:
            raise LinkTestError(f"the SMSC refuses the bind: {status.name(self._refused)}")
        if len(self._bound) < len(roles):
            raise LinkTestError("the SMSC has closed the connection")
        self.outcome.bound_in = self._loop.time() - began
        self._told(f"bound to {self.outcome.smsc or 'the SMSC'} in {self.outcome.bound_in * 1000:.0f} ms")

    async def _send_texts(self) -> None:
        pacer = Pacer(self._config.tps)
        for name, text in (("short", SHORT_TEXT), ("long", LONG_TEXT)):
            bodies = self._bodies(text, self._config.receipts)
            for number, body in enumerate(bodies):
                tracked = {"all": True, "last": number == len(bodies) - 1, "none": False}[self._config.receipts]
                await asyncio.sleep(pacer.delay(self._loop.time()))
                pacer.record_sent(self._loop.time())
                await self._submit(name, number, tracked, body)

    def _bodies(self, text: str, receipts: ReceiptRequest) -> list[bytes]:
        config = self._config
        source = config.source_address
        data_coding, parts = segments(text, config.long_messages, secrets.randbelow(1 << 16))
        encoder = SubmitEncoder(source, receipts=receipts)
        return encoder.bodies(self._msisdn, parts, data_coding)

    async def _submit(self, text: str, number: int, tracked: bool, body: bytes) -> None:
        await self._until(lambda: any(bind.free for bind in self._binds) or self._is_over())
        bind = max(self._binds, key=lambda b: b.free)
        if not bind.free:
            raise LinkTestError("the SMSC has closed the connection")
        segment = Sent(text=text, number=number, tracked=tracked, sent_at=self._loop.time())
        self.outcome.sent.append(segment)
        bind.submit(body, segment)

    async def _burst(self, most: int) -> None:
        """Sends as fast as the window allows until the SMSC throttles."""
        self._told(f"sending up to {most} short texts as fast as the window allows")
        (body,) = self._bodies(SHORT_TEXT, "none")
        for number in range(most):
            if self._first_throttled() is not None:
                break
            await self._submit("burst", number, False, body)
        burst = self.outcome.of("burst")
        await self._until(lambda: all(s.answered_at is not None for s in burst) or self._is_over())
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

    async def _part(self) -> None:
        for bind in self._binds:
            bind.unbind()
        try:
            async with asyncio.timeout(GOOD_BYE):
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
            self._take(bind, event)
        self._changed.set()

    def _take(self, bind: SmppConnection[Sent], event: smpp.Event[Sent]) -> None:
        match event:
            case smpp.Bound():
                self.outcome.smsc = event.system_id
                self._bound.add(bind)
            case smpp.BindRefused():
                self._refused = event.command_status
            case smpp.SubmitResponse() | smpp.LateResponse():
                self._answered(event.tag, event.command_status, event.message_id)
            case smpp.NoResponse():
                event.tag.answered_at = self._loop.time()
            case smpp.Received():
                bind.respond(event.command_id, event.sequence_number)
                self._received(event)
            case smpp.UnexpectedPdu() | smpp.UnmatchedNack():
                self.outcome.unexpected.append(repr(event))

    def _answered(self, segment: Sent, command_status: int, message_id: str) -> None:
        segment.answered_at = self._loop.time()
        segment.command_status, segment.message_id = command_status, message_id
        early, self._early = self._early, []
        for reported in early:
            self._reported(reported)

    def _received(self, received: smpp.Received) -> None:
        now = self._loop.time()
        try:
            message = decode_short_message(received.command_id, received.body)
        except MalformedPdu as error:
            self.outcome.unexpected.append(str(error))
            return
        if receipt := parse_receipt(message):
            self._reported(Reported(receipt=receipt, message=message, at=now))
        elif self.outcome.reply is None and canonical_msisdn(message.source.addr) == self._msisdn:
            self.outcome.reply = Replied(message=message, at=now)

    def _reported(self, reported: Reported) -> None:
        """Gives the receipt to its segment: the one with the very id first, then one whose id can be read so."""
        known = [s for s in self.outcome.sent if s.message_id]
        receipt_id = reported.receipt.message_id
        exact = (s for s in known if normalize_message_id(s.message_id) == normalize_message_id(receipt_id))
        read = (s for s in known if relation(s.message_id, receipt_id))
        if (segment := next(exact, None) or next(read, None)) is not None:
            segment.receipts.append(reported)
        else:
            self._early.append(reported)
