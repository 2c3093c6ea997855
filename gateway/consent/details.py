"""The types of the details of the journal's events: the fields that an entry has beside its event.

Names and fields never change their meaning, so that an evidence record of any version still verifies.
docs/reference/journal-events.md is generated from this module too: the comment of a field is its meaning.
"""

from collections.abc import Sequence
from typing import NamedTuple


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


class TextWithoutResponse(NamedTuple):
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
    | TextWithoutResponse
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
