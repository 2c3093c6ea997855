"""Whether a reply is surely a new one, and not the copy of one that we have.

An SMSC delivers a reply again when it has not heard that we have it, and no octet tells the copy from a new reply.
Where two pupils are asked at one number, one after the other, the copy of the answer for the first must not become
a consent for the second: a consent is never guessed.
"""

from collections.abc import Sequence
from typing import NamedTuple

MOST_COMPARED = 100
"""Earlier replies, the newest, with which one is compared: no parent says the same so often in days."""


class Earlier(NamedTuple):
    """An earlier reply with the same octets, from the same number."""

    case_id: str | None  # to which it spoke
    unheard: bool  # the SMSC may not know that we have it


def may_be_a_copy(case_id: str, earlier: Sequence[Earlier]) -> bool:
    """Whether a reply to this case may be the copy of one to another; `earlier` are those like it, the newest.

    Each unheard reply has one copy at most. Whether that has come nobody can tell: a parent may have said the same
    twice. But as soon as this case has had as many as there are copies, at least one of them was meant for it.
    Of a flood, MOST_COMPARED, any may be a copy.
    """
    if len(earlier) >= MOST_COMPARED:
        return True
    copies = sum(reply.unheard for reply in earlier)
    of_others = any(reply.unheard and reply.case_id != case_id for reply in earlier)
    return of_others and sum(reply.case_id == case_id for reply in earlier) < copies
