"""The events of the journal and the types of their details: one definition for writer, evidence and documentation.

Names and fields never change their meaning, so that an evidence record of any version still verifies.
docs/reference/journal-events.md is generated from this module: the comment of an event or a field is its meaning.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import orjson


class EventType(StrEnum):
    """The event of a journal entry. Those in STATUSES are also reported to SDU."""

    RECEIVED = "received"  # a record of a list became this case
    NO_NUMBER = "no_number"  # the MCB has no number of any recipient; the case has ended
    NUMBER_FOUND = "number_found"  # the MCB has found a recipient's number
    ASKED = "asked"  # the SMSC has accepted all segments of the request; the days to reply begin
    DELIVERED = "delivered"  # final receipts report a text with the question as delivered
    REMINDED = "reminded"  # the SMSC has accepted all segments of a repeat; the days to reply begin anew
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
    normalised: bool  # the verdict is not literally in the text: another digit, a look-alike letter, a word


class Voucher(NamedTuple):
    """The wallet's voucher."""

    voucher_id: str | None  # the wallet's id of it


class Reason(NamedTuple):
    """Why, in a few words; numbers in it are masked."""

    reason: str  # in English


class Words(NamedTuple):
    """Words of a person or of the wallet. They are kept beside the journal and erased with the case."""

    words: str  # digest of the words; HTTP interfaces show the words in its place, as `reason`


class By(NamedTuple):
    """Who did it. Entries from before it was kept have no such field."""

    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token


class ReasonBy(NamedTuple):
    """Why, in a few words, and who did it; numbers in the words are masked."""

    reason: str  # in English
    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token


class WordsBy(NamedTuple):
    """Words of a person, and who that was. The words are kept beside the journal and erased with the case."""

    words: str  # digest of the words; HTTP interfaces show the words in its place, as `reason`
    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token


class ReplyOfReason(NamedTuple):
    """Why a reply was ignored, and the reply's digest."""

    reason: str  # in English
    reply: str  # the reply's digest


class HeldReply(NamedTuple):
    """By which link a reply came, and which operator the number has according to the MCB."""

    link: str  # its name in the configuration
    operator: str  # as the MCB names it


class AcceptedReply(NamedTuple):
    """Which held reply was counted, and who did it."""

    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token
    link: str  # by which the reply came
    reply: str  # the reply's digest


class TextKind(NamedTuple):
    """Which of the service's texts."""

    text: str  # request, repeat, agreed, refused, clarify


class TextKindBy(NamedTuple):
    """Which of the service's texts, and who did it."""

    text: str  # request, repeat, agreed, refused, clarify
    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token


class Repeat(NamedTuple):
    """Which repeat of the question is due."""

    repeat: int  # from 1


class TextQueued(NamedTuple):
    """A queued text or USSD screen, as 0.1.0 wrote it: with a digest of the text alone."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify, or a screen: menu, menu_agreed …
    template: str  # version of the template
    link: str  # by which it is sent
    segments: int  # number of segments
    body: str  # digest of the text as sent


class TextQueuedTo(NamedTuple):
    """A queued text or USSD screen, with the number that it is for."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify, or a screen: menu, menu_agreed …
    template: str  # version of the template
    link: str  # by which it is sent
    segments: int  # number of segments
    sent: str  # digest of the number and the text as sent


class TextAccepted(NamedTuple):
    """The SMSC has accepted the last segment of a text."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify
    link: str  # by which it was sent
    message_ids: Sequence[str | None]  # the SMSC's, in the order of segments
    attempts: int  # number of claims for sending


class TextRefused(NamedTuple):
    """A permanent SMSC refusal of a text."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify
    link: str  # by which it was sent
    command_status: int  # of the submit_sm_resp
    name: str  # of the command_status: ESME_RINVDSTADR


class TextUnanswered(NamedTuple):
    """A text given up because the SMSC did not respond to a segment: it may have accepted it, or not."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify
    link: str  # by which it was sent
    reason: str  # outcome_unknown


class TextWithoutRoute(NamedTuple):
    """A text that no link carries; `reason` is no_route."""

    text: str  # request, repeat, agreed, refused, clarify
    reason: str  # in English


class TextUndeliverable(NamedTuple):
    """A final delivery receipt reports that a text was not delivered."""

    sms_id: int  # the row of the text
    text: str  # request, repeat, agreed, refused, clarify
    state: str  # message_state by name (SMPP 3.4 §5.2.28)
    error: str  # as the operator writes it; "" when the receipt has none


class ReplyRead(NamedTuple):
    """How a reply by SMS was read, and its digest. Of a case: as written before the links were kept."""

    verdict: str  # agree, refuse, unclear, other, empty
    normalised: bool  # the verdict is not literally in the text
    rules: str  # version of the reading rules
    link: str  # by which it came
    reply: str  # digest of the reply as received


class UssdReplyRead(NamedTuple):
    """How a reply by USSD was read, and its digest. Of a case: as written before the links were kept."""

    verdict: str  # agree, refuse, unclear, other, empty
    normalised: bool  # the verdict is not literally in the text
    rules: str  # version of the reading rules
    link: str  # by which it came
    ussd: bool  # true
    session: str  # its_session_info in hex (SMPP 3.4 §5.3.2.43)
    reply: str  # digest of the reply as received


class RoutedReplyRead(NamedTuple):
    """How a reply by SMS to a case was read, by which links it might come, and its digest."""

    verdict: str  # agree, refuse, unclear, other, empty
    normalised: bool  # the verdict is not literally in the text
    rules: str  # version of the reading rules
    link: str  # by which it came
    may_come_by: Sequence[str] | None  # links of its operator, and those that had the question to send; null: any
    reply: str  # digest of the reply as received


class RoutedUssdReplyRead(NamedTuple):
    """How a reply by USSD to a case was read, by which links it might come, and its digest."""

    verdict: str  # agree, refuse, unclear, other, empty
    normalised: bool  # the verdict is not literally in the text
    rules: str  # version of the reading rules
    link: str  # by which it came
    ussd: bool  # true
    session: str  # its_session_info in hex (SMPP 3.4 §5.3.2.43)
    may_come_by: Sequence[str] | None  # links of its operator, and those that had the question to send; null: any
    reply: str  # digest of the reply as received


class Link(NamedTuple):
    """The link by which the message came."""

    link: str  # its name in the configuration


class EarlyEvent(NamedTuple):
    """An event of the wallet that came before the wallet's response to the voucher call."""

    event: str  # voucher_activated or service_received


class RewindAccepted(NamedTuple):
    """A rewind of the database."""

    seq: int  # of the last entry of the journal when the rewind was found
    hash: str  # its hash, hex; "" where there was none
    known_seq: int  # of the latest entry that is known to have existed
    found_by: str  # gateway, or sdu: by its cursor


class RewindAcceptedBy(NamedTuple):
    """A rewind of the database, and who accepted it."""

    seq: int  # of the last entry of the journal when the rewind was found
    hash: str  # its hash, hex; "" where there was none
    known_seq: int  # of the latest entry that is known to have existed
    found_by: str  # gateway, or sdu: by its cursor
    by: str  # name of the user, oidc: and the name in the token, or the role of a shared token


Detail = (
    NoDetail
    | Relation
    | Checked
    | Reply
    | Voucher
    | Reason
    | Words
    | By
    | ReasonBy
    | WordsBy
    | ReplyOfReason
    | HeldReply
    | AcceptedReply
    | TextKind
    | TextKindBy
    | Repeat
    | TextQueued
    | TextQueuedTo
    | TextAccepted
    | TextRefused
    | TextUnanswered
    | TextWithoutRoute
    | TextUndeliverable
    | ReplyRead
    | UssdReplyRead
    | RoutedReplyRead
    | RoutedUssdReplyRead
    | Link
    | EarlyEvent
    | RewindAccepted
    | RewindAcceptedBy
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
    EventType.TEXT_REFUSED: (TextRefused, TextWithoutRoute, TextUnanswered),
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
"""By event, the types that its detail may have."""


class Event(NamedTuple):
    """An event to journal."""

    name: EventType
    detail: Detail = NO_DETAIL

    def detail_json(self) -> str:
        """The detail as a JSON object, with the fields in the order of their definition."""
        return orjson.dumps(self.detail._asdict()).decode()


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
