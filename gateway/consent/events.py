"""The events of the journal and the details of each: one definition for writer, evidence and documentation.

Names and fields never change their meaning, so that an evidence record of any version still verifies.
docs/reference/journal-events.md is generated from this module and details.py: the comment of an event is its
meaning.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import orjson

from gateway.consent.details import (
    NO_DETAIL,
    AcceptedReply,
    By,
    Checked,
    Detail,
    EarlyEvent,
    HeldReply,
    Link,
    NoDetail,
    Reason,
    ReasonBy,
    Relation,
    Repeat,
    Reply,
    ReplyOfReason,
    ReplyRead,
    RewindAccepted,
    RewindAcceptedBy,
    RoutedReplyRead,
    RoutedUssdReplyRead,
    TextAccepted,
    TextKind,
    TextKindBy,
    TextQueued,
    TextQueuedTo,
    TextRefused,
    TextUndeliverable,
    TextWithoutResponse,
    TextWithoutRoute,
    UssdReplyRead,
    Voucher,
    Words,
    WordsBy,
)


class EventType(StrEnum):
    """The event of a journal entry. Those in STATUSES are also reported to SDU."""

    RECEIVED = "received"  # a record of a list became this case
    NO_NUMBER = "no_number"  # the MCB has no number of any recipient; the case has ended
    NUMBER_FOUND = "number_found"  # the MCB has found a recipient's number
    ASKED = "asked"  # the SMSC has accepted all segments of the request; the days to reply begin
    DELIVERED = "delivered"  # final receipts report a text with the question as delivered
    REMINDED = "reminded"  # the SMSC has accepted all segments of a repeat; the days to reply start again
    CONSENTED = "consented"  # a reply agreed; the voucher is requested
    REFUSED = "refused"  # a reply refused; the case has ended
    NO_ANSWER = "no_answer"  # the days to reply have passed; the case has ended
    UNDELIVERABLE = "undeliverable"  # no text with the question was delivered; the case has ended
    VOUCHER_ISSUED = "voucher_issued"  # the wallet has issued the voucher; the case has ended
    VOUCHER_REJECTED = "voucher_rejected"  # the wallet will issue no voucher; the case has ended
    VOUCHER_ACTIVATED = "voucher_activated"  # the wallet reports that the parent has activated the voucher
    SERVICE_RECEIVED = "service_received"  # the wallet reports that the voucher was used
    WITHDRAWAL_REQUESTED = "withdrawal_requested"  # a reply refused after the consent; nothing else changes
    LATE_REPLY = "late_reply"  # a reply came when no question was open; nothing else changes
    REPLY_HELD = "reply_held"  # a clear reply came by a link that may not carry the number; ops may count it
    CANCELLED = "cancelled"  # SDU or ops cancelled the case; it has ended
    NUMBER_MISSING = "number_missing"  # the MCB has no number of this recipient
    NUMBER_INVALID = "number_invalid"  # the MCB's number of this recipient is no Kazakh mobile number
    RECIPIENT_UNREACHABLE = "recipient_unreachable"  # the next recipient is asked (fallback_on_undeliverable)
    REPEAT_DUE = "repeat_due"  # the days to reply have passed; the question is repeated
    TEXT_QUEUED = "text_queued"  # a text or a USSD screen was queued for its link
    TEXT_ACCEPTED = "text_accepted"  # the SMSC has accepted all segments of a text
    TEXT_REFUSED = "text_refused"  # the SMSC refused a text for good or never responded, or no link carries it
    TEXT_DELIVERED = "text_delivered"  # final receipts report another text as delivered
    TEXT_UNDELIVERABLE = "text_undeliverable"  # a final receipt reports a text as not delivered
    REPLY_READ = "reply_read"  # a reply was received and read; its effect is a further entry
    REPLY_UNCLEAR = "reply_unclear"  # a reply to the open question is neither consent nor refusal
    REPLY_OTHER = "reply_other"  # a reply is for another service at the same short code
    REPLY_IGNORED = "reply_ignored"  # a reply changes nothing
    REPLY_REPEATED = "reply_repeated"  # a reply has the same verdict as the one that counted
    REPLY_ACCEPTED = "reply_accepted"  # somebody counted the held reply; its effect is a further entry
    DIALOGUE_ABORTED = "dialogue_aborted"  # the parent aborted the USSD dialogue without a reply
    VOUCHER_REQUESTED = "voucher_requested"  # the call to the wallet is queued
    VOUCHER_EVENT_EARLY = "voucher_event_early"  # the wallet's event came before its response to the voucher call
    PARKED = "parked"  # the case waits for ops
    RELEASED = "released"  # ops released the parked case; it continues in its former state
    RESENT = "resent"  # ops sent the current text again
    ERASED = "erased"  # names, numbers and texts were erased (privacy.keep_days)
    REWIND_ACCEPTED = "rewind_accepted"  # ops accepted that the database lacks later entries; of no case


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
        EventType.REPLY_HELD,
        EventType.CANCELLED,
    }
)
"""The events that are reported to SDU, pushed or pulled; their entries have an event_id."""


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
    EventType.VOUCHER_REJECTED: (Words, Reason),
    EventType.VOUCHER_ACTIVATED: (Voucher,),
    EventType.SERVICE_RECEIVED: (Voucher,),
    EventType.WITHDRAWAL_REQUESTED: (Reply,),
    EventType.LATE_REPLY: (Reply,),
    EventType.REPLY_HELD: (HeldReply,),
    EventType.CANCELLED: (WordsBy, ReasonBy, Words, Reason),
    EventType.NUMBER_MISSING: (Relation,),
    EventType.NUMBER_INVALID: (Relation,),
    EventType.RECIPIENT_UNREACHABLE: (Relation,),
    EventType.REPEAT_DUE: (Repeat,),
    EventType.TEXT_QUEUED: (TextQueuedTo, TextQueued),
    EventType.TEXT_ACCEPTED: (TextAccepted,),
    EventType.TEXT_REFUSED: (TextRefused, TextWithoutRoute, TextWithoutResponse),
    EventType.TEXT_DELIVERED: (TextKind,),
    EventType.TEXT_UNDELIVERABLE: (TextUndeliverable,),
    EventType.REPLY_READ: (RoutedReplyRead, ReplyRead, RoutedUssdReplyRead, UssdReplyRead),
    EventType.REPLY_UNCLEAR: (NoDetail, Reason),
    EventType.REPLY_OTHER: (NoDetail,),
    EventType.REPLY_IGNORED: (Reason, ReplyOfReason),
    EventType.REPLY_REPEATED: (Reply,),
    EventType.REPLY_ACCEPTED: (AcceptedReply,),
    EventType.DIALOGUE_ABORTED: (Link,),
    EventType.VOUCHER_REQUESTED: (NoDetail,),
    EventType.VOUCHER_EVENT_EARLY: (EarlyEvent,),
    EventType.PARKED: (Reason,),
    EventType.RELEASED: (By, NoDetail),
    EventType.RESENT: (TextKindBy, TextKind),
    EventType.ERASED: (NoDetail,),
    EventType.REWIND_ACCEPTED: (RewindAcceptedBy, RewindAccepted),
}
"""The types that the detail of each event may have."""


class Event(NamedTuple):
    """An event to journal."""

    name: EventType
    detail: Detail = NO_DETAIL

    def detail_json(self) -> str:
        """The detail as a JSON object, with the fields in the order of their definition."""
        return "{}" if self.detail is NO_DETAIL else orjson.dumps(self.detail._asdict()).decode()


def parse_detail(name: EventType, text: str) -> Detail:
    """The typed detail of a journal entry.

    Raises ValueError unless the text is, octet for octet, what `Event.detail_json` writes for one of the event's
    types: a key that occurs twice, a field too many or a number for a text could be read in two ways.
    """
    content = orjson.loads(text)
    if type(content) is dict:
        for kind in DETAILS[name]:
            fields = _FIELDS[kind]
            if fields.keys() == content.keys() and all(_fits(content[f], hint) for f, hint in fields.items()):
                detail = kind(**content)
                if Event(name, detail).detail_json() == text:
                    return detail
    raise ValueError(f"is no detail of {name}")


_FIELDS: Mapping[type[Detail], Mapping[str, Any]] = {
    kind: get_type_hints(kind) for kinds in DETAILS.values() for kind in kinds
}
"""By type of detail, the types of its fields."""


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from JSON is of the field's type; a boolean is no number."""
    if inner := get_args(hint):
        if get_origin(hint) is Sequence:
            return type(value) is list and all(_fits(item, inner[0]) for item in value)
        return any(_fits(value, one) for one in inner)
    return type(value) is hint
