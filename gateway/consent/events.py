"""The events of the journal and the types of their details: one definition for writer, evidence and documentation.

Names and fields never change their meaning, so that an evidence record of any version still verifies.
docs/journal.md is generated from this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import orjson


class EventType(StrEnum):
    """The event of a journal entry. Those in STATUSES are also reported to SDU."""

    RECEIVED = "received"
    NO_NUMBER = "no_number"
    NUMBER_FOUND = "number_found"
    ASKED = "asked"
    DELIVERED = "delivered"
    REMINDED = "reminded"
    CONSENTED = "consented"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    UNDELIVERABLE = "undeliverable"
    VOUCHER_ISSUED = "voucher_issued"
    VOUCHER_REJECTED = "voucher_rejected"
    VOUCHER_ACTIVATED = "voucher_activated"
    SERVICE_RECEIVED = "service_received"
    WITHDRAWAL_REQUESTED = "withdrawal_requested"
    LATE_REPLY = "late_reply"
    CANCELLED = "cancelled"
    NUMBER_MISSING = "number_missing"
    NUMBER_INVALID = "number_invalid"
    RECIPIENT_UNREACHABLE = "recipient_unreachable"
    REPEAT_DUE = "repeat_due"
    TEXT_QUEUED = "text_queued"
    TEXT_ACCEPTED = "text_accepted"
    TEXT_REFUSED = "text_refused"
    TEXT_DELIVERED = "text_delivered"
    TEXT_UNDELIVERABLE = "text_undeliverable"
    REPLY_READ = "reply_read"
    REPLY_UNCLEAR = "reply_unclear"
    REPLY_OTHER = "reply_other"
    REPLY_IGNORED = "reply_ignored"
    REPLY_REPEATED = "reply_repeated"
    DIALOGUE_ABORTED = "dialogue_aborted"
    VOUCHER_REQUESTED = "voucher_requested"
    VOUCHER_EVENT_EARLY = "voucher_event_early"
    PARKED = "parked"
    RELEASED = "released"
    RESENT = "resent"
    ERASED = "erased"


STATUSES = frozenset(
    {
        EventType.RECEIVED,
        EventType.NO_NUMBER,
        EventType.NUMBER_FOUND,
        EventType.ASKED,
        EventType.DELIVERED,
        EventType.REMINDED,
        EventType.CONSENTED,
        EventType.REFUSED,
        EventType.NO_ANSWER,
        EventType.UNDELIVERABLE,
        EventType.VOUCHER_ISSUED,
        EventType.VOUCHER_REJECTED,
        EventType.VOUCHER_ACTIVATED,
        EventType.SERVICE_RECEIVED,
        EventType.WITHDRAWAL_REQUESTED,
        EventType.LATE_REPLY,
        EventType.CANCELLED,
    }
)
"""The events that are reported to SDU, pushed or pulled; their entries have an event_id."""


class NoDetail(NamedTuple):
    """No fields."""


NO_DETAIL = NoDetail()


class Relation(NamedTuple):
    """Which of the pupil's recipients."""

    relation: str  # mother, father, representative


class Checked(NamedTuple):
    """The recipients without a number."""

    checked: Sequence[str]  # relations in the order of the look-ups, one entry per person


class Reply(NamedTuple):
    """The parent's reply that caused the event."""

    reply_at: str  # RFC 3339, local time
    normalised: bool  # as in `consent.reply.Reading`


class Voucher(NamedTuple):
    """The wallet's voucher."""

    voucher_id: str | None


class Reason(NamedTuple):
    """Why, in a few words; numbers in it are masked."""

    reason: str


class ReplyOfReason(NamedTuple):
    """Why a reply was ignored, and the reply's digest."""

    reason: str
    reply: str  # the reply's digest


class TextKind(NamedTuple):
    """Which of the service's texts."""

    text: str  # request, repeat, agreed, refused, clarify


class Repeat(NamedTuple):
    """Which repeat of the question is due."""

    repeat: int  # from 1


class TextQueued(NamedTuple):
    """A queued text or USSD screen."""

    sms_id: int
    text: str
    template: str  # version of the template
    link: str
    segments: int
    body: str  # digest of the text as sent


class TextAccepted(NamedTuple):
    """The SMSC has accepted the last segment of a text."""

    sms_id: int
    text: str
    link: str
    message_ids: Sequence[str | None]  # the SMSC's, in the order of segments
    attempts: int  # number of claims for sending


class TextRefused(NamedTuple):
    """A permanent SMSC refusal of a text."""

    sms_id: int
    text: str
    link: str
    command_status: int
    name: str  # of the command_status: ESME_RINVDSTADR


class TextWithoutRoute(NamedTuple):
    """A text that no link carries; `reason` is no_route."""

    text: str
    reason: str


class TextUndeliverable(NamedTuple):
    """A final delivery receipt reports that a text was not delivered."""

    sms_id: int
    text: str
    state: str  # message_state by name (SMPP 3.4 §5.2.28)
    error: str  # as the operator writes it; "" when the receipt has none


class ReplyRead(NamedTuple):
    """How a reply by SMS was read, and its digest."""

    verdict: str
    normalised: bool
    rules: str  # version of the reading rules
    link: str
    reply: str  # digest of the reply as received


class UssdReplyRead(NamedTuple):
    """How a reply by USSD was read, and its digest."""

    verdict: str
    normalised: bool
    rules: str
    link: str
    ussd: bool
    session: str  # its_session_info in hex (SMPP 3.4 §5.3.2.43)
    reply: str


class Link(NamedTuple):
    """The link by which the message came."""

    link: str


class EarlyEvent(NamedTuple):
    """An event of the wallet that came before the wallet's response to the voucher call."""

    event: str  # voucher_activated or service_received


Detail = (
    NoDetail
    | Relation
    | Checked
    | Reply
    | Voucher
    | Reason
    | ReplyOfReason
    | TextKind
    | Repeat
    | TextQueued
    | TextAccepted
    | TextRefused
    | TextWithoutRoute
    | TextUndeliverable
    | ReplyRead
    | UssdReplyRead
    | Link
    | EarlyEvent
)

DETAILS: Mapping[EventType, tuple[type[Detail], ...]] = {
    EventType.RECEIVED: (NoDetail,),
    EventType.NO_NUMBER: (Checked,),
    EventType.NUMBER_FOUND: (Relation,),
    EventType.ASKED: (Relation,),
    EventType.DELIVERED: (TextKind,),
    EventType.REMINDED: (Relation,),
    EventType.CONSENTED: (Reply,),
    EventType.REFUSED: (Reply,),
    EventType.NO_ANSWER: (NoDetail,),
    EventType.UNDELIVERABLE: (NoDetail,),
    EventType.VOUCHER_ISSUED: (Voucher,),
    EventType.VOUCHER_REJECTED: (Reason,),
    EventType.VOUCHER_ACTIVATED: (Voucher,),
    EventType.SERVICE_RECEIVED: (Voucher,),
    EventType.WITHDRAWAL_REQUESTED: (Reply,),
    EventType.LATE_REPLY: (Reply,),
    EventType.CANCELLED: (Reason,),
    EventType.NUMBER_MISSING: (Relation,),
    EventType.NUMBER_INVALID: (Relation,),
    EventType.RECIPIENT_UNREACHABLE: (Relation,),
    EventType.REPEAT_DUE: (Repeat,),
    EventType.TEXT_QUEUED: (TextQueued,),
    EventType.TEXT_ACCEPTED: (TextAccepted,),
    EventType.TEXT_REFUSED: (TextRefused, TextWithoutRoute),
    EventType.TEXT_DELIVERED: (TextKind,),
    EventType.TEXT_UNDELIVERABLE: (TextUndeliverable,),
    EventType.REPLY_READ: (ReplyRead, UssdReplyRead),
    EventType.REPLY_UNCLEAR: (NoDetail, Reason),
    EventType.REPLY_OTHER: (NoDetail,),
    EventType.REPLY_IGNORED: (Reason, ReplyOfReason),
    EventType.REPLY_REPEATED: (Reply,),
    EventType.DIALOGUE_ABORTED: (Link,),
    EventType.VOUCHER_REQUESTED: (NoDetail,),
    EventType.VOUCHER_EVENT_EARLY: (EarlyEvent,),
    EventType.PARKED: (Reason,),
    EventType.RELEASED: (NoDetail,),
    EventType.RESENT: (TextKind,),
    EventType.ERASED: (NoDetail,),
}
"""By event, the types that its detail may have."""


class Event(NamedTuple):
    """An event to journal."""

    name: EventType
    detail: Detail = NO_DETAIL

    def detail_json(self) -> str:
        """The detail as a JSON object, with the fields in the order of their definition."""
        return orjson.dumps(self.detail._asdict()).decode()


def parse_detail(name: EventType, content: Mapping[str, Any]) -> Detail:
    """The typed detail of a journal entry; raises ValueError when a field of the event's type is missing.

    Of several types, the one with exactly these fields is used. Unknown fields are ignored.
    """
    kinds = DETAILS[name]
    fitting: Iterable[type[Detail]] = (k for k in kinds if set(k._fields) == content.keys())
    partly: Iterable[type[Detail]] = (k for k in reversed(kinds) if set(k._fields) <= content.keys())
    kind = next(iter(fitting), None) or next(iter(partly), None)
    if kind is None:
        raise ValueError(f"{name} with the fields {sorted(content)}")
    return kind(**{field: content[field] for field in kind._fields})
