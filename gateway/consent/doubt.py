"""Whether a reply is surely a new one, and not the copy of one that we have.

An SMSC delivers a reply again when it has not heard that we have it, and no octet tells the copy from a new reply.
Where two pupils are asked at one number, one after the other, the copy of the answer for the first must not become
a consent for the second: a consent is never guessed.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Earlier(NamedTuple):
    """An earlier reply with the same octets, from the same number."""

    case_id: str | None  # to which it spoke
    unheard: bool  # the SMSC may not know that we have it


def may_be_a_copy(case_id: str, earlier: Sequence[Earlier]) -> bool:
    """Whether a reply to this case may be the copy of one to another; `earlier` are all like it, oldest first.

    Each unheard reply has one copy at most. It is gone when another one has spoken to the same case since; and as
    soon as this case has had as many as there are copies, at least one of them was meant for it.
    """
    copies: Counter[str | None] = Counter()
    had = 0
    for reply in earlier:
        had += reply.case_id == case_id
        if reply.unheard:
            copies[reply.case_id] += 1
        elif reply.case_id != case_id and copies[reply.case_id]:
            copies[reply.case_id] -= 1
    of_others = copies.total() - copies[case_id]
    return of_others > 0 and had < copies.total()
