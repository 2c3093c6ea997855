"""Invariants after every step, whatever has failed, checked against a record of what really happened.

Its sources are the parents (replies sent), the SMSC (segments transmitted) and the rows (commits). `Broken` names
the first invariant that does not hold.
"""

from collections import Counter, defaultdict, deque

from gateway.consent.events import EventType
from gateway.consent.texts import Kind

_OUTCOMES = {EventType.CONSENTED: True, EventType.REFUSED: False}
_PROCESSED = frozenset({EventType.CONSENTED, EventType.REFUSED, EventType.REPLY_UNCLEAR, EventType.LATE_REPLY})
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
_LEFT_BY_ACCEPTANCE = frozenset({EventType.NO_ANSWER, EventType.UNDELIVERABLE})
_VOUCHER = frozenset({EventType.VOUCHER_ISSUED, EventType.VOUCHER_REJECTED})
_NOT_AFTER_THE_END = _ENDS | {EventType.NUMBER_FOUND, EventType.ASKED, EventType.REMINDED}
_OUTCOME_OF_TEXT = {Kind.AGREED: EventType.CONSENTED, Kind.REFUSED: EventType.REFUSED}
"""Texts 3 and 2: each is sent once, after its outcome."""


class Broken(AssertionError):
    """An invariant that does not hold."""


class Truth:
    """The record of one campaign. `tps` 0 is no limit; with `base_lags` ops have to count replies."""

    def __init__(self, window: int, tps: float, *, base_lags: bool) -> None:
        self.sent_replies: defaultdict[str, list[bool]] = defaultdict(list)
        """Clear replies by the case they were meant for, in the order sent; True is a consent."""
        self.stored: Counter[int] = Counter()
        """How often each reply was committed, by its number in this simulation."""
        self.durable: set[tuple[int, int]] = set()
        """(sms_id, segment) whose acceptance is committed."""
        self.happened: defaultdict[str, list[EventType]] = defaultdict(list)
        self.keys: set[str] = set()
        self.repeated = 0
        self._window, self._tps, self._base_lags = window, tps, base_lags
        self._contents: dict[tuple[str, int, int, int], str] = {}
        self._submits: deque[float] = deque()
        self._texts_read: defaultdict[str, set[Kind]] = defaultdict(set)

    def committed(self, case_id: str, event: EventType) -> None:
        """The journal has a further event."""
        before = self.happened[case_id]
        if event in _OUTCOMES:
            replies = self.sent_replies[case_id]
            if any(earlier in _OUTCOMES for earlier in before):
                raise Broken(f"{case_id} has two outcomes: {before} and {event}")
            if _OUTCOMES[event] not in (replies if self._base_lags else replies[:1]):
                raise Broken(f"{case_id} is {event}, and its parent has replied {replies}")
        if event in _BEFORE and _BEFORE[event] not in before:
            raise Broken(f"{case_id}: {event} before {_BEFORE[event]}")
        if self._base_lags and event in _OUTCOMES and EventType.REPLY_ACCEPTED not in before:
            raise Broken(f"{case_id}: {event} without a decision of ops")
        accepted_late = event in _OUTCOMES and _ENDS & set(before) <= _LEFT_BY_ACCEPTANCE and self._base_lags
        if event in _NOT_AFTER_THE_END and _ENDS & set(before) and not accepted_late:
            raise Broken(f"{case_id}: {event} after {before}")
        if event is EventType.LATE_REPLY and not _ENDS & set(before):
            raise Broken(f"{case_id}: {event} before its end")
        if event in _VOUCHER and _VOUCHER & set(before):
            raise Broken(f"{case_id}: {event} after {before}")
        before.append(event)

    def submitted(self, sms_id: int, segment: int, at: float, in_flight: int) -> None:
        """A segment is submitted."""
        if (sms_id, segment) in self.durable:
            raise Broken(f"segment {segment} of text {sms_id} is sent again, though its acceptance is durable")
        if in_flight > self._window:
            raise Broken(f"{in_flight} segments in flight, in a window of {self._window}")
        if self._tps:
            self._submits.append(at)
            while self._submits[0] <= at - 1.0:
                self._submits.popleft()
            if len(self._submits) > self._tps:
                raise Broken(f"{len(self._submits)} segments in a second at {self._tps} a second")

    def carried(self, msisdn: str, reference: int, total: int, number: int, content: str) -> None:
        """A segment is transmitted to the handset."""
        key = (msisdn, reference, total, number)
        known = self._contents.setdefault(key, content)
        self.repeated += known is content
        if known != content:
            raise Broken(f"segment {key} was {known} and is {content} now")

    def began_text_3(self, case_id: str) -> None:
        if True not in self.sent_replies[case_id]:
            raise Broken(f"text 3 of {case_id} was sent, and its parent has replied {self.sent_replies[case_id]}")

    def read(self, case_id: str, kind: Kind) -> None:
        """A text is complete on the handset."""
        if (due := _OUTCOME_OF_TEXT.get(kind)) is None:
            return
        if due not in self.happened[case_id]:
            raise Broken(f"{case_id} gets the text of {due}, and is not")
        if kind in self._texts_read[case_id]:
            raise Broken(f"{case_id} gets the text of {due} twice")
        self._texts_read[case_id].add(kind)

    def acknowledged(self, reply: int) -> None:
        """The SMSC deletes a reply: the gateway has acknowledged it."""
        if not self.stored[reply]:
            raise Broken(f"reply {reply} is acknowledged and not stored")

    def asked_for_voucher(self, key: str) -> None:
        if EventType.CONSENTED not in self.happened[key]:
            raise Broken(f"a voucher for {key}, which has not consented")
        self.keys.add(key)

    def over(self, case_id: str, *, ended: bool, asked_again: bool) -> None:
        """Checks a case at the end. Without repeats a reply may be taken for a redelivery and not count."""
        if not ended:
            raise Broken(f"{case_id} has not ended after {self.happened[case_id]}")
        processed = _PROCESSED | ({EventType.REPLY_HELD, EventType.REPLY_IGNORED} if self._base_lags else set())
        if asked_again and self.sent_replies[case_id] and not processed & set(self.happened[case_id]):
            raise Broken(f"{case_id}: its parent has replied {self.sent_replies[case_id]}, and nothing came of it")
        if EventType.CONSENTED in self.happened[case_id] and case_id not in self.keys:
            raise Broken(f"{case_id} has consented, and the wallet was never asked")
        for kind, due in _OUTCOME_OF_TEXT.items():
            if due in self.happened[case_id] and kind not in self._texts_read[case_id]:
                raise Broken(f"{case_id} is {due}, and never got its text")
