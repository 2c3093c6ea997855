"""Who is asked: pupils, their parents' numbers, and how each parent behaves. A seed makes the same people."""

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

PREFIXES = {"kcell": "7701", "beeline": "7705"}
UNDELIVERABLE, REFUSED = "8", "9"
"""The digit behind the prefix of numbers whose texts never arrive, and that the SMSC refuses."""


class Manner(StrEnum):
    """What a parent does about a question."""

    AGREES = "agrees"
    REFUSES = "refuses"
    SILENT = "silent"
    WAITS = "agrees to the repeat"
    MUMBLES = "unclear"
    SPEAKS_UP = "unclear, then agrees"
    TWICE = "agrees twice"
    WITHDRAWS = "agrees, then refuses"
    RETURNS = "refuses, then agrees"
    LONG = "agrees in two segments"
    EAGER = "agrees at the first segment"
    LATE = "agrees when it is over"
    UNREACHED = "has a number that nothing reaches"


_ALONE = {
    Manner.AGREES: 30,
    Manner.REFUSES: 12,
    Manner.SILENT: 8,
    Manner.WAITS: 7,
    Manner.MUMBLES: 4,
    Manner.SPEAKS_UP: 6,
    Manner.TWICE: 5,
    Manner.WITHDRAWS: 4,
    Manner.RETURNS: 4,
    Manner.LONG: 4,
    Manner.EAGER: 4,
    Manner.LATE: 3,
    Manner.UNREACHED: 5,
}
"""How many of a hundred families with one child; there are few silent ones, since their texts are many."""
_SIBLINGS = (Manner.AGREES, Manner.REFUSES, Manner.WAITS)
_WITH_SIBLINGS = 0.15

_SURNAMES = ("Ахметов", "Сейітқали", "Жұмабек", "Оспанов", "Қалдыбек", "Ибраимов", "Тілеуберді")
_SYLLABLES = ("Ай", "Бек", "Нұр", "Гүл", "Дана", "Ер", "Жан", "Мұрат", "Сәуле", "Тимур")


@dataclass(slots=True, eq=False)
class Pupil:
    """A record of a list, and what its parent does about it."""

    record_id: str
    iin: str
    name: tuple[str, str]
    parents: dict[str, str]  # relation → IIN
    category: int
    manner: Manner
    number: str | None  # of the one who is asked; None: nobody has one
    child: int  # of the number: 0 the first
    rejected: bool  # by the wallet
    had: bool  # a voucher before

    @property
    def full_name(self) -> str:
        return " ".join(self.name)

    @property
    def link(self) -> str | None:
        return next((link for link, prefix in PREFIXES.items() if self.number and self.number[:4] == prefix), None)

    def record(self) -> dict[str, Any]:
        people = {
            relation: {"iin": iin, "surname": self.name[0], "given_name": "Ата-ана"}
            for relation, iin in self.parents.items()
        }
        pupil = {"iin": self.iin, "surname": self.name[0], "given_name": self.name[1]}
        return {"record_id": self.record_id, "category": self.category, "pupil": pupil, **people}


@dataclass(slots=True)
class Families:
    """Everybody there is, and the MCB's knowledge of them."""

    pupils: list[Pupil] = field(default_factory=list)
    mcb: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def invented(cls, cases: int, seed: int) -> "Families":
        """So many pupils."""
        made = cls()
        dice = random.Random(seed)
        iins, numbers = _iins(), itertools.count(1)
        while len(made.pupils) < cases:
            made._add_family(dice, iins, next(numbers), cases - len(made.pupils))
        dice.shuffle(made.pupils)
        return made

    def lists(self, how_many: int) -> dict[str, list[Pupil]]:
        """All pupils, dealt into so many lists; siblings may be in different ones."""
        return {f"torture-{n:02}": self.pupils[n::how_many] for n in range(how_many)}

    def _add_family(self, dice: random.Random, iins: Iterator[str], family: int, most: int) -> None:
        siblings = most > 1 and dice.random() < _WITH_SIBLINGS
        size = min(most, dice.choice((2, 3))) if siblings else 1
        manners = (
            dice.choices(_SIBLINGS, k=size) if siblings else dice.choices(list(_ALONE), list(_ALONE.values()))
        )
        number = self._number(dice, manners[0], family)
        parents = self._parents(dice, iins, number)
        for child, manner in enumerate(manners):
            record = len(self.pupils)
            name = (dice.choice(_SURNAMES), _unlike_any_other(record))
            self.pupils.append(
                Pupil(
                    record_id=f"r-{record:05}",
                    iin=next(iins),
                    name=name,
                    parents=parents,
                    category=record % 3 + 1,
                    manner=manner,
                    number=number,
                    child=child,
                    rejected=dice.random() < 0.03,
                    had=dice.random() < 0.03,
                )
            )

    def _number(self, dice: random.Random, manner: Manner, family: int) -> str | None:
        prefix = dice.choice(list(PREFIXES.values()))
        if manner is Manner.UNREACHED:
            kind = dice.choice((UNDELIVERABLE, REFUSED, None))
            return f"{prefix}{kind}{family:06}" if kind else None
        return f"{prefix}{family // 1_000_000}{family % 1_000_000:06}"

    def _parents(self, dice: random.Random, iins: Iterator[str], number: str | None) -> dict[str, str]:
        """The recipients of a family in the order in which they are asked; the last has the number, if any has."""
        relations = ["mother"] if dice.random() < 0.8 else ["mother", "father"]
        parents = {relation: next(iins) for relation in relations}
        for iin in list(parents.values())[:-1]:
            self.mcb[iin] = dice.choice((None, "79161234567"))  # no number, or none of Kazakhstan
        self.mcb[list(parents.values())[-1]] = number
        return parents


def ndjson(pupils: Iterable[Pupil]) -> bytes:
    """The body of a list."""
    return b"".join(json.dumps(pupil.record(), ensure_ascii=False).encode() + b"\n" for pupil in pupils)


def _unlike_any_other(number: int) -> str:
    """A given name of its own for each pupil, by which a text tells whom it is about."""
    syllables = []
    for _ in range(5):
        number, digit = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
    return "-".join(syllables)


def _iins() -> Iterator[str]:
    for number in itertools.count(1):
        eleven = f"99{number:08}0"
        digits = [int(digit) for digit in eleven]
        for weights in (range(1, 12), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)):
            control = sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11
            if control < 10:
                yield f"{eleven}{control}"
                break
