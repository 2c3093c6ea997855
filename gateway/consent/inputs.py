"""What comes to a case (inputs, imperative), and what a decision on it holds (events, effects)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.case import Case
from gateway.consent.events import Event, TextAccepted, TextRefused, TextUndeliverable, TextWithoutRoute
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """A record of a list has been accepted: a case begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseNumber:
    """The MCB has the recipient's number."""

    msisdn: str
    operator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRecipient:
    """The MCB's response: the recipient has no number, or one that is no Kazakh mobile number."""

    invalid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """No other question of this service is open at the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmAccepted:
    """The SMSC has accepted the last segment of a text to `msisdn`, at `at`."""

    text: Kind
    repeat: int = 0
    msisdn: str
    at: datetime
    detail: TextAccepted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRefused:
    """The SMSC has refused a text to `msisdn` for good."""

    text: Kind
    repeat: int = 0
    msisdn: str
    detail: TextRefused | TextWithoutRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelivered:
    """Final receipts say that every tracked segment has arrived."""

    text: Kind
    repeat: int = 0
    msisdn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUndeliverable:
    """A final receipt says that a segment did not arrive."""

    text: Kind
    repeat: int = 0
    msisdn: str
    detail: TextUndeliverable


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentReply:
    """A reply from a number that was asked."""

    msisdn: str
    verdict: Verdict
    normalised: bool
    reply_at: datetime
    submitted: bool  # the first segment of the question had been submitted to the SMSC
    possible_redelivery: bool = False  # it may be the copy of a reply to another case, see consent/doubt.py
    evidence: str  # sha256:… of the reply as it came
    link: str  # by which a text goes back


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetDeadline:
    """``due_at`` may have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    """The wallet has formed the voucher, or had it already."""

    voucher_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectVoucher:
    """The wallet forms no voucher for this pupil."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateVoucher:
    """The wallet's event: the voucher was activated."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UseVoucher:
    """The wallet's event: the voucher was used."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """A partner's response is invalid, or no link carries the number: a person has to look."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A person has looked: go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """Send the current text once more; deadlines stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """A person, or SDU, ends the case."""

    reason: str


Input = (
    OpenCase
    | UseNumber
    | SkipRecipient
    | OpenQuestion
    | ConfirmAccepted
    | ReportRefused
    | ReportDelivered
    | ReportUndeliverable
    | ParentReply
    | MeetDeadline
    | IssueVoucher
    | RejectVoucher
    | ActivateVoucher
    | UseVoucher
    | Park
    | Release
    | Resend
    | Cancel
)


class Effect(StrEnum):
    """What a decision brings about besides texts."""

    LOOK_UP = "look_up"  # the recipient at `position` in the MCB
    ACQUIRE_NUMBER = "acquire_number"  # OpenQuestion as soon as no other question is open at the number
    RELEASE_NUMBER = "release_number"  # the question is closed: the next sibling's may go out
    WITHDRAW = "withdraw"  # question texts of which no segment was accepted are not sent
    FORM_VOUCHER = "form_voucher"  # by the wallet


class Send(NamedTuple):
    """A text to `msisdn`; `link` None lets the routing choose."""

    text: Kind
    repeat: int = 0
    link: str | None = None


class Decision(NamedTuple):
    """The case as it now stands, what happened (in order), and what to do about it.

    `rejected` says that the input does not fit the state; it has then changed nothing.
    """

    case: Case
    events: tuple[Event, ...] = ()
    effects: tuple[Effect | Send, ...] = ()
    rejected: bool = False
