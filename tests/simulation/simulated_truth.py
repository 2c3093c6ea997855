"""What must hold after every step, whatever has failed: the house's own memory of what really happened.

It is told by those who cannot err: the parents of what they said, the SMSC of what it carried, the rows of what
was committed. A `Broken` names the first thing that does not fit.
"""

from collections import Counter, defaultdict, deque

from gateway.consent.events import EventType
from gateway.consent.texts import Kind

_ANSWERS = {EventType.CONSENTED: True, EventType.REFUSED: False}
_HEARD = frozenset({EventType.CONSENTED, EventType.REFUSED, EventType.REPLY_UNCLEAR, EventType.LATE_REPLY})
_ENDS = frozenset(
    {EventType.CONSENTED, EventType.REFUSED, EventType.NO_NUMBER, EventType.NO_ANSWER, EventType.UNDELIVERABLE}
)
_BEFORE = {
    EventType.NO_NUMBER: EventType.RECEIVED,
    EventType.NUMBER_FOUND: EventType.RECEIVED,
    EventType.ASKED: EventType.NUMBER_FOUND,
    EventType.DELIVERED: EventType.ASKED,
    EventType.REMINDED: EventType.ASKED,
    EventType.CONSENTED: EventType.ASKED,
    EventType.REFUSED: EventType.ASKED,
    EventType.NO_ANSWER: EventType.ASKED,
    EventType.VOUCHER_ISSUED: EventType.CONSENTED,
    EventType.VOUCHER_REJECTED: EventType.CONSENTED,
    EventType.WITHDRAWAL_REQUESTED: EventType.CONSENTED,
}
_VOUCHER = frozenset({EventType.VOUCHER_ISSUED, EventType.VOUCHER_REJECTED})
_NOT_AFTER_THE_END = _ENDS | {EventType.NUMBER_FOUND, EventType.ASKED, EventType.REMINDED}
_TOLD_BY = {Kind.AGREED: EventType.CONSENTED, Kind.REFUSED: EventType.REFUSED}
"""Texts 3 and 2: each goes out once, to whom it is due."""


class Broken(AssertionError):
    """An invariant that does not hold."""


class Truth:
    """One campaign's. `tps` 0: no limit."""

    def __init__(self, window: int, tps: float) -> None:
        self.said: defaultdict[str, list[bool]] = defaultdict(list)
        """Clear answers by the case they were meant for, True for an agreement, as they left the handset."""
        self.stored: Counter[int] = Counter()
        """Committed replies, by the number that each has for itself in this harness."""
        self.durable: set[tuple[int, int]] = set()
        """(sms_id, segment) whose acceptance is committed."""
        self.happened: defaultdict[str, list[EventType]] = defaultdict(list)
        self.keys: set[str] = set()
        self.repeated = 0
        self._window, self._tps = window, tps
        self._contents: dict[tuple[str, int, int, int], str] = {}
        self._submits: deque[float] = deque()
        self._told: defaultdict[str, set[Kind]] = defaultdict(set)

    def committed(self, case_id: str, event: EventType) -> None:
        """The journal has an event more."""
        before = self.happened[case_id]
        if event in _ANSWERS:
            said = self.said[case_id]
            if any(answer in _ANSWERS for answer in before):
                raise Broken(f"{case_id} is answered twice: {before} and {event}")
            if not said or said[0] is not _ANSWERS[event]:
                raise Broken(f"{case_id} is {event}, and its parent has said {said}")
        if event in _BEFORE and _BEFORE[event] not in before:
            raise Broken(f"{case_id}: {event} before {_BEFORE[event]}")
        if event in _NOT_AFTER_THE_END and _ENDS & set(before):
            raise Broken(f"{case_id}: {event} after {before}")
        if event is EventType.LATE_REPLY and not _ENDS & set(before):
            raise Broken(f"{case_id}: {event} before its end")
        if event in _VOUCHER and _VOUCHER & set(before):
            raise Broken(f"{case_id}: {event} after {before}")
        before.append(event)

    def submitted(self, sms_id: int, segment: int, at: float, under_way: int) -> None:
        """A segment leaves."""
        if (sms_id, segment) in self.durable:
            raise Broken(f"segment {segment} of text {sms_id} goes again, though its acceptance is durable")
        if under_way > self._window:
            raise Broken(f"{under_way} segments under way, in a window of {self._window}")
        if self._tps:
            self._submits.append(at)
            while self._submits[0] <= at - 1.0:
                self._submits.popleft()
            if len(self._submits) > self._tps:
                raise Broken(f"{len(self._submits)} segments in a second at {self._tps} a second")

    def carried(self, msisdn: str, reference: int, total: int, number: int, content: str) -> None:
        """A segment is on the air."""
        key = (msisdn, reference, total, number)
        known = self._contents.setdefault(key, content)
        self.repeated += known is content
        if known != content:
            raise Broken(f"segment {key} was {known} and is {content} now")

    def began_text_3(self, case_id: str) -> None:
        if True not in self.said[case_id]:
            raise Broken(f"text 3 of {case_id} is on the air, and its parent has said {self.said[case_id]}")

    def read(self, case_id: str, kind: Kind) -> None:
        """A text is whole on the handset."""
        if (due := _TOLD_BY.get(kind)) is None:
            return
        if due not in self.happened[case_id]:
            raise Broken(f"{case_id} is told that it is {due}, and is not")
        if kind in self._told[case_id]:
            raise Broken(f"{case_id} is told twice that it is {due}")
        self._told[case_id].add(kind)

    def acknowledged(self, reply: int) -> None:
        """The SMSC forgets a reply: the gateway has it."""
        if not self.stored[reply]:
            raise Broken(f"reply {reply} is acknowledged and not stored")

    def asked_for_voucher(self, key: str) -> None:
        if EventType.CONSENTED not in self.happened[key]:
            raise Broken(f"a voucher for {key}, which has not consented")
        self.keys.add(key)

    def over(self, case_id: str, *, ended: bool, asked_again: bool) -> None:
        """The campaign is over. Where nobody is asked again, an answer may be taken for a copy, and lost."""
        if not ended:
            raise Broken(f"{case_id} stands still after {self.happened[case_id]}")
        if asked_again and self.said[case_id] and not _HEARD & set(self.happened[case_id]):
            raise Broken(f"{case_id}: its parent has said {self.said[case_id]}, and nothing came of it")
        if EventType.CONSENTED in self.happened[case_id] and case_id not in self.keys:
            raise Broken(f"{case_id} has consented, and the wallet was never asked")
        for kind, due in _TOLD_BY.items():
            if due in self.happened[case_id] and kind not in self._told[case_id]:
                raise Broken(f"{case_id} is {due}, and was never told")
