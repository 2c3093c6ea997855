"""What the journal says of one case: its entries with their details, and the state that follows from them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from gateway.consent.case import ENDED, State
from gateway.consent.details import (
    AcceptedReply,
    Detail,
    HeldReply,
    ReplyOfReason,
    ReplyRead,
    RoutedReplyRead,
    RoutedUssdReplyRead,
    TextQueued,
    TextQueuedTo,
    UssdReplyRead,
)
from gateway.consent.events import STATUSES, EventType, parse_detail
from gateway.consent.texts import Kind
from gateway.evidence.form import MAX_FAULTS, Fault

AnyReplyRead: TypeAlias = ReplyRead | UssdReplyRead | RoutedReplyRead | RoutedUssdReplyRead
AnyTextQueued: TypeAlias = TextQueued | TextQueuedTo
D = TypeVar("D", bound=Detail)


class Entry(NamedTuple):
    """An entry of the journal; `at_us` in microseconds since 1970."""

    seq: int
    at_us: int
    event: EventType
    detail: Detail


class History:
    """The entries of one case, in their order."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._by_event: defaultdict[EventType, list[Entry]] = defaultdict(list)
        for entry in entries:
            self._by_event[entry.event].append(entry)
        self.held = {(e.at_us, held.link) for e, held in self.with_detail(EventType.REPLY_HELD, HeldReply)}
        """Instant and link of the replies that were held for their link."""
        self.accepted = {
            (accepted.reply, accepted.link): e.seq
            for e, accepted in self.with_detail(EventType.REPLY_ACCEPTED, AcceptedReply)
        }
        """The entry by which somebody counted a held reply, by the reply's digest and link."""

    def of(self, event: EventType) -> Sequence[Entry]:
        """The entries of an event."""
        return self._by_event.get(event, ())

    def with_detail(self, event: EventType, kind: type[D]) -> list[tuple[Entry, D]]:
        """The entries of an event whose detail is of that type."""
        return [(entry, entry.detail) for entry in self.of(event) if isinstance(entry.detail, kind)]

    def replies_read(self) -> list[tuple[Entry, AnyReplyRead]]:
        """The case's replies, without those that came by a link that may not carry them."""
        ignored = {
            (entry.at_us, detail.reply)
            for entry, detail in self.with_detail(EventType.REPLY_IGNORED, ReplyOfReason)
        }
        return [
            (entry, entry.detail)
            for entry in self.of(EventType.REPLY_READ)
            if isinstance(entry.detail, AnyReplyRead) and (entry.at_us, entry.detail.reply) not in ignored
        ]

    def texts_queued(self) -> list[tuple[Entry, AnyTextQueued]]:
        """The texts and screens that were queued."""
        return [
            (entry, entry.detail)
            for entry in self.of(EventType.TEXT_QUEUED)
            if isinstance(entry.detail, TextQueued | TextQueuedTo)
        ]


def read_history(journal: Sequence[Mapping[str, Any]]) -> tuple[History, list[Fault]]:
    """The history of a case's entries as a record has them, and the entries that cannot be read."""
    entries: list[Entry] = []
    faults: list[Fault] = []
    for n, raw in enumerate(journal):
        try:
            event = EventType(raw["event"])
            if (raw["event_id"] is not None) is not (event in STATUSES):
                faults.append(Fault(f"/journal/{n}/event_id", f"is missing, or {event} is no status"))
            entries.append(Entry(raw["seq"], raw["at_us"], event, parse_detail(event, raw["detail"])))
        except ValueError:
            faults.append(Fault(f"/journal/{n}", "is no event with a detail that the gateway writes"))
    return History(entries), faults


_ASKED: Collection[State] = (State.ASKED, State.REMINDED)
_UNANSWERED: Collection[State] = (State.NO_ANSWER, State.UNDELIVERABLE)
_OPEN = (State.LOOKING_UP, State.WAITING, State.QUEUED, *_ASKED, State.PARKED)


def _to(state: State, *states: State | None) -> Mapping[State | None, State]:
    return dict.fromkeys(states, state)


_NEXT: Mapping[EventType, Mapping[State | None, State]] = {
    EventType.RECEIVED: _to(State.LOOKING_UP, None),
    EventType.NUMBER_MISSING: _to(State.LOOKING_UP, State.LOOKING_UP),
    EventType.NUMBER_INVALID: _to(State.LOOKING_UP, State.LOOKING_UP),
    EventType.RECIPIENT_UNREACHABLE: _to(State.LOOKING_UP, State.QUEUED, *_ASKED),
    EventType.NUMBER_FOUND: _to(State.WAITING, State.LOOKING_UP),
    EventType.NO_NUMBER: _to(State.NO_NUMBER, State.LOOKING_UP),
    EventType.ASKED: _to(State.ASKED, State.QUEUED, State.UNDELIVERABLE),
    EventType.REPEAT_DUE: {state: state for state in _ASKED},
    EventType.REMINDED: _to(State.REMINDED, *_ASKED),
    EventType.CONSENTED: _to(State.CONSENTED, *_ASKED, *_UNANSWERED),
    EventType.REFUSED: _to(State.REFUSED, *_ASKED, *_UNANSWERED),
    EventType.NO_ANSWER: _to(State.NO_ANSWER, *_ASKED),
    EventType.UNDELIVERABLE: _to(State.UNDELIVERABLE, State.LOOKING_UP, State.QUEUED, *_ASKED),
    EventType.VOUCHER_ISSUED: _to(State.VOUCHER_ISSUED, State.CONSENTED),
    EventType.VOUCHER_REJECTED: _to(State.VOUCHER_REJECTED, State.CONSENTED),
    EventType.CANCELLED: _to(State.CANCELLED, *_OPEN),
    EventType.PARKED: _to(State.PARKED, State.LOOKING_UP, State.WAITING, State.QUEUED, State.CONSENTED),
    EventType.ERASED: {state: state for state in ENDED},
}
"""The state that an event leads to, from each state in which it may happen; other events change no state."""


def follow(events: Iterable[tuple[EventType, Detail]]) -> tuple[State | None, list[tuple[int, str]]]:
    """The state after these events of a case (None: there are none), and which of them cannot follow, and why."""
    state: State | None = None
    resume: State | None = None  # of a parked case
    before: EventType | None = None
    wrong: list[tuple[int, str]] = []
    for n, (event, detail) in enumerate(events):
        following = _NEXT.get(event, {}).get(state, state)
        fits = state in _NEXT[event] if event in _NEXT else state is not None
        if event is EventType.RELEASED:
            following, fits = resume, state is State.PARKED
        elif state in _UNANSWERED and event in (EventType.ASKED, EventType.CONSENTED, EventType.REFUSED):
            fits = before is EventType.REPLY_ACCEPTED
        elif (
            state is State.WAITING
            and isinstance(detail, TextQueued | TextQueuedTo)
            and detail.text == Kind.REQUEST
        ):
            following = State.QUEUED
        if event is EventType.PARKED and fits:
            resume = State.WAITING if state is State.QUEUED else state  # a parked case has no number
        if not fits:
            wrong.append((n, f"{event} cannot follow in state {state or 'none'}"))
        state, before = following, event
    return state, wrong[:MAX_FAULTS]
