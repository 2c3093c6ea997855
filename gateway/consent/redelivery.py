"""Whether a reply is surely a new one, and not an earlier one that the SMSC delivers again.

An SMSC delivers a reply again when our deliver_sm_resp did not reach it, and no octet tells the redelivered reply
from a new one. Where two pupils are asked about at one number, one after the other, the redelivered reply for the
first must not become a consent for the second: a consent is never guessed.
"""

from collections.abc import Sequence
from typing import NamedTuple

MAX_COMPARED = 100
"""Earlier replies, the newest, with which one is compared: no parent sends the same so often in days."""


class EarlierReply(NamedTuple):
    """An earlier reply with the same octets, from the same number."""

    case_id: str | None  # to which it spoke
    unacknowledged: bool  # our deliver_sm_resp may not have reached the SMSC


def may_be_redelivery(case_id: str, earlier: Sequence[EarlierReply]) -> bool:
    """Whether a reply to this case may be one to another case, redelivered; `earlier` are the newest like it.

    Each unacknowledged reply is redelivered once at most. Whether that has happened cannot be seen: a parent may
    have sent the same words twice. But once this case has had as many such replies as may be redelivered, at least
    one of them was meant for it. With MAX_COMPARED earlier ones any may be redelivered.
    """
    if len(earlier) >= MAX_COMPARED:
        return True
    redelivered = sum(reply.unacknowledged for reply in earlier)
    of_others = any(reply.unacknowledged and reply.case_id != case_id for reply in earlier)
    return of_others and sum(reply.case_id == case_id for reply in earlier) < redelivered
