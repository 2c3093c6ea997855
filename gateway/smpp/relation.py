"""How the receipts of a link write the message_ids of its responses, learnt from them (`message_id = "auto"`).

Ids of digits may be read in several ways: a receipt for 10 may be about the response 10, a (which was written in
hexadecimal) or 16 (in decimal). A receipt that belongs to an accepted text by one of these readings only is a vote
for that relation. Its text must have gone to the number of the receipt: ids alone would not do, since the response
that a receipt is about may not have come yet, and another text may have the same digits. Until a relation is
decided, a receipt that can be read in several ways waits. LEAD receipts in a row withdraw what was decided, when
only another relation makes them receipts of texts to their numbers.
"""

from collections.abc import Mapping
from typing import Final

from gateway.smpp.receipt import IdRelation, normalize_message_id, related_ids

INVERSE: Final[Mapping[IdRelation, IdRelation]] = {
    "exact": "exact",
    "hex-to-dec": "dec-to-hex",
    "dec-to-hex": "hex-to-dec",
    "auto": "auto",
}
"""How a receipt's id is converted to that of the submit_sm_resp: the inverse of `links.message_id`."""

LEAD: Final = 3
"""The number of votes by which a relation must lead all others together; as many contradictions withdraw it."""

_CONVERSIONS: Final[tuple[IdRelation, ...]] = ("hex-to-dec", "dec-to-hex")


def response_ids(receipt_id: str, relation: IdRelation) -> list[str]:
    """The normalized ids that the submit_sm_resp may have had for the id of a receipt, the most likely first."""
    return related_ids(receipt_id, INVERSE[relation])


def vote(receipt_id: str, response_id: str) -> IdRelation | None:
    """The only relation by which a receipt's id is that of the response (normalized); None for several or none."""
    own = normalize_message_id(receipt_id)
    found: list[IdRelation] = ["exact"] if own == response_id else []
    for relation in _CONVERSIONS:
        converted = related_ids(own, INVERSE[relation])
        if converted == [response_id] and related_ids(response_id, relation) == [own]:
            found.append(relation)
    return found[0] if len(found) == 1 else None


def decided(votes: Mapping[IdRelation, int]) -> IdRelation | None:
    """The relation that leads by LEAD votes or more; None while there is none."""
    leader = max(votes, key=lambda relation: votes[relation], default=None)
    if leader is None or 2 * votes[leader] - sum(votes.values()) < LEAD:
        return None
    return leader
