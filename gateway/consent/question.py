"""To which case a reply speaks: the latest question asked at its number, or the one before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.consent.redelivery import EarlierReply, may_be_redelivery


class Addressee(NamedTuple):
    """The case that a reply speaks to (None: none), and whether it may be one to another case, redelivered."""

    case_id: str | None
    possible_redelivery: bool


@dataclass(frozen=True, slots=True)
class Question:
    """The latest question of a service at a number."""

    case_id: str
    previous_case_id: str | None  # the case that was asked about there before
    open: bool
    operator: str | None  # of the number, as the MCB names it
    links: frozenset[str]  # by which its texts were claimed for sending
    accepted_by_smsc: bool  # at least one segment of it

    @property
    def submitted(self) -> bool:
        """Its text was claimed for sending, so a reply to it is possible."""
        return bool(self.links)

    def not_submitted(self) -> "Question":
        """The same question when, after all, no segment of its text has left this process."""
        return replace(self, links=frozenset())

    def answered_by(self, earlier: Sequence[EarlierReply]) -> Addressee:
        """The case that a reply from the number speaks to; `earlier` are the replies with the same octets.

        A reply that came before the question can have been read speaks to the case before. So does one that the
        case before has had already, or that may be redelivered, until the SMSC has accepted a segment of the
        question.
        """
        possible_redelivery = may_be_redelivery(self.case_id, earlier)
        had_before = any(reply.case_id == self.previous_case_id for reply in earlier)
        if self.submitted and (self.accepted_by_smsc or not (had_before or possible_redelivery)):
            return Addressee(self.case_id, possible_redelivery)
        if self.previous_case_id is None:
            return Addressee(None, False)
        return Addressee(self.previous_case_id, may_be_redelivery(self.previous_case_id, earlier))
