"""What comes to a case (inputs, imperative), and what a decision on it holds (events, effects)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.case import Case, Event
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class UseNumber:
    msisdn: str
    operator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRecipient:
    """The MCB has answered: no number, or one that is no Kazakh mobile number."""

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
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRefused:
    """The SMSC has refused a text to `msisdn` for good."""

    text: Kind
    repeat: int = 0
    msisdn: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelivered:
    text: Kind
    repeat: int = 0
    msisdn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUndeliverable:
    text: Kind
    repeat: int = 0
    msisdn: str
    detail: Mapping[str, object]


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
    link: str  # by which an answer goes back


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetDeadline:
    """``due_at`` may have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    voucher_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectVoucher:
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateVoucher:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UseVoucher:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """A partner's answer makes no sense, or no link carries the number: a person has to look."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A person has looked: go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """Send the current text once more; deadlines stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    reason: str


Input = (
    UseNumber
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
    """What is to be brought about besides texts."""

    LOOK_UP = "look_up"  # the recipient at `position` in the MCB
    ACQUIRE_NUMBER = "ask_turn"  # OpenQuestion as soon as the number is free
    RELEASE_NUMBER = "give_turn"  # the question is closed: the next sibling's may go out
    WITHDRAW = "withdraw"  # question texts that have not left are not sent
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
