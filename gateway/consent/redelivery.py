"""Whether a reply is surely a new one, and not the copy of one that we have.

An SMSC delivers a reply again when it has not heard that we have it, and no octet tells the copy from a new reply.
Where two pupils are asked at one number, one after the other, the copy of the answer for the first must not become
a consent for the second: a consent is never guessed.
"""

from collections.abc import Sequence
from typing import NamedTuple

MAX_COMPARED = 100
"""EarlierReply replies, the newest, with which one is compared: no parent says the same so often in days."""


class EarlierReply(NamedTuple):
    """An earlier reply with the same octets, from the same number."""

    case_id: str | None  # to which it spoke
    unacknowledged: bool  # the SMSC may not know that we have it


def may_be_redelivery(case_id: str, earlier: Sequence[EarlierReply]) -> bool:
    """Whether a reply to this case may be the copy of one to another; `earlier` are those like it, the newest.

    Each unacknowledged reply has one copy at most. Whether it has come nobody can tell: a parent may have said so
    twice. But as soon as this case has had as many as there are copies, at least one of them was meant for it.
    Of a flood, MAX_COMPARED, any may be a copy.
    """
    if len(earlier) >= MAX_COMPARED:
        return True
    copies = sum(reply.unacknowledged for reply in earlier)
    of_others = any(reply.unacknowledged and reply.case_id != case_id for reply in earlier)
    return of_others and sum(reply.case_id == case_id for reply in earlier) < copies
