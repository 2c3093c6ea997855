"""The events that the journal records, and what each says in detail: one definition for writer, evidence and docs.

Names and fields are records that never change their meaning: a record of evidence of any version still verifies.
docs/journal.md is drawn from this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import orjson


class EventType(StrEnum):
    """What an entry of the journal is about. Those in STATUSES are reported to SDU as well."""

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
"""The events that are statuses: they have an event_id, and SDU gets them pushed or pulled."""


class NoDetail(NamedTuple):
    """The event says all."""


NO_DETAIL = NoDetail()


class Relation(NamedTuple):
    """Who of the pupil's recipients it is about."""

    relation: str  # mother, father, representative


class Checked(NamedTuple):
    """Everybody who was looked up in vain."""

    checked: Sequence[str]  # relations in the order of asking, one entry a person


class Reply(NamedTuple):
    """The parent's reply that made the event."""

    reply_at: str  # RFC 3339, local time
    normalised: bool  # it had to be read into the text: another digit or sign, a look-alike letter, a word


class Voucher(NamedTuple):
    """The wallet's voucher."""

    voucher_id: str | None


class Reason(NamedTuple):
    """Why, in one word or sentence; numbers in it are masked."""

    reason: str


class ReplyOfReason(NamedTuple):
    """Why a reply was ignored, and which."""

    reason: str
    reply: str  # the reply's digest


class TextKind(NamedTuple):
    """Which of the service's texts it is about."""

    text: str  # request, repeat, agreed, refused, clarify


class Repeat(NamedTuple):
    """Which repeat of the question is due."""

    repeat: int  # from 1


class TextQueued(NamedTuple):
    """A text, or a USSD screen, that waits to be sent."""

    sms_id: int
    text: str
    template: str  # version of the template
    link: str
    segments: int
    body: str  # digest of the text as it goes out


class TextAccepted(NamedTuple):
    """The SMSC has accepted the last segment of a text."""

    sms_id: int
    text: str
    link: str
    message_ids: Sequence[str | None]  # the SMSC's, in the order of segments
    attempts: int  # how often the text was claimed for sending


class TextRefused(NamedTuple):
    """The SMSC has refused a text for good."""

    sms_id: int
    text: str
    link: str
    command_status: int
    name: str  # of the command_status: ESME_RINVDSTADR


class TextWithoutRoute(NamedTuple):
    """A text that no link carries."""

    text: str
    reason: str


class TextUndeliverable(NamedTuple):
    """A final delivery receipt says that a text did not arrive."""

    sms_id: int
    text: str
    state: str  # of SMPP 3.4 §5.2.28
    error: str  # as the operator writes it, "" where the receipt has none


class ReplyRead(NamedTuple):
    """How a reply by SMS was read."""

    verdict: str
    normalised: bool
    rules: str  # version of the reading rules
    link: str
    reply: str  # digest of the reply as it came in


class UssdReplyRead(NamedTuple):
    """How a reply on a USSD screen was read."""

    verdict: str
    normalised: bool
    rules: str
    link: str
    ussd: bool
    session: str  # its_session_info of the message, in hex
    reply: str


class Link(NamedTuple):
    """By which link."""

    link: str


class EarlyEvent(NamedTuple):
    """The wallet's event that came before the wallet's response."""

    event: str


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
"""The types of detail that an event may have."""


class Event(NamedTuple):
    """One entry of the journal, before it has its place there."""

    name: EventType
    detail: Detail = NO_DETAIL

    def detail_json(self) -> str:
        """The detail as the journal keeps it: a JSON object with the fields in their order."""
        return orjson.dumps(self.detail._asdict()).decode()


def parse_detail(name: EventType, content: Mapping[str, Any]) -> Detail:
    """The typed detail of an entry; raises ValueError when its fields are not those of the event's type.

    Of several types the one with exactly these fields; fields that are not known here are ignored.
    """
    kinds = DETAILS[name]
    fitting: Iterable[type[Detail]] = (k for k in kinds if set(k._fields) == content.keys())
    partly: Iterable[type[Detail]] = (k for k in reversed(kinds) if set(k._fields) <= content.keys())
    kind = next(iter(fitting), None) or next(iter(partly), None)
    if kind is None:
        raise ValueError(f"{name} with the fields {sorted(content)}")
    return kind(**{field: content[field] for field in kind._fields})
