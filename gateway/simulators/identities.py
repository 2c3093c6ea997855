"""Synthetic persons: names, IINs with a correct check digit, and MSISDNs of the numbering plan.

Written independently of the gateway's validator (consent/identity.py), which judges what is made here.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

_KAZAKH = {
    "surnames": ("Ахметов", "Серіков", "Нұрланов", "Оспанов", "Жұмабаев", "Қасымов", "Бекмұхамбетов"),
    "boys": ("Нұрлан", "Әлихан", "Ерасыл", "Санжар", "Бекзат", "Дінмұхаммед"),
    "girls": ("Айзере", "Томирис", "Мадина", "Іңкәр", "Аяулым"),
    "women": ("Айгүл", "Динара", "Гүлнар", "Сәуле", "Жанар", "Алтынай"),
    "men": ("Ерлан", "Қайрат", "Болат", "Марат", "Ғалым"),
}
_RUSSIAN = {
    "surnames": ("Иванов", "Петров", "Соколов", "Кузнецов", "Морозов"),
    "boys": ("Артём", "Даниил", "Максим", "Роман"),
    "girls": ("Алина", "Вероника", "София", "Полина"),
    "women": ("Ольга", "Наталья", "Светлана", "Елена"),
    "men": ("Сергей", "Андрей", "Алексей"),
}
_NAMES = {"kk": _KAZAKH, "ru": _RUSSIAN}

PREFIXES = {"kcell": ("701", "702", "775", "778"), "beeline": ("705", "706", "771", "776", "777")}
"""The digits of an MSISDN after the country code, of two operators."""

_WEIGHTS = (range(1, 12), (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2))


def with_check_digit(eleven: str) -> str | None:
    """The IIN that begins with these eleven digits; None when there is none: no check digit, or only zeros."""
    digits = [int(digit) for digit in eleven]
    if not any(digits):
        return None
    for weights in _WEIGHTS:
        check_digit = sum(weight * digit for weight, digit in zip(weights, digits, strict=True)) % 11
        if check_digit < 10:
            return f"{eleven}{check_digit}"
    return None


def with_wrong_check_digit(iin: str) -> str:
    """The IIN with another check digit, which is wrong."""
    return iin[:-1] + str((int(iin[-1]) + 1) % 10)


def nth_iin(number: int) -> str:
    """The IIN of that number, below 10⁸: each another one, and of no possible birth date."""
    for last in range(10):
        if iin := with_check_digit(f"99{number:08d}{last}"):
            return iin
    raise ValueError(f"no IIN for {number}")


def iins() -> Iterator[str]:
    """Different IINs without end, the same in each call."""
    return map(nth_iin, count(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as a recipient list has them."""

    iin: str
    surname: str
    given_name: str
    patronymic: str

    @property
    def full_name(self) -> str:
        return f"{self.surname} {self.given_name} {self.patronymic}"

    def record(self) -> dict[str, Any]:
        """The person's object in a record of the list."""
        return {
            "iin": self.iin,
            "surname": self.surname,
            "given_name": self.given_name,
            "patronymic": self.patronymic,
        }


@dataclass(slots=True)
class Household:
    """The surname, the father's given name, and the children's given names so far."""

    language: str
    surname: str
    father: str
    children: set[str]


class PersonGenerator:
    """Generates persons; no two share an IIN or an MSISDN. The same seed generates the same ones."""

    def __init__(self, seed: int = 341) -> None:
        self._random = random.Random(seed)
        self._used: set[str] = set()

    def household(self, language: str) -> Household:
        names = _NAMES[language]
        return Household(
            language, self._random.choice(names["surnames"]), self._random.choice(names["men"]), set()
        )

    def pupil(self, household: Household) -> Person:
        """A child with a given name that the household does not have yet."""
        female = self._random.random() < 0.5
        names = _NAMES[household.language]["girls" if female else "boys"]
        given_name = self._random.choice([name for name in names if name not in household.children])
        household.children.add(given_name)
        return self._person(household, given_name, household.father, female, "1" + self._random.choice("0345"))

    def adult(self, household: Household, relation: str, iin_prefix: str = "8") -> Person:
        """Mother, father or representative; the IIN begins with `iin_prefix`."""
        names, female = _NAMES[household.language], relation != "father"
        given_name = self._random.choice(names["women"]) if female else household.father
        return self._person(household, given_name, self._random.choice(names["men"]), female, iin_prefix)

    def msisdn(self, operator: str) -> str:
        """An MSISDN with a prefix of that operator."""
        return self._unused(
            lambda: f"7{self._random.choice(PREFIXES[operator])}{self._random.randrange(10**7):07}"
        )

    def _person(self, household: Household, given_name: str, father: str, female: bool, iin_prefix: str) -> Person:
        if household.language == "kk":
            patronymic = father + ("қызы" if female else "ұлы")
        else:
            patronymic = father.removesuffix("й") + ("евна" if female else "евич")
        surname = household.surname + "а" * female
        return Person(iin=self._iin(iin_prefix), surname=surname, given_name=given_name, patronymic=patronymic)

    def _iin(self, prefix: str) -> str:
        def eleven_digits() -> str:
            drawn = prefix + "".join(self._random.choices("0123456789", k=11 - len(prefix)))
            return drawn[:2] + f"{self._random.randint(1, 12):02}{self._random.randint(1, 28):02}" + drawn[6:]

        return self._unused(lambda: with_check_digit(eleven_digits()))

    def _unused(self, draw: Callable[[], str | None]) -> str:
        """The first draw that is not None and was not used before."""
        while True:
            drawn = draw()
            if drawn and drawn not in self._used:
                self._used.add(drawn)
                return drawn
