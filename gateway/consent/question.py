"""The case that a reply belongs to: that of the latest question at its number, or the one asked before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.consent.redelivery import EarlierReply, may_be_redelivery


class Addressee(NamedTuple):
    """The case that a reply belongs to (None: none), and whether it may be a redelivered reply to another case."""

    case_id: str | None
    possible_redelivery: bool


@dataclass(frozen=True, slots=True)
class Question:
    """The latest question of a service at a number."""

    case_id: str
    previous_case_id: str | None  # of the question asked there before
    open: bool
    operator: str | None  # of the number, as the MCB names it
    links: frozenset[str]  # that have claimed its texts for sending
    accepted_by_smsc: bool  # at least one segment

    @property
    def submitted(self) -> bool:
        """Whether its text was claimed for sending, so that a reply to it is possible."""
        return bool(self.links)

    def not_submitted(self) -> "Question":
        """The same question, when this process has claimed its text but submitted no segment of it."""
        return replace(self, links=frozenset())

    def addressee(self, earlier: Sequence[EarlierReply]) -> Addressee:
        """The case that a reply from the number belongs to; `earlier` are earlier replies with the same octets.

        Before the question is submitted, a reply belongs to the previous case. Until the SMSC has accepted a
        segment of the question, so does a reply that the previous case has had before, or that may be redelivered.
        """
        possible_redelivery = may_be_redelivery(self.case_id, earlier)
        previous_had_it = any(reply.case_id == self.previous_case_id for reply in earlier)
        if self.submitted and (self.accepted_by_smsc or not (previous_had_it or possible_redelivery)):
            return Addressee(self.case_id, possible_redelivery)
        if self.previous_case_id is None:
            return Addressee(None, False)
        return Addressee(self.previous_case_id, may_be_redelivery(self.previous_case_id, earlier))
