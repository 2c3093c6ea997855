"""What the journey remembers of a case, and the switches that it obeys."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.consent.deadlines import Calendar


class State(StrEnum):
    """Where a case is. ``waiting`` is shown outside as ``queued``."""

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


AGREED = frozenset({State.CONSENTED, State.VOUCHER_ISSUED, State.VOUCHER_REJECTED})


class Case(NamedTuple):
    """What the journey remembers of one pupil's case."""

    state: State
    relations: tuple[str, ...]  # mother, father, representative …: whom to ask, in this order
    position: int = 0  # whose number is looked up, or was asked
    msisdn: str | None = None  # of the one at `position`, once found
    operator: str | None = None  # as the MCB names it
    repeat: int = 0  # the latest question text: 0 the request, n the n-th repeat
    undelivered: int = 0  # bit n: question text n was reported undeliverable
    unreachable: int = 0  # recipients given up because their number did not work
    clarified: int = -1  # the latest question text whose unclear reply got a clarification
    reasked: int = -1  # the latest question text an answer to which may have been a copy: it was asked for again
    due_at: datetime | None = None  # next repeat or end; None while a question text is on its way
    answered_at: datetime | None = None
    evidence: str | None = None
    voucher_id: str | None = None
    activated_at: datetime | None = None
    used_at: datetime | None = None
    ended_at: datetime | None = None
    resume: State | None = None  # where a parked case goes on

    @property
    def relation(self) -> str:
        return self.relations[self.position]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The switches of ``config.toml`` that the journey obeys."""

    calendar: Calendar
    repeats: int = 1
    clarify: bool = True
    fallback_on_undeliverable: bool = False
