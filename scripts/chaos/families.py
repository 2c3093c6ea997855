"""Who is asked: pupils, their parents' numbers, and how each parent behaves; the same for the same seed."""

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.simulators.identities import iins

PREFIXES = {"kcell": "7701", "beeline": "7705"}
UNDELIVERABLE, REFUSED = "8", "9"
"""The digit after the prefix of numbers whose texts are never delivered, and of those the SMSC refuses."""


class Behaviour(StrEnum):
    """What a parent does about a question."""

    AGREES = "agrees"
    REFUSES = "refuses"
    SILENT = "does not reply"
    AT_REPEAT = "agrees to the repeat"
    UNCLEAR = "unclear"
    UNCLEAR_THEN_AGREES = "unclear, then agrees"
    TWICE = "agrees twice"
    AGREES_THEN_REFUSES = "agrees, then refuses"
    REFUSES_THEN_AGREES = "refuses, then agrees"
    TWO_SEGMENTS = "agrees in two segments"
    AT_FIRST_SEGMENT = "agrees at the first segment"
    LATE = "agrees after the end"
    UNREACHABLE = "has a number that no text reaches"


_ONE_CHILD = {
    Behaviour.AGREES: 30,
    Behaviour.REFUSES: 12,
    Behaviour.SILENT: 8,
    Behaviour.AT_REPEAT: 7,
    Behaviour.UNCLEAR: 4,
    Behaviour.UNCLEAR_THEN_AGREES: 6,
    Behaviour.TWICE: 5,
    Behaviour.AGREES_THEN_REFUSES: 4,
    Behaviour.REFUSES_THEN_AGREES: 4,
    Behaviour.TWO_SEGMENTS: 4,
    Behaviour.AT_FIRST_SEGMENT: 4,
    Behaviour.LATE: 3,
    Behaviour.UNREACHABLE: 5,
}
"""The behaviours of a hundred families with one child; few do not reply, because they get many texts."""
_SIBLINGS = (Behaviour.AGREES, Behaviour.REFUSES, Behaviour.AT_REPEAT)
_SIBLINGS_PROBABILITY = 0.15

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
    behaviour: Behaviour
    number: str | None  # of the parent who is asked; None: no parent has one
    child: int  # its index among the children of that number
    rejected: bool  # by the wallet
    had_voucher: bool  # before the campaign

    @property
    def full_name(self) -> str:
        return " ".join(self.name)

    @property
    def link(self) -> str | None:
        return next((link for link, prefix in PREFIXES.items() if self.number and self.number[:4] == prefix), None)

    def record(self) -> dict[str, Any]:
        parents = {
            relation: {"iin": iin, "surname": self.name[0], "given_name": "Ата-ана"}
            for relation, iin in self.parents.items()
        }
        pupil = {"iin": self.iin, "surname": self.name[0], "given_name": self.name[1]}
        return {"record_id": self.record_id, "category": self.category, "pupil": pupil, **parents}


@dataclass(slots=True)
class Families:
    """All pupils, and the MCB's number for each parent's IIN."""

    pupils: list[Pupil] = field(default_factory=list)
    mcb: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def generated(cls, cases: int, seed: int) -> "Families":
        """Families with so many pupils together."""
        families = cls()
        rng = random.Random(seed)
        generator, numbers = iins(), itertools.count(1)
        while len(families.pupils) < cases:
            families._add_family(rng, generator, next(numbers), cases - len(families.pupils))
        rng.shuffle(families.pupils)
        return families

    def lists(self, how_many: int) -> dict[str, list[Pupil]]:
        """All pupils, divided into so many lists; siblings may be in different ones."""
        return {f"torture-{n:02}": self.pupils[n::how_many] for n in range(how_many)}

    def _add_family(self, rng: random.Random, unused: Iterator[str], family: int, limit: int) -> None:
        siblings = limit > 1 and rng.random() < _SIBLINGS_PROBABILITY
        size = min(limit, rng.choice((2, 3))) if siblings else 1
        behaviours = (
            rng.choices(_SIBLINGS, k=size)
            if siblings
            else rng.choices(list(_ONE_CHILD), list(_ONE_CHILD.values()))
        )
        number = self._number(rng, behaviours[0], family)
        parents = self._parents(rng, unused, number)
        for child, behaviour in enumerate(behaviours):
            record = len(self.pupils)
            name = (rng.choice(_SURNAMES), _unique_name(record))
            self.pupils.append(
                Pupil(
                    record_id=f"r-{record:05}",
                    iin=next(unused),
                    name=name,
                    parents=parents,
                    category=record % 3 + 1,
                    behaviour=behaviour,
                    number=number,
                    child=child,
                    rejected=rng.random() < 0.03,
                    had_voucher=rng.random() < 0.03,
                )
            )

    def _number(self, rng: random.Random, behaviour: Behaviour, family: int) -> str | None:
        prefix = rng.choice(list(PREFIXES.values()))
        if behaviour is Behaviour.UNREACHABLE:
            kind = rng.choice((UNDELIVERABLE, REFUSED, None))
            return f"{prefix}{kind}{family:06}" if kind else None
        return f"{prefix}{family // 1_000_000}{family % 1_000_000:06}"

    def _parents(self, rng: random.Random, unused: Iterator[str], number: str | None) -> dict[str, str]:
        """IINs by relation of a family's recipients, in the order of look-up; only the last may have a number."""
        relations = ["mother"] if rng.random() < 0.8 else ["mother", "father"]
        parents = {relation: next(unused) for relation in relations}
        for iin in list(parents.values())[:-1]:
            self.mcb[iin] = rng.choice((None, "79161234567"))  # no number, or a foreign one
        self.mcb[list(parents.values())[-1]] = number
        return parents


def ndjson(pupils: Iterable[Pupil]) -> bytes:
    """The body of a list."""
    return b"".join(json.dumps(pupil.record(), ensure_ascii=False).encode() + b"\n" for pupil in pupils)


def _unique_name(number: int) -> str:
    """A given name that no other pupil has, so that a text identifies its pupil."""
    syllables = []
    for _ in range(5):
        number, digit = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
    return "-".join(syllables)
