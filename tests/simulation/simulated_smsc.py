"""The SMSC and the parents behind it, in virtual time: they respond, refuse, lose, repeat and stop responding.

PDUs have real headers, since the session reads them; their bodies are this harness's own short notes:
``sms_id|segment|msisdn|reference|total|case_id|kind`` one way, ``msisdn|text|reply`` the other.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from smpplib import consts

from gateway.consent.texts import Kind
from gateway.smpp.pdu import HEADER, RESPONSE_BIT, CommandId, encode_pdu
from tests.simulation.simulated_time import DAY, Timeline
from tests.simulation.simulated_truth import Truth

LATENCY_SECONDS = (0.001, 0.05)
REDELIVERY_AFTER_ERROR_SECONDS = (1.0, 20.0)
"""Seconds after which a deliver_sm whose response was an error is delivered again."""
REDELIVERY_SECONDS = (0.0, 3600.0)
"""Seconds after a bind until replies are redelivered that the gateway has stored; half of them at once."""
RESPONSE_TIMEOUT_SECONDS = 20.0
"""Seconds after which a deliver_sm without a response is delivered again."""
_BUSY = (consts.SMPP_ESME_RTHROTTLED, consts.SMPP_ESME_RMSGQFUL, consts.SMPP_ESME_RSYSERR)


class Manner(StrEnum):
    AGREES = "agrees"
    REFUSES = "refuses"
    WAITS = "agrees to the repeat"
    UNCLEAR = "unclear, then agrees if asked to clarify"
    ALWAYS_UNCLEAR = "unclear, always"
    TWICE = "agrees twice"
    CHANGES = "agrees, then refuses"
    RETURNS = "refuses, then agrees"
    EAGER = "agrees at the first segment"
    LATE = "agrees when it is over"
    SILENT = "silent"


@dataclass(slots=True)
class Faults:
    """The probability of each fault, each time it can occur."""

    busy: float = 0.0
    refused: float = 0.0
    unanswered: float = 0.0
    lost: float = 0.0
    cut: float = 0.0


@dataclass(slots=True, eq=False)
class Reply:
    number: int
    msisdn: str
    text: str
    acknowledged: bool = False


class Wire:
    """One connection. Octets arrive in order, split anywhere; those in flight when it is cut may be lost."""

    __slots__ = ("_arrives", "_dice", "_lost", "_time", "closed", "on_cut", "on_octets", "smsc")

    def __init__(self, smsc: "Smsc", dice: random.Random, time: Timeline) -> None:
        self.smsc = smsc
        self.closed = self._lost = False
        self.on_octets: Callable[[bytes], None] = lambda _: None
        self.on_cut: Callable[[], None] = lambda: None
        self._dice, self._time = dice, time
        self._arrives = [0.0, 0.0]

    def to_smsc(self, octets: bytes) -> None:
        self._send(0, octets, self._smsc_receives)

    def to_esme(self, octets: bytes) -> None:
        self._send(1, octets, self._esme_receives)

    def cut(self) -> None:
        if not self.closed:
            self.closed = True
            self._time.after(0.0, self.on_cut)
            self.smsc.lost(self)

    def _send(self, way: int, octets: bytes, arrive: Callable[[bytes], None]) -> None:
        split = self._dice.randrange(1, len(octets)) if self._dice.random() < 0.1 else 0
        for piece in (octets[:split], octets[split:]) if split else (octets,):
            at = max(self._arrives[way], self._time.now + self._dice.uniform(*LATENCY_SECONDS))
            self._arrives[way] = at
            self._time.after(at - self._time.now, arrive, piece)

    def _smsc_receives(self, octets: bytes) -> None:
        # What was written before the end may still get through, up to some point.
        self._lost = self._lost or (self.closed and self._dice.random() < 0.5)
        if not self._lost:
            self.smsc.receive(self, octets)

    def _esme_receives(self, octets: bytes) -> None:
        if not self.closed:
            self.on_octets(octets)


class Smsc:
    """One operator; `ask` tells the parent of a number what is whole on its screen."""

    def __init__(self, dice: random.Random, time: Timeline, truth: Truth, faults: Faults) -> None:
        self.faults = faults
        self.parents: Parents
        self._dice, self._time, self._truth = dice, time, truth
        self._bound: Wire | None = None
        self._buffers: dict[Wire, bytearray] = {}
        self._handsets: defaultdict[tuple[str, int, int], set[int]] = defaultdict(set)
        self._whole: set[tuple[str, int, int]] = set()
        self._replies: list[Reply] = []
        self._under_way: dict[tuple[Wire, int], Reply] = {}
        self._sequence = 0
        self._ids = 0

    def connect(self) -> Wire:
        wire = Wire(self, self._dice, self._time)
        self._buffers[wire] = bytearray()
        return wire

    def lost(self, wire: Wire) -> None:
        if self._bound is wire:
            self._bound = None
        for key in [key for key in self._under_way if key[0] is wire]:
            del self._under_way[key]

    def accept_reply(self, reply: Reply) -> None:
        """A handset has sent it; it is kept until the gateway has acknowledged it."""
        self._replies.append(reply)
        self._deliver(reply)

    @property
    def undelivered(self) -> bool:
        return any(not reply.acknowledged for reply in self._replies)

    def receive(self, wire: Wire, octets: bytes) -> None:
        buffer = self._buffers[wire]
        buffer += octets
        while len(buffer) >= HEADER.size:
            length, command_id, status, sequence = HEADER.unpack_from(buffer)
            if len(buffer) < length:
                return
            body = bytes(buffer[HEADER.size : length])
            del buffer[:length]
            self._receive_pdu(wire, command_id, status, sequence, body)

    def _receive_pdu(self, wire: Wire, command_id: int, status: int, sequence: int, body: bytes) -> None:
        match command_id:
            case CommandId.SUBMIT_SM:
                self._receive_submit(wire, sequence, body)
            case CommandId.BIND_TRANSCEIVER if not wire.closed:
                self._bound = wire
                self._respond(wire, command_id, sequence, 0, b"SMSC\0")
                for reply in self._replies:
                    is_redelivery = self._truth.stored[reply.number] and self._dice.random() < 0.5
                    later = self._dice.uniform(*REDELIVERY_SECONDS) if is_redelivery else 0.0
                    self._time.after(later, self._deliver, reply)
            case CommandId.ENQUIRE_LINK:
                self._respond(wire, command_id, sequence, 0)
            case CommandId.DELIVER_SM_RESP:
                acknowledged = self._under_way.pop((wire, sequence), None)
                if acknowledged is not None and status == 0:
                    acknowledged.acknowledged = True
                    self._replies.remove(acknowledged)
                    self._truth.acknowledged(acknowledged.number)
                elif acknowledged is not None:
                    self._time.after(
                        self._dice.uniform(*REDELIVERY_AFTER_ERROR_SECONDS), self._deliver, acknowledged
                    )

    def _receive_submit(self, wire: Wire, sequence: int, body: bytes) -> None:
        dice, faults = self._dice, self.faults
        if dice.random() < faults.cut:
            wire.cut()
            return
        msisdn = body.split(b"|", 3)[2].decode()
        if msisdn.endswith("9"):
            self._respond(wire, CommandId.SUBMIT_SM, sequence, consts.SMPP_ESME_RINVDSTADR)
            return
        if dice.random() < faults.busy:
            self._respond(wire, CommandId.SUBMIT_SM, sequence, dice.choice(_BUSY))
            return
        chance = dice.random()
        if chance >= faults.lost:
            self._transmit(body.decode())
        if chance >= faults.lost + faults.unanswered:
            self._ids += 1
            self._respond(wire, CommandId.SUBMIT_SM, sequence, 0, b"%d\0" % self._ids)

    def _respond(self, wire: Wire, command_id: int, sequence: int, status: int, body: bytes = b"") -> None:
        if not wire.closed:
            wire.to_esme(encode_pdu(command_id | RESPONSE_BIT, status, sequence, body))

    def _transmit(self, note: str) -> None:
        """The segment reaches the handset, which drops duplicates and shows complete texts."""
        _, segment, msisdn, reference, total, case_id, kind = note.split("|")
        message = (msisdn, int(reference), int(total))
        self._truth.carried(*message, int(segment), f"{case_id} {kind}")
        had = self._handsets[message]
        if kind == "agreed" and not had:
            self._truth.began_text_3(case_id)
        if not had:
            self.parents.first_segment(msisdn, case_id, kind)
        had.add(int(segment))
        if len(had) == int(total) and message not in self._whole:
            self._whole.add(message)
            self._truth.read(case_id, Kind(kind))
            self.parents.read(msisdn, case_id, kind)

    def _deliver(self, reply: Reply) -> None:
        if self._bound is None or reply.acknowledged or reply in self._under_way.values():
            return
        self._sequence += 1
        self._under_way[self._bound, self._sequence] = reply
        note = f"{reply.msisdn}|{reply.text}|{reply.number}".encode()
        self._bound.to_esme(encode_pdu(CommandId.DELIVER_SM, 0, self._sequence, note))
        self._time.after(RESPONSE_TIMEOUT_SECONDS, self._again, self._bound, self._sequence)

    def _again(self, wire: Wire, sequence: int) -> None:
        if reply := self._under_way.pop((wire, sequence), None):
            self._deliver(reply)


class Parents:
    """Parents that reply to the question about each case in its manner."""

    def __init__(
        self,
        smsc: Smsc,
        dice: random.Random,
        time: Timeline,
        truth: Truth,
        manners: dict[str, Manner],
        siblings: frozenset[str],
    ) -> None:
        """`siblings`: cases with another at the same number, whose parent does not mistake one for the other."""
        self._smsc, self._dice, self._time, self._truth = smsc, dice, time, truth
        self._manners, self._siblings = manners, siblings
        self._asked: defaultdict[str, int] = defaultdict(int)
        self._replied_at: defaultdict[str, float] = defaultdict(float)
        self._confirmed: set[str] = set()  # cases whose text 2 or 3 was read
        self._replies_sent = 0
        self.replying = 0
        smsc.parents = self

    def first_segment(self, msisdn: str, case_id: str, kind: str) -> None:
        if kind == "request" and self._manners[case_id] is Manner.EAGER:
            self._reply_later(msisdn, case_id, 0.0, "3#1")

    def read(self, msisdn: str, case_id: str, kind: str) -> None:
        if kind == "clarify":
            if case_id in self._siblings or self._manners[case_id] is Manner.UNCLEAR:
                text = "3#2" if self._manners[case_id] is Manner.REFUSES else "3#1"
                self._reply_later(msisdn, case_id, self._delay(case_id), text)
            return
        if kind not in ("request", "repeat"):
            self._confirmed.add(case_id)
            return
        self._asked[case_id] += 1
        first, soon = self._asked[case_id] == 1, self._delay(case_id)
        match self._manners[case_id]:
            case Manner.AGREES if first or case_id in self._siblings:
                self._reply_later(msisdn, case_id, soon, "3#1")
            case Manner.REFUSES if first or case_id in self._siblings:
                self._reply_later(msisdn, case_id, soon, "3#2")
            case Manner.WAITS if not first:
                self._reply_later(msisdn, case_id, soon, "3#1")
            case Manner.UNCLEAR if first:
                self._reply_later(msisdn, case_id, soon, "не поняла")
            case Manner.ALWAYS_UNCLEAR:
                self._reply_later(msisdn, case_id, soon, "жоқ")
            case Manner.TWICE if first:
                self._reply_later(msisdn, case_id, soon, "3#1", "3#1.")
            case Manner.CHANGES if first:
                self._reply_later(msisdn, case_id, soon, "3#1", "3#2")
            case Manner.RETURNS if first:
                self._reply_later(msisdn, case_id, soon, "3#2", "3#1")
            case Manner.LATE if first:
                self._reply_later(msisdn, case_id, 10 * DAY, "3#1")

    def _delay(self, case_id: str) -> float:
        """Seconds to a reply: moments, which are more likely to meet a fault, or days.

        No parent replies to a second question within two seconds of the reply to the first.
        """
        if case_id in self._siblings:
            return self._dice.uniform(2.1, 3.0)
        if self._dice.random() < 0.5:
            return self._dice.uniform(0.0, 1.0)
        return self._dice.expovariate(1 / DAY)

    def _reply_later(self, msisdn: str, case_id: str, delay: float, *texts: str) -> None:
        self.replying += 1
        self._time.after(delay, self._reply, msisdn, case_id, texts, self._time.now)

    def _reply(self, msisdn: str, case_id: str, texts: tuple[str, ...], read_at: float) -> None:
        """Sends the texts in order, each after the one before was acknowledged."""
        self.replying -= 1
        if case_id in self._siblings and (case_id in self._confirmed or self._replied_at[case_id] > read_at):
            return  # no second reply to a question that was confirmed or just replied to
        self._replied_at[case_id] = self._time.now
        self._replies_sent += 1
        if "#" in texts[0]:
            self._truth.sent_replies[case_id].append("#1" in texts[0])
        reply = Reply(self._replies_sent, msisdn, texts[0])
        self._smsc.accept_reply(reply)
        if texts[1:]:
            self.replying += 1
            self._time.after(1.0, self._reply_next, reply, msisdn, case_id, texts[1:])

    def _reply_next(self, reply: Reply, msisdn: str, case_id: str, texts: tuple[str, ...]) -> None:
        if reply.acknowledged:
            self._reply(msisdn, case_id, texts, self._time.now)
        else:
            self._time.after(5.0, self._reply_next, reply, msisdn, case_id, texts)
