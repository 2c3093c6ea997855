"""What describes a kind of family: what is known of it, how it replies to texts, and the expected outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Text(StrEnum):
    """A text on a handset; a repeat is the request once more."""

    REQUEST = "1"
    REFUSED = "2"
    AGREED = "3"
    CLARIFY = "?"


class Number(StrEnum):
    """What the MCB finds for a person."""

    OWN = "a number"
    PORTED = "a number ported to the other operator"
    FOREIGN = "a number of another country"
    NONE = "no number"


class Delivery(StrEnum):
    """What the operator does with texts to the family's number."""

    DELIVERED = "delivers them"
    REFUSED = "refuses them permanently"
    LOST = "accepts them, and reports them undeliverable"


class Wallet(StrEnum):
    """The wallet's response when a voucher for the pupil is requested."""

    FORMS = "forms it"
    HAS_ONE = "the pupil has one already"
    REFUSES = "refuses permanently"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedReply:
    """A reply to the nth text of a kind about this child, `after` days and a random delay later."""

    to: Text
    texts: tuple[str, ...]
    """Reply texts that the families use by rotation."""
    after: float
    spread: float = 0.4
    """The random delay is up to so many days."""
    nth: int = 1
    in_two_segments: bool = False
    copies: int = 1
    """How often the operator delivers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One child's case: the parent's replies, the expected state at the end, and what must have been seen."""

    state: str
    statuses: tuple[str, ...] = ()
    """The statuses pushed to SDU, in order; without `delivered`, whose place depends on the operator and which is
    counted.
    """
    texts: tuple[Text, ...] = ()
    replies: tuple[ScriptedReply, ...] = ()
    normalised: bool = False
    wallet: Wallet = Wallet.FORMS
    uses_voucher: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyKind:
    """A kind of family, and how many families there are of it."""

    name: str
    families: int
    children: tuple[Scenario, ...]
    numbers: Mapping[str, Number] = field(default_factory=lambda: {"mother": Number.OWN})
    """What the MCB finds, by relation, for each relation that is in the list."""
    language: str = "kk"
    category: int = 1
    delivery: Delivery = Delivery.DELIVERED
    mcb_down: bool = False
    wallet_down: bool = False
    one_pupil: bool = False
    """All its records are about the same pupil."""

    @property
    def asked(self) -> str | None:
        """The relation of the person who is asked, None when nobody can be."""
        reachable = (Number.OWN, Number.PORTED)
        return next((relation for relation, number in self.numbers.items() if number in reachable), None)
