"""The inputs of the journey, named in the imperative, and the parts of a decision: case, events, effects."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.case import Case
from gateway.consent.details import (
    TextAccepted,
    TextRefused,
    TextUndeliverable,
    TextWithoutResponse,
    TextWithoutRoute,
)
from gateway.consent.events import Event
from gateway.consent.reply import Verdict
from gateway.consent.texts import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """A record of a list has been accepted: a case begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseNumber:
    """The MCB has found the recipient's number."""

    msisdn: str
    operator: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRecipient:
    """The MCB has found no number of the recipient, or one that is no Kazakh mobile number."""

    invalid: bool = False  # it found such a number


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """No other question of this service is open at the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmAccepted:
    """The SMSC has accepted the last segment of a text to `msisdn` at `at` (business time)."""

    text: Kind
    repeat: int = 0
    msisdn: str
    at: datetime
    detail: TextAccepted


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRefused:
    """A text to `msisdn` is given up: the SMSC refused it for good or never responded, or no link carries it."""

    text: Kind
    repeat: int = 0
    msisdn: str
    detail: TextRefused | TextWithoutRoute | TextWithoutResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelivered:
    """Final receipts report every tracked segment of a text as delivered."""

    text: Kind
    repeat: int = 0
    msisdn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUndeliverable:
    """A final receipt reports a segment of a text as not delivered."""

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
    submitted: bool  # a segment of the question was submitted to the SMSC before
    possible_redelivery: bool = False  # of a reply to another case: consent/redelivery.py
    evidence: str  # sha256:… of the reply as received
    link: str  # by which the next text is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldReply:
    """A reply has come by a link that may not carry the replies of a number of this operator."""

    reply: ParentReply
    operator: str  # as the MCB names it
    digest: str  # of the reply, as the journal has it


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptReply:
    """Ops count the held reply of the case; None: there is none."""

    held: HoldReply | None
    asked: bool  # whether SDU was told that the question was asked at the number
    by: str  # who does it, as the journal names them


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetDeadline:
    """``due_at`` may have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueVoucher:
    """The wallet has issued the voucher, now or earlier."""

    voucher_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectVoucher:
    """The wallet has rejected the voucher for good."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateVoucher:
    """The wallet reports that the voucher was activated."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UseVoucher:
    """The wallet reports that the voucher was used."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """A partner's response is invalid, or no link carries the number: ops have to decide."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Ops resume a parked case."""

    by: str  # who does it, as the journal names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """Ops or the call centre send the current text once more; deadlines do not change."""

    by: str  # who does it, as the journal names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Ops or SDU end the case."""

    reason: str
    by: str  # who does it, as the journal names them


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
    | HoldReply
    | AcceptReply
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
    """The effects of a decision other than texts."""

    LOOK_UP = "look_up"  # call the MCB for the recipient at `position`
    ACQUIRE_NUMBER = "acquire_number"  # OpenQuestion follows as soon as no other question is open at the number
    RELEASE_NUMBER = "release_number"  # the question is closed: a sibling's may be opened at the number
    WITHDRAW = "withdraw"  # cancel question texts of which no segment was accepted
    FORM_VOUCHER = "form_voucher"  # call the wallet


class Send(NamedTuple):
    """A text to send to the case's number; `link` None: the routing chooses."""

    text: Kind
    repeat: int = 0
    link: str | None = None


class Decision(NamedTuple):
    """The new state of the case, the events to journal in order, and the effects.

    `rejected`: the input does not fit the state, and nothing has changed.
    """

    case: Case
    events: tuple[Event, ...] = ()
    effects: tuple[Effect | Send, ...] = ()
    rejected: bool = False
