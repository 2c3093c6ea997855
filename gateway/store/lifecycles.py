"""The lifecycles of a text (a row of `sms`) and of a call (a row of `calls`), as tables.

Each input is a function of this package; only these change the state of a row. tests/store/test_lifecycles.py
brings a row into each state, calls each function, and compares the outcome with the table. scripts/diagrams draws
docs/architecture/text.md and call.md from it.

A pair of state and input that a table does not have changes nothing. Rows of texts stay; only screens that belong
to no case are deleted, in whatever state (`erasure.erase_unassigned_replies`).
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.store.sms import SmsState

NO_ROW: Final = "no row"
"""How the absence of a row is shown."""


class CallState(StrEnum):
    """The state of a call, as its columns `node` and `next_at` give it."""

    DUE = "due"
    """`node` is null, `next_at` has passed."""
    POSTPONED = "postponed"
    """`node` is null, `next_at` is in the future."""
    CLAIMED = "claimed"
    """`node` is the process that makes the call."""


class TextInput(StrEnum):
    """An input of a text: the function, and the condition where it matters."""

    QUEUE = "outbox.queueing"
    QUEUE_IMMEDIATE = "outbox.queueing, an immediate text"
    QUEUE_SCREEN = "outbox.queue_screens"
    CLAIM = "sms.claim"
    CLAIM_BY_FALLBACK = "sms.claim, by a fallback link"
    CLAIM_TOO_EARLY = "sms.claim, before next_at"
    CLAIM_OUTSIDE_WINDOW = "sms.claim, a bulk text outside the window"
    CLAIM_SCREEN_BY_FALLBACK = "sms.claim, a screen by a fallback link"
    CLAIM_EXPIRED_SCREEN = "sms.claim, a screen after expires_at"
    CLAIM_BY_EVICTED = "sms.claim, by an evicted process"
    RECORD_SENDING = "sms.record, sending"
    RECORD_ACCEPTED = "sms.record, accepted"
    RECORD_REFUSED = "sms.record, refused"
    RECORD_CANCELLED = "sms.record, cancelled"
    RECORD_BY_OTHER = "sms.record, by another process"
    RELEASE = "sms.release"
    RELEASE_BY_OTHER = "sms.release, by another process"
    RELEASE_OTHERS = "sms.release_others"
    RELEASE_OTHERS_HELD = "sms.release_others, a text in memory"
    REROUTE = "outbox.reroute"
    WITHDRAW = "outbox.withdrawing"
    WITHDRAW_PARTLY_ACCEPTED = "outbox.withdrawing, a segment was accepted"
    WITHDRAW_OTHER_KIND = "outbox.withdrawing, text 2 or 3"
    RECEIPT_LAST = "receipts.settle, the last tracked segment is delivered"
    RECEIPT_NOT_LAST = "receipts.settle, another segment is delivered"
    RECEIPT_FAILED = "receipts.settle, a segment is not delivered"
    RECEIPT_AFTER_UNKNOWN = "receipts.settle, delivered after a receipt UNKNOWN"
    FAILED_AFTER_UNKNOWN = "receipts.settle, not delivered after a receipt UNKNOWN"
    EXPIRE_SCREEN = "dialogues.expire, a screen after expires_at"
    EXPIRE_FRESH_SCREEN = "dialogues.expire, a screen before expires_at"
    EXPIRE_OTHER = "dialogues.expire, any other text"
    ERASE = "erasure.erase_ended"
    LEAVE = "nodes.leave"
    EVICT = "nodes.evict_expired"
    EVICT_OTHER = "nodes.evict_expired, another process"


class CallInput(StrEnum):
    """An input of a call: the function, and the condition where it matters."""

    ACCEPT_LIST = "lists.accept"
    ADD = "calls.adding"
    CLAIM = "calls.claim"
    CLAIM_BY_EVICTED = "calls.claim, by an evicted process"
    FINISH = "calls.finish"
    FINISH_BY_OTHER = "calls.finish, by another process"
    FINISH_EARLIER = "calls.finish, an earlier serial"
    POSTPONE = "calls.postpone"
    POSTPONE_BY_OTHER = "calls.postpone, by another process"
    POSTPONE_EARLIER = "calls.postpone, an earlier serial"
    RELEASE_OTHERS = "calls.release_others"
    RELEASE_OTHERS_HELD = "calls.release_others, a call in memory"
    DROP = "calls.dropping"
    NEXT_AT = "next_at comes"
    LEAVE = "nodes.leave"
    EVICT = "nodes.evict_expired"
    EVICT_OTHER = "nodes.evict_expired, another process"


S = TypeVar("S", bound=StrEnum)
I = TypeVar("I", bound=StrEnum)  # noqa: E741


class Change(NamedTuple, Generic[S, I]):
    """What an input does to a row in one of these states; None: there is no row."""

    states: tuple[S | None, ...]
    given: I
    to: S | None
    note: str


_QUEUED, _SENDING, _ACCEPTED = SmsState.QUEUED, SmsState.SENDING, SmsState.ACCEPTED
_UNDELIVERABLE: Final = SmsState.UNDELIVERABLE
_DUE, _POSTPONED, _CLAIMED = CallState.DUE, CallState.POSTPONED, CallState.CLAIMED
_ANY_CALL: Final = (_DUE, _POSTPONED, _CLAIMED)
_RECEIPTS: Final = (TextInput.RECEIPT_LAST, TextInput.RECEIPT_NOT_LAST, TextInput.RECEIPT_FAILED)

# fmt: off
TEXT_CHANGES: Final[tuple[Change[SmsState, TextInput], ...]] = (
    Change((None,), TextInput.QUEUE, _QUEUED, "gets the number's next concatenation reference"),
    Change((None,), TextInput.QUEUE_IMMEDIATE, _SENDING, "node; attempts 1; the link's send queue has room"),
    Change((None,), TextInput.QUEUE_SCREEN, _QUEUED, "expires_at is the end of its dialogue"),
    Change((_QUEUED,), TextInput.CLAIM, _SENDING, "node; attempts + 1"),
    Change((_QUEUED,), TextInput.CLAIM_BY_FALLBACK, _SENDING, "node and link; attempts + 1"),
    Change((_SENDING,), TextInput.RECORD_SENDING, _SENDING, "segments accepted so far"),
    Change((_SENDING,), TextInput.RECORD_ACCEPTED, _ACCEPTED, "accepted_at; receipts are expected"),
    Change((_SENDING,), TextInput.RECORD_REFUSED, SmsState.REFUSED, "a segment got a permanent status, or none"),
    Change((_SENDING,), TextInput.RECORD_CANCELLED, SmsState.CANCELLED, "a screen whose dialogue has ended"),
    Change((_SENDING,), TextInput.RELEASE, _QUEUED, "next_at; attempts - 1 if no segment was submitted"),
    Change((_SENDING,), TextInput.RELEASE_OTHERS, _QUEUED, "its claim's COMMIT was not confirmed; attempts - 1"),
    Change((_QUEUED,), TextInput.REROUTE, _QUEUED, "the link that carries the number now"),
    Change((_QUEUED,), TextInput.WITHDRAW, SmsState.CANCELLED, "a question, or a clarification of one"),
    *(
        Change((state,), given, state, "kept in receipts_unmatched until the text is accepted")
        for given in _RECEIPTS for state in (_QUEUED, _SENDING)
    ),
    Change((_ACCEPTED,), TextInput.RECEIPT_LAST, SmsState.DELIVERED, ""),
    Change((_ACCEPTED,), TextInput.RECEIPT_NOT_LAST, _ACCEPTED, "delivered_segments"),
    Change((_ACCEPTED,), TextInput.RECEIPT_FAILED, _UNDELIVERABLE, ""),
    Change((_UNDELIVERABLE,), TextInput.RECEIPT_AFTER_UNKNOWN, SmsState.DELIVERED, ""),
    Change((_UNDELIVERABLE,), TextInput.FAILED_AFTER_UNKNOWN, _UNDELIVERABLE, "no later receipt counts"),
    Change((_QUEUED,), TextInput.EXPIRE_SCREEN, SmsState.CANCELLED, "its dialogue has ended"),
    Change((_QUEUED,), TextInput.ERASE, SmsState.CANCELLED, "body is null, msisdn a keyed hash; in any state"),
    Change((_SENDING,), TextInput.LEAVE, _QUEUED, "another process sends the missing segments"),
    Change((_SENDING,), TextInput.EVICT, _QUEUED, "segments of unknown outcome are sent again"),
)
"""The transitions of a text."""

CALL_CHANGES: Final[tuple[Change[CallState, CallInput], ...]] = (
    Change((None,), CallInput.ACCEPT_LIST, _DUE, "the look-up of a new case"),
    Change((None, *_ANY_CALL), CallInput.ADD, _DUE, "a new serial; attempts = 0"),
    Change((_DUE,), CallInput.CLAIM, _CLAIMED, "node"),
    Change((_CLAIMED,), CallInput.FINISH, None, "in the transaction of the outcome"),
    Change((_CLAIMED,), CallInput.POSTPONE, _POSTPONED, "next_at; attempts + 1"),
    Change((_POSTPONED,), CallInput.NEXT_AT, _DUE, "real time"),
    Change((_CLAIMED,), CallInput.RELEASE_OTHERS, _DUE, "claimed by a COMMIT that was not confirmed"),
    Change(_ANY_CALL, CallInput.DROP, None, "the case has ended"),
    Change((_CLAIMED,), CallInput.LEAVE, _DUE, ""),
    Change((_CLAIMED,), CallInput.EVICT, _DUE, "a later outcome is dropped"),
)
"""The transitions of a call."""
# fmt: on


def text_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """(state, input, next state, effect, source) of texts, as diagrams and pages show them."""
    return _rows(TEXT_CHANGES)


def call_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """(state, input, next state, effect, source) of calls, as diagrams and pages show them."""
    return _rows(CALL_CHANGES)


def _rows(changes: Iterable[Change[S, I]]) -> Iterator[tuple[str, str, str, str, str]]:
    for change in changes:
        module, found, name = change.given.partition(".")
        source = f"gateway/store/{module}.py" if found else "clock"
        for state in change.states:
            yield state or NO_ROW, name or module, change.to or NO_ROW, change.note, source
