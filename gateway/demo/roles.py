"""What a kind of family is: what is known of it, what it does when a text comes, what must come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Text(StrEnum):
    """What can appear on a handset; the repeat is the request once more."""

    REQUEST = "1"
    REFUSED = "2"
    AGREED = "3"
    CLARIFY = "?"


class Number(StrEnum):
    """What the MCB says of somebody."""

    OWN = "a number"
    PORTED = "a number taken along to another operator"
    FOREIGN = "a number of another country"
    NONE = "no number"


class Network(StrEnum):
    """What the operator makes of texts to the family's number."""

    CARRIES = "carries them"
    REFUSES = "refuses them for good"
    LOSES = "accepts them, and reports them undeliverable"


class Wallet(StrEnum):
    """What the wallet says when a voucher for the pupil is asked for."""

    FORMS = "forms it"
    HAS_ONE = "the pupil has one already"
    REFUSES = "refuses for good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """To the nth text of a kind about this child the parent says so, `after` days and some hesitation later."""

    to: Text
    say: tuple[str, ...]
    """One of these, by turns."""
    after: float
    hesitation: float = 0.4
    """Days by which families differ at most."""
    nth: int = 1
    cut: bool = False
    """The handset sends it in two segments."""
    copies: int = 1
    """How often the operator delivers it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One child's case: what the parent does about it, where it must end, and what must have been seen."""

    state: str
    statuses: tuple[str, ...] = ()
    """What SDU is told, in order; `delivered` is counted apart, since the operator decides on its place."""
    texts: tuple[Text, ...] = ()
    reactions: tuple[Reaction, ...] = ()
    normalised: bool = False
    wallet: Wallet = Wallet.FORMS
    uses_voucher: bool = False
    cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A kind of family, and how many of it there are."""

    name: str
    families: int
    children: tuple[Script, ...]
    knows: Mapping[str, Number] = field(default_factory=lambda: {"mother": Number.OWN})
    """The MCB, of each relation that is in the list."""
    language: str = "kk"
    category: int = 1
    network: Network = Network.CARRIES
    mcb_down: bool = False
    wallet_down: bool = False
    one_pupil: bool = False
    """All the records are about the same pupil."""

    @property
    def asked(self) -> str | None:
        """The relation of the one who is asked, None when nobody can be."""
        good = (Number.OWN, Number.PORTED)
        return next((relation for relation, number in self.knows.items() if number in good), None)
