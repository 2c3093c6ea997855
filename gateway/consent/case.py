"""The state of a case in its journey, and the configured rules of the journey."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.deadlines import Calendar
from gateway.consent.reply import Verdict


class State(StrEnum):
    """The states of a case. ``waiting`` is reported to SDU and ops as ``queued``."""

    LOOKING_UP = "looking_up"
    WAITING = "waiting"
    QUEUED = "queued"
    ASKED = "asked"
    REMINDED = "reminded"
    CONSENTED = "consented"
    VOUCHER_ISSUED = "voucher_issued"
    VOUCHER_REJECTED = "voucher_rejected"
    REFUSED = "refused"
    NO_NUMBER = "no_number"
    NO_ANSWER = "no_answer"
    UNDELIVERABLE = "undeliverable"
    CANCELLED = "cancelled"
    PARKED = "parked"


ENDED = frozenset(
    {
        State.VOUCHER_ISSUED,
        State.VOUCHER_REJECTED,
        State.REFUSED,
        State.NO_NUMBER,
        State.NO_ANSWER,
        State.UNDELIVERABLE,
        State.CANCELLED,
    }
)
"""The final states. A held reply that is counted later leaves no_answer and undeliverable; nothing else does."""

AGREED = frozenset({State.CONSENTED, State.VOUCHER_ISSUED, State.VOUCHER_REJECTED})
"""The states after a consent."""


class Case(NamedTuple):
    """The state of one pupil's case. All instants are business time.

    Question texts are numbered: 0 is the request, n the n-th repeat.
    """

    state: State
    relations: tuple[str, ...]  # mother, father, representative: the recipients in the order of asking
    position: int = 0  # index in `relations` of the recipient who is looked up or asked
    msisdn: str | None = None  # of that recipient, once found
    operator: str | None = None  # of the number, as the MCB names it
    repeat: int = 0  # the latest question text
    undelivered: int = 0  # bit n: question text n was reported undeliverable
    unreachable: int = 0  # number of recipients skipped because their number did not work
    clarified: int = -1  # the latest question text with an unclear reply that got a clarification
    reasked: int = -1  # the latest question text with a possibly redelivered reply that got a clarification
    due_at: datetime | None = None  # of the next repeat or the end; None while a question text is being sent
    answered_at: datetime | None = None
    evidence: str | None = None
    voucher_id: str | None = None
    activated_at: datetime | None = None
    used_at: datetime | None = None
    ended_at: datetime | None = None
    resume: State | None = None  # the state to which a parked case is released
    held: Verdict | None = None  # of the held reply that ops may count; a refusal stands over an agreement

    @property
    def relation(self) -> str:
        """The relation of the recipient at `position`."""
        return self.relations[self.position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of the journey in ``config.toml``."""

    calendar: Calendar
    repeats: int = 1
    clarify: bool = True
    fallback_on_undeliverable: bool = False
