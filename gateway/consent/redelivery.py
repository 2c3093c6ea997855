"""Whether a reply may be an earlier one that the SMSC has delivered again.

An SMSC delivers a reply again when our deliver_sm_resp did not reach it. A redelivered reply has the same octets
as a new one. When the questions of two pupils are asked at one number, one after the other, a redelivered reply to
the first must not become a consent for the second: consent is never guessed.
"""

from collections.abc import Sequence
from typing import NamedTuple

MAX_COMPARED = 100
"""The newest earlier replies with which a reply is compared; no parent sends the same text more often."""


class EarlierReply(NamedTuple):
    """An earlier reply with the same octets, from the same number."""

    case_id: str | None  # that it belonged to
    unacknowledged: bool  # our deliver_sm_resp may not have reached the SMSC
    by_other_link: bool = False  # it cannot be the redelivery of what came by the links of the reply compared


def may_be_redelivery(case_id: str, earlier: Sequence[EarlierReply]) -> bool:
    """Whether a reply to this case may be a redelivered one to another case; `earlier`: the newest similar ones.

    Each unacknowledged reply is redelivered at most once. A redelivery cannot be distinguished from the same text
    sent twice. But when this case has had as many similar replies as there are unacknowledged ones, at least one
    of its replies, this one included, is genuine. With MAX_COMPARED earlier replies the result is always True,
    because older ones are not known.
    """
    if len(earlier) >= MAX_COMPARED:
        return True
    redelivered = sum(reply.unacknowledged for reply in earlier)
    of_others = any(reply.unacknowledged and reply.case_id != case_id for reply in earlier)
    return (
        of_others and sum(reply.case_id == case_id and not reply.by_other_link for reply in earlier) < redelivered
    )
